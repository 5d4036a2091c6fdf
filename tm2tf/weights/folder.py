"""The artifact: a folder with weights, their labels and their machine, saved and loaded.

- `model.safetensors` has every tensor of `Weights.tensors` under its name, as float64 (`snap` as
  bool): dense, or a matrix of more than `DENSE_ENTRIES` entries, where that is smaller, in
  compressed rows: NAME.starts, NAME.columns (int64) and NAME.values (float64).
  So a matrix takes 8 MiB at most, or 16 bytes an entry other than 0 and 8 a row: past that, the
  file grows with a machine's rules and not with their square.
- `manifest.json` has the rest (`weights.manifest`) and two hashes: `weights_sha256`, of
  model.safetensors, and last `manifest_sha256`, of
  `json.dumps(all other fields, separators=(",", ":"))`. No other layout of the same JSON is
  accepted, so that an edited byte of either file is always noticed.

The same weights give the same model.safetensors. Nothing is pickled. The hashes guard against
accidents, not against forgers, who can compute them too: so all that is read is checked, and
nothing is allocated that is much larger than the files.
"""

from __future__ import annotations

import hashlib
import json
import reprlib
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError, deserialize
from safetensors.numpy import save as serialized

from tm2tf.errors import ArtifactError, FormatError
from tm2tf.formats import native, native_writer
from tm2tf.machine.spec import Machine
from tm2tf.weights.files import TEMPORARY, locked, replace_files
from tm2tf.weights.labels import KEPT, Labels, Shape
from tm2tf.weights.manifest import (
    AGAIN,
    FORMAT,
    VERSIONS,
    Manifest,
    Storage,
    from_json,
    laid_out,
    refuse,
    to_json,
)
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward, Head, Layer, Weights

WEIGHTS, MANIFEST = "model.safetensors", "manifest.json"
DENSE_ENTRIES = 2**16
"""A matrix of at most so many entries (512 KiB) is stored dense, which any tool can read."""
MAX_GROWTH = 64
"""Refuse weights whose row starts are so many times the tensors' data. W_pos and W_U alone have
16 bytes a direction, and a layer that has no data needs 16: room for 60 such layers."""
_TYPES = {"F64": ("<f8", np.float64), "I64": ("<i8", np.int64), "BOOL": ("u1", np.bool_)}
"""How the types of safetensors lie in the file, and what they become."""
_PARTS = ("starts", "columns", "values")
_HEAD, _FEED_FORWARD = "W_Q b_Q W_K b_K W_V W_O", "W_gate b_gate W_in b_in W_out snap"


def save(folder: Path, weights: Weights, machine: Machine) -> str:
    """Write the artifact into a folder, which is made if need be; return `weights_sha256`.

    An artifact that stands there is replaced; files of other names are left alone. A save that
    is killed leaves what was there before, or a folder that `load` refuses and `save` accepts.
    Saves and loads wait for each other (not on Windows: `load` refuses what was mixed up).

    Raises:
        ArtifactError: the folder holds something else or cannot be written, or the weights are
            ones that `load` would refuse (of a wrong shape, not finite); nothing is written.
    """
    arrays, storage = _stored(weights)
    data = serialized(arrays)
    digest = hashlib.sha256(data).hexdigest()
    manifest = Manifest(Labels.of(weights), storage, native_writer.dump(machine), digest)
    text = _sealed(to_json(manifest))
    file = f"{folder}, not written"
    if _read(text, file, check=True) != manifest:
        refuse(file, "the labels of these weights do not fit into a manifest", "please report it")
    _Reader(manifest, _tensors(data, file), file).weights()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, exclusive=True):
            _check_free(folder)
            # First a mark: in between, old and new files must not be taken for one artifact.
            mark = _sealed({"format": FORMAT, "format_version": VERSIONS[-1], "unfinished": True})
            replace_files(folder, ((MANIFEST, mark), (WEIGHTS, data), (MANIFEST, text)))
    except OSError as error:
        refuse(
            str(folder),
            f"cannot be written: {error.strerror or error}",
            "choose another folder, or make room",
        )
    return digest


