"""One attention head: what it compares with what (QK), and what it moves where (OV)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tm2tf.inspect.forms import Form, Linear, Names, columns, shown
from tm2tf.inspect.matching import Lookups
from tm2tf.weights.model import Head, HeadKind, Weights

ONE = "1"
"""What stands for the constant 1, which biases multiply, in a QK circuit."""


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

    A "latest" head attends to the latest of the positions that `attends` describes, a "mean" head
    to all of them, alike; a lookup, to the begin token if there are none. "here" is the position
    that looks, "there" one looked at. `offset` is how far back a "relative" head looks.
    """

    layer: int
    index: int
    name: str
    kind: HeadKind
    d_head: int
    d_value: int
    offset: int
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


def summary(lookups: Lookups, layer: int, index: int) -> HeadSummary:
    """Return a head in a line."""
    head = lookups.weights.layers[layer].heads[index]
    return HeadSummary(
        layer=layer,
        index=index,
        name=head.name,
        kind=head.kind,
        d_head=len(head.b_Q),
        d_value=head.W_O.shape[0],
        offset=head.offset,
        attends=lookups.attends(layer, head),
        brings=", ".join(moved(lookups.names, _ov(head), layer)) or "nothing",
    )


def view(weights: Weights, layer: int, index: int) -> HeadView:
    """Return a head's circuits."""
    head, names = weights.layers[layer].heads[index], Names(weights)
    query, key = columns(head.W_Q, head.b_Q), columns(head.W_K, head.b_K)

    def forms(found: list[Linear]) -> tuple[Form, ...]:
        return tuple(names.form(linear, layer) for linear in found)

    return HeadView(
        summary=summary(Lookups(weights, names), layer, index),
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


def moved(names: Names, entries: Mapping[tuple[int, int], float], layer: int) -> tuple[str, ...]:
    """Return in words what (from, to) entries move; a feature moved word by word stands once."""
    left = dict(entries)
    parts = []
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for (source, to), weight in entries.items():
        (a, value), (b, same) = (names.values.get(d, ("", "")) for d in (source, to))
        if a and b and value == same and weight == 1:
            groups.setdefault((a, b), []).append((source, to))
    for (a, b), pairs in groups.items():
        if len(pairs) == len(names.words[a]) and set(names.words[a]) <= set(names.words[b]):
            parts.append(f"{shown(a)} -> {shown(b)}")
            for pair in pairs:
                del left[pair]
    into: dict[int, dict[int, float]] = {}
    for (source, to), weight in sorted(left.items()):
        into.setdefault(to, {})[source] = weight
    for to, weights in into.items():
        form = names.form(Linear(weights), layer)
        parts.append(f"{form.text} -> {shown(names.directions[to])}")
    return tuple(parts)
