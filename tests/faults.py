"""Weights with one fault: every nonzero weight of a transformer, changed one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Weights


def places(weights: Weights) -> Iterator[tuple[str, int]]:
    """Yield (tensor, number of a nonzero weight in it) for every weight that is not 0."""
    for name, tensor in weights.tensors():
        if name.endswith(".snap"):
            continue
        values = tensor.values if isinstance(tensor, Matrix) else tensor
        yield from ((name, int(i)) for i in np.flatnonzero(values))


def describe(weights: Weights, name: str, number: int) -> str:
    """Return where a weight stands, in labels."""
    tensor = dict(weights.tensors())[name]
    if not isinstance(tensor, Matrix):
        return f"{name}[{number}]"
    return f"{name}[{tensor.rows()[number]}, {tensor.columns[number]}]"


def with_weight(weights: Weights, name: str, number: int, factor: float) -> Weights:
    """Return the weights with one of them multiplied by a factor."""
    tensor = dict(weights.tensors())[name]
    if isinstance(tensor, Matrix):
        values = tensor.values.copy()
        values[number] *= factor
        changed: Matrix | np.ndarray = replace(tensor, values=values)
    else:
        changed = tensor.copy()
        changed[number] *= factor
    parts = name.split(".")
    if len(parts) == 1:
        return replace(weights, **{name: changed})
    layers = list(weights.layers)
    layer = layers[int(parts[1])]
    if parts[2] == "attn":
        heads = list(layer.heads)
        heads[int(parts[3])] = replace(heads[int(parts[3])], **{parts[4]: changed})
        layers[int(parts[1])] = replace(layer, heads=tuple(heads))
    else:
        mlp = replace(layer.feed_forward, **{parts[3]: changed})
        layers[int(parts[1])] = replace(layer, feed_forward=mlp)
    return replace(weights, layers=tuple(layers))
