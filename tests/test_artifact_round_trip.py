"""Artifacts come back exactly, and the same weights are always the same bytes."""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from tests.artifacts import FILES, assert_same, compiled, contents, manifest_of, saved, tensors_of
from tests.strategies import ODD, machines
from tm2tf.constructions import trace
from tm2tf.lowering import lower
from tm2tf.weights import folder as artifact
from tm2tf.weights.matrix import Matrix

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def assert_round_trip(folder, weights, machine):
    digest = artifact.save(folder, weights, machine)
    found, same = artifact.load(folder)
    assert_same(weights, found)
    assert (same, same.examples) == (machine, machine.examples)
    assert digest == artifact.weights_sha256(weights) == artifact.weights_sha256(found)
    assert digest == hashlib.sha256((folder / artifact.WEIGHTS).read_bytes()).hexdigest()
    assert set(contents(folder)) == set(FILES)


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
        assert_round_trip(Path(where), lower(trace.program(machine, {}), "trace"), machine)


def test_bits_of_every_float_come_back(tmp_path):
    weights, machine = compiled("bb2")
    odd = np.resize([-0.0, 5e-324, 0.1, -1e308, np.nextafter(1, 2)], weights.d_model)
    matrix = Matrix.from_dense(np.outer(np.ones(weights.d_vocab), odd))
    assert_round_trip(tmp_path, replace(weights, W_pos=odd, W_E=matrix), machine)


def test_bundled_storage_is_plain(tmp_path):
    weights, _ = compiled("bb2")
    tensors = tensors_of("bb2")
    assert sorted(tensors) == sorted(name for name, _ in weights.tensors())
    assert np.array_equal(tensors["W_U"], weights.W_U.dense())
    assert tensors["W_U"].dtype == np.float64
    assert tensors["blocks.0.mlp.snap"].dtype == np.bool_
    manifest = manifest_of("bb2")
    assert manifest["sizes"]["d_model"] == weights.d_model
    assert manifest["sizes"]["parameters"] == weights.parameters
    assert manifest["directions"] == list(weights.directions)
    rest = {name: value for name, value in manifest.items() if name != "manifest_sha256"}
    canonical = json.dumps(rest, separators=(",", ":")).encode()
    assert manifest["manifest_sha256"] == hashlib.sha256(canonical).hexdigest()


def test_a_big_matrix_is_stored_by_rows_where_that_is_smaller():
    weights, _ = compiled("gcd")
    tensors = tensors_of("gcd", 1000)
    ways = manifest_of("gcd", 1000)["tensors"]
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
sys.stdout.write(folder.weights_sha256(lower(trace.program(machine, {}), "trace")))
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
