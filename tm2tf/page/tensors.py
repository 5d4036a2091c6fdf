"""Tensors as plain data: all that assets/evaluator.js and assets/looped.js read."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

from tm2tf.runtime.memory import PARABOLA
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import SCORED, FeedForward, Head, Weights

Json: TypeAlias = dict[str, object]


def tensors(weights: Weights) -> Json:
    """Return the tensors, the kinds of heads and the bounds; matrices by their entries."""
    return {
        "bounds": {"position": weights.bounds.position, "key": weights.bounds.key},
        "W_E": matrix(weights.W_E),
        "W_pos": [[d, number(weights.W_pos[d])] for d in np.flatnonzero(weights.W_pos).tolist()],
        "layers": [
            {"heads": [head(it) for it in layer.heads], "mlp": feed_forward(layer.feed_forward)}
            for layer in weights.layers
        ],
        "W_U": matrix(weights.W_U),
        "b_U": numbers(weights.b_U),
        **{
            name: matrix(tensor)
            for name in ("W_loop", "W_fixed", "W_positions")
            if (tensor := getattr(weights, name)) is not None
        },
    }


def head(it: Head) -> Json:
    """Return a head; `onParabola` is whether its keys and queries are addresses with a bound."""
    scored = it.kind in SCORED
    return {
        "kind": it.kind,
        "offset": it.offset,
        "onParabola": scored and len(it.b_Q) == PARABOLA,
        "W_Q": matrix(it.W_Q) if scored else None,
        "b_Q": numbers(it.b_Q),
        "W_K": matrix(it.W_K) if scored else None,
        "b_K": numbers(it.b_K),
        "W_V": matrix(it.W_V),
        "W_O": matrix(it.W_O),
    }


def feed_forward(mlp: FeedForward) -> Json:
    """Return a feed-forward layer."""
    return {
        "W_gate": matrix(mlp.W_gate),
        "b_gate": numbers(mlp.b_gate),
        "W_in": matrix(mlp.W_in),
        "b_in": numbers(mlp.b_in),
        "W_out": matrix(mlp.W_out),
        "snap": [int(snap) for snap in mlp.snap],
    }


def matrix(it: Matrix) -> Json:
    """Return a matrix by its entries, rows rising."""
    return {
        "shape": list(it.shape),
        "rows": it.rows().tolist(),
        "columns": it.columns.tolist(),
        "values": numbers(it.values),
    }


def numbers(values: np.ndarray) -> list[float]:
    """Return numbers as JSON writes them shortest."""
    return [number(value) for value in values.tolist()]


def number(value: float) -> float:
    """Return a number as JSON writes it shortest: whole ones without a point, and no -0."""
    return int(value) if float(value).is_integer() else float(value)
