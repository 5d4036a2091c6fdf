"""The manifest of an artifact: the labels of weights as JSON, and back, each field checked.

JSON read from a file is not trusted: `from_json` takes nothing whose type, range or number does
not fit the rest. No size is believed unless something in the file has that size.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Literal, NoReturn, TypeVar, get_args

from tm2tf.errors import ArtifactError
from tm2tf.machine.spec import Outcome
from tm2tf.program.features import Categorical, Distribution, Feature, Integer
from tm2tf.program.program import Role, Token
from tm2tf.weights.labels import HeadLabels, Labels, LayerLabels, Shape
from tm2tf.weights.model import SCORED, Bounds, HeadKind, Readout

FORMAT = "tm2tf"
VERSIONS = (2, 3)
"""Those that can be read; the last is written. Version 3 has "mean" heads and distributions."""
DTYPE = "float64"
BOUNDS = ("position", "key", "bits")
FIELDS = ("format", "format_version", "tm2tf_version", "construction", "target", "dtype", "sizes",
          "bounds", "options", "looped", "position_table", "tensors", "directions", "tokens",
          "readouts", "layers", "machine", "weights_sha256", "manifest_sha256")  # fmt: skip
AGAIN = "compile the machine again"
LARGEST = 2**53
"""No integer of a manifest is larger: float64 weights hold integers exactly up to here."""

Storage = Literal["dense", "sparse"]
Word = TypeVar("Word", bound=str)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What manifest.json says: labels, how each tensor is stored, the machine's native text."""

    labels: Labels
    storage: Mapping[str, Storage]
    machine: str
    weights_sha256: str


def refuse(file: str, problem: str, advice: str = AGAIN) -> NoReturn:
    """Raise `ArtifactError` about a file: what was expected and found, and what to do."""
    raise ArtifactError(f"{file}: {problem}; {advice}")


def laid_out(value: object, depth: int = 0) -> str:
    """Return JSON in which what fits into a line of 100 characters stands on one.

    Every text is joined of those of its parts: one that takes several lines is longer than a line,
    and so is all that it is in.
    """
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if not isinstance(value, dict | list):
        return str(value) if type(value) is int else json.dumps(value)
    if isinstance(value, dict):
        parts = [
            f"{encode_basestring(key)}: {laid_out(item, depth + 1)}" for key, item in value.items()
        ]
        first, last = "{}"
    else:
        parts = [laid_out(item, depth + 1) for item in value]
        first, last = "[]"
    flat = sum(map(len, parts)) + 2 * max(1, len(parts))  # commas, blanks, brackets
    if flat + 2 * depth <= 100:
        return f"{first}{', '.join(parts)}{last}"
    inner = ",\n".join("  " * (depth + 1) + part for part in parts)
    return f"{first}\n{inner}\n{'  ' * depth}{last}"


# --- labels to JSON -----------------------------------------------------------------------


def to_json(manifest: Manifest) -> dict[str, object]:
    """Return the fields of manifest.json but `manifest_sha256`."""
    labels = manifest.labels
    return {
        "format": FORMAT,
        "format_version": VERSIONS[-1],
        "tm2tf_version": _version(),
        "construction": labels.construction,
        "target": labels.target,
        "dtype": DTYPE,
        "sizes": labels.sizes(),
        "bounds": {name: int(getattr(labels.bounds, name)) for name in BOUNDS},
        "options": {name: int(value) for name, value in labels.options.items()},
        "looped": labels.looped,
        "position_table": labels.position_table,
        "tensors": {
            name: {"shape": list(shape), "storage": manifest.storage[name]}
            for name, shape in labels.shapes().items()
        },
        "directions": list(labels.directions),
        "tokens": [_token_json(number, token) for number, token in enumerate(labels.tokens)],
        "readouts": [_readout_json(readout) for readout in labels.readouts],
        "layers": [_layer_json(layer) for layer in labels.layers],
        "machine": manifest.machine,
        "weights_sha256": manifest.weights_sha256,
    }


def _version() -> str:
    try:
        return metadata.version("tm2tf")
    except metadata.PackageNotFoundError:
        return "unknown"


def _token_json(number: int, token: Token) -> dict[str, object]:
    values = {k: v if isinstance(v, str) else int(v) for k, v in token.values.items()}
    return {"id": number, "name": token.name, "role": token.role, "values": values,
            "outcome": token.outcome}  # fmt: skip


