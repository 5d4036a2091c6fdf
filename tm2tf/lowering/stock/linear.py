"""Linear maps of a stream of +1 and -1, and what the two architectures have in common."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32

from tm2tf.lowering.stock.precision import LOGIT
from tm2tf.lowering.stock.wiring import BEGIN, ONE, VOID, Conjunction, Lookup, Wiring

Array = Float32[np.ndarray, "..."]


class Linear:
    """A map from the stream to so many numbers, with a bias."""

    def __init__(self, d_model: int, width: int) -> None:
        self.weight = np.zeros((d_model, width), dtype=np.float32)
        self.bias = np.zeros(width, dtype=np.float32)

    def truth(self, column: int, direction: int, amount: float) -> None:
        """Add `amount` where a direction is +1, and 0 where it is -1."""
        self.weight[direction, column] += amount / 2
        self.bias[column] += amount / 2

    def constant(self, column: int, amount: float) -> None:
        """Add `amount` everywhere."""
        self.bias[column] += amount

    def of_shifted(self, shift: float) -> Array:
        """Return the bias of the same map for a stream to all of whose entries `shift` is added."""
        found: Array = self.bias - np.float32(shift) * self.weight.sum(axis=0)
        return found

    def without_bias(self) -> Array:
        """Return the weight of a map without a bias: the direction that is always 1 has it."""
        found = self.weight.copy()
        found[ONE] += self.bias
        return found


def compare(
    lookup: Lookup,
    query: Linear,
    key: Linear,
    columns: Sequence[tuple[int, int]],
    weights: tuple[float, float],
) -> None:
    """Add what a lookup compares: the product of `weights` for each pair that agrees.

    `columns`: for each pair, where it stands in query and key.
    """
    c_q, c_k = weights
    for (q, k), (asked, found) in zip(columns, lookup.pairs, strict=False):
        if asked is None:
            query.constant(q, c_q)
        else:
            query.truth(q, asked, c_q)
        key.truth(k, found, c_k)
        if found in lookup.at_begin:
            key.truth(k, BEGIN, c_k)
        key.truth(k, VOID, 2 * c_k)


def bring(lookup: Lookup, value: Linear, columns: dict[int, int]) -> None:
    """Add the values of a lookup: 2 for a direction to be set, 0 for others; `columns` by both."""
    for source, to in lookup.moves:
        if to in columns:
            value.truth(columns[to], source, 2.0)
    for to, sign in lookup.defaults:
        if to in columns:
            value.truth(columns[to], BEGIN, 2.0 * sign)


def fire(neuron: Conjunction, into: Linear, column: int, amount: float) -> None:
    """Add a neuron's input: `amount` where all its inputs hold, at most -`amount` elsewhere."""
    for direction in neuron.inputs:
        into.weight[direction, column] += amount
    into.constant(column, amount * (1 - len(neuron.inputs)))


def embedding(wiring: Wiring, width: int) -> Array:
    """Return what tokens embed, `[vocab, width]`; +1 in directions that the wiring has not."""
    W = np.ones((len(wiring.tokens), width), dtype=np.float32)
    W[:, : len(wiring.directions)] = -1
    W[:, ONE] = 1
    for token, held in enumerate(wiring.embedding):
        W[token, list(held)] = 1
    return W


def unembedding(wiring: Wiring, d_model: int) -> Array:
    """Return the unembedding `[vocab, d_model]`.

    A row that holds has logit 0, others at most -2 `LOGIT`, and the default token -`LOGIT`.
    """
    W = np.zeros((len(wiring.tokens), d_model), dtype=np.float32)
    W[:, ONE] = -2 * LOGIT
    for token, row in wiring.rows.items():
        W[token, list(row)] = LOGIT
        W[token, ONE] = -LOGIT * len(row)
    W[wiring.default, ONE] = -LOGIT
    return W
