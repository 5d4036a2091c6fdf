"""The hard target: float64, no layer norm, uniform and rightmost-hard attention.

How each operation is carried, and why it is exact. Let u = 2^-53, float64's unit roundoff.

CausalSum. A uniform head over positions 1..n brings m = S/n, rounded once. A neuron then forms
m * n and rounds to the nearest integer (`snap`). m * n = S (1 + e) with |e| <= 2u + u^2, so the
error is below 1/2, and the snap gives S, while |S| < 2^51: up to position 2^51 (`MAX_POSITION`)
if the value is -1, 0 or 1. With a flag `when`, the neuron's gate is relu(n + C when - C) with
C = MAX_POSITION: n where the flag is 1, and relu(n - C) = 0 where it is 0. What a value holds
besides directions, a constant c, no head brings: a second neuron with the same gate adds c * n.

Latest. Addresses are compared on a parabola. For a query p and a key w the scores are
    q = (2p, 1, p^2),  k = (w, -w^2, 0)            q.k = p^2 - (p - w)^2,
    k = (0, -1, 1)  where the flag is 0            q.k = p^2 - 1,
    k = (0, -1/2, 1)  at the begin token           q.k = p^2 - 1/2,
so an equal key wins with p^2, otherwise the begin token (which carries the default) with
p^2 - 1/2, and every other position has at most p^2 - 1: a margin of 1/2, whatever was written
where. Every term is an integer (or the half at begin). With |p|, |w| <= 2^26 (`MAX_KEY`):
2|pw| <= 2^53 and p^2, w^2 <= 2^52 are exact; where pw >= 0 the partial sums stay within 2^53, so
q.k is exact in any order of summation; where pw < 0 the score is below -w^2 and its rounding
cannot lift it; p^2 - 1/2 is exact because its ulp below 2^52 is 1/2. Squares and gated keys
need a feed-forward layer after the layer that makes the address, hence a layer without heads
before each layer that looks up. A key is gated like a sum, by relu(w + C where - C) with
C = 2 MAX_KEY > |w|. (The parabola is folklore in hard-attention constructions, e.g. Pérez et al.
2021; the two floor keys and the bounds are original.)

The value at the begin token, and its flag, are the same in every run, so W_V replaces that value
by the default, and the flag is read as 0 there.

Relative. `Latest` with query n - offset, key n, all positions but the first.

Product. relu(a) b + relu(-a) (-b) = ab: two neurons. Exact while |ab| <= 2^53.

Table. One neuron a row: relu(sum of its k input directions - (k - 1)) is 1 where the row
matches and 0 elsewhere.

Unembedding. logit(token) = (directions of its row that are set) - (f - 1) for f features: 1 for
the row's own token, at most 0 for others; the default token has 1/2. Margin 1/2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tm2tf.lowering.layout import Form, Layout, allocate, at_begin, constant
from tm2tf.program import program as ir
from tm2tf.program.features import POSITION, Categorical
from tm2tf.program.operations import Affine, CausalSum, Latest, Product, Relative, Table, writes
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, FeedForward, Head, Layer, Readout, Weights

MAX_POSITION = 2**51
MAX_KEY = 2**26


@dataclass
class _Neurons:
    """Neurons of one feed-forward layer, gathered one by one."""

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


@dataclass(frozen=True, slots=True)
class _Lookup:
    """A `Latest` or `Relative`, made alike: forms to compare, value directions to bring.

    `where` is 0 at the begin token; `at_begin` is what `value` is there.
    """

    out: str
    query: Form
    key: Form
    where: Form
    value: str
    default: str
    at_begin: str | None


def lower(program: ir.Program, construction: str) -> Weights:
    """Return the weights of a program for the hard target."""
    layout = allocate(program)
    begin = at_begin(program)
    lookups = [
        [_lookup(op, layout, *begin) for op in layer.attention if not isinstance(op, CausalSum)]
        for layer in program.layers
    ]
    coordinates = {
        lookup.out: {
            part: layout.new(f"{lookup.out}.{part}") for part in ("key", "key^2", "query^2")
        }
        for found in lookups
        for lookup in found
    }
    layers: list[Layer] = []
    ready: dict[str, int] = {}
    for layer, found in zip(program.layers, lookups, strict=True):
        if found:
            neurons = _Neurons(layout)
            for lookup in found:
                _squares(lookup, coordinates[lookup.out], neurons)
            names = ", ".join(lookup.out for lookup in found)
            layers.append(Layer(f"squares of the addresses for {names}", (), neurons.build()))
        layers.append(_layer(layer, found, coordinates, layout))
        for op in (*layer.attention, *layer.feed_forward):
            ready |= {name: len(layers) - 1 for name in writes(op)}
    W_E, W_pos = _embedding(program, layout)
    W_U, b_U = _unembedding(program, layout)
    return Weights(
        construction=construction,
        target="hard",
        directions=tuple(layout.names),
        tokens=program.tokens,
        readouts=tuple(_readouts(program, layout, ready)),
        bounds=Bounds(position=MAX_POSITION, key=MAX_KEY),
        W_E=W_E,
        W_pos=W_pos,
        layers=tuple(layers),
        W_U=W_U,
        b_U=b_U,
    )


def _lookup(
    op: Latest | Relative,
    layout: Layout,
    numbers: dict[str, int],
    words: dict[str, str | None],
) -> _Lookup:
    """Return a lookup, given the integers and the categoricals at the begin token."""
    begin = Form({layout.names.index("begin"): 1.0})
    if isinstance(op, Latest):
        forms = layout.forms
        query, key = forms[op.query], forms[op.key]
        where = forms[op.where] + begin * -numbers[op.where]
    else:
        key = layout.forms[POSITION]
        query = key + constant(-op.offset)
        where = constant(1.0) + -begin
    return _Lookup(op.out, query, key, where, op.value, op.default, words[op.value])


def _squares(lookup: _Lookup, place: dict[str, int], neurons: _Neurons) -> None:
    """Add the neurons that prepare a lookup: the gated key, its square, the query's square."""
    name, closed = lookup.out, float(2 * MAX_KEY)
    for sign, side in ((1.0, "+"), (-1.0, "-")):
        key, query = lookup.key * sign, lookup.query * sign
        gate = key + lookup.where * closed + constant(-closed)
        neurons.add(f"{name}.key {side}", gate, constant(1.0), {place["key"]: sign})
        neurons.add(f"{name}.key^2 {side}", gate, key, {place["key^2"]: 1.0})
        neurons.add(f"{name}.query^2 {side}", query, query, {place["query^2"]: 1.0})


