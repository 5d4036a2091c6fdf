"""Allocation: which residual directions hold which feature, and linear forms over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Product, Relative, Table, writes
from tm2tf.program.program import Program


@dataclass(frozen=True, slots=True)
class Form:
    """A linear form over residual directions: the sum of weight * direction, plus a constant."""

    weights: Mapping[int, float]
    constant: float = 0.0

    def __post_init__(self) -> None:
        kept = {i: w for i, w in self.weights.items() if w != 0}
        object.__setattr__(self, "weights", MappingProxyType(kept))

    def __add__(self, other: Form) -> Form:
        keys = {**self.weights, **other.weights}
        total = {i: self.weights.get(i, 0.0) + other.weights.get(i, 0.0) for i in keys}
        return Form(total, self.constant + other.constant)

    def __mul__(self, factor: float) -> Form:
        return Form({i: factor * w for i, w in self.weights.items()}, factor * self.constant)

    def __neg__(self) -> Form:
        return self * -1.0

    def entries(self, column: int) -> Iterator[tuple[int, int, float]]:
        """Yield the form as one column of a matrix: (direction, column, weight)."""
        for direction, weight in self.weights.items():
            yield direction, column, weight


def constant(value: float) -> Form:
    """Return a form that is `value` everywhere."""
    return Form({}, value)


@dataclass
class Layout:
    """Directions in order of allocation, and each feature's place among them."""

    names: list[str] = field(default_factory=list)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    forms: dict[str, Form] = field(default_factory=dict)
    means: dict[str, int] = field(default_factory=dict)

    def new(self, name: str) -> int:
        """Allocate one direction and return it."""
        self.names.append(name)
        return len(self.names) - 1

    def feature(self, feature: Feature) -> None:
        """Allocate a feature's directions: one a value, or one for an integer."""
        if isinstance(feature, Categorical):
            self.values[feature.name] = {
                value: self.new(f"{feature.name}={value}") for value in feature.values
            }
        else:
            self.forms[feature.name] = Form({self.new(feature.name): 1.0})

    def single(self, name: str) -> int:
        """Return the direction of an integer feature that has one to itself."""
        (direction,) = self.forms[name].weights
        return direction


def allocate(program: Program) -> Layout:
    """Return a layout with every feature of a program; affine ones get forms, not directions.

    Besides: `begin`, 1 at the first token alone, and for each causal sum its mean.
    """
    layout = Layout()
    operations = [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]
    affine = {op.out: op for op in operations if isinstance(op, Affine)}
    made = {name for op in operations for name in writes(op)}
    by_name = {feature.name: feature for feature in program.features}
    layout.new("begin")
    layout.feature(Integer(POSITION))
    for feature in program.features:
        if feature.name != POSITION and feature.name not in made:
            layout.feature(feature)
    for op in operations:
        if isinstance(op, CausalSum):
            layout.means[op.out] = layout.new(f"{op.out}.mean")
        for name in writes(op):
            if name not in affine:
                layout.feature(by_name[name])
        if isinstance(op, Affine):
            total = constant(op.constant)
            for coefficient, name in op.terms:
                total = total + layout.forms[name] * coefficient
            layout.forms[op.out] = total
    return layout


def at_begin(program: Program) -> tuple[dict[str, int], dict[str, str | None]]:
    """Return the integers and the categoricals at the first position, the same in every run."""
    numbers = {f.name: 0 for f in program.features if isinstance(f, Integer)} | {POSITION: 1}
    words: dict[str, str | None] = {
        f.name: None for f in program.features if isinstance(f, Categorical)
    }
    for layer in program.layers:
        for op in (*layer.attention, *layer.feed_forward):
            match op:
                case CausalSum(out, value, when):
                    numbers[out] = numbers[value] if when is None or numbers[when] else 0
                case Latest(out=out, default=default) | Relative(out=out, default=default):
                    words[out] = default
                case Affine(out, terms, offset):
                    numbers[out] = offset + sum(c * numbers[name] for c, name in terms)
                case Product(out, left, right):
                    numbers[out] = numbers[left] * numbers[right]
                case Table(_, inputs, outputs, rows):
                    found = [row for row in rows if row.inputs == tuple(words[i] for i in inputs)]
                    if found:
                        words |= zip(outputs, found[0].outputs, strict=True)
    return numbers, words