def load(folder: Path, *, check: bool = True) -> tuple[Weights, Machine]:
    """Return the weights and the machine of an artifact, exactly as they were saved.

    With `check=False` the hashes are not compared, so that an edited artifact loads as long as
    it is well-formed.

    Raises:
        ArtifactError: the folder is no artifact, of an unknown version, damaged or edited.
    """
    source, file = str(folder / MANIFEST), str(folder / WEIGHTS)
    try:
        if not folder.is_dir():
            refuse(str(folder), "expected the folder of an artifact, found no such folder")
        with locked(folder, exclusive=False):
            manifest = _read(_content(folder, MANIFEST), source, check=check)
            data = _content(folder, WEIGHTS)
    except OSError as error:
        refuse(str(folder), f"cannot be read: {error}")
    found = hashlib.sha256(data).hexdigest()
    if check and found != manifest.weights_sha256:
        refuse(file, f"it was edited or damaged: expected the sha256 {manifest.weights_sha256} "
               f"that {MANIFEST} states, found {found}")  # fmt: skip
    weights = _Reader(manifest, _tensors(data, file), file).weights()
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
        found = deserialize(data)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        refuse(file, f"expected a whole safetensors file, found one that is not ({error})")
    return {
        name: _Tensor(str(entry["dtype"]), tuple(entry["shape"]), entry["data"])
        for name, entry in found
    }


@dataclass(frozen=True, slots=True)
class _Reader:
    """Makes weights of labels and tensors, none of which it trusts."""

    manifest: Manifest
    found: Mapping[str, _Tensor]
    file: str

    def refuse(self, name: str, problem: str) -> NoReturn:
        refuse(self.file, f"tensor {name}: {problem}")

    def weights(self) -> Weights:
        """Return the weights.

        Raises:
            ArtifactError: a tensor is missing, extra, or not what the labels ask for.
        """
        self.check_names()
        labels = self.manifest.labels
        built: dict[str, Any] = {
            name: self.matrix(name, (shape[0], shape[1]))
            if len(shape) == 2
            else self.array(name, "BOOL" if name.endswith(".snap") else "F64", shape)
            for name, shape in self.shapes().items()
        }

        def under(prefix: str, names: str) -> dict[str, Any]:
            return {name: built[f"{prefix}.{name}"] for name in names.split()}

        layers = tuple(
            Layer(
                layer.purpose,
                tuple(
                    Head(
                        head.name,
                        head.kind,
                        offset=head.offset,
                        **under(f"blocks.{n}.attn.{i}", _HEAD),
                    )
                    for i, head in enumerate(layer.heads)
                ),
                FeedForward(layer.neurons, **under(f"blocks.{n}.mlp", _FEED_FORWARD)),
            )
            for n, layer in enumerate(labels.layers)
        )
        ends = {name: tensor for name, tensor in built.items() if "." not in name}
        return Weights(**{name: getattr(labels, name) for name in KEPT}, layers=layers, **ends)

    def shapes(self) -> dict[str, Shape]:
        """Return the shapes that the labels ask for, once there is data enough for them.

        Tensors of no entries may claim any width at no cost, but each row costs 8 bytes here.
        """
        shapes = self.manifest.labels.shapes()
        rows = sum(shape[0] + 1 for shape in shapes.values() if len(shape) == 2)
        data = sum(len(tensor.data) for tensor in self.found.values())
        if 8 * rows > MAX_GROWTH * data:
            refuse(self.file, f"expected {rows} rows, says {MANIFEST}, found {data} bytes of them")
        return shapes

    def check_names(self) -> None:
        expected = {
            part
            for name, way in self.manifest.storage.items()
            for part in ([name] if way == "dense" else [f"{name}.{part}" for part in _PARTS])
        }
        missing, extra = sorted(expected - set(self.found)), sorted(set(self.found) - expected)
        if missing or extra:
            refuse(self.file, f"expected the tensors that {MANIFEST} lists; missing are "
                   f"{reprlib.repr(missing)}, not listed are {reprlib.repr(extra)}")  # fmt: skip

    def matrix(self, name: str, shape: tuple[int, int]) -> Matrix:
        if self.manifest.storage[name] == "sparse":
            return self.sparse(name, shape)
        return Matrix.from_dense(self.array(name, "F64", shape))

    def array(self, name: str, kind: str, shape: Shape) -> np.ndarray:
        """Return a tensor as an array of its own, of the dtype, shape and range expected."""
        tensor = self.found[name]
        if (tensor.kind, tensor.shape) != (kind, shape):
            self.refuse(name, f"expected {kind} of shape {list(shape)}, found {tensor.kind} "
                        f"of shape {list(tensor.shape)}")  # fmt: skip
        stored, kept = _TYPES[kind]
        array = np.frombuffer(tensor.data, dtype=stored).reshape(shape)
        if kind == "F64" and not np.isfinite(array).all():
            self.refuse(name, "expected finite weights, found NaN or infinity")
        if kind == "BOOL" and (array > 1).any():
            self.refuse(name, f"expected bools, 0 or 1, found {int(array.max())}")
        return array.astype(kept)

    def sparse(self, name: str, shape: tuple[int, int]) -> Matrix:
        """Return a matrix from its compressed rows, if they obey the rules of `Matrix`."""
        stored = self.found[f"{name}.values"].shape
        length = stored[0] if len(stored) == 1 else 0
        starts = self.array(f"{name}.starts", "I64", (shape[0] + 1,))
        columns = self.array(f"{name}.columns", "I64", (length,))
        values = self.array(f"{name}.values", "F64", (length,))
        if starts[0] != 0 or starts[-1] != length or (starts[1:] < starts[:-1]).any():
            self.refuse(name, f"expected starts that rise from 0 to {length}, found others")
        if ((columns < 0) | (columns >= shape[1])).any():
            self.refuse(name, f"expected columns from 0 to {shape[1] - 1}, found others")
        if (values == 0).any():
            self.refuse(name, "expected stored values other than 0, found a 0")
        matrix = Matrix(shape, starts, columns, values)
        rows = matrix.rows()
        if ((columns[1:] <= columns[:-1]) & (rows[1:] == rows[:-1])).any():
            self.refuse(name, "expected columns that rise within each row, found others")
        return matrix


