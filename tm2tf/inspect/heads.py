"""One attention head: what it compares with what (QK), and what it moves where (OV)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tm2tf.inspect.forms import Form, Linear, Names, columns, scaled, shown
from tm2tf.weights.model import Head, HeadKind, Weights

ONE = "1"
"""What stands for the constant 1, which biases multiply, in a QK circuit."""

ONE_FORM = Linear({}, 1.0)

UNIFORM = "every position, equally"


@dataclass(frozen=True, slots=True)
class Compared:
    """An entry of a QK circuit: score += weight * (query, here) * (key, there)."""

    query: str
    key: str
    weight: float


@dataclass(frozen=True, slots=True)
class Moved:
    """An entry of an OV circuit: (to, here) += weight * (source, there)."""

    source: str
    to: str
    weight: float


@dataclass(frozen=True, slots=True)
class HeadSummary:
    """A head in a line: what it attends to, and what it brings from there.

    A "latest" head attends to the latest of the positions that `attends` describes; a lookup, to
    the begin token if there are none. "here" is the position that looks, "there" one looked at.
    """

    layer: int
    index: int
    name: str
    kind: HeadKind
    d_head: int
    d_value: int
    attends: str
    brings: str


@dataclass(frozen=True, slots=True)
class HeadView:
    """A head's circuits. `query`, `key` and `value` are forms, one a coordinate.

    `qk` is W_Q W_K^T with the biases (the constant 1 is called "1"), `ov` is W_V W_O.
    """

    summary: HeadSummary
    query: tuple[Form, ...]
    key: tuple[Form, ...]
    value: tuple[Form, ...]
    qk: tuple[Compared, ...]
    ov: tuple[Moved, ...]


def summary(weights: Weights, names: Names, layer: int, index: int) -> HeadSummary:
    """Return a head in a line."""
    head = weights.layers[layer].heads[index]
    return HeadSummary(
        layer=layer,
        index=index,
        name=head.name,
        kind=head.kind,
        d_head=len(head.b_Q),
        d_value=head.W_O.shape[0],
        attends=UNIFORM if head.kind == "uniform" else _attends(weights, names, layer, head),
        brings=_brings(names, head),
    )


def view(weights: Weights, names: Names, layer: int, index: int) -> HeadView:
    """Return a head's circuits."""
    head = weights.layers[layer].heads[index]
    query, key = columns(head.W_Q, head.b_Q), columns(head.W_K, head.b_K)

    def forms(found: list[Linear]) -> tuple[Form, ...]:
        return tuple(names.form(linear, layer) for linear in found)

    return HeadView(
        summary=summary(weights, names, layer, index),
        query=forms(query),
        key=forms(key),
        value=forms(columns(head.W_V)),
        qk=tuple(_qk(names, query, key)),
        ov=tuple(
            Moved(names.directions[source], names.directions[to], weight)
            for (source, to), weight in sorted(_ov(head).items())
        ),
    )


def _qk(names: Names, query: list[Linear], key: list[Linear]) -> Iterator[Compared]:
    """Yield the entries of the bilinear form q . k, the constant 1 among the directions."""
    total: dict[tuple[int, int], float] = {}
    constant = len(names.directions)
    for q, k in zip(query, key, strict=True):
        for left, a in [*q.weights.items(), (constant, q.constant)]:
            for right, b in [*k.weights.items(), (constant, k.constant)]:
                total[left, right] = total.get((left, right), 0.0) + a * b
    labels = [*names.directions, ONE]
    for (left, right), weight in sorted(total.items()):
        if weight:
            yield Compared(labels[left], labels[right], weight)


def _ov(head: Head) -> dict[tuple[int, int], float]:
    """Return the entries of W_V W_O by (from, to)."""
    total: dict[tuple[int, int], float] = {}
    for coordinate, linear in enumerate(columns(head.W_V)):
        for to, b in head.W_O.row(coordinate):
            for source, a in linear.weights.items():
                total[source, to] = total.get((source, to), 0.0) + a * b
    return {pair: weight for pair, weight in total.items() if weight}


