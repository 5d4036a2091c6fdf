"""Linear forms over the residual stream, in words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from tm2tf.program.features import Distribution, Integer
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Readout, Weights

BEGIN = "begin"
"""What the direction is called that is 1 at the first token alone, in all weights."""


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

    def at(self, x: Float64[np.ndarray, " d_model"]) -> float:
        """Return its value where the residual stream is `x`."""
        return self.constant + sum(weight * float(x[d]) for d, weight in self.weights.items())

    def without(self, direction: int) -> Linear:
        """Return the same form without one of its directions."""
        kept = {d: weight for d, weight in self.weights.items() if d != direction}
        return Linear(kept, self.constant)


class Names:
    """The names of a transformer's directions, and what its readouts say they mean.

    Attributes:
        values: the feature and value of each direction that holds a categorical's value, or the
            share of a distribution's.
        words: the values of each categorical and distribution.
        shares: the names of the distributions.
        begin: the direction that is 1 at the first token alone, if it is named.
        constants: directions that hold the same number at every position, with that number.
    """

    def __init__(self, weights: Weights) -> None:
        self.directions = weights.directions
        self.values = _values(weights)
        self.words: dict[str, tuple[str, ...]] = {}
        for name, value in self.values.values():
            self.words[name] = (*self.words.get(name, ()), value)
        features = (readout.feature for readout in weights.readouts)
        self.shares = {f.name for f in features if isinstance(f, Distribution)}
        self._groups = {
            direction: name
            for direction, (name, _) in self.values.items()
            if name not in self.shares
        }
        self._flags = []
        for readout in weights.readouts:
            feature = readout.feature
            if not isinstance(feature, Integer) or not feature.is_flag:
                continue
            self._flags.append(_held(readout))
            if not readout.constant and len(readout.terms) == 1 and readout.terms[0][0] == 1:
                self._groups[readout.terms[0][1]] = feature.name
        self.begin = self.directions.index(BEGIN) if BEGIN in self.directions else None
        if self.begin is not None:
            self._groups[self.begin] = BEGIN
        self.constants = _constants(weights)
        sums = [readout for readout in weights.readouts if len(readout.terms) > 1]
        self._sums = sorted(sums, key=lambda readout: -len(readout.terms))

    def folded(self, linear: Linear) -> Linear:
        """Return a form with the numbers that directions hold everywhere in its constant."""
        for direction, held in self.constants.items():
            if direction in linear.weights:
                constant = linear.constant + held * linear.weights[direction]
                linear = Linear(linear.without(direction).weights, constant)
        return linear

    def form(self, linear: Linear, layer: int) -> Form:
        """Return a form in words, as layer `layer` reads it.

        A feature that the stream holds as a sum is named where it is ready before that layer.
        """
        left, named, terms = self.folded(linear), {}, []
        for readout in self._sums:
            sum_ = _held(readout)
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
        linear = self.folded(linear)
        directions, weights = tuple(sorted(linear.weights)), linear.weights.values()
        groups = {self._groups.get(direction) for direction in directions}
        if not directions or None in groups or len(groups) < len(directions):
            return None
        total = sum(weights) + linear.constant
        fits = min(weights) > 0 and total > 0 and total - min(weights) <= 0
        return directions if fits else None

    def is_flag(self, linear: Linear) -> bool:
        """Return whether a form is 0 or 1, and nothing else, wherever it is.

        So it is if a readout of a flag has it, or if it is a sum of whole multiples of directions
        that are 0 or 1 (of a feature's values only one is 1) that stays from 0 to 1.
        """
        if linear in self._flags:
            return True
        if not all(w.is_integer() for w in (*linear.weights.values(), linear.constant)):
            return False
        by_group: dict[str, list[float]] = {}
        for direction, weight in linear.weights.items():
            if direction not in self._groups:
                return False
            by_group.setdefault(self._groups[direction], []).append(weight)
        least = linear.constant + sum(min(0.0, *found) for found in by_group.values())
        most = linear.constant + sum(max(0.0, *found) for found in by_group.values())
        return least >= 0 and most <= 1


def _values(weights: Weights) -> dict[int, tuple[str, str]]:
    """Return the feature and the value that directions stand for.

    On target tracr directions are called `NAME=VALUE` even where no feature is read.
    """
    found = {}
    if weights.target == "tracr":
        named = [name.partition("=") for name in weights.directions]
        found = {d: (name, value) for d, (name, sign, value) in enumerate(named) if sign}
    for readout in weights.readouts:
        found |= {direction: (readout.feature.name, word) for word, direction in readout.values}
    return found


def _constants(weights: Weights) -> dict[int, float]:
    """Return the directions that all tokens set alike, in every pass, and nothing else writes."""
    loop = weights.W_loop
    written = [head.W_O for layer in weights.layers for head in layer.heads]
    written += [layer.feed_forward.W_out for layer in weights.layers]
    written += [matrix for matrix in (loop, weights.W_positions) if matrix is not None]
    others = {direction for matrix in written for direction in matrix.columns.tolist()}
    found = {}
    for direction, held in weights.W_E.row(0) if weights.d_vocab else ():
        everywhere = direction not in others and not weights.W_pos[direction]
        for matrix in (weights.W_E, weights.W_fixed):
            if matrix is not None and everywhere:
                values = matrix.values[matrix.columns == direction]
                everywhere = len(values) == weights.d_vocab and bool((values == held).all())
        if everywhere:
            found[direction] = held
    return found


Sums = Mapping[str, frozenset[tuple[float, int]]]
"""Features that are sums of directions none of which is their own, with these terms."""


def sums(weights: Weights) -> Sums:
    """Return the features that have no direction of their own."""
    return {
        readout.feature.name: frozenset(readout.terms)
        for readout in weights.readouts
        if readout.terms
        and all(weights.directions[d] != readout.feature.name for _, d in readout.terms)
    }


def parts_of_sums(known: Sums) -> set[str]:
    """Return those of some sums that are a part of another one of them."""
    return {name for name, terms in known.items() if any(terms < o for o in known.values())}


def _held(readout: Readout) -> Linear:
    """Return the form that an integer is read by."""
    return Linear({direction: c for c, direction in readout.terms}, readout.constant)


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