def _readout_json(readout: Readout) -> dict[str, object]:
    feature, layer = readout.feature, int(readout.layer)
    places = {word: int(direction) for word, direction in readout.values}
    if isinstance(feature, Distribution):
        return {"feature": feature.name, "kind": "distribution", "layer": layer, "values": places}
    if isinstance(feature, Categorical):
        return {"feature": feature.name, "kind": "categorical", "layer": layer, "values": places,
                "tolerance": float(readout.tolerance)}  # fmt: skip
    terms = [[float(weight), int(direction)] for weight, direction in readout.terms]
    return {"feature": feature.name, "kind": "integer", "low": feature.low, "high": feature.high,
            "layer": layer, "terms": terms, "constant": float(readout.constant)}  # fmt: skip


def _layer_json(layer: LayerLabels) -> dict[str, object]:
    heads = [
        {
            "name": head.name,
            "kind": head.kind,
            "d_head": head.d_head,
            "d_value": head.d_value,
            "offset": int(head.offset),
        }
        for head in layer.heads
    ]
    return {"purpose": layer.purpose, "heads": heads, "neurons": list(layer.neurons)}


# --- JSON to labels -----------------------------------------------------------------------


@dataclass(slots=True)
class _Node:
    """A value of untrusted JSON and its place; each method returns it as one type or refuses.

    Its place is put into words where it is asked for, as a large machine's manifest has hundreds
    of thousands (for which reason it is not frozen either, which doubles what making one takes).
    """

    value: Any
    file: str
    above: _Node | None = None
    key: str | int = ""

    @property
    def place(self) -> str:
        """Where it stands, such as `layers[0].heads[1].kind`; the whole has no place."""
        above = "" if self.above is None else self.above.place
        if isinstance(self.key, int):
            return f"{above}[{self.key}]"
        return f"{above}.{self.key}" if above else self.key

    def refuse(self, expected: str) -> NoReturn:
        found = reprlib.repr(self.value)
        refuse(self.file, f"{self.place or 'the top'}: expected {expected}, found {found}")

    def pairs(self) -> Iterator[tuple[str, _Node]]:
        if not isinstance(self.value, dict):
            self.refuse("an object")
        for key, item in self.value.items():
            if not _encodes(key):
                found = reprlib.repr(key)
                refuse(self.file, f"a name in {self.place}: expected a text, found {found}")
            yield key, _Node(item, self.file, self, key)

    def fields(self, *names: str) -> list[_Node]:
        found = dict(self.pairs())
        missing = [name for name in names if name not in found]
        extra = sorted(set(found) - set(names))
        if missing or extra:
            refuse(
                self.file,
                f"{self.place or 'the top'}: expected {len(names)} fields by name; "
                f"missing are {reprlib.repr(missing)}, unknown are {reprlib.repr(extra)}",
            )
        return [found[name] for name in names]

    def items(self) -> list[_Node]:
        if not isinstance(self.value, list):
            self.refuse("a list")
        return [_Node(item, self.file, self, i) for i, item in enumerate(self.value)]

    def text(self) -> str:
        if not isinstance(self.value, str) or not _encodes(self.value):
            self.refuse("a text")
        return str(self.value)

    def texts(self) -> tuple[str, ...]:
        return tuple(item.text() for item in self.items())

    def one_of(self, known: tuple[Word, ...]) -> Word:
        if self.value not in known:
            self.refuse(f"one of {', '.join(known)}")
        return known[known.index(self.value)]

    def integer(self, least: int = -LARGEST, most: int = LARGEST) -> int:
        if type(self.value) is not int or not least <= self.value <= most:
            self.refuse(f"an integer from {least} to {most}")
        return int(self.value)

    def number(self) -> float:
        if not isinstance(self.value, float) or not isfinite(self.value):
            self.refuse("a finite number with a decimal point")
        return self.value

    def flag(self) -> bool:
        if not isinstance(self.value, bool):
            self.refuse("true or false")
        return self.value

    def sha256(self) -> str:
        text = self.text()
        if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
            self.refuse("64 hexadecimal digits")
        return text


