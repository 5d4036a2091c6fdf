"""Artifacts to test with: saved once, written damaged or forged, compared, refused."""

import hashlib
import json
import tempfile
from functools import cache
from pathlib import Path

import pytest
from safetensors.numpy import load

from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.errors import ArtifactError
from tm2tf.lowering import lower
from tm2tf.machine import library
from tm2tf.weights import folder as artifact
from tm2tf.weights.labels import KEPT
from tm2tf.weights.matrix import Matrix

BOTH = pytest.mark.parametrize("check", [True, False])
FILES = (artifact.MANIFEST, artifact.WEIGHTS)


@cache
def compiled(name):
    path = library.find(name).path
    machine = formats.parse(path.read_text(encoding="utf-8"), str(path))
    return lower(trace.program(machine, {}), "trace"), machine


@cache
def saved(name, dense=artifact.DENSE_ENTRIES):
    """Return the bytes of both files of a machine's artifact."""
    with tempfile.TemporaryDirectory() as where, pytest.MonkeyPatch.context() as patch:
        patch.setattr(artifact, "DENSE_ENTRIES", dense)
        artifact.save(Path(where), *compiled(name))
        return {file: (Path(where) / file).read_bytes() for file in FILES}


def manifest_of(name, dense=artifact.DENSE_ENTRIES):
    """Return a fresh copy of the manifest of a machine's artifact."""
    return json.loads(saved(name, dense)[artifact.MANIFEST])


def tensors_of(name, dense=artifact.DENSE_ENTRIES):
    """Return the tensors of a machine's artifact by name, as the file stores them."""
    return load(saved(name, dense)[artifact.WEIGHTS])


def written(folder, dense=artifact.DENSE_ENTRIES, **files):
    """Write the artifact of bb2 into a folder, some files replaced, and return the folder."""
    folder.mkdir(exist_ok=True)
    for file, data in saved("bb2", dense).items():
        (folder / file).write_bytes(files.get(Path(file).stem, data))
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
    for label in KEPT:
        assert getattr(one, label) == getattr(other, label), label
    for a, b in zip(one.layers, other.layers, strict=True):
        assert (a.purpose, a.feed_forward.neurons) == (b.purpose, b.feed_forward.neurons)
        labels = [[(h.name, h.kind, h.offset) for h in layer.heads] for layer in (a, b)]
        assert labels[0] == labels[1]


def refused(folder, check, *words):
    """Assert that loading is refused by a message that has these words and says what to do."""
    with pytest.raises(ArtifactError) as caught:
        artifact.load(folder, check=check)
    message = str(caught.value)
    for word in (str(folder), "compile the machine again", *words):
        assert word in message, message


def forged(folder, change=None, data=None, dense=artifact.DENSE_ENTRIES):
    """Write the artifact of bb2 changed, its hashes computed again, and return the folder.

    `change` is made to the value of the manifest; `data` are other bytes of the weights.
    """
    value = manifest_of("bb2", dense)
    data = saved("bb2", dense)[artifact.WEIGHTS] if data is None else data
    value["weights_sha256"] = hashlib.sha256(data).hexdigest()
    if change is not None:
        change(value)
    value.pop("manifest_sha256", None)
    return written(folder, model=data, manifest=artifact._sealed(value))


def put(*path):
    """Return a change that puts the last of `path` at the place that the others name."""

    def change(value):
        *into, key, item = path
        for step in into:
            value = value[step]
        value[key] = item

    return change
