"""Softmax heads, tables of positions, and features that are not exact, on weights made by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.test_looped_runtime import random_weights
from tm2tf.errors import BoundError
from tm2tf.program.features import Categorical
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, Head, Readout


def soft_weights(seed):
    """Return random looped weights with two softmax heads among the others, and a table."""
    weights, draw = random_weights(seed), np.random.default_rng(seed)
    d, heads = weights.d_model, list(weights.layers[0].heads)
    for number in (1, 4):
        shapes = ((d, 3), (d, 3), (d, number), (number, d))
        W_Q, W_K, W_V, W_O = (Matrix.from_dense(draw.normal(size=shape)) for shape in shapes)
        b_Q, b_K = draw.normal(size=(2, 3))
        heads.insert(number, Head(f"soft {number}", "softmax", W_Q, b_Q, W_K, b_K, W_V, W_O))
    table = Matrix.from_dense(draw.normal(size=(8, d)))
    layers = (replace(weights.layers[0], heads=tuple(heads)), *weights.layers[1:])
    return replace(weights, layers=layers, W_positions=table, bounds=Bounds(8, 0))


@pytest.mark.parametrize("seed", range(6))
def test_softmax_heads_and_positions_are_their_formulas(seed):
    weights = soft_weights(seed)
    tokens = np.random.default_rng(seed).integers(0, 9, (2, 7))
    model = LoopedTransformer(weights)
    model.begin(torch.from_numpy(tokens))
    table = weights.W_positions.dense()[:7]
    x = weights.W_E.dense()[tokens[0]] + np.arange(1, 8)[:, None] * weights.W_pos + table
    np.testing.assert_allclose(model.start[0].numpy(), x, rtol=1e-12)
    ahead = [model.ahead(depth)[0].numpy() for depth in range(3)]
    model()
    for mine, stream in zip(ahead, model.stream, strict=True):
        np.testing.assert_array_equal(mine, stream[0].numpy())
    hard = tuple(head for head in weights.layers[0].heads if head.kind != "softmax")
    without = LoopedTransformer(
        replace(weights, layers=(replace(weights.layers[0], heads=hard), *weights.layers[1:]))
    )
    added = model.layers[0][0](model.stream[0]) - without.layers[0][0](model.stream[0])
    expected = np.zeros_like(x)
    for head in weights.layers[0].heads:
        if head.kind == "softmax":
            scores = (x @ head.W_Q.dense() + head.b_Q) @ (x @ head.W_K.dense() + head.b_K).T
            shares = np.exp(scores / math.sqrt(3))
            shares /= shares.sum(axis=1, keepdims=True)
            expected += shares @ x @ head.W_V.dense() @ head.W_O.dense()
    np.testing.assert_allclose(added[0].numpy(), expected, rtol=1e-9, atol=1e-9)
    again = (
        model.stream[-1][0].numpy() @ weights.W_loop.dense() + weights.W_fixed.dense()[tokens[0]]
    )
    again += np.arange(1, 8)[:, None] * weights.W_pos + table
    np.testing.assert_allclose(model.start[0].numpy(), again, rtol=1e-12, atol=1e-12)
    with pytest.raises(BoundError, match="9 positions, and the weights have 8"):
        model.begin(torch.zeros(1, 9, dtype=torch.int64))


def test_what_is_read_within_a_tolerance():
    feature = Categorical("f", ("a", "b"))
    readout = Readout(feature, 0, values=(("a", 0), ("b", 1)), tolerance=0.25)
    nan = float("nan")
    for x, number in (
        ((0.75, 0.25), 0),
        ((-0.2, 1.2), 1),
        ((0.2, 0.0), -1),
        ((0.74, 0.0), -2),
        ((1.0, 0.3), -2),
        ((1.3, 0.0), -2),
        ((nan, 0.0), -2),
        ((1.0, nan), -2),
    ):
        assert readout.read(np.array(x)) == number
    exact = replace(readout, tolerance=0.0)
    assert [exact.read(np.array(x)) for x in ((1.0, 0.0), (0.0, 0.0), (1e-9, 1.0))] == [0, -1, -2]