# --- the text of the manifest -------------------------------------------------------------


def _sealed(fields: dict[str, object]) -> bytes:
    whole = {**fields, "manifest_sha256": _seal(fields)}
    return (laid_out(whole) + "\n").encode("utf-8", "surrogatepass")


def _seal(fields: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _parsed(data: bytes, file: str) -> object:
    try:
        return json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        refuse(file, f"expected JSON in UTF-8, found a text that is not ({error})")


def _read(data: bytes, file: str, *, check: bool) -> Manifest:
    """Return what the bytes of manifest.json say; with `check`, if `save` wrote them so.

    Raises:
        ArtifactError: they are no manifest, of an unknown version, edited, or ill-formed.
    """
    value = _parsed(data, file)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        problem = f'expected a JSON object with "format": "{FORMAT}", found something else'
        refuse(file, problem, f"this is no artifact of tm2tf: {AGAIN}, into a folder of its own")
    version = value.get("format_version")
    if type(version) is not int or version not in VERSIONS:
        known = ", ".join(map(str, VERSIONS))
        problem = f"format_version is {reprlib.repr(version)}, but this tm2tf knows only {known}"
        refuse(file, problem, f"{AGAIN}, or install the tm2tf that wrote it")
    if "unfinished" in value:
        refuse(file, "expected a manifest, found the mark of a save that was cut short")
    rest = {name: item for name, item in value.items() if name != "manifest_sha256"}
    try:
        same = not check or _sealed(rest) == data
    except RecursionError:
        refuse(file, "expected a manifest, found JSON that is nested too deep")
    if not same:
        stated = reprlib.repr(value.get("manifest_sha256"))
        refuse(file, f"it was edited or damaged: expected what `save` wrote, of manifest_sha256 "
               f"{stated}, found contents of {_seal(rest)}, or another layout")  # fmt: skip
    return from_json(value, file)


# --- files --------------------------------------------------------------------------------


def _content(folder: Path, name: str) -> bytes:
    """Return a file's bytes; refuse anything but a regular file: a link leads elsewhere."""
    path = folder / name
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        names = sorted(entry.name for entry in folder.iterdir())
        model = "; this looks like a Hugging Face model" if "config.json" in names else ""
        problem = f"expected {MANIFEST} and {WEIGHTS}, found {reprlib.repr(names)}{model}"
        refuse(str(folder), problem, f"name the folder of an artifact, or {AGAIN}")
    if not stat.S_ISREG(mode):
        refuse(str(path), f"expected a regular file, found one of mode {stat.filemode(mode)}")
    return path.read_bytes()


def _check_free(folder: Path) -> None:
    """Refuse a folder that has files but no manifest of ours, of whatever version."""
    names = sorted(entry.name for entry in folder.iterdir() if not entry.match(TEMPORARY))
    if not names:
        return
    if MANIFEST in names:
        with suppress(ArtifactError):
            value = _parsed(_content(folder, MANIFEST), "")
            if isinstance(value, dict) and value.get("format") == FORMAT:
                return
    problem = f"expected an empty folder or an artifact, found {reprlib.repr(names)}"
    refuse(str(folder), problem, "choose another folder, or empty this one")
