"""The hard target: float64, no layer norm, uniform, rightmost-hard and average-hard attention.

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

`Latest` by words. Queries and keys are the one-hot words, side by side, and the flag:
    q = (query words, 1),  k = (key words, flag)          q.k = matches + flag,
    k = (0, D + 1/2)  at the begin token                  q.k = D + 1/2,
for D words a key: a full match where the flag is 1 has D + 1 and wins; every other position has
at most D. Margin 1/2, and every number is a multiple of 1/2 below D + 2.

Values. A value may be several features, and integers too: hard attention brings them unchanged.

Gather. The same queries, keys and values as `Latest`, in a "mean" head. All positions that match
score exactly p^2, or D + 1, so those with the greatest score are just these, or begin alone. Of n
positions the head sums up values that are 0 or 1: a count c <= n <= 2^51, exact in any order of
summation. c / n is rounded once. (Average-hard attention: Merrill, Sabharwal & Smith 2022, there
called saturated.)

Relative. A "relative" head. Its first position carries the default, as above.

Sign. With r(v) = relu(v): [v >= 1] = r(v) - r(v - 1) for an integer v, and alike for -v.

Product. relu(a) b + relu(-a) (-b) = ab: two neurons. Exact while |ab| <= 2^53.

Table. One neuron a row: relu(sum of the k input directions it asks for - (k - 1)) is 1 where the
row matches and 0 elsewhere.

Unembedding. logit(token) = (directions of its row that are set) - (f - 1) for f features: 1 for
the row's own token, at most 0 for others; the default token has 1/2. Margin 1/2.
Of a distribution, logit(token) = the share of its word: the logits are the probabilities. The
shares have one n; of counts c < d <= n the quotients differ by 1/n at least, and the roundings by
2 u (d/n) <= 2^-52 (d/n) < 1/n, as d < 2^52: so the greater count has the greater logit, and equal
counts have equal ones. The default token has 2^-52 (`TINY`), less than the least share other than
0, which is 1/n >= 2^-51: it comes next if all shares are 0, and only then. Tokens without a row
have 0.

Loops. `W_loop` copies a feature at the end of a pass to its place at the beginning of the next.

Bits. If a program has no integers but flags (no position, sums, products, addresses) and gathers
nothing, every
number above is a multiple of 1/2 and at most m, the greatest of: inputs of a table, features of
the unembedding, D + 1 of a lookup. Then ceil(log2(2 m + 1)) significant bits hold all partial
sums, and the same weights are exact in bfloat16 (8 bits), float16 (11) and float32 (24).
Otherwise the count is 53: float64.
"""

from __future__ import annotations

import math

import numpy as np

from tm2tf.errors import TargetError
from tm2tf.lowering.begin import Begin, at_begin
from tm2tf.lowering.layout import Form, Layout, allocate, constant
from tm2tf.lowering.lookups import (
    MAX_KEY,
    Parabola,
    add_squares,
    address_head,
    by_address,
    prepare,
    relative_head,
    word_head,
)
from tm2tf.lowering.neurons import Entries, Neurons
from tm2tf.program import program as ir
from tm2tf.program.features import POSITION, Categorical, Distribution, Integer
from tm2tf.program.operations import (
    SIGNS,
    CausalSum,
    Gather,
    Latest,
    Operation,
    Product,
    Relative,
    Sign,
    Table,
    reads,
    writes,
)
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, Head, Layer, Readout, Weights

MAX_POSITION = 2**51
TINY = 2.0**-52
"""The logit of the default token beside shares: see "Unembedding"."""


