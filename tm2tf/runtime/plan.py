"""Weights laid out flat for the compiled kernel: all dot products and scatters in one row each.

Nothing is decided here about a machine or about what features mean; probes are read off the
labels so that a run can report features, not tensors.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import NamedTuple

import numpy as np

from tm2tf.program.features import Categorical, Distribution, Feature, Integer
from tm2tf.runtime.memory import PARABOLA
from tm2tf.runtime.passes import NUMBERS, SHARES, WORDS
from tm2tf.runtime.runner import probed
from tm2tf.runtime.scans import INDEX, MEAN_INDEX, MEAN_SCAN, RELATIVE, SCAN, UNIFORM
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head, Readout, Weights

SCANNED = {INDEX: SCAN, MEAN_INDEX: MEAN_SCAN}
"""How a head is evaluated that has an index, and how without one."""

PROBED: dict[type[Feature], int] = {Integer: NUMBERS, Categorical: WORDS, Distribution: SHARES}

FEW = 32
"""Neurons of a layer up to which all are looked at in every pass: cheaper than finding which."""


class Plan(NamedTuple):
    """A transformer as flat arrays.

    All sparse rows of all tensors stand in one table: row i is `column[j], value[j]` for j in
    `start[i]:start[i+1]`, with `bias[i]`; `at` says where each group begins (see `passes`). The
    gates have a row for each (layer, direction): the neurons it feeds. Neurons, heads, comparing
    coordinates and value components are numbered through all layers. `heads[h]` is (how it is
    evaluated, see `passes`; first comparing row: queries then keys; width of a query; first value
    component; how many; one more than the offset). `feeds` lists the directions that feed each
    layer's gates and, last, the unembedding; `always` the neurons looked at in every pass, fed or
    not: those whose gate is open unfed, and all of a layer that has few; `stops` the tokens that
    end a call, as they have an outcome or cut the context; `dense`: nothing that is 0 is skipped.
    """

    start: np.ndarray
    column: np.ndarray
    value: np.ndarray
    bias: np.ndarray
    at: np.ndarray
    heads: np.ndarray
    layer_heads: np.ndarray
    gate_bias: np.ndarray
    always: np.ndarray
    layer_always: np.ndarray
    feeds: np.ndarray
    layer_feeds: np.ndarray
    snap: np.ndarray
    logit_bias: np.ndarray
    by_bias: np.ndarray
    stops: np.ndarray
    probe_kinds: np.ndarray
    key_bound: float
    d_model: int
    dense: bool


@dataclass
class _Rows:
    """The table of all sparse rows, gathered group by group."""

    counts: list[np.ndarray] = field(default_factory=list)
    columns: list[np.ndarray] = field(default_factory=list)
    values: list[np.ndarray] = field(default_factory=list)
    biases: list[np.ndarray] = field(default_factory=list)
    rows: int = 0
    dense: bool = False

    def add(
        self,
        matrices: Iterable[Matrix],
        bias: np.ndarray | None = None,
        shifts: Iterable[int] = (),
        labels: bool = False,
    ) -> int:
        """Append the rows of matrices; return the number of the first.

        `shifts` are added to the columns, for each matrix. `labels`: these are no weights, and
        have no zeros.
        """
        first = self.rows
        for matrix, shift in zip(matrices, chain(shifts, repeat(0)), strict=False):
            rows, width = matrix.shape
            if self.dense and not labels:
                self.counts.append(np.full(rows, width))
                self.columns.append(np.tile(np.arange(width) + shift, rows))
                self.values.append(matrix.dense().ravel())
            else:
                self.counts.append(np.diff(matrix.starts))
                self.columns.append(matrix.columns + shift)
                self.values.append(matrix.values)
            self.rows += rows
        self.biases.append(np.zeros(self.rows - first) if bias is None else bias)
        return first

    def arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return start, column, value and bias of the whole table."""
        start = np.zeros(self.rows + 1, dtype=np.uint64)
        np.cumsum(np.concatenate(self.counts), out=start[1:])
        return (
            start,
            np.concatenate(self.columns).astype(np.uint64),
            np.concatenate(self.values).astype(np.float64),
            np.concatenate(self.biases).astype(np.float64),
        )


def _joined(parts: Iterable[np.ndarray], dtype: type = np.float64) -> np.ndarray:
    """Return arrays one after the other; there may be none, in weights without layers or heads."""
    return np.concatenate([np.zeros(0, dtype=dtype), *parts])


