"""Heads that look something up, for the hard target: `Latest` and `Gather`, `Relative`.

`Latest` and `Gather`, each by address or by words, differ in the kind of their head alone.

The arguments why each is exact stand in `hard`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tm2tf.lowering.begin import Begin
from tm2tf.lowering.layout import Form, Layout, constant
from tm2tf.lowering.neurons import Neurons
from tm2tf.program.operations import Gather, Lookup, Relative
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head

MAX_KEY = 2**26


@dataclass(frozen=True, slots=True)
class Parabola:
    """Directions that hold, for one lookup by address, the gated key and both squares."""

    key: int
    key_squared: int
    query_squared: int


def by_address(op: Lookup, layout: Layout) -> bool:
    """Return whether a lookup compares integers (else it compares words)."""
    return bool(op.key) and op.key[0] in layout.forms


def prepare(op: Lookup, layout: Layout) -> Parabola:
    """Allocate the directions of a lookup by address."""
    places = (layout.new(f"{op.name}.{part}") for part in ("key", "key^2", "query^2"))
    return Parabola(*places)


def add_squares(
    op: Lookup, place: Parabola, begin: Begin, layout: Layout, neurons: Neurons
) -> None:
    """Add the neurons that prepare a lookup: the gated key, its square, the query's square."""
    closed = float(2 * MAX_KEY)
    where = _where(op, begin, layout)
    for sign, side in ((1.0, "+"), (-1.0, "-")):
        key, query = layout.forms[op.key[0]] * sign, layout.forms[op.query[0]] * sign
        gate = key + where * closed + constant(-closed)
        neurons.add(f"{op.name}.key {side}", gate, constant(1.0), {place.key: sign})
        neurons.add(f"{op.name}.key^2 {side}", gate, key, {place.key_squared: 1.0})
        neurons.add(f"{op.name}.query^2 {side}", query, query, {place.query_squared: 1.0})


def address_head(op: Lookup, place: Parabola, begin: Begin, layout: Layout) -> Head:
    """Return the head with q = (2p, 1, p^2) and the three keys of `hard`."""
    absent = constant(1.0) + -_where(op, begin, layout)
    queries = (
        layout.forms[op.query[0]] * 2.0,
        constant(1.0),
        Form({place.query_squared: 1.0}),
    )
    keys = (
        Form({place.key: 1.0}),
        Form({place.key_squared: -1.0, begin.direction: 0.5}) + -absent,
        absent,
    )
    return _head(op, queries, keys, begin, layout)


def word_head(op: Lookup, begin: Begin, layout: Layout) -> Head:
    """Return the head whose score is the number of words that match, plus the flag."""
    queries, keys = [], []
    for query, key in zip(op.query, op.key, strict=True):
        for word, direction in layout.values[key].items():
            at_begin = {begin.direction: -1.0} if begin.words[key] == word else {}
            keys.append(Form({direction: 1.0} | at_begin))
            queries.append(Form({layout.values[query][word]: 1.0}))
    floor = Form({begin.direction: len(op.key) + 0.5})
    queries.append(constant(1.0))
    keys.append(_where(op, begin, layout) + floor)
    return _head(op, tuple(queries), tuple(keys), begin, layout)


def relative_head(op: Relative, begin: Begin, layout: Layout) -> Head:
    """Return the head that looks a fixed number of positions back."""
    nothing = Matrix.from_entries((len(layout.names), 0), ())
    default = () if op.default is None else (op.default,)
    W_V, W_O = _values((op.out,), (op.value,), default, begin, layout)
    return Head(
        name=op.out,
        kind="relative",
        W_Q=nothing,
        b_Q=np.zeros(0),
        W_K=nothing,
        b_K=np.zeros(0),
        W_V=W_V,
        W_O=W_O,
        offset=op.offset,
    )


def _where(op: Lookup, begin: Begin, layout: Layout) -> Form:
    """Return the flag, read as 0 at the begin token, where it is the same in every run."""
    return layout.forms[op.where] + Form({begin.direction: -begin.numbers[op.where]})


def _head(
    op: Lookup, queries: tuple[Form, ...], keys: tuple[Form, ...], begin: Begin, layout: Layout
) -> Head:
    tensors: dict[str, Any] = {}
    for letter, forms in (("Q", queries), ("K", keys)):
        entries = (entry for i, form in enumerate(forms) for entry in form.entries(i))
        shape = (len(layout.names), len(forms))
        tensors[f"W_{letter}"] = Matrix.from_entries(shape, entries)
        tensors[f"b_{letter}"] = np.array([form.constant for form in forms], dtype=np.float64)
    if isinstance(op, Gather):
        default = () if op.default is None else (op.default,)
        W_V, W_O = _values((op.out,), (op.value,), default, begin, layout)
        return Head(name=op.name, kind="mean", W_V=W_V, W_O=W_O, **tensors)
    W_V, W_O = _values(op.outs, op.values, op.defaults, begin, layout)
    return Head(name=op.name, kind="latest", W_V=W_V, W_O=W_O, **tensors)


def _values(
    outs: tuple[str, ...],
    values: tuple[str, ...],
    defaults: tuple[str | int, ...],
    begin: Begin,
    layout: Layout,
) -> tuple[Matrix, Matrix]:
    """Return W_V and W_O: directions of the values to those of the outs.

    The value at the begin token, known beforehand, is taken away there, and the default put.
    """
    brought: list[tuple[int, int, float]] = []
    written: list[tuple[int, int, float]] = []
    for i, (out, value) in enumerate(zip(outs, values, strict=True)):
        column = len(written)
        if out in layout.forms:
            brought += [(d, column, w) for d, w in layout.forms[value].weights.items()]
            change = float(defaults[i]) - begin.numbers[value]
            brought.append((begin.direction, column, change))
            written.append((column, layout.singles[out], 1.0))
            continue
        known = {begin.words[value]: -1.0}
        if defaults:
            known[str(defaults[i])] = known.get(str(defaults[i]), 0.0) + 1.0
        for offset, (word, direction) in enumerate(layout.values[out].items()):
            brought.append((layout.values[value][word], column + offset, 1.0))
            brought.append((begin.direction, column + offset, known.get(word, 0.0)))
            written.append((column + offset, direction, 1.0))
    d_model, width = len(layout.names), len(written)
    return (
        Matrix.from_entries((d_model, width), [entry for entry in brought if entry[2]]),
        Matrix.from_entries((width, d_model), written),
    )
