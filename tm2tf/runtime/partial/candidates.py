"""Which neurons of the back can fire in which case, so that the others need not be looked at.

A gate is a bias, plus what the class of the token adds, plus what each value that was found adds.
These are the coordinates of a case. All but one of them form the key. For each key it is known
beforehand which neurons could fire at all, whatever the coordinate left is: the candidates, mostly
few. Their gates are computed at every pass; all others are certainly closed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.runtime.partial.back import Back, product
from tm2tf.runtime.partial.split import reads
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.weights.matrix import Matrix

MOST = 2**24
"""Entries of a table, at most: 128 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The candidates by key, E in all. Coordinate 0 is the class of the token.

    Attributes:
        strides: what each coordinate adds to the key; 0 for the one that is left.
        left: which one that is.
        first: where the candidates of a key begin, for each key and the end.
        neuron: which neuron a candidate is.
        pre: its gate as far as bias and key go.
        rest: what the coordinate left adds to the gates, by its value.
    """

    strides: Int64[np.ndarray, " coordinates"]
    left: int
    first: Int64[np.ndarray, " keys_and_one"]
    neuron: Int64[np.ndarray, " E"]
    pre: Float64[np.ndarray, " E"]
    rest: Float64[np.ndarray, "values E"]


def candidates(back: Back) -> Candidates:
    """Return the candidates of a back with one feed-forward layer.

    Raises:
        Unfit: its logits do not depend on neurons alone, or there are too many candidates.
    """
    if len(back.layers) != 1:
        raise Unfit(f"{len(back.layers)} feed-forward layers follow the lookups, not one")
    (mlp,) = back.layers
    for matrix in (back.given, *back.brought):
        if reads(back.weights.W_U)[matrix.columns].any():
            raise Unfit("a logit depends on the token or on what was found, past the neurons")
        if reads(mlp.W_in)[matrix.columns].any():
            raise Unfit("a neuron's second factor is not constant")
    if mlp.snap.any():
        raise Unfit("a neuron after the lookups is rounded")
    parts = [product(matrix, mlp.W_gate) for matrix in (back.given, *back.brought)]
    sizes = [part.shape[0] for part in parts]
    most = np.stack([_column_max(part) for part in parts])
    ceiling = mlp.b_gate + most.sum(axis=0)
    pairs = [_pairs(part, ceiling - most[u]) for u, part in enumerate(parts)]
    # the coordinate that tells least: with it given, most neurons could still fire
    left = max(range(len(parts)), key=lambda u: len(pairs[u][0]) / sizes[u])
    entries = _Entries(
        np.zeros(len(mlp.b_gate), dtype=np.int64),
        np.arange(len(mlp.b_gate), dtype=np.int64),
        mlp.b_gate.astype(np.float64),
    )
    strides, keys = np.zeros(len(parts), dtype=np.int64), 1
    for u in range(len(parts)):
        if u == left:
            continue
        entries, strides[u], keys = entries.joined(pairs[u], keys), keys, keys * sizes[u]
        if keys > MOST:
            raise Unfit(f"the neurons' candidates have more than {MOST:,} keys")
    entries = entries.kept(most[left]).sorted()
    if sizes[left] * max(len(entries.key), len(mlp.b_gate)) > MOST:
        raise Unfit(f"the gates of the neurons take more than {MOST:,} numbers")
    return Candidates(
        strides=strides,
        left=left,
        first=np.searchsorted(entries.key, np.arange(keys + 1)),
        neuron=entries.neuron,
        pre=entries.pre,
        rest=parts[left].dense()[:, entries.neuron],
    )


def _column_max(part: Matrix) -> Float64[np.ndarray, " neurons"]:
    """Return the most that a coordinate can add to each gate."""
    most = np.full(part.shape[1], -np.inf)
    np.maximum.at(most, part.columns, part.values)
    full = np.bincount(part.columns, minlength=part.shape[1]) == part.shape[0]
    return np.where(full, most, np.maximum(most, 0.0))


def _pairs(
    part: Matrix, others: Float64[np.ndarray, " neurons"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (value, neuron, what it adds) where a neuron can fire, if the others add their most.

    Sorted by neuron.
    """
    rows = part.rows()
    can = others[part.columns] + part.values > 0
    values, neurons, adds = rows[can], part.columns[can], part.values[can]
    unfed = np.flatnonzero(others > 0)  # they can fire at values that add nothing, too
    if len(unfed):
        if len(unfed) * part.shape[0] > MOST:
            raise Unfit(f"the neurons have more than {MOST:,} candidates")
        adding = np.zeros((part.shape[0], len(unfed)), dtype=np.bool_)
        place = np.full(part.shape[1], -1, dtype=np.int64)
        place[unfed] = np.arange(len(unfed))
        of = place[part.columns]
        adding[rows[of >= 0], of[of >= 0]] = True
        more, which = np.nonzero(~adding)
        values = np.concatenate([values, more])
        neurons = np.concatenate([neurons, unfed[which]])
        adds = np.concatenate([adds, np.zeros(len(more))])
    order = np.lexsort((values, neurons))
    return values[order], neurons[order], adds[order]


@dataclass(frozen=True, slots=True, eq=False)
class _Entries:
    """Candidates: key, neuron, and the gate as far as it is known. Sorted by neuron."""

    key: np.ndarray
    neuron: np.ndarray
    pre: np.ndarray

    def joined(self, pairs: tuple[np.ndarray, np.ndarray, np.ndarray], keys: int) -> _Entries:
        """Return the candidates for one more coordinate of the key."""
        values, neurons, adds = pairs
        first = np.searchsorted(neurons, self.neuron, side="left")
        counts = np.searchsorted(neurons, self.neuron, side="right") - first
        if counts.sum() > MOST:
            raise Unfit(f"the neurons have more than {MOST:,} candidates")
        ends = np.cumsum(counts)
        total = int(ends[-1]) if len(ends) else 0
        places = np.repeat(first - (ends - counts), counts) + np.arange(total)
        return _Entries(
            np.repeat(self.key, counts) + keys * values[places],
            np.repeat(self.neuron, counts),
            np.repeat(self.pre, counts) + adds[places],
        )

    def kept(self, left: Float64[np.ndarray, " neurons"]) -> _Entries:
        """Return those that can fire, if the coordinates left add their most."""
        can = self.pre + left[self.neuron] > 0
        return _Entries(self.key[can], self.neuron[can], self.pre[can])

    def sorted(self) -> _Entries:
        """Return the same by key."""
        order = np.lexsort((self.neuron, self.key))
        return _Entries(self.key[order], self.neuron[order], self.pre[order])
