"""Artifacts: exact round trips, stable bytes, and refusal of everything that is damaged."""

import hashlib
import json
import random
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import count
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from hypothesis import given, settings
from safetensors.numpy import load as tensors_of
from safetensors.numpy import save as bytes_of

from tests.strategies import ODD, machines
from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.errors import ArtifactError
from tm2tf.lowering import lower
from tm2tf.machine import library
from tm2tf.weights import folder as artifact
from tm2tf.weights.matrix import Matrix

BOTH = pytest.mark.parametrize("check", [True, False])
FILES = (artifact.MANIFEST, artifact.WEIGHTS)


@pytest.fixture(autouse=True, scope="module")
def no_waiting_for_the_disk():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact.os, "fsync", lambda number: None)
        yield


@cache
def compiled(name):
    path = library.find(name).path
    machine = formats.parse(path.read_text(encoding="utf-8"), str(path))
    return lower(trace.program(machine), "trace"), machine


@cache
def saved(name, dense=artifact.DENSE_ENTRIES):
    """Return the bytes of both files of a machine's artifact."""
    with tempfile.TemporaryDirectory() as where, pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "DENSE_ENTRIES", dense)
        artifact.save(Path(where), *compiled(name))
        return {file: (Path(where) / file).read_bytes() for file in FILES}


def written(folder, name="bb2", dense=artifact.DENSE_ENTRIES, **files):
    """Write a saved artifact into a folder, some of its files replaced, and return the folder."""
    folder.mkdir(exist_ok=True)
    for file, data in saved(name, dense).items():
        (folder / file).write_bytes(files.get(file.split(".", maxsplit=1)[0], data))
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_same(one, other):
    assert [name for name, _ in one.tensors()] == [name for name, _ in other.tensors()]
    for (name, a), (_, b) in zip(one.tensors(), other.tensors(), strict=True):
        assert type(a) is type(b), name
        parts = ("starts", "columns", "values") if isinstance(a, Matrix) else ()
        pairs = [(getattr(a, part), getattr(b, part)) for part in parts] or [(a, b)]
        for x, y in pairs:
            assert (x.dtype, x.shape, x.tobytes()) == (y.dtype, y.shape, y.tobytes()), name
            assert y.flags.writeable
            assert y.dtype.isnative
        assert getattr(a, "shape", ()) == getattr(b, "shape", ()), name
    for label in ("construction", "target", "directions", "tokens", "readouts", "bounds"):
        assert getattr(one, label) == getattr(other, label), label
    for a, b in zip(one.layers, other.layers, strict=True):
        assert (a.purpose, a.feed_forward.neurons) == (b.purpose, b.feed_forward.neurons)
        assert [(h.name, h.kind) for h in a.heads] == [(h.name, h.kind) for h in b.heads]


def assert_round_trip(folder, weights, machine):
    digest = artifact.save(folder, weights, machine)
    found, same = artifact.load(folder)
    assert_same(weights, found)
    assert (same, same.examples) == (machine, machine.examples)
    assert digest == artifact.weights_sha256(weights) == artifact.weights_sha256(found)
    assert digest == hashlib.sha256((folder / artifact.WEIGHTS).read_bytes()).hexdigest()
    assert set(contents(folder)) == set(FILES)


def refused(folder, check, *words):
    """Assert that loading is refused by a message that has these words and says what to do."""
    with pytest.raises(ArtifactError) as caught:
        artifact.load(folder, check=check)
    message = str(caught.value)
    for word in (str(folder), "compile the machine again", *words):
        assert word in message, message


# --- round trips --------------------------------------------------------------------------


@pytest.mark.parametrize("dense", [artifact.DENSE_ENTRIES, 0])
@pytest.mark.parametrize(
    "name", ["bb2", "turing-growing-runs", "matching", "binary-multiplication-3tape"]
)
def test_library_machines_come_back_exactly(name, dense, tmp_path, monkeypatch):
    monkeypatch.setattr(artifact, "DENSE_ENTRIES", dense)
    assert_round_trip(tmp_path / "a" / "b", *compiled(name))


