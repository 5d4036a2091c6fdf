"""The artifact: a folder with weights, their labels and their machine, saved and loaded.

- `model.safetensors` has every tensor of `Weights.tensors` under its name, as float64 (`snap` as
  bool), dense, or, for a matrix with more than `DENSE_ENTRIES` entries that is smaller so,
  in compressed rows: NAME.starts, NAME.columns (int64) and NAME.values (float64).
- `manifest.json` has the rest (`weights.manifest`), laid out for reading, and two hashes:
  `weights_sha256`, of model.safetensors, and last `manifest_sha256`, of
  `json.dumps(all other fields, separators=(",", ":"))`. No other layout of the same JSON is
  accepted, so that an edited byte of either file is always noticed.

The same weights give the same bytes of model.safetensors. Nothing is pickled. The hashes guard
against accidents, not against forgers, who can compute them too: everything that is read is
checked, and nothing allocated that is larger than what the files really hold.
"""

from __future__ import annotations

import hashlib
import json
import os
import reprlib
import secrets
import stat
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as serialized

from tm2tf.errors import ArtifactError, FormatError
from tm2tf.formats import native
from tm2tf.machine.spec import Machine
from tm2tf.weights.manifest import (
    AGAIN,
    FORMAT,
    VERSIONS,
    Labels,
    Manifest,
    Shape,
    Storage,
    from_json,
    refuse,
    to_json,
)
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward, Head, Layer, Weights

if sys.platform != "win32":
    import fcntl

WEIGHTS, MANIFEST = "model.safetensors", "manifest.json"
DENSE_ENTRIES = 2**20
"""A matrix of at most so many entries (8 MiB) is stored dense, which any tool can read."""
_TYPES = {"F64": np.dtype("<f8"), "I64": np.dtype("<i8"), "BOOL": np.dtype("u1")}
_PARTS = ("starts", "columns", "values")


