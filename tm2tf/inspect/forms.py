"""Linear forms over the residual stream, in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from tm2tf.program.features import Categorical
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Weights


@dataclass(frozen=True, slots=True)
class Term:
    """A weight and the name of what it stands at."""

    name: str
    weight: float


@dataclass(frozen=True, slots=True)
class Form:
    """A linear form: `terms` over directions, and `constant`, exactly as the tensors have them.

    `text` says the same in words and may name a feature that is a sum of several directions;
    `named` gives those sums.
    """

    text: str
    terms: tuple[Term, ...]
    constant: float
    named: Mapping[str, str]


@dataclass(frozen=True)
class Linear:
    """A linear form to calculate with: weight by direction (none is 0), and a constant."""

    weights: Mapping[int, float]
    constant: float = 0.0

    def __add__(self, other: Linear) -> Linear:
        total = dict(self.weights)
        for direction, weight in other.weights.items():
            total[direction] = total.get(direction, 0.0) + weight
        kept = {direction: weight for direction, weight in total.items() if weight != 0}
        return Linear(kept, self.constant + other.constant)

    def __mul__(self, factor: float) -> Linear:
        return Linear({d: factor * w for d, w in self.weights.items()}, factor * self.constant)

    def __sub__(self, other: Linear) -> Linear:
        return self + other * -1.0


class Names:
    """The names of a transformer's directions, and what its readouts say they mean.

    Attributes:
        values: the feature and value of each direction that holds a categorical's value.
    """

    def __init__(self, weights: Weights) -> None:
        self.directions = weights.directions
        self.values = {
            direction: (readout.feature.name, value)
            for readout in weights.readouts
            for value, direction in readout.values
        }
        self._groups = {direction: name for direction, (name, _) in self.values.items()}
        for readout in weights.readouts:
            feature = readout.feature
            if isinstance(feature, Categorical) or not feature.is_flag or readout.constant:
                continue
            if len(readout.terms) == 1 and readout.terms[0][0] == 1:
                self._groups[readout.terms[0][1]] = feature.name
        for direction, name in enumerate(weights.directions):
            if name == "begin":  # 1 at the first token alone, in all weights
                self._groups[direction] = name
        sums = [readout for readout in weights.readouts if len(readout.terms) > 1]
        self._sums = sorted(sums, key=lambda readout: -len(readout.terms))

    def form(self, linear: Linear, layer: int) -> Form:
        """Return a form in words, as layer `layer` reads it.

        A feature that the stream holds as a sum is named where it is ready before that layer.
        """
        left, named, terms = linear, {}, []
        for readout in self._sums:
            sum_ = Linear({direction: c for c, direction in readout.terms}, readout.constant)
            factors = {left.weights.get(d, 0.0) / c for d, c in sum_.weights.items()}
            if readout.layer < layer and len(factors) == 1 and factors != {0.0}:
                (factor,) = factors
                rest = {d: w for d, w in left.weights.items() if d not in sum_.weights}
                left = Linear(rest, left.constant - factor * sum_.constant)
                terms.append((readout.feature.name, factor))
                named[readout.feature.name] = words(self._terms(sum_), sum_.constant)
        text = words([*terms, *self._terms(left)], left.constant)
        exact = tuple(Term(name, weight) for name, weight in self._terms(linear))
        return Form(text, exact, linear.constant, named)

    def _terms(self, linear: Linear) -> list[tuple[str, float]]:
        return [(self.directions[d], linear.weights[d]) for d in sorted(linear.weights)]

    def all_needed(self, linear: Linear) -> tuple[int, ...] | None:
        """Return the directions that must all be 1 for a form to be positive, if it means that.

        None unless it is a sum of directions that are 0 or 1, no two of them values of the same
        feature, which is positive when all of them are 1 and not when one is 0.
        """
        directions, weights = tuple(sorted(linear.weights)), linear.weights.values()
        groups = {self._groups.get(direction) for direction in directions}
        if not directions or None in groups or len(groups) < len(directions):
            return None
        total = sum(weights) + linear.constant
        fits = min(weights) > 0 and total > 0 and total - min(weights) <= 0
        return directions if fits else None


def columns(matrix: Matrix, bias: np.ndarray | None = None) -> list[Linear]:
    """Return the columns of a matrix whose rows are directions, as forms."""
    held: list[dict[int, float]] = [{} for _ in range(matrix.shape[1])]
    entries = (matrix.rows().tolist(), matrix.columns.tolist(), matrix.values.tolist())
    for row, column, value in zip(*entries, strict=True):
        held[column][row] = value
    constants = [0.0] * len(held) if bias is None else bias.tolist()
    return [Linear(weights, constant) for weights, constant in zip(held, constants, strict=True)]


def number(value: float) -> str:
    """Return a number as people write it: `3`, `0.5`, `2^27` for a large power of two."""
    size = abs(int(value)) if value == int(value) else 0
    if size >= 2**20 and size & (size - 1) == 0:
        return f"{'-' * (value < 0)}2^{size.bit_length() - 1}"
    return str(int(value)) if value == int(value) else f"{value:.12g}"


def shown(name: str) -> str:
    """Return a name as it stands in a form: as a JSON string if it holds spaces or controls."""
    if name and name.isprintable() and " " not in name:
        return name
    return json.dumps(name, ensure_ascii=not name.isprintable())


def printable(text: str) -> str:
    """Return a text that a terminal can be trusted with: control characters escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def scaled(name: str, weight: float) -> str:
    """Return a weight times a name: `x`, `-x`, `2 x`."""
    sign = {1.0: "", -1.0: "-"}.get(weight, f"{number(weight)} ")
    return sign + shown(name)


def words(terms: Iterable[tuple[str, float]], constant: float) -> str:
    """Return a sum in words, what is added before what is taken away: `x + 2 y - z + 1`."""
    listed = list(terms)
    signed = [("+", scaled(name, weight)) for name, weight in listed if weight > 0]
    if constant > 0 and not signed:
        signed, constant = [("+", number(constant))], 0.0
    signed += [("-", scaled(name, -weight)) for name, weight in listed if weight < 0]
    if constant:
        signed.append(("+" if constant > 0 else "-", number(abs(constant))))
    if not signed:
        return "0"
    text = " ".join(f"{sign} {part}" for sign, part in signed)
    return text.removeprefix("+ ") if signed[0][0] == "+" else f"-{text[2:]}"


def to_json(view: object) -> object:
    """Return a view (dataclasses, mappings, tuples) as JSON values; whole floats as integers."""
    if dataclasses.is_dataclass(view) and not isinstance(view, type):
        return {f.name: to_json(getattr(view, f.name)) for f in dataclasses.fields(view)}
    if isinstance(view, Mapping):
        return {str(key): to_json(value) for key, value in view.items()}
    if isinstance(view, np.ndarray):
        return to_json(view.tolist())
    if isinstance(view, tuple | list):
        return [to_json(value) for value in view]
    if isinstance(view, float) and view.is_integer():
        return int(view)
    return view