@settings(max_examples=20, deadline=None)
@given(machines(words=ODD, tapes=(1, 2), states=(2, 4), symbols=(2, 3)))
def test_random_machines_come_back_exactly(machine):
    with tempfile.TemporaryDirectory() as where:
        assert_round_trip(Path(where), lower(trace.program(machine), "trace"), machine)


def test_bits_of_every_float_come_back(tmp_path):
    weights, machine = compiled("bb2")
    odd = np.resize([-0.0, 5e-324, 0.1, -1e308, np.nextafter(1, 2)], weights.d_model)
    matrix = Matrix.from_dense(np.outer(np.ones(weights.d_vocab), odd))
    assert_round_trip(tmp_path, replace(weights, W_pos=odd, W_E=matrix), machine)


def test_bundled_storage_is_plain(tmp_path):
    weights, _ = compiled("bb2")
    tensors = tensors_of(saved("bb2")[artifact.WEIGHTS])
    assert sorted(tensors) == sorted(name for name, _ in weights.tensors())
    assert np.array_equal(tensors["W_U"], weights.W_U.dense())
    assert tensors["W_U"].dtype == np.float64
    assert tensors["blocks.0.mlp.snap"].dtype == np.bool_
    manifest = json.loads(saved("bb2")[artifact.MANIFEST])
    assert manifest["sizes"]["d_model"] == weights.d_model
    assert manifest["sizes"]["parameters"] == weights.parameters
    assert manifest["directions"] == list(weights.directions)
    rest = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    canonical = json.dumps(rest, separators=(",", ":")).encode()
    assert manifest["manifest_sha256"] == hashlib.sha256(canonical).hexdigest()


def test_a_big_matrix_is_stored_by_rows_where_that_is_smaller():
    weights, _ = compiled("gcd")
    tensors = tensors_of(saved("gcd", 1000)[artifact.WEIGHTS])
    ways = json.loads(saved("gcd", 1000)[artifact.MANIFEST])["tensors"]
    for name, tensor in weights.tensors():
        if not isinstance(tensor, Matrix):
            continue
        by_rows = tensor.shape[0] + 1 + 2 * tensor.nonzeros
        sparse = tensor.size > 1000 and tensor.size > by_rows
        assert ways[name] == {
            "shape": list(tensor.shape),
            "storage": "sparse" if sparse else "dense",
        }
        assert (name in tensors, f"{name}.starts" in tensors) == (not sparse, sparse)
    assert len(saved("gcd", 1000)[artifact.WEIGHTS]) * 5 < 8 * weights.parameters
    assert {way["storage"] for way in ways.values()} == {"dense", "sparse"}


# --- bytes --------------------------------------------------------------------------------