def lower(program: ir.Program, construction: str) -> Weights:
    """Return the weights of a program for the hard target.

    Raises:
        TargetError: a looped program asks for a default that no position can bring.
    """
    layout = allocate(program)
    begin = at_begin(program, layout.names.index("begin"))
    places = {
        op.name: prepare(op, layout)
        for op in _operations(program)
        if isinstance(op, Latest | Gather) and by_address(op, layout)
    }
    layers: list[Layer] = []
    ready: dict[str, int] = {}
    for layer in program.layers:
        lookups = [op for op in layer.attention if isinstance(op, Latest | Gather)]
        found = [op for op in lookups if op.name in places]
        if found:
            neurons = Neurons(layout)
            for lookup in found:
                add_squares(lookup, places[lookup.name], begin, layout, neurons)
            names = ", ".join(lookup.name for lookup in found)
            layers.append(Layer(f"squares of the addresses for {names}", (), neurons.build()))
        lowered = _layer(layer, places, begin, layout, looped=bool(program.loop))
        if lowered.heads or lowered.feed_forward.neurons:  # names of linear forms need no layer
            layers.append(lowered)
        for op in (*layer.attention, *layer.feed_forward):
            ready |= {name: len(layers) - 1 for name in writes(op)}
    counts = _reads_position(program)
    W_E, W_fixed = _embedding(program, layout)
    W_pos = np.zeros(len(layout.names))
    W_pos[layout.singles[POSITION]] = float(counts)
    W_U, b_U = _unembedding(program, layout)
    return Weights(
        construction=construction,
        target="hard",
        directions=tuple(layout.names),
        tokens=program.tokens,
        readouts=tuple(
            readout
            for readout in _readouts(program, layout, ready)
            if counts or readout.feature.name != POSITION
        ),
        bounds=Bounds(position=MAX_POSITION, key=MAX_KEY, bits=_bits(program)),
        W_E=W_E,
        W_pos=W_pos,
        layers=tuple(layers),
        W_U=W_U,
        b_U=b_U,
        W_loop=_loop(program, layout) if program.loop else None,
        W_fixed=W_fixed,
    )


def _operations(program: ir.Program) -> list[Operation]:
    return [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]


def _reads_position(program: ir.Program) -> bool:
    """Return whether anything depends on the position, as causal sums do."""
    return any(isinstance(op, CausalSum) or POSITION in reads(op) for op in _operations(program))


def _bits(program: ir.Program) -> int:
    """Return the significant bits that the module's docstring derives."""
    integers = {f.name for f in program.features if isinstance(f, Integer)}
    most = len(program.unembed.features)
    for op in _operations(program):
        match op:
            case CausalSum() | Product() | Sign() | Gather():
                return 53
            case Latest(key=key, values=values):
                if integers.intersection((*key, *values)):
                    return 53
                most = max(most, len(key) + 1)
            case Table(inputs=inputs):
                most = max(most, len(inputs))
    return math.ceil(math.log2(2 * most + 1))


def _layer(
    layer: ir.Layer, places: dict[str, Parabola], begin: Begin, layout: Layout, looped: bool
) -> Layer:
    heads: list[Head] = []
    neurons = Neurons(layout)
    for op in (*layer.attention, *layer.feed_forward):
        match op:
            case CausalSum():
                heads.append(_sum_head(op, layout))
                _sum_neuron(op, layout, neurons)
            case Latest() | Gather():
                place = places.get(op.name)
                heads.append(
                    word_head(op, begin, layout)
                    if place is None
                    else address_head(op, place, begin, layout)
                )
            case Relative():
                if looped and op.default is not None:
                    raise TargetError(
                        f"{op.out!r} asks for a default beyond the ends of a looped program, "
                        "which target 'hard' does not have; put a cell there that says it"
                    )
                heads.append(relative_head(op, begin, layout))
            case Product():
                left, right = layout.forms[op.left], layout.forms[op.right]
                out = {layout.singles[op.out]: 1.0}
                neurons.add(f"{op.out} +", left, right, out)
                neurons.add(f"{op.out} -", -left, -right, out)
            case Sign():
                _sign_neurons(op, layout, neurons)
            case Table():
                neurons.add_table(op)
            case _:
                pass  # Affine and Number are linear forms: a name, no neuron
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


def _sum_neuron(op: CausalSum, layout: Layout, neurons: Neurons) -> None:
    gate = layout.forms[POSITION]
    if op.when is not None:
        closed = float(MAX_POSITION)
        gate = gate + layout.forms[op.when] * closed + constant(-closed)
    out = {layout.singles[op.out]: 1.0}
    neurons.add(op.out, gate, Form({layout.means[op.out]: 1.0}), out, snap=True)
    offset = layout.forms[op.value].constant  # no head brings it
    if offset:
        neurons.add(f"{op.out} constant", gate, constant(offset), out)