def save(folder: Path, weights: Weights, machine: Machine) -> str:
    """Write the artifact into a folder, which is made if need be; return `weights_sha256`.

    An artifact that stands there is replaced; files of other names are left alone. Whoever
    loads meanwhile gets the old one or the new one. A save that is killed leaves what was there
    before, or a folder that `load` refuses and `save` accepts. Two saves wait for each other
    (on Windows they do not; `load` then refuses what the two have mixed up).

    Raises:
        ArtifactError: the folder holds something else or cannot be written, or the weights are
            ones that `load` would refuse (a shape that does not fit, a weight that is not
            finite); nothing is written then.
    """
    folder = Path(folder)
    arrays, storage = _stored(weights)
    data = serialized(arrays)
    digest = hashlib.sha256(data).hexdigest()
    manifest = Manifest(Labels.of(weights), storage, native.dump(machine), digest)
    text = _sealed(to_json(manifest))
    file = f"{folder}, not written"
    if _read(text, file, check=True) != manifest:
        refuse(file, "the labels of these weights do not fit into a manifest", "please report it")
    _weights(manifest, _tensors(data, file), file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _locked(folder, exclusive=True):
            _check_free(folder)
            # The mark first: old and new files must not be taken for one artifact in between.
            _replace(folder, ((MANIFEST, _unfinished()), (WEIGHTS, data), (MANIFEST, text)))
    except OSError as error:
        refuse(str(folder), f"cannot be written: {error}", "choose another folder, or make room")
    return digest


def load(folder: Path, *, check: bool = True) -> tuple[Weights, Machine]:
    """Return the weights and the machine of an artifact, exactly as they were saved.

    With `check=False` the hashes are not compared, so that an edited artifact loads as long as
    it is well-formed.

    Raises:
        ArtifactError: the folder is no artifact, of an unknown version, damaged or edited.
    """
    folder = Path(folder)
    source, file = str(folder / MANIFEST), str(folder / WEIGHTS)
    try:
        if not folder.is_dir():
            refuse(str(folder), "expected the folder of an artifact, found no such folder")
        with _locked(folder, exclusive=False):
            manifest = _read(_content(folder, MANIFEST), source, check=check)
            data = _content(folder, WEIGHTS)
    except OSError as error:
        refuse(str(folder), f"cannot be read: {error}")
    found = hashlib.sha256(data).hexdigest()
    if check and found != manifest.weights_sha256:
        refuse(file, f"it was edited or damaged: expected the sha256 {manifest.weights_sha256} "
               f"that {MANIFEST} states, found {found}")  # fmt: skip
    weights = _weights(manifest, _tensors(data, file), file)
    try:
        machine = native.parse(manifest.machine, f"{source}, the machine")
    except FormatError as error:
        raise ArtifactError(f"{error}\n{AGAIN}") from None
    return weights, machine


def weights_sha256(weights: Weights) -> str:
    """Return the hash that `save` would give; nothing is written."""
    return hashlib.sha256(serialized(_stored(weights)[0])).hexdigest()


# --- tensors ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A tensor as the file has it; its data is as long as type and shape say."""

    kind: str
    shape: Shape
    data: bytes


def _stored(weights: Weights) -> tuple[dict[str, np.ndarray], dict[str, Storage]]:
    """Return the arrays of model.safetensors, and how each tensor is stored."""
    arrays: dict[str, np.ndarray] = {}
    storage: dict[str, Storage] = {}
    for name, tensor in weights.tensors():
        storage[name] = "dense"
        if isinstance(tensor, Matrix):
            if tensor.size > max(DENSE_ENTRIES, tensor.shape[0] + 1 + 2 * tensor.nonzeros):
                storage[name] = "sparse"
                arrays |= {f"{name}.{part}": getattr(tensor, part) for part in _PARTS}
            else:
                arrays[name] = tensor.dense()
        else:
            arrays[name] = tensor
    return {name: np.ascontiguousarray(array) for name, array in arrays.items()}, storage


def _tensors(data: bytes, file: str) -> dict[str, _Tensor]:
    """Return what a safetensors file holds; the library checks each size against the data."""
    try:
        found = deserialize(data)
    except SafetensorError as error:
        refuse(file, f"expected a whole safetensors file, found one that is not ({error})")
    return {
        name: _Tensor(str(entry["dtype"]), tuple(entry["shape"]), entry["data"])
        for name, entry in found
    }


def _array(found: Mapping[str, _Tensor], name: str, kind: str, shape: Shape, file: str) -> np.ndarray:
    """Return one tensor as an array of its own, with finite values.

    Raises:
        ArtifactError: it has another dtype or shape than expected, or NaN, infinity, or a bool
            that is neither 0 nor 1.
    """
    tensor = found[name]
    if (tensor.kind, tensor.shape) != (kind, shape):
        refuse(file, f"tensor {name}: expected {kind} of shape {list(shape)}, found {tensor.kind} "
               f"of shape {list(tensor.shape)}")  # fmt: skip
    array = np.frombuffer(tensor.data, dtype=_TYPES[kind]).reshape(shape)
    if kind == "F64" and not np.isfinite(array).all():
        refuse(file, f"tensor {name}: expected finite weights, found NaN or infinity")
    if kind == "BOOL" and (array > 1).any():
        refuse(file, f"tensor {name}: expected bools of 0 or 1, found {int(array.max())}")
    native_type = {"F64": np.float64, "I64": np.int64, "BOOL": np.bool_}[kind]
    return array.astype(native_type)


def _sparse(found: Mapping[str, _Tensor], name: str, shape: tuple[int, int], file: str) -> Matrix:
    """Return a matrix from its compressed rows, once they obey the rules of `Matrix`."""
    stored = found[f"{name}.values"].shape
    length: Shape = (stored[0],) if len(stored) == 1 else (0,)
    starts = _array(found, f"{name}.starts", "I64", (shape[0] + 1,), file)
    columns = _array(found, f"{name}.columns", "I64", length, file)
    values = _array(found, f"{name}.values", "F64", length, file)
    wrong = ""
    if starts[0] != 0 or starts[-1] != length[0] or (starts[1:] < starts[:-1]).any():
        wrong = f"starts that rise from 0 to {length[0]}, found others"
    elif ((columns < 0) | (columns >= shape[1])).any():
        wrong = f"columns from 0 to {shape[1] - 1}, found others"
    elif (values == 0).any():
        wrong = "stored values other than 0, found a 0"
    if not wrong:
        matrix = Matrix(shape, starts, columns, values)
        rows = matrix.rows()
        if not ((columns[1:] > columns[:-1]) | (rows[1:] > rows[:-1])).any(where=True):
            wrong = ""
    if wrong:
        refuse(file, f"tensor {name}: expected {wrong}")
    return Matrix(shape, starts, columns, values)


def _weights(manifest: Manifest, found: Mapping[str, _Tensor], file: str) -> Weights:
    """Return the weights made of labels and tensors.

    Raises:
        ArtifactError: a tensor is missing, extra, or not what the labels ask for.
    """
    labels, shapes = manifest.labels, manifest.labels.shapes()
    expected = {
        part
        for name, way in manifest.storage.items()
        for part in ([name] if way == "dense" else [f"{name}.{part}" for part in _PARTS])
    }
    missing, extra = sorted(expected - set(found)), sorted(set(found) - expected)
    if missing or extra:
        refuse(file, f"expected the tensors that {MANIFEST} lists; missing are "
               f"{reprlib.repr(missing)}, not listed are {reprlib.repr(extra)}")  # fmt: skip

    def tensor(name: str) -> Matrix | np.ndarray:
        shape = shapes[name]
        if len(shape) == 1:
            return _array(found, name, "BOOL" if name.endswith(".snap") else "F64", shape, file)
        if manifest.storage[name] == "sparse":
            return _sparse(found, name, (shape[0], shape[1]), file)
        return Matrix.from_dense(_array(found, name, "F64", shape, file))

    # Vectors first: a matrix of no entries may claim any width, its bias must show it.
    ...