def test_the_same_weights_give_the_same_bytes(tmp_path):
    for name in ("one", "two", "two"):
        artifact.save(tmp_path / name, *compiled("matching"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two") == saved("matching")


def test_another_process_gives_the_same_hash():
    code = """
import sys
from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.lowering import lower
from tm2tf.machine import library
from tm2tf.weights import folder
machine = formats.parse(library.find("matching").path.read_text(encoding="utf-8"))
sys.stdout.write(folder.weights_sha256(lower(trace.program(machine), "trace")))
"""
    root = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={"PYTHONHASHSEED": "7", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == artifact.weights_sha256(compiled("matching")[0])


def test_other_weights_give_another_hash(tmp_path):
    weights, machine = compiled("bb2")
    other = replace(weights, b_U=np.nextafter(weights.b_U, 9))
    assert artifact.weights_sha256(other) != artifact.weights_sha256(weights)
    assert_round_trip(tmp_path, other, machine)


@pytest.mark.parametrize("dense", [artifact.DENSE_ENTRIES, 0])
@pytest.mark.parametrize("file", FILES)
def test_a_changed_byte_is_always_refused(file, dense, tmp_path):
    folder, rng = written(tmp_path, dense=dense), random.Random(0)
    data = saved("bb2", dense)[file]
    for _ in range(80):
        changed, at = bytearray(data), rng.randrange(len(data))
        if rng.random() < 0.5:
            changed[at] ^= 1 << rng.randrange(8)
        else:
            changed[at] = rng.choice(sorted(set(b' \t\n\r09-"{}[]') - {data[at]}))
        (folder / file).write_bytes(changed)
        refused(folder, True)
        with suppress(ArtifactError):
            artifact.load(folder, check=False)


@BOTH
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(file, keep, check, tmp_path):
    folder, data = written(tmp_path), saved("bb2")[file]
    (folder / file).write_bytes(data[: keep if keep >= 1 else int(keep * len(data))])
    refused(folder, check, file)


def test_other_layouts_of_the_same_json_are_refused_unless_unchecked(tmp_path):
    value = json.loads(saved("bb2")[artifact.MANIFEST])
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        folder = written(tmp_path, manifest=text.encode())
        refused(folder, True, artifact.MANIFEST, "edited or damaged")
        assert_same(compiled("bb2")[0], artifact.load(folder, check=False)[0])


def test_weights_of_another_artifact_are_refused(tmp_path):
    refused(written(tmp_path, model=saved("bb3")[artifact.WEIGHTS]), True, artifact.WEIGHTS)
    refused(written(tmp_path, manifest=saved("bb3")[artifact.MANIFEST]), False, artifact.WEIGHTS)


# --- forged manifests: hashes are right, contents are not ----------------------------------


def forged(tmp_path, change, data=None, dense=artifact.DENSE_ENTRIES):
    """Return a folder whose manifest was changed and whose hashes were computed again."""
    value = json.loads(saved("bb2", dense)[artifact.MANIFEST])
    data = saved("bb2", dense)[artifact.WEIGHTS] if data is None else data
    value["weights_sha256"] = hashlib.sha256(data).hexdigest()
    change(value)
    value.pop("manifest_sha256", None)
    return written(tmp_path, model=data, manifest=artifact._sealed(value))


def put(*path):
    """Return a change that puts the last of `path` at the place that the others name."""

    def change(value):
        *into, key, item = path
        for step in into:
            value = value[step]
        value[key] = item

    return change


def drop(*path):
    def change(value):
        for step in path[:-1]:
            value = value[step]
        del value[path[-1]]

    return change


def more(field, item):
    return lambda value: value[field].append(item)


def readout(name, key, item):
    def change(value):
        (found,) = (r for r in value["readouts"] if r["feature"] == name)
        found[key] = item

    return change


def claim(head, **widths):
    """Return a change by which a head's labels and tensors claim other widths."""

    def change(value):
        value["layers"][head]["heads"][0] |= widths
        for part, shape in (
            ("W_V", [value["sizes"]["d_model"], widths["d_value"]]),
            ("W_O", [widths["d_value"], value["sizes"]["d_model"]]),
        ):
            value["tensors"][f"blocks.{head}.attn.0.{part}"]["shape"] = shape
        d_value = tensors_of(saved("bb2")[artifact.WEIGHTS])[f"blocks.{head}.attn.0.W_O"].shape[0]
        grown = 2 * value["sizes"]["d_model"] * (widths["d_value"] - d_value)
        value["sizes"]["parameters"] += grown

    return change


FORGERIES = {
    "version 2": (put("format_version", 2), "knows only 1"),
    "version true": (put("format_version", True), "knows only 1"),
    "version 1.0": (put("format_version", 1.0), "knows only 1"),
    "no version": (drop("format_version"), "knows only 1"),
    "another format": (put("format", "gguf"), "no artifact of tm2tf"),
    "unfinished": (put("unfinished", True), "cut short"),
    "missing field": (drop("readouts"), "missing are ['readouts']"),
    "unknown field": (put("pickle", "x"), "unknown are ['pickle']"),
    "dtype": (put("dtype", "float32"), "dtype: expected one of float64"),
    "tm2tf_version": (put("tm2tf_version", 1), "tm2tf_version: expected a text"),
    "construction": (put("construction", None), "construction: expected a text"),
    "sha": (put("weights_sha256", "0" * 63), "64 hexadecimal digits"),
    "sizes": (put("sizes", "d_model", 2**60), "sizes.d_model"),
    "sizes of another shape": (put("sizes", []), "sizes: expected an object"),
    "parameters": (put("sizes", "parameters", 0), "sizes.parameters"),
    "bound 0": (put("bounds", "position", 0), "bounds.position"),
    "bound too large": (put("bounds", "key", 2**53 + 1), "bounds.key"),
    "bound true": (put("bounds", "key", True), "bounds.key"),
    "bound 1.0": (put("bounds", "key", 1.0), "bounds.key"),
    "no directions": (put("directions", []), "at least one residual direction"),
    "a direction fewer": (drop("directions", 0), "sizes.d_model"),
    "a direction more": (more("directions", "x"), "sizes.d_model"),
    "direction 7": (put("directions", 3, 7), "directions[3]: expected a text, found 7"),
    "directions as a text": (put("directions", "begin"), "directions: expected a list"),
    "no tokens": (put("tokens", []), "at least one token"),
    "a token fewer": (drop("tokens", -1), "sizes.d_vocab"),
    "token id": (put("tokens", 1, "id", 2), "tokens[1].id: expected 1"),
    "token id true": (put("tokens", 1, "id", True), "tokens[1].id: expected 1"),
    "token out of place": (drop("tokens", 0), "tokens[0].id: expected 0"),
    "token role": (put("tokens", 1, "role", "user"), "tokens[1].role: expected one of begin"),
    "token twice": (put("tokens", 1, "name", "<bos>"), "tokens[1].name"),
    "token with a space": (put("tokens", 1, "name", "a b"), "tokens[1].name"),
    "token value": (put("tokens", 1, "values", {"x": 0.5}), "tokens[1].values.x"),
    "token value null": (put("tokens", 1, "values", {"x": None}), "tokens[1].values.x"),
    "outcome": (put("tokens", 1, "outcome", "won"), "tokens[1].outcome"),
    "readout direction": (readout("state", "values", {"A": 10**6}), "values.A: expected"),
    "readout direction -1": (readout("state", "values", {"A": -1}), "values.A"),
    "term direction": (readout("tape0.head", "terms", [[1.0, 10**6]]), "terms[0][1]"),
    "term of three": (readout("tape0.head", "terms", [[1.0, 1, 1]]), "a pair"),
    "coefficient": (readout("tape0.head", "terms", [[1, 1]]), "terms[0][0]"),
    "coefficient infinite": (readout("tape0.head", "terms", [[1e999, 1]]), "finite number"),
    "constant NaN": (readout("tape0.head", "constant", float("nan")), "finite number"),
    "readout layer": (readout("state", "layer", 3), "from -1 to 2"),
    "readout layer -2": (readout("state", "layer", -2), "from -1 to 2"),
    "readout kind": (readout("state", "kind", "real"), "missing are"),
    "readout kind list": (readout("state", "kind", []), "missing are"),
    "readout low": (readout("tape0.head", "low", "0"), "low: expected an integer"),
    "readouts null": (put("readouts", None), "readouts: expected a list"),
    "a layer fewer": (drop("layers", -1), "from -1 to 1"),
    "a layer more": (lambda value: value["layers"].append(value["layers"][0]), "sizes."),
    "purpose": (put("layers", 0, "purpose", []), "layers[0].purpose: expected a text"),
    "head kind": (put("layers", 2, "heads", 0, "kind", "soft"), "one of uniform, latest"),
    "uniform head with d_head": (put("layers", 0, "heads", 0, "d_head", 1), "from 0 to 0"),
    "latest head without d_head": (put("layers", 2, "heads", 0, "d_head", 0), "from 1 to"),
    "a head fewer": (drop("layers", 2, "heads", 0), "sizes.heads"),
    "a neuron fewer": (drop("layers", 1, "neurons", 0), "sizes."),
    "neuron null": (put("layers", 1, "neurons", 0, None), "neurons[0]: expected a text"),
    "huge d_head": (put("layers", 2, "heads", 0, "d_head", 2**53), "sizes.parameters"),
    "huge d_value": (claim(2, d_value=2**50), "rows, says manifest.json"),
    "huge shape": (put("tensors", "W_E", "shape", [2**60, 2**60]), "tensors.W_E.shape"),
    "negative shape": (put("tensors", "W_pos", "shape", [-1]), "tensors.W_pos.shape[0]"),
    "storage": (put("tensors", "W_E", "storage", "pickle"), "one of dense, sparse"),
    "storage of a vector": (put("tensors", "W_pos", "storage", "sparse"), "one of dense"),
    "storage of the other kind": (put("tensors", "W_E", "storage", "sparse"), "'W_E.columns'"),
    "tensor not listed": (drop("tensors", "b_U"), "missing are ['b_U']"),
    "path as a tensor": (put("tensors", "../../x", {}), "unknown are ['../../x']"),
    "machine not YAML": (put("machine", "rules: ["), "not valid YAML"),
    "machine without rules": (put("machine", "start: A\n"), "rules"),
    "machine empty": (put("machine", ""), "empty"),
    "machine null": (put("machine", None), "machine: expected a text"),
    "machine with too many rules": (
        put("machine", "start: A\ntapes: 64\nsymbols: [a, b]\nblank: a\nrules:\n  A:\n    "
            + " ".join("*" * 64) + ": " + " ".join("R" * 64)),
        "machine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_manifest_is_refused(name, tmp_path):
    change, word = FORGERIES[name]
    folder = forged(tmp_path, change)
    for check in (True, False):
        refused(folder, check, artifact.MANIFEST, word)


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[]",
        b'"tm2tf"',
        b"{}",
        b"\xff\xfe{}",
        b"{" * 9,
        b"[" * 200_000,
        b'{"format": "tm2tf", "format_version": ' + b"9" * 5000 + b"}",
        b'{"format": "tm2tf", "format_version": 1, "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format": "tm2tf", "format_version": 1}',
        b"\x80\x04\x95",
    ],
    ids=lambda data: str(data[:12]) + str(len(data)),
)
def test_a_manifest_of_another_shape_is_refused(data, check, tmp_path):
    refused(written(tmp_path, manifest=data), check, artifact.MANIFEST)


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    value = json.loads(saved("bb2")[artifact.MANIFEST])
    for place in (put("directions", 3, "\ud800"), put("tokens", 1, "values", "\udfff", 1)):
        place(value)
        folder = written(tmp_path, manifest=json.dumps(value).encode())
        refused(folder, False, "expected a text")


def test_layers_without_data_cannot_claim_memory(tmp_path, monkeypatch):
    value = json.loads(saved("bb2")[artifact.MANIFEST])
    tensors, model = dict(tensors_of(saved("bb2")[artifact.WEIGHTS])), value["sizes"]["d_model"]

    def change(value):
        for number in range(len(value["layers"]), 300):
            value["layers"].append({"purpose": "", "heads": [], "neurons": []})
            for part in ("W_gate", "b_gate", "W_in", "b_in", "W_out", "snap"):
                shape = {"W_gate": [model, 0], "W_in": [model, 0], "W_out": [0, model]}
                name, stated = f"blocks.{number}.mlp.{part}", shape.get(part, [0])
                value["tensors"][name] = {"shape": stated, "storage": "dense"}
                tensors[name] = np.zeros(stated, dtype=bool if part == "snap" else float)
        value["sizes"]["layers"] = 300

    change(value)
    folder = forged(tmp_path, change, bytes_of(tensors))
    assert len(artifact.load(folder)[0].layers) == 300
    monkeypatch.setattr(artifact, "MAX_GROWTH", 4)
    refused(folder, True, artifact.WEIGHTS, "rows, says manifest.json")


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list) and item:
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


def test_odd_values_anywhere_in_the_manifest_load_or_are_refused(tmp_path):
    value, rng = json.loads(saved("bb2")[artifact.MANIFEST]), random.Random(1)
    odd = (None, True, -1, 2**70, 0.5, float("inf"), "", "x\n", "\ud800", [], {}, [[[]]], {"": 0})
    for path in rng.sample([path for path in places(value) if path], 120):
        folder = forged(tmp_path, put(*path, rng.choice(odd)))
        for check in (True, False):
            try:
                artifact.load(folder, check=check)
            except ArtifactError as error:
                str(error).encode()


# --- forged tensors -----------------------------------------------------------------------


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
    tensors = dict(tensors_of(saved("bb2", 0)[artifact.WEIGHTS]))
    change(tensors)
    folder = forged(tmp_path, lambda value: None, bytes_of(tensors), dense=0)
    for check in (True, False):
        refused(folder, check, artifact.WEIGHTS, word)


def test_forged_dense_values_are_refused(tmp_path):
    tensors = dict(tensors_of(saved("bb2")[artifact.WEIGHTS]))
    tensors["W_E"] = at((1, 1), np.nan)(tensors["W_E"])
    refused(forged(tmp_path, lambda value: None, bytes_of(tensors)), True, "tensor W_E", "finite")
    tensors["W_E"] = tensors["W_E"].T.copy()
    refused(forged(tmp_path, lambda value: None, bytes_of(tensors)), True, "tensor W_E", "shape")


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
    folder = forged(tmp_path, lambda value: None, data)
    refused(folder, check, artifact.WEIGHTS)


def test_the_header_may_not_swap_types_or_hold_odd_bools(tmp_path):
    data = saved("bb2")[artifact.WEIGHTS]
    assert data.count(b'"BOOL"') == 3
    for forgery in (data.replace(b'"BOOL"', b'"I8"  '), data.replace(b'"BOOL"', b'"U8"  ')):
        refused(forged(tmp_path, lambda value: None, forgery), True, "expected BOOL")
    names = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    place = len(data) - max(item["data_offsets"][1] for item in names.values())
    odd = bytearray(data)
    odd[place + names["blocks.1.mlp.snap"]["data_offsets"][0]] = 2
    refused(forged(tmp_path, lambda value: None, bytes(odd)), True, "blocks.1.mlp.snap", "found 2")


# --- folders ------------------------------------------------------------------------------


@BOTH
def test_a_folder_of_something_else_is_refused(check, tmp_path):
    refused(tmp_path, check, "found []")
    refused(tmp_path / "missing", check, "no such folder")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", check, "no such folder")
    for file in FILES:
        folder = written(tmp_path / file.replace(".", "-"))
        (folder / file).unlink()
        refused(folder, check, f"expected {artifact.MANIFEST} and {artifact.WEIGHTS}")
    hugging = tmp_path / "hugging"
    hugging.mkdir()
    (hugging / "config.json").write_text('{"model_type": "gpt2"}')
    (hugging / artifact.WEIGHTS).write_bytes(bytes_of({"wte": np.zeros((2, 2))}))
    refused(hugging, check, "looks like a Hugging Face model")
    (hugging / artifact.MANIFEST).write_text('{"manifest_version": 3}')
    refused(hugging, check, artifact.MANIFEST, "no artifact of tm2tf")


@BOTH
@pytest.mark.parametrize("file", FILES)
def test_links_and_folders_in_the_place_of_files_are_refused(file, check, tmp_path):
    folder, real = written(tmp_path / "a"), tmp_path / "elsewhere"
    (folder / file).rename(real)
    (folder / file).symlink_to(real)
    refused(folder, check, file, "regular file")
    (folder / file).unlink()
    (folder / file).mkdir()
    refused(folder, check, file, "regular file")


def test_saving_replaces_an_artifact_and_nothing_else(tmp_path):
    folder = written(tmp_path / "a")
    (folder / "README.md").write_text("mine")
    (folder / ".tm2tf-0123.tmp").write_text("left over")
    artifact.save(folder, *compiled("bb3"))
    assert contents(folder) == saved("bb3") | {"README.md": b"mine"}
    refused(forged(folder, put("format_version", 99)), True)
    artifact.save(folder, *compiled("bb3"))
    assert artifact.load(folder)[1] == compiled("bb3")[1]


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "x"},
        {artifact.WEIGHTS: "x", "config.json": "{}"},
        {artifact.WEIGHTS: "x"},
        {artifact.MANIFEST: "{}"},
        {artifact.MANIFEST: '{"format": "other"}'},
        {artifact.MANIFEST: "not JSON"},
        {".git": "x"},
    ],
)
def test_saving_into_a_folder_of_something_else_is_refused(files, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match="choose another folder, or empty this one"):
        artifact.save(tmp_path, *compiled("bb2"))
    assert contents(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactError, match="cannot be written"):
            artifact.save(folder, *compiled("bb2"))


