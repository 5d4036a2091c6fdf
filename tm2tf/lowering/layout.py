"""Allocation: which residual directions hold which feature, and linear forms over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from tm2tf.program.features import POSITION, Feature, Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Number, writes
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
    """Directions in order of allocation, and each feature's place among them.

    `values`: of each word of a feature; `singles`: of each integer that has one to itself.
    """

    names: list[str] = field(default_factory=list)
    values: dict[str, dict[str, int]] = field(default_factory=dict)
    singles: dict[str, int] = field(default_factory=dict)
    forms: dict[str, Form] = field(default_factory=dict)
    means: dict[str, int] = field(default_factory=dict)

    def new(self, name: str) -> int:
        """Allocate one direction and return it."""
        self.names.append(name)
        return len(self.names) - 1

    def feature(self, feature: Feature) -> None:
        """Allocate a feature's directions: one a value, or one for an integer."""
        if isinstance(feature, Integer):
            self.singles[feature.name] = self.new(feature.name)
            self.forms[feature.name] = Form({self.singles[feature.name]: 1.0})
        else:
            self.values[feature.name] = {
                value: self.new(f"{feature.name}={value}") for value in feature.values
            }

    def directions(self, name: str) -> list[int]:
        """Return the directions of a feature that has some to itself."""
        return [*self.values[name].values()] if name in self.values else [self.singles[name]]


def allocate(program: Program) -> Layout:
    """Return a layout with every feature of a program; linear ones get forms, not directions.

    Besides: `begin`, 1 at the first token alone, and for each causal sum its mean.
    """
    layout = Layout()
    operations = [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]
    linear = {op.out for op in operations if isinstance(op, Affine | Number)}
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
            if name not in linear:
                layout.feature(by_name[name])
        if isinstance(op, Affine | Number):
            layout.forms[op.out] = _linear(op, layout)
        if isinstance(op, Latest):
            for out, value in zip(op.outs, op.values, strict=True):
                if value in layout.forms:  # a constant in it is the same everywhere
                    offset = layout.forms[value].constant
                    layout.forms[out] = layout.forms[out] + constant(offset)
    return layout


def _linear(op: Affine | Number, layout: Layout) -> Form:
    """Return the form that a linear operation names."""
    match op:
        case Affine(_, terms, offset):
            total = constant(offset)
            for coefficient, name in terms:
                total = total + layout.forms[name] * coefficient
            return total
        case Number(_, feature, numbers):
            places = layout.values[feature]
            return Form({places[word]: float(n) for word, n in numbers})