def _sign_neurons(op: Sign, layout: Layout, neurons: Neurons) -> None:
    negative, zero, positive = (layout.values[op.out][word] for word in SIGNS)
    value = layout.forms[op.value]
    neurons.add(f"{op.out}: one", constant(1.0), constant(1.0), {zero: 1.0})
    for sign, word, direction in ((1.0, "+", positive), (-1.0, "-", negative)):
        far = value * sign + constant(-1.0)
        neurons.add(f"{op.out}: {word}", value * sign, constant(1.0), {direction: 1.0, zero: -1.0})
        neurons.add(f"{op.out}: {word}, more", far, constant(1.0), {direction: -1.0, zero: 1.0})


def _embedding(program: ir.Program, layout: Layout) -> tuple[Matrix, Matrix | None]:
    """Return W_E; in a loop also W_fixed, the part of it that the loop does not carry on."""
    values, singles, begin = layout.values, layout.singles, layout.names.index("begin")
    carried = {d for _, name in program.loop for d in layout.directions(name)}
    entries, fixed = Entries(), Entries()
    for number, token in enumerate(program.tokens):
        weights = {begin: 1.0} if token.role == "begin" else {}
        for name, value in token.values.items():
            if isinstance(value, str):
                weights[values[name][value]] = 1.0
            else:
                weights[singles[name]] = float(value)
        entries.row(number, weights)
        if program.loop:
            fixed.row(number, {d: w for d, w in weights.items() if d not in carried})
    shape = (len(program.tokens), len(layout.names))
    return entries.matrix(shape), fixed.matrix(shape) if program.loop else None


def _loop(program: ir.Program, layout: Layout) -> Matrix:
    """Return W_loop: the directions at the end of a pass to those at the beginning of the next."""
    entries: list[tuple[int, int, float]] = []
    for source, destination in program.loop:
        if source in layout.values:
            places = layout.values[destination]
            entries += [(d, places[word], 1.0) for word, d in layout.values[source].items()]
            continue
        form, place = layout.forms[source], layout.singles[destination]
        if form.constant:
            raise TargetError(
                f"{source!r} has a constant part, which target 'hard' cannot carry to the next "
                "pass; take it off, and add it where it is read"
            )
        entries += [(d, place, weight) for d, weight in form.weights.items()]
    width = len(layout.names)
    return Matrix.from_entries((width, width), entries)


def _unembedding(program: ir.Program, layout: Layout) -> tuple[Matrix, np.ndarray]:
    unembed = program.unembed
    ids = {token.name: number for number, token in enumerate(program.tokens)}
    numbers = [ids[token] for token in unembed.rows]
    b_U = np.zeros(len(ids))
    b_U[numbers] = [1.0 - (len(row) - row.count(None)) for row in unembed.rows.values()]
    entries = Entries()
    for place, name in enumerate(unembed.features):
        at = layout.values[name]
        words = zip(numbers, (row[place] for row in unembed.rows.values()), strict=True)
        entries.ones((at[word], number) for number, word in words if word is not None)
    shares = any(
        isinstance(feature, Distribution) and feature.name in unembed.features
        for feature in program.features
    )
    b_U[ids[unembed.default]] = TINY if shares else 0.5
    return entries.matrix((len(layout.names), len(ids))), b_U


def _readouts(program: ir.Program, layout: Layout, ready: dict[str, int]) -> list[Readout]:
    readouts = []
    for feature in program.features:
        layer = ready.get(feature.name, -1)
        if isinstance(feature, Categorical | Distribution):
            places = tuple(layout.values[feature.name].items())
            readouts.append(Readout(feature, layer, values=places))
        else:
            form = layout.forms[feature.name]
            terms = tuple((weight, direction) for direction, weight in form.weights.items())
            readouts.append(Readout(feature, layer, terms=terms, constant=form.constant))
    return readouts
