"""The back: from a token and what was looked up to the next token, by classes.

Tokens whose embeddings the back cannot tell apart form a class, and so do tokens from which a
lookup brings the same. Both are found in the tensors: embeddings that are equal in every direction
that is read. A case is a class of tokens and one of values for each lookup; `settling` computes
it as the weights say, in float64.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int64

from tm2tf.runtime.partial.settling import arrays_of, scratch
from tm2tf.runtime.partial.split import Split, reads
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward, Weights

MOST_CLASSES = 2**16 - 1
"""Classes of values, at most: a cell holds two bytes."""


class Classes(NamedTuple):
    """What can be told apart: the class of each token, and one token of each class."""

    of: Int64[np.ndarray, " d_vocab"]
    example: Int64[np.ndarray, " classes"]


def classes(W_E: Matrix, read: Bool[np.ndarray, " d_model"]) -> Classes:
    """Return the classes of tokens whose embeddings are equal in these directions."""
    kept = read[W_E.columns]
    rows = W_E.rows()[kept]
    starts = np.searchsorted(rows, np.arange(W_E.shape[0] + 1))
    columns, values = W_E.columns[kept], W_E.values[kept]
    if (np.diff(starts) <= 1).all():  # as words are, mostly
        return _by_entry(W_E.shape[0], rows, columns, values)
    known: dict[tuple[bytes, bytes], int] = {}
    of = np.empty(W_E.shape[0], dtype=np.int64)
    example: list[int] = []
    for token in range(W_E.shape[0]):
        part = slice(starts[token], starts[token + 1])
        key = (columns[part].tobytes(), values[part].tobytes())
        of[token] = known.setdefault(key, len(known))
        if of[token] == len(example):
            example.append(token)
    return Classes(of, np.array(example, dtype=np.int64))


def _by_entry(tokens: int, rows: np.ndarray, columns: np.ndarray, values: np.ndarray) -> Classes:
    """Return the classes of tokens that have one entry each, or none."""
    places, held = np.full(tokens, -1, dtype=np.int64), np.zeros(tokens)
    places[rows], held[rows] = columns, values
    order = np.lexsort((held, places))
    new = np.ones(tokens, dtype=np.bool_)
    new[1:] = (np.diff(places[order]) != 0) | (np.diff(held[order]) != 0)
    of = np.empty(tokens, dtype=np.int64)
    of[order] = np.cumsum(new) - 1
    return Classes(of, order[new])


def picked(matrix: Matrix, rows: Int64[np.ndarray, " picked"]) -> Matrix:
    """Return some rows of a matrix, in this order."""
    counts = np.diff(matrix.starts)[rows]
    starts = np.concatenate([[0], np.cumsum(counts)])
    places = np.repeat(matrix.starts[rows] - starts[:-1], counts) + np.arange(starts[-1])
    shape = (len(rows), matrix.shape[1])
    return Matrix(shape, starts, matrix.columns[places], matrix.values[places])


def product(left: Matrix, right: Matrix) -> Matrix:
    """Return left @ right."""
    counts = np.diff(right.starts)[left.columns]
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    places = np.repeat(right.starts[left.columns] - (ends - counts), counts) + np.arange(total)
    rows = np.repeat(left.rows(), counts)
    values = np.repeat(left.values, counts) * right.values[places]
    width = max(right.shape[1], 1)
    where, back = np.unique(rows * width + right.columns[places], return_inverse=True)
    sums = np.zeros(len(where))
    np.add.at(sums, back, values)
    where, sums = where[sums != 0], sums[sums != 0]
    starts = np.searchsorted(where, np.arange(left.shape[0] + 1) * width)
    return Matrix((left.shape[0], right.shape[1]), starts, where % width, sums)


class Back:
    """The back of weights.

    Attributes:
        states: the classes of tokens; `values`: for each lookup those of values.
        given: what the back sees of each class of tokens; `brought`: what each lookup adds to the
            stream, by class.
        layers: the feed-forward layers that have neurons.
    """

    def __init__(self, divided: Split) -> None:
        weights = divided.weights
        self.weights: Weights = weights
        mlps = [layer.feed_forward for layer in weights.layers[divided.looking :]]
        self.layers: list[FeedForward] = [mlp for mlp in mlps if mlp.neurons]
        self.read = reads(weights.W_U)
        for mlp in self.layers:
            self.read = self.read | reads(mlp.W_gate) | reads(mlp.W_in)
        self.states = classes(weights.W_E, self.read)
        self.given = picked(weights.W_E, self.states.example)
        self.values = [classes(weights.W_E, reads(head.W_V)) for head in divided.lookups]
        if max(len(found.example) for found in self.values) > MOST_CLASSES:
            raise Unfit(f"a lookup brings more than {MOST_CLASSES:,} different values")
        self.brought = [
            product(product(picked(weights.W_E, found.example), head.W_V), head.W_O)
            for found, head in zip(self.values, divided.lookups, strict=True)
        ]

    @cached_property
    def _laid_out(self) -> tuple[np.ndarray, ...]:
        rows = (self.given, *self.brought)
        return arrays_of(rows, self.layers, self.weights.W_U, self.weights.b_U)

    def arrays(self) -> tuple[np.ndarray, ...]:
        """Return what `settling.settle` needs, with scratch space of its own."""
        neurons = sum(len(mlp.neurons) for mlp in self.layers)
        return *self._laid_out, *scratch(self.weights.d_model, neurons, self.weights.d_vocab)

    @cached_property
    def first_rows(self) -> Int64[np.ndarray, " coordinates"]:
        """The first row of each coordinate of a case, in these."""
        return np.cumsum([0, *(len(m.starts) - 1 for m in (self.given, *self.brought))])[:-1]
