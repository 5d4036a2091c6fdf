"""The front: from tokens to addresses. What the tensors hold of it becomes a proved `circuit`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.program.features import Integer
from tm2tf.runtime.partial.circuit import Circuit, Neuron, Reader, Terms, prove
from tm2tf.runtime.partial.forms import fixed
from tm2tf.runtime.partial.split import Split, feeds
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head, Readout

MOST_STEP = 2**20
"""What a token may add to a sum, at most, in units of the least: a small part of what sums may come
to (2^26), so that addresses do not leap past all bounds in a step."""

Column: TypeAlias = tuple[Int64[np.ndarray, " _"], Float64[np.ndarray, " _"]]
"""The directions that are read, and the weights."""


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """What the front does with each token. T lookups, I sums, Z kinds of tokens.

    Attributes:
        steps: what each token adds to each sum.
        kinds: the kind of each token.
        query, query_at: the address that a lookup asks for: query[t] . sums + query_at[kind, t].
        key, key_at: the address that is kept: key[kind, t] . sums + key_at[kind, t].
        floor: the floor c of a kind that keeps none, else nan.
        told, told_at: integers that are reported: told[kind, i] . sums + told_at[kind, i].
        limits: how large the sums may become.
    """

    steps: Int64[np.ndarray, "d_vocab sums"]
    kinds: Int64[np.ndarray, " d_vocab"]
    query: Int64[np.ndarray, "lookups sums"]
    query_at: Int64[np.ndarray, "kinds lookups"]
    key: Int64[np.ndarray, "kinds lookups sums"]
    key_at: Int64[np.ndarray, "kinds lookups"]
    floor: Float64[np.ndarray, "kinds lookups"]
    told: Int64[np.ndarray, "kinds integers sums"]
    told_at: Int64[np.ndarray, "kinds integers"]
    limits: Int64[np.ndarray, " sums"]


def front(divided: Split, readouts: Sequence[Readout]) -> Front:
    """Return the front of weights; `readouts` of integers are reported.

    Raises:
        Unfit: it does not come to addresses that are sums of integers.
    """
    taken, summed = _Taken(divided), _summed(divided)
    circuit = taken.circuit([r for r in readouts if isinstance(r.feature, Integer)])
    both = _by_token([*(column for _, column in summed), *taken.columns], divided.weights.W_E)
    steps, units = _steps([head.name for head, _ in summed], both[:, : len(summed)])
    circuit, table = circuit._replace(units=units), both[:, len(summed) :]
    rows: dict[bytes, int] = {}
    kinds = np.array([rows.setdefault(row.tobytes(), len(rows)) for row in table], dtype=np.int64)
    first = np.unique(kinds, return_index=True)[1]
    proof = prove(circuit, tuple(map(tuple, table[first].tolist())))
    queries = np.array([[line for line, _ in kind] for kind in proof.queries], dtype=np.int64)
    if (queries != queries[0]).any():
        raise Unfit("what a lookup asks for depends on the token in more than a constant")
    shape = (len(first), len(divided.lookups))
    integers = (len(first), len(circuit.told))
    return Front(
        steps=steps,
        kinds=kinds,
        query=queries[0],
        query_at=_array([[at for _, at in kind] for kind in proof.queries], shape),
        key=_array([[line for line, _, _ in kind] for kind in proof.keys], (*shape, len(units))),
        key_at=_array([[at for _, at, _ in kind] for kind in proof.keys], shape),
        floor=np.array([[floor for _, _, floor in kind] for kind in proof.keys]).reshape(shape),
        told=_array([[line for line, _ in kind] for kind in proof.told], (*integers, len(units))),
        told_at=_array([[at for _, at in kind] for kind in proof.told], integers),
        limits=np.array(proof.limits, dtype=np.int64),
    )


def _array(listed: list[list[int]] | list[list[list[int]]], shape: tuple[int, ...]) -> np.ndarray:
    return np.array(listed, dtype=np.int64).reshape(shape)


def _summed(divided: Split) -> list[tuple[Head, Column]]:
    """Return what each component of a mean is summed up from, with its head."""
    heads = [head for _, head in divided.summing if head.W_V.nonzeros]
    found = []
    for head in heads:
        rows = head.W_V.transposed()
        found += [(head, _row(rows, i)) for i in range(rows.shape[0])]
    if not found:
        raise Unfit("nothing is summed up")
    return found


def _steps(
    names: Sequence[str], values: Float64[np.ndarray, "d_vocab sums"]
) -> tuple[Int64[np.ndarray, "d_vocab sums"], tuple[int, ...]]:
    """Return what each token adds to each sum, in integers, and what 1 stands for (2^-64)."""
    units = np.where(values != 0, _bits(values), np.inf).min(axis=0)
    units[np.isinf(units)] = 1.0
    scaled = values / units
    for name, largest in zip(names, np.abs(scaled).max(axis=0).tolist(), strict=True):
        if largest > MOST_STEP:
            raise Unfit(f"what the head {name!r} sums up is rounded")
    return scaled.astype(np.int64), tuple(fixed(unit) for unit in units.tolist())


class _Taken:
    """A circuit being taken out of tensors; `columns` are what its readers read, tokens included.

    History directions get numbers of their own, so that equal circuits are equal.
    """

    def __init__(self, divided: Split) -> None:
        self.columns: list[Column] = []
        self._readers: list[Reader] = []
        self._divided = divided
        numbers = np.flatnonzero(divided.history).tolist()
        self._number = {direction: number for number, direction in enumerate(numbers)}

    def circuit(self, told: Sequence[Readout]) -> Circuit:
        """Return the circuit, units left open; `told` are integers that are reported."""
        weights, lookups = self._divided.weights, self._divided.lookups
        position = np.flatnonzero(weights.W_pos)
        layers = tuple(self._layer(number) for number in range(self._divided.looking))
        queries = tuple(self._three(head.W_Q, head.b_Q) for head in lookups)
        keys = tuple(self._three(head.W_K, head.b_K) for head in lookups)
        integers = tuple(self._readout(readout) for readout in told)
        return Circuit(
            readers=tuple(self._readers),
            position=self._terms(position, weights.W_pos[position]),
            layers=layers,
            queries=queries,
            keys=keys,
            told=integers,
            units=(),
            most_position=weights.bounds.position,
            most_key=weights.bounds.key,
        )

    def _layer(self, number: int) -> tuple[tuple[Terms, ...], tuple[Neuron, ...]]:
        layer, history = self._divided.weights.layers[number], self._divided.history
        heads = [head for head in layer.heads if head.W_V.nonzeros]
        means = tuple(
            self._terms(*_row(head.W_O, i)) for head in heads for i in range(head.W_O.shape[0])
        )
        mlp = layer.feed_forward
        alive = np.flatnonzero(feeds(mlp.W_gate, history) | feeds(mlp.W_in, history)).tolist()
        gates, inner = mlp.W_gate.transposed(), mlp.W_in.transposed()
        neurons = tuple(
            Neuron(
                gate=self._read(*_row(gates, i), float(mlp.b_gate[i])),
                inner=self._read(*_row(inner, i), float(mlp.b_in[i])),
                snap=bool(mlp.snap[i]),
                out=self._terms(*_row(mlp.W_out, i)),
            )
            for i in alive
        )
        return means, neurons

    def _three(self, matrix: Matrix, bias: np.ndarray) -> tuple[int, int, int]:
        rows = matrix.transposed()
        first, second, third = (self._read(*_row(rows, i), float(bias[i])) for i in range(3))
        return first, second, third

    def _readout(self, readout: Readout) -> int:
        directions = np.array([d for _, d in readout.terms], dtype=np.int64)
        weights = np.array([w for w, _ in readout.terms], dtype=np.float64)
        return self._read(directions, weights, readout.constant)

    def _read(self, directions: np.ndarray, weights: np.ndarray, bias: float) -> int:
        """Enter a reader, and return its number."""
        self.columns.append((directions, weights))
        self._readers.append(Reader(self._terms(directions, weights), fixed(bias)))
        return len(self._readers) - 1

    def _terms(self, directions: np.ndarray, weights: np.ndarray) -> Terms:
        """Return what of a row is history."""
        pairs = zip(directions.tolist(), weights.tolist(), strict=True)
        return tuple((self._number[d], fixed(w)) for d, w in pairs if d in self._number)


def _row(matrix: Matrix, number: int) -> Column:
    part = slice(matrix.starts[number], matrix.starts[number + 1])
    return matrix.columns[part], matrix.values[part]


def _by_token(columns: Sequence[Column], W_E: Matrix) -> Float64[np.ndarray, "d_vocab columns"]:
    """Return what each reader gets from the token itself, biases left out.

    Raises:
        Unfit: a sum might be rounded.
    """
    d_model, width = W_E.shape[1], len(columns)
    flat = np.zeros(d_model * width)
    lengths = [len(directions) for directions, _ in columns]
    number = np.repeat(np.arange(width), lengths)
    directions = np.concatenate([directions for directions, _ in columns])
    np.add.at(flat, directions * width + number, np.concatenate([w for _, w in columns]))
    dense = flat.reshape(d_model, width)
    read = np.count_nonzero(dense, axis=1) > 0
    kept = read[W_E.columns]
    rows, places, values = W_E.rows()[kept], W_E.columns[kept], W_E.values[kept]
    total, sizes = np.zeros((2, W_E.shape[0], width))
    terms = values[:, None] * dense[places]
    first = np.flatnonzero(np.diff(rows, prepend=-1))  # rows rise: where each one begins
    if len(first):
        total[rows[first]] = np.add.reduceat(terms, first)
        sizes[rows[first]] = np.add.reduceat(np.abs(terms), first)
    # each direction in units of what it holds, each reader in units of what it then weighs
    held = np.full(d_model, np.inf)
    np.minimum.at(held, places, _bits(values))
    used = np.isfinite(held)
    whole = np.where(dense[used] != 0, _bits(dense[used]) * held[used, None], np.inf)
    if bool((sizes - 2.0**53 * whole.min(axis=0, initial=np.inf) > 0).any()):
        raise Unfit("a token's part in an address is rounded")
    return total


def _bits(values: np.ndarray) -> np.ndarray:
    """Return the value of the lowest bit of floats (1 for 0)."""
    fractions, exponents = np.frexp(values)
    whole = np.abs(fractions * 2.0**53).astype(np.int64)
    return np.where(whole == 0, 1.0, np.ldexp((whole & -whole).astype(np.float64), exponents - 53))