def _brings(names: Names, head: Head) -> str:
    """Return the OV circuit in words: a feature that is moved value by value stands once."""
    left = _ov(head)
    parts = []
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for source, to in left:
        (a, value), (b, same) = (names.values.get(d, ("", "")) for d in (source, to))
        if a and b and value == same and left[source, to] == 1:
            groups.setdefault((a, b), []).append((source, to))
    sizes = [name for name, _ in names.values.values()]
    for (a, b), pairs in groups.items():
        if len(pairs) == sizes.count(a) == sizes.count(b):
            parts.append(f"{shown(a)} -> {shown(b)}")
            left = {pair: weight for pair, weight in left.items() if pair not in pairs}
    for (source, to), weight in sorted(left.items()):
        parts.append(f"{scaled(names.directions[source], weight)} -> {shown(names.directions[to])}")
    return ", ".join(parts) or "nothing"


def _attends(weights: Weights, names: Names, layer: int, head: Head) -> str:
    """Return what a "latest" head looks for, if its tensors have the form of a lookup.

    That form is the parabola of `lowering.hard`: q = (2p, 1, p^2), k = (w, -w^2 + begin/2 + f - 1,
    1 - f), where earlier layers make w = key and w^2 where the flag f is 1 and 0 elsewhere: the
    position with f = 1 and key = p wins, and the latest of several.
    """
    query, key = columns(head.W_Q, head.b_Q), columns(head.W_K, head.b_K)
    otherwise = "the greatest q . k"
    if len(query) != 3 or "begin" not in names.directions:
        return otherwise
    p2, w = _single(query[2]), _single(key[0])
    made = None if p2 is None or w is None else _gated(weights, w, key[2], layer)
    if p2 is None or made is None:
        return otherwise
    p, flag = query[0] * 0.5, ONE_FORM - key[2]
    address, gates = made
    base = Linear({names.directions.index("begin"): 0.5}) - key[2]
    squares = [
        d
        for d in key[1].weights
        if key[1] == base - Linear({d: 1.0})
        and _written_by(weights, d, layer)
        == [(gates[0], address, 1.0), (gates[1], address * -1.0, 1.0)]
    ]
    fits = (
        query[1] == ONE_FORM
        and _written_by(weights, p2, layer) == [(p, p, 1.0), (p * -1.0, p * -1.0, 1.0)]
        and len(squares) == 1
    )
    if not fits:
        return otherwise
    wanted = f"{names.form(address, layer).text} there = {names.form(p, layer).text} here"
    return wanted + (f", if {names.form(flag, layer).text} there" if flag.weights else "")


def _single(linear: Linear) -> int | None:
    """Return the direction that a form is, if it is one."""
    direction = next(iter(linear.weights), None)
    return direction if direction is not None and linear == Linear({direction: 1.0}) else None


Written = list[tuple[Linear, Linear, float]]
"""The neurons that write one direction: gate, inner form, weight."""


def _written_by(weights: Weights, direction: int, layer: int) -> Written:
    """Return the neurons below a layer that write a direction; none if something else does too."""
    found: Written = []
    others = [weights.W_E, *(head.W_O for below in weights.layers[:layer] for head in below.heads)]
    if weights.W_pos[direction] or any((other.columns == direction).any() for other in others):
        return found
    for below in weights.layers[:layer]:
        mlp = below.feed_forward
        entries = mlp.W_out.columns == direction
        if entries.any():
            gate, inner = columns(mlp.W_gate, mlp.b_gate), columns(mlp.W_in, mlp.b_in)
            rows, values = mlp.W_out.rows()[entries], mlp.W_out.values[entries]
            found += [(gate[i], inner[i], float(w)) for i, w in zip(rows, values, strict=True)]
    return found


def _gated(
    weights: Weights, direction: int, absent: Linear, layer: int
) -> tuple[Linear, tuple[Linear, Linear]] | None:
    """Return (w, gates) if a direction is made to hold w where `absent` is 0, and 0 where it is 1.

    That is by two neurons, relu(w - C absent) less relu(-w - C absent), with a C above any w.
    """
    made = _written_by(weights, direction, layer)
    if [(inner, weight) for _, inner, weight in made] != [(ONE_FORM, 1.0), (ONE_FORM, -1.0)]:
        return None
    gates = made[0][0], made[1][0]
    held, shut = (gates[0] - gates[1]) * 0.5, (gates[0] + gates[1]) * -0.5
    largest = max([abs(absent.constant), *map(abs, absent.weights.values())])
    closed = max([abs(shut.constant), *map(abs, shut.weights.values())]) / (largest or 1.0)
    if shut != absent * closed or (absent != Linear({}) and closed <= weights.bounds.key):
        return None
    return held, gates