def bad_weights():
    weights, _ = compiled("bb2")
    layer = weights.layers[0]
    yield replace(weights, W_pos=np.full(weights.d_model, np.nan))
    yield replace(weights, b_U=weights.b_U[:-1])
    yield replace(weights, W_E=weights.W_E.transposed())
    yield replace(weights, directions=weights.directions[:-1])
    yield replace(weights, tokens=weights.tokens[:-1] + weights.tokens[:1])
    yield replace(weights, W_pos=weights.W_pos.astype(np.float32))
    yield replace(weights, layers=(replace(layer, heads=layer.heads[:1] * 2), *weights.layers[:0]))
    first = weights.readouts[1]
    yield replace(weights, readouts=(replace(first, values=first.values[:-1]),))


@pytest.mark.parametrize("number", range(8))
def test_weights_that_would_not_load_are_not_saved(number, tmp_path):
    bad = list(bad_weights())
    with pytest.raises(ArtifactError, match="not written"):
        artifact.save(tmp_path / "a", bad[number], compiled("bb2")[1])
    assert not (tmp_path / "a").exists()


# --- saves that are killed, and saves at the same time -------------------------------------


class Killed(BaseException):
    pass


def killed_after(monkeypatch, target, name, number):
    """Let the call `number` (from 0) of a function end the process, as it were."""
    calls, real = count(), getattr(target, name)

    def call(*arguments):
        if next(calls) == number:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(target, name, call)


