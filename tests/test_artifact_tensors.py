"""Forged tensors are refused: the hashes are right, the weights' file is not."""

import json
import struct
from itertools import count

import numpy as np
import pytest
from safetensors.numpy import save as bytes_of

from tests.artifacts import BOTH, forged, refused, saved, tensors_of
from tm2tf.weights import folder as artifact

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def changed(name, array):
    """Return a change of the tensors by which one is replaced, removed (None) or added."""

    def change(tensors):
        if array is None:
            del tensors[name]
        else:
            tensors[name] = array(tensors[name]) if callable(array) else array

    return change


def at(index, value):
    def change(array):
        array = array.copy()
        array[index] = value
        return array

    return change


def widest(tensors, change):
    """Apply a change to the columns of the first row of W_E that has two or more."""
    starts = tensors["W_E.starts"]
    row = int(np.argmax(np.diff(starts) > 1))
    part = slice(starts[row], starts[row] + 2)
    tensors["W_E.columns"] = at(part, change(tensors["W_E.columns"][part]))(tensors["W_E.columns"])


TENSORS = {
    "missing": (changed("b_U", None), "missing are ['b_U']"),
    "extra": (changed("../../x", np.zeros(1)), "not listed are ['../../x']"),
    "float32": (changed("b_U", lambda a: a.astype(np.float32)), "found F32"),
    "int64": (changed("b_U", lambda a: a.astype(np.int64)), "found I64"),
    "snap as float": (changed("blocks.0.mlp.snap", lambda a: a.astype(float)), "expected BOOL"),
    "longer": (changed("b_U", lambda a: np.append(a, 0)), "tensor b_U: expected F64 of shape"),
    "scalar": (changed("b_U", np.array(1.0)), "found F64 of shape []"),
    "two axes": (changed("b_U", lambda a: a[:, None].copy()), "tensor b_U"),
    "NaN": (changed("W_pos", at(0, np.nan)), "tensor W_pos: expected finite weights"),
    "infinity": (changed("b_U", at(-1, -np.inf)), "tensor b_U: expected finite weights"),
    "starts from 1": (changed("W_E.starts", at(0, 1)), "starts that rise"),
    "starts beyond": (changed("W_E.starts", at(-1, 10**6)), "starts that rise"),
    "starts that fall": (changed("W_E.starts", at(2, -(2**62))), "starts that rise"),
    "starts that overflow": (changed("W_E.starts", at(2, 2**63 - 1)), "starts that rise"),
    "starts too few": (changed("W_E.starts", lambda a: a[:-1].copy()), "W_E.starts: expected I64"),
    "starts as float": (changed("W_E.starts", lambda a: a.astype(float)), "expected I64"),
    "column -1": (changed("W_E.columns", at(0, -1)), "columns from 0"),
    "column too large": (changed("W_E.columns", at(0, 2**62)), "columns from 0"),
    "columns twice": (lambda t: widest(t, lambda c: c[[0, 0]]), "columns that rise"),
    "columns that fall": (lambda t: widest(t, lambda c: c[::-1]), "columns that rise"),
    "columns too few": (changed("W_E.columns", lambda a: a[1:].copy()), "W_E.columns: expected"),
    "values too few": (changed("W_E.values", lambda a: a[1:].copy()), "W_E.columns: expected"),
    "values of two axes": (changed("W_E.values", lambda a: a[:, None].copy()), "W_E.columns"),
    "a value of 0": (changed("W_E.values", at(0, -0.0)), "found a 0"),
    "a value of NaN": (changed("W_E.values", at(0, np.nan)), "finite weights"),
    "no values": (changed("W_E.values", None), "missing are ['W_E.values']"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_forged_tensors_are_refused(name, tmp_path):
    change, word = TENSORS[name]
    tensors = tensors_of("bb2", 0)
    change(tensors)
    folder = forged(tmp_path, data=bytes_of(tensors), dense=0)
    for check in (True, False):
        refused(folder, check, artifact.WEIGHTS, word)


def test_forged_dense_values_are_refused(tmp_path):
    tensors = tensors_of("bb2")
    tensors["W_E"] = at((1, 1), np.nan)(tensors["W_E"])
    refused(forged(tmp_path, data=bytes_of(tensors)), True, "tensor W_E", "finite")
    tensors["W_E"] = tensors["W_E"].T.copy()
    refused(forged(tmp_path, data=bytes_of(tensors)), True, "tensor W_E", "shape")


def raw(header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype, shape, end):
    return {"x": {"dtype": dtype, "shape": shape, "data_offsets": [0, end]}}


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x04\x95pickle",
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**40) + b"{}",
        raw(b"[]"),
        raw(b"\xff"),
        raw(b"[" * 100_000),
        raw({}),
        raw(entry("F64", [2**60], 8), bytes(8)),
        raw(entry("F64", [2**32, 2**32], 0)),
        raw(entry("F64", [2**60, 0], 0)),
        raw(entry("BF16", [4], 8), bytes(8)),
        raw(entry("F7", [1], 8), bytes(8)),
        raw(entry("F64", [-1], 8), bytes(8)),
        raw(entry("F64", [1], 10**15), bytes(8)),
    ],
    ids=count(),
)
def test_other_safetensors_are_refused(data, check, tmp_path):
    folder = forged(tmp_path, data=data)
    refused(folder, check, artifact.WEIGHTS)


def test_the_header_may_not_swap_types_or_hold_odd_bools(tmp_path):
    data = saved("bb2")[artifact.WEIGHTS]
    assert data.count(b'"BOOL"') == 3
    for forgery in (data.replace(b'"BOOL"', b'"I8"  '), data.replace(b'"BOOL"', b'"U8"  ')):
        refused(forged(tmp_path, data=forgery), True, "expected BOOL")
    names = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    place = len(data) - max(item["data_offsets"][1] for item in names.values())
    odd = bytearray(data)
    odd[place + names["blocks.1.mlp.snap"]["data_offsets"][0]] = 2
    refused(forged(tmp_path, data=bytes(odd)), True, "blocks.1.mlp.snap", "found 2")
