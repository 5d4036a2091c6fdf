"""Neurons of one feed-forward layer, gathered one by one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from tm2tf.lowering.layout import Form, Layout
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward


@dataclass
class Neurons:
    """Neurons so far, in the order in which they were added."""

    layout: Layout
    names: list[str] = field(default_factory=list)
    gate: list[Form] = field(default_factory=list)
    inner: list[Form] = field(default_factory=list)
    out: list[tuple[int, int, float]] = field(default_factory=list)
    snap: list[bool] = field(default_factory=list)

    def add(
        self, name: str, gate: Form, inner: Form, out: dict[int, float], snap: bool = False
    ) -> None:
        """Add a neuron that writes out[direction] * (relu(gate) * inner)."""
        number = len(self.names)
        self.names.append(name)
        self.gate.append(gate)
        self.inner.append(inner)
        self.out += [(number, direction, weight) for direction, weight in out.items()]
        self.snap.append(snap)

    def build(self) -> FeedForward:
        """Return the tensors."""
        width, d_model = len(self.names), len(self.layout.names)
        columns = {}
        for kind, forms in (("gate", self.gate), ("inner", self.inner)):
            entries = (entry for i, form in enumerate(forms) for entry in form.entries(i))
            columns[kind] = Matrix.from_entries((d_model, width), entries)
        return FeedForward(
            neurons=tuple(self.names),
            W_gate=columns["gate"],
            b_gate=np.array([form.constant for form in self.gate], dtype=np.float64),
            W_in=columns["inner"],
            b_in=np.array([form.constant for form in self.inner], dtype=np.float64),
            W_out=Matrix.from_entries((width, d_model), self.out),
            snap=np.array(self.snap, dtype=np.bool_),
        )