@pytest.mark.parametrize("leftovers", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("target", "name", "number"),
    [(artifact.os, "fsync", n) for n in range(3)] + [(Path, "replace", n) for n in range(3)],
)
def test_a_killed_save_leaves_the_old_artifact_or_nothing_that_loads(
    target, name, number, old, leftovers, tmp_path, monkeypatch
):
    folder = tmp_path / "a"
    if old:
        written(folder)
    with monkeypatch.context() as patch:
        killed_after(patch, target, name, number)
        if leftovers:  # nor does a killed process tidy up
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(Killed):
            artifact.save(folder, *compiled("matching"))
    assert leftovers == any(path.suffix == ".tmp" for path in folder.iterdir())
    whole = old and (name == "fsync" or number == 0)
    for check in (True, False):
        if whole:
            assert_same(compiled("bb2")[0], artifact.load(folder, check=check)[0])
        else:
            refused(folder, check)
    artifact.save(folder, *compiled("matching"))
    assert contents(folder) == saved("matching")


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    before = saved("bb2")
    folder = written(tmp_path)
    monkeypatch.setattr(artifact.os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"No space left on device.*make room"):
        artifact.save(folder, *compiled("matching"))
    assert contents(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders there")
def test_saves_and_loads_at_the_same_time_see_whole_artifacts(tmp_path):
    names, problems = ("bb2", "matching", "bb3"), []
    artifact.save(tmp_path, *compiled("bb2"))
    known = {artifact.weights_sha256(compiled(name)[0]): compiled(name)[1] for name in names}

    def work(name):
        try:
            for _ in range(6):
                if name:
                    artifact.save(tmp_path, *compiled(name))
                weights, machine = artifact.load(tmp_path)
                assert known[artifact.weights_sha256(weights)] == machine
        except BaseException as problem:
            problems.append(problem)
            raise

    threads = [Thread(target=work, args=(name,)) for name in (*names, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert set(contents(tmp_path)) == set(FILES)