def _encodes(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def from_json(value: object, file: str) -> Manifest:
    """Return what all the fields of manifest.json say; `file` is what messages call it.

    Raises:
        ArtifactError: a field is missing, unknown, of another type or out of range, or the
            labels contradict each other.
    """
    root = _Node(value, file)
    fields = root.fields(*FIELDS)
    (_, _, version, construction, target, dtype, sizes, bounds, options, looped, table, tensors,
     directions, tokens, readouts, layers, machine, weights, seal) = fields  # fmt: skip
    version.text()
    dtype.one_of((DTYPE,))
    seal.sha256()
    names = directions.texts()
    if not names:
        directions.refuse("at least one residual direction")
    depth = len(layers.items())
    position, key, bits = bounds.fields(*BOUNDS)
    labels = Labels(
        construction=construction.text(),
        target=target.text(),
        directions=names,
        tokens=_tokens(tokens),
        readouts=tuple(_readout(node, len(names), depth) for node in readouts.items()),
        bounds=Bounds(position.integer(1), key.integer(0), bits.integer(1)),
        options={name: node.integer() for name, node in options.pairs()},
        looped=looped.flag(),
        position_table=table.flag(),
        layers=tuple(_layer(node, looped.value) for node in layers.items()),
    )
    if labels.position_table and not labels.looped:
        table.refuse("false, for weights that are not looped")
    expected = labels.sizes()
    for name, node in zip(expected, sizes.fields(*expected), strict=True):
        if type(node.value) is not int or node.value != expected[name]:
            node.refuse(f"{expected[name]}, as the labels say")
    for node, named in (
        (layers, [head.name for layer in labels.layers for head in layer.heads]),
        (readouts, [readout.feature.name for readout in labels.readouts]),
    ):
        if len(set(named)) != len(named):
            node.refuse("no name given twice")
    return Manifest(labels, _storage(tensors, labels.shapes()), machine.text(), weights.sha256())


def _tokens(node: _Node) -> tuple[Token, ...]:
    tokens: dict[str, Token] = {}
    for number, item in enumerate(node.items()):
        identity, name, role, values, outcome = item.fields(
            "id", "name", "role", "values", "outcome"
        )
        if type(identity.value) is not int or identity.value != number:
            identity.refuse(f"{number}, its place in the list")
        text = name.text()
        if not text or any(map(str.isspace, text)) or text in tokens:
            name.refuse("a text without spaces, of one token only")
        tokens[text] = Token(
            name=text,
            role=role.one_of(get_args(Role)),
            values={
                key: value.text() if isinstance(value.value, str) else value.integer()
                for key, value in values.pairs()
            },
            outcome=None if outcome.value is None else outcome.one_of(get_args(Outcome)),
        )
    if not tokens:
        node.refuse("at least one token")
    return tuple(tokens.values())


def _readout(node: _Node, directions: int, layers: int) -> Readout:
    kind = dict(node.pairs()).get("kind", node).value
    integer = ("low", "high", "terms", "constant")
    known = {"categorical": ("values", "tolerance"), "distribution": ("values",)}
    names = known.get(kind, integer) if isinstance(kind, str) else integer
    feature, given, layer, *rest = node.fields("feature", "kind", "layer", *names)
    given.one_of((*known, "integer"))
    at = layer.integer(-1, layers - 1)
    found: Feature
    if kind in known:
        places = tuple((word, d.integer(0, directions - 1)) for word, d in rest[0].pairs())
        words = tuple(word for word, _ in places)
        if kind == "distribution":
            return Readout(Distribution(feature.text(), words), at, values=places)
        found = Categorical(feature.text(), words)
        tolerance = rest[1].number()
        if not 0 <= tolerance < 0.5:
            rest[1].refuse("a number from 0 to less than 1/2")
        return Readout(found, at, values=places, tolerance=tolerance)
    low, high, terms, constant = rest
    found = Integer(
        feature.text(), *(None if n.value is None else n.integer() for n in (low, high))
    )
    pairs = []
    for term in terms.items():
        parts = term.items()
        if len(parts) != 2:
            term.refuse("a pair of a coefficient and a direction")
        pairs.append((parts[0].number(), parts[1].integer(0, directions - 1)))
    return Readout(found, at, terms=tuple(pairs), constant=constant.number())


def _layer(node: _Node, looped: bool) -> LayerLabels:
    purpose, heads, neurons = node.fields("purpose", "heads", "neurons")
    found = tuple(_head(head, looped) for head in heads.items())
    return LayerLabels(purpose.text(), found, neurons.texts())


def _head(node: _Node, looped: bool) -> HeadLabels:
    name, kind, d_head, d_value, offset = node.fields("name", "kind", "d_head", "d_value", "offset")
    other = "mean" if looped else "softmax"
    word = kind.one_of(tuple(k for k in get_args(HeadKind) if k != other))
    least, most = (1, LARGEST) if word in SCORED else (0, 0)
    far = LARGEST if word == "relative" else 0
    return HeadLabels(
        name.text(),
        word,
        d_head.integer(least, most),
        d_value.integer(0),
        offset.integer(-far, far),
    )


def _storage(node: _Node, shapes: dict[str, Shape]) -> dict[str, Storage]:
    storage: dict[str, Storage] = {}
    for name, item in zip(shapes, node.fields(*shapes), strict=True):
        shape, way = item.fields("shape", "storage")
        if tuple(size.integer(0) for size in shape.items()) != shapes[name]:
            shape.refuse(f"{list(shapes[name])}, as the labels say")
        ways: tuple[Storage, ...] = get_args(Storage)
        storage[name] = way.one_of(ways if len(shapes[name]) == 2 else ("dense",))
    return storage