def _layer(
    layer: ir.Layer,
    lookups: list[_Lookup],
    coordinates: dict[str, dict[str, int]],
    layout: Layout,
) -> Layer:
    sums = [op for op in layer.attention if isinstance(op, CausalSum)]
    heads = [_sum_head(op, layout) for op in sums]
    heads += [_lookup_head(lookup, coordinates[lookup.out], layout) for lookup in lookups]
    neurons = _Neurons(layout)
    for op in (*sums, *layer.feed_forward):
        match op:
            case CausalSum():
                _sum_neuron(op, layout, neurons)
            case Product():
                left, right = layout.forms[op.left], layout.forms[op.right]
                out = {layout.single(op.out): 1.0}
                neurons.add(f"{op.out} +", left, right, out)
                neurons.add(f"{op.out} -", -left, -right, out)
            case Table():
                _table_neurons(op, layout, neurons)
            case Affine():
                pass
    made = [name for op in (*layer.attention, *layer.feed_forward) for name in writes(op)]
    return Layer(", ".join(made), tuple(heads), neurons.build())


def _sum_head(op: CausalSum, layout: Layout) -> Head:
    d_model = len(layout.names)
    nothing = Matrix.from_entries((d_model, 0), ())
    return Head(
        name=op.out,
        kind="uniform",
        W_Q=nothing,
        b_Q=np.zeros(0),
        W_K=nothing,
        b_K=np.zeros(0),
        W_V=Matrix.from_entries((d_model, 1), layout.forms[op.value].entries(0)),
        W_O=Matrix.from_entries((1, d_model), [(0, layout.means[op.out], 1.0)]),
    )


def _sum_neuron(op: CausalSum, layout: Layout, neurons: _Neurons) -> None:
    gate = layout.forms[POSITION]
    if op.when is not None:
        closed = float(MAX_POSITION)
        gate = gate + layout.forms[op.when] * closed + constant(-closed)
    out = {layout.single(op.out): 1.0}
    neurons.add(op.out, gate, Form({layout.means[op.out]: 1.0}), out, snap=True)
    offset = layout.forms[op.value].constant  # no head brings it
    if offset:
        neurons.add(f"{op.out} constant", gate, constant(offset), out)


