"""Neurons of one feed-forward layer, gathered one by one, or a table's all together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from tm2tf.lowering.layout import Form, Layout
from tm2tf.program.operations import Table
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward

ANY = "*"
"""How a neuron's name shows an input that its row does not ask for."""


@dataclass(slots=True)
class Entries:
    """Entries of a matrix so far: entry i is `values[i]` at `rows[i]`, `columns[i]`."""

    rows: list[int] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def column(self, number: int, weights: Mapping[int, float]) -> None:
        """Add one column: a weight for each row that has one."""
        self.rows += weights
        self.columns += [number] * len(weights)
        self.values += weights.values()

    def row(self, number: int, weights: Mapping[int, float]) -> None:
        """Add one row: a weight for each column that has one."""
        self.rows += [number] * len(weights)
        self.columns += weights
        self.values += weights.values()

    def ones(self, places: Iterable[tuple[int, int]]) -> None:
        """Add a 1 at each of these (row, column) places."""
        listed = list(places)
        self.rows += [row for row, _ in listed]
        self.columns += [column for _, column in listed]
        self.values += [1.0] * len(listed)

    def matrix(self, shape: tuple[int, int]) -> Matrix:
        """Return the matrix of these entries."""
        return Matrix.from_columns(shape, self.rows, self.columns, self.values)


@dataclass(slots=True)
class Neurons:
    """Neurons so far, in the order in which they were added."""

    layout: Layout
    names: list[str] = field(default_factory=list)
    gate: Entries = field(default_factory=Entries)
    gate_constants: list[float] = field(default_factory=list)
    inner: Entries = field(default_factory=Entries)
    inner_constants: list[float] = field(default_factory=list)
    out: Entries = field(default_factory=Entries)
    snap: list[bool] = field(default_factory=list)

    def add(
        self, name: str, gate: Form, inner: Form, out: dict[int, float], snap: bool = False
    ) -> None:
        """Add a neuron that writes out[direction] * (relu(gate) * inner)."""
        number = len(self.names)
        self.names.append(name)
        self.gate.column(number, gate.weights)
        self.gate_constants.append(gate.constant)
        self.inner.column(number, inner.weights)
        self.inner_constants.append(inner.constant)
        self.out.row(number, out)
        self.snap.append(snap)

    def add_table(self, op: Table) -> None:
        """Add a neuron a row: 1 where all k directions that it asks for are set, 0 elsewhere.

        All rows at once, one column of the table after the other: of a large machine, this is most.
        """
        numbers = range(len(self.names), len(self.names) + len(op.rows))
        for place, name in enumerate(op.inputs):
            at = self.layout.values[name]
            words = zip(numbers, (row.inputs[place] for row in op.rows), strict=True)
            # an input may be named twice: then its weights add up
            self.gate.ones((at[word], number) for number, word in words if word is not None)
        for place, name in enumerate(op.outputs):
            at = self.layout.values[name]
            given = zip(numbers, (row.outputs[place] for row in op.rows), strict=True)
            self.out.ones((number, at[word]) for number, word in given)
        for row in op.rows:
            shown = (ANY if word is None else word for word in row.inputs)
            self.names.append(f"{op.name}: {', '.join(shown)} -> {', '.join(row.outputs)}")
            asked_for = len(row.inputs) - row.inputs.count(None)
            self.gate_constants.append(1.0 - asked_for)
        self.inner_constants += [1.0] * len(op.rows)
        self.snap += [False] * len(op.rows)

    def build(self) -> FeedForward:
        """Return the tensors."""
        width, d_model = len(self.names), len(self.layout.names)
        return FeedForward(
            neurons=tuple(self.names),
            W_gate=self.gate.matrix((d_model, width)),
            b_gate=np.array(self.gate_constants, dtype=np.float64),
            W_in=self.inner.matrix((d_model, width)),
            b_in=np.array(self.inner_constants, dtype=np.float64),
            W_out=self.out.matrix((width, d_model)),
            snap=np.array(self.snap, dtype=np.bool_),
        )