def _offset(counts: Sequence[int]) -> np.ndarray:
    return np.cumsum([0, *counts]).astype(np.uint64)


def _probe_rows(readouts: Sequence[Readout], d_model: int) -> Iterator[Matrix]:
    """Yield rows of (direction, coefficient) for integers, (direction, index of value) else."""
    for readout in readouts:
        if not isinstance(readout.feature, Integer):
            pairs = [(direction, float(i)) for i, (_, direction) in enumerate(readout.values)]
        else:
            pairs = [(direction, weight) for weight, direction in readout.terms]
        yield Matrix(
            (1, d_model),
            np.array([0, len(pairs)], dtype=np.int64),
            np.array([direction for direction, _ in pairs], dtype=np.int64),
            np.array([weight for _, weight in pairs], dtype=np.float64),
        )


def _head_table(heads: Sequence[Head]) -> np.ndarray:
    dots = _offset([2 * head.W_Q.shape[1] for head in heads])
    values = _offset([head.W_V.shape[1] for head in heads])
    kinds = {"uniform": UNIFORM, "relative": RELATIVE, "latest": INDEX, "mean": MEAN_INDEX}
    rows = []
    for i, head in enumerate(heads):
        width, kind = head.W_Q.shape[1], kinds[head.kind]
        if width != PARABOLA:
            kind = SCANNED.get(kind, kind)
        rows.append((kind, dots[i], width, values[i], head.W_V.shape[1], head.offset + 1))
    return np.array(rows, dtype=np.uint64).reshape(len(heads), 6)


def make_plan(weights: Weights, probes: Sequence[str], dense: bool = False) -> Plan:
    """Return the flat form of weights, with these features to be reported at every pass.

    `dense`: with every weight and every direction, those that are 0 too.
    """
    heads = [head for layer in weights.layers for head in layer.heads]
    mlps = [layer.feed_forward for layer in weights.layers]
    neurons = np.cumsum([0, *(len(mlp.neurons) for mlp in mlps)])
    always = [
        np.flatnonzero((mlp.b_gate > 0) | dense | (len(mlp.neurons) <= FEW)) + first
        for mlp, first in zip(mlps, neurons, strict=False)
    ]
    readouts = probed(weights, probes)
    rows = _Rows(dense=dense)
    firsts = (
        rows.add([weights.W_E]),
        rows.add([Matrix.from_dense(weights.W_pos[None, :])]),
        rows.add(
            (m.transposed() for head in heads for m in (head.W_Q, head.W_K)),
            _joined(bias for head in heads for bias in (head.b_Q, head.b_K)),
        ),
        rows.add(head.W_V.transposed() for head in heads),
        rows.add(head.W_O for head in heads),
        rows.add((mlp.W_gate for mlp in mlps), shifts=neurons[:-1].tolist()),
        rows.add((mlp.W_in.transposed() for mlp in mlps), _joined(mlp.b_in for mlp in mlps)),
        rows.add(mlp.W_out for mlp in mlps),
        rows.add([weights.W_U]),
        rows.add(
            _probe_rows(readouts, weights.d_model),
            np.array([r.constant for r in readouts]),
            labels=True,
        ),
    )
    feeds = [
        np.flatnonzero(np.diff(matrix.starts) > -dense)
        for matrix in (*(mlp.W_gate for mlp in mlps), weights.W_U)
    ]
    return Plan(
        *rows.arrays(),
        at=np.array(firsts, dtype=np.uint64),
        heads=_head_table(heads),
        layer_heads=_offset([len(layer.heads) for layer in weights.layers]),
        gate_bias=_joined(mlp.b_gate for mlp in mlps),
        always=_joined(always, np.int64).astype(np.uint64),
        layer_always=_offset([len(a) for a in always]),
        feeds=np.concatenate(feeds).astype(np.uint64),
        layer_feeds=_offset([len(f) for f in feeds]),
        snap=_joined((mlp.snap for mlp in mlps), np.bool_),
        logit_bias=np.asarray(weights.b_U, dtype=np.float64),
        by_bias=np.argsort(-weights.b_U, kind="stable").astype(np.uint64),
        stops=np.array(
            [token.outcome is not None or token.role == "cut" for token in weights.tokens],
            dtype=np.bool_,
        ),
        probe_kinds=np.array([PROBED[type(r.feature)] for r in readouts], dtype=np.uint8),
        key_bound=float(weights.bounds.key),
        d_model=weights.d_model,
        dense=dense,
    )