def _lookup_head(lookup: _Lookup, place: dict[str, int], layout: Layout) -> Head:
    """Return the head with q = (2p, 1, p^2) and the keys of the module's docstring."""
    d_model, begin = len(layout.names), layout.names.index("begin")
    absent = constant(1.0) + -lookup.where
    queries = (lookup.query * 2.0, constant(1.0), Form({place["query^2"]: 1.0}))
    keys = (
        Form({place["key"]: 1.0}),
        Form({place["key^2"]: -1.0, begin: 0.5}) + -absent,
        absent,
    )
    values, outs = layout.values[lookup.value], layout.values[lookup.out]
    brought = [(values[word], column, 1.0) for column, word in enumerate(outs)]
    brought.append((begin, list(outs).index(lookup.default), 1.0))
    if lookup.at_begin is not None:  # the begin token brings the default instead
        brought.append((begin, list(outs).index(lookup.at_begin), -1.0))
    tensors: dict[str, Any] = {}
    for letter, forms in (("Q", queries), ("K", keys)):
        entries = (entry for i, form in enumerate(forms) for entry in form.entries(i))
        tensors[f"W_{letter}"] = Matrix.from_entries((d_model, 3), entries)
        tensors[f"b_{letter}"] = np.array([form.constant for form in forms], dtype=np.float64)
    return Head(
        name=lookup.out,
        kind="latest",
        W_V=Matrix.from_entries((d_model, len(outs)), brought),
        W_O=Matrix.from_entries(
            (len(outs), d_model), [(i, outs[word], 1.0) for i, word in enumerate(outs)]
        ),
        **tensors,
    )


def _table_neurons(op: Table, layout: Layout, neurons: _Neurons) -> None:
    bias = 1.0 - len(op.inputs)
    for row in op.rows:
        gate = constant(bias)
        for name, value in zip(op.inputs, row.inputs, strict=True):
            gate = gate + Form({layout.values[name][value]: 1.0})  # an input may be named twice
        pairs = zip(op.outputs, row.outputs, strict=True)
        out = {layout.values[name][value]: 1.0 for name, value in pairs}
        label = f"{op.name}: {', '.join(row.inputs)} -> {', '.join(row.outputs)}"
        neurons.add(label, gate, constant(1.0), out)


def _embedding(program: ir.Program, layout: Layout) -> tuple[Matrix, np.ndarray]:
    entries: list[tuple[int, int, float]] = []
    for number, token in enumerate(program.tokens):
        if token.role == "begin":
            entries.append((number, layout.names.index("begin"), 1.0))
        for name, value in token.values.items():
            if isinstance(value, str):
                entries.append((number, layout.values[name][value], 1.0))
            else:
                entries.append((number, layout.single(name), float(value)))
    W_pos = np.zeros(len(layout.names))
    W_pos[layout.single(POSITION)] = 1.0
    return Matrix.from_entries((len(program.tokens), len(layout.names)), entries), W_pos


def _unembedding(program: ir.Program, layout: Layout) -> tuple[Matrix, np.ndarray]:
    ids = {token.name: number for number, token in enumerate(program.tokens)}
    b_U = np.zeros(len(ids))
    entries = []
    for token, row in program.unembed.rows.items():
        b_U[ids[token]] = 1.0 - len(row)
        for name, value in zip(program.unembed.features, row, strict=True):
            entries.append((layout.values[name][value], ids[token], 1.0))
    b_U[ids[program.unembed.default]] = 0.5
    return Matrix.from_entries((len(layout.names), len(ids)), entries), b_U


def _readouts(program: ir.Program, layout: Layout, ready: dict[str, int]) -> list[Readout]:
    readouts = []
    for feature in program.features:
        layer = ready.get(feature.name, -1)
        if isinstance(feature, Categorical):
            places = tuple(layout.values[feature.name].items())
            readouts.append(Readout(feature, layer, values=places))
        else:
            form = layout.forms[feature.name]
            terms = tuple((weight, direction) for direction, weight in form.weights.items())
            readouts.append(Readout(feature, layer, terms=terms, constant=form.constant))
    return readouts
