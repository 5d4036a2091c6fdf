"""The same weights in another basis: residual directions permuted, rescaled, their signs flipped.

A runtime that reads tensors and kinds of heads, and nothing else, runs them as before. Scales are
powers of two, so every number that is computed is the same but for its exponent and sign.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Layer, Readout, Weights

LARGEST = 3
"""Scales are from 2^-3 to 2^3."""


def disguised(weights: Weights, seed: int = 0) -> Weights:
    """Return weights whose residual directions are permuted, rescaled and flipped at random.

    Directions by which runs are read as words (`state`, `tapeN.read`) keep their scale: who reads
    them looks for a 1.
    """
    rng = np.random.default_rng(seed)
    place = rng.permutation(weights.d_model)
    scale = 2.0 ** rng.integers(-LARGEST, LARGEST + 1, weights.d_model)
    scale *= rng.choice([-1.0, 1.0], weights.d_model)
    scale[_read_as_words(weights)] = 1.0

    def writes(matrix: Matrix) -> Matrix:
        return _moved(matrix, np.arange(matrix.shape[0]), place, 1.0, scale)

    def reads(matrix: Matrix) -> Matrix:
        return _moved(matrix, place, np.arange(matrix.shape[1]), 1 / scale, 1.0)

    positions = np.zeros(weights.d_model)
    positions[place] = weights.W_pos * scale
    names = dict(zip(place.tolist(), weights.directions, strict=True))
    loop = weights.W_loop
    return replace(
        weights,
        directions=tuple(names[number] for number in range(weights.d_model)),
        readouts=tuple(_readout(it, place, scale) for it in weights.readouts),
        W_E=writes(weights.W_E),
        W_pos=positions,
        layers=tuple(_layer(layer, reads, writes) for layer in weights.layers),
        W_U=reads(weights.W_U),
        W_loop=None if loop is None else reads(writes(loop)),
        W_fixed=None if weights.W_fixed is None else writes(weights.W_fixed),
        W_positions=None if weights.W_positions is None else writes(weights.W_positions),
    )


def _read_as_words(weights: Weights) -> list[int]:
    """Return the directions of the features that runs are read by, words and shares."""
    return [
        direction
        for readout in weights.readouts
        if readout.feature.name == "state" or readout.feature.name.endswith(".read")
        for _, direction in readout.values
    ]


def _moved(
    matrix: Matrix,
    rows: np.ndarray,
    columns: np.ndarray,
    by_row: np.ndarray | float,
    by_column: np.ndarray | float,
) -> Matrix:
    """Return a matrix with rows and columns in new places, and scaled by where they were."""
    old_rows, old_columns = matrix.rows(), matrix.columns
    values = matrix.values * np.broadcast_to(by_row, matrix.shape[0])[old_rows]
    values = values * np.broadcast_to(by_column, matrix.shape[1])[old_columns]
    new_rows, new_columns = rows[old_rows], columns[old_columns]
    order = np.lexsort((new_columns, new_rows))
    starts = np.zeros(matrix.shape[0] + 1, dtype=np.int64)
    np.cumsum(np.bincount(new_rows, minlength=matrix.shape[0]), out=starts[1:])
    return Matrix(matrix.shape, starts, new_columns[order], values[order])


def _layer(
    layer: Layer, reads: Callable[[Matrix], Matrix], writes: Callable[[Matrix], Matrix]
) -> Layer:
    heads = tuple(
        replace(
            head,
            W_Q=reads(head.W_Q),
            W_K=reads(head.W_K),
            W_V=reads(head.W_V),
            W_O=writes(head.W_O),
        )
        for head in layer.heads
    )
    mlp = layer.feed_forward
    changed = replace(mlp, W_gate=reads(mlp.W_gate), W_in=reads(mlp.W_in), W_out=writes(mlp.W_out))
    return replace(layer, heads=heads, feed_forward=changed)


def _readout(readout: Readout, place: np.ndarray, scale: np.ndarray) -> Readout:
    """Return a readout of the moved directions; of words it is right where they were not scaled."""
    return replace(
        readout,
        values=tuple((value, int(place[d])) for value, d in readout.values),
        terms=tuple((w / float(scale[d]), int(place[d])) for w, d in readout.terms),
    )
