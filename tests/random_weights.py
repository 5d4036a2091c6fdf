"""Small random weights of integers, made directly: every kind of head, tokens of every role.

All that is summed or multiplied is a whole number, but for the means that uniform and mean heads
bring: each has a direction for itself, which only a neuron that snaps looks at. So every order of
summation gives the same numbers.
"""

import numpy as np

from tm2tf.program.program import Token
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Bounds, FeedForward, Head, Layer, Weights

PLAIN, MEANS = 7, 2
"""Directions that anything is written to and read from, and those that means are brought to."""

WIDTHS = (0, 1, 2, 3, 5, 12)
OFFSETS = (0, 1, 2, 5, 40)
ROLES = ("prompt", "step", "part", "end")


class Draw:
    """Weights being drawn."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.means = 0

    def numbers(self, *shape):
        """Return small integers, most of them 0."""
        drawn = self.rng.integers(-2, 3, size=shape) * (self.rng.random(shape) < 0.4)
        return drawn.astype(np.float64)

    def reading(self, columns):
        """Return a matrix that reads plain directions."""
        dense = np.zeros((PLAIN + MEANS, columns))
        dense[:PLAIN] = self.numbers(PLAIN, columns)
        return Matrix.from_dense(dense)

    def head(self, kind, number):
        width = int(self.rng.choice(WIDTHS)) if kind in ("latest", "mean") else 0
        values = 1 if kind in ("uniform", "mean") else int(self.rng.integers(1, 4))
        dense = np.zeros((values, PLAIN + MEANS))
        if kind in ("uniform", "mean"):
            dense[0, PLAIN + self.means] = 1
            self.means += 1
        else:
            dense[:, :PLAIN] = self.numbers(values, PLAIN)
        return Head(
            name=f"head{number}",
            kind=kind,
            W_Q=self.reading(width),
            b_Q=self.numbers(width),
            W_K=self.reading(width),
            b_K=self.numbers(width),
            W_V=self.reading(values),
            W_O=Matrix.from_dense(dense),
            offset=int(self.rng.choice(OFFSETS)) if kind == "relative" else 0,
        )

    def feed_forward(self, snaps):
        """Return a layer of three neurons, and one for each mean to `snap`."""
        gates, inner = self.reading(3).dense(), self.reading(3).dense()
        for direction in snaps:  # relu(position) * mean
            gates = np.column_stack([gates, np.eye(PLAIN + MEANS)[0]])
            inner = np.column_stack([inner, np.eye(PLAIN + MEANS)[direction]])
        width = gates.shape[1]
        out = np.zeros((width, PLAIN + MEANS))
        out[:, 1:PLAIN] = self.numbers(width, PLAIN - 1)
        biases = self.numbers(2, width)
        biases[:, 3:] = 0
        return FeedForward(
            neurons=tuple(f"neuron{i}" for i in range(width)),
            W_gate=Matrix.from_dense(gates),
            b_gate=biases[0],
            W_in=Matrix.from_dense(inner),
            b_in=biases[1],
            W_out=Matrix.from_dense(out),
            snap=np.arange(width) >= 3,
        )

    def layer(self, kinds, number):
        before = self.means
        heads = tuple(self.head(kind, 10 * number + i) for i, kind in enumerate(kinds))
        snaps = range(PLAIN + before, PLAIN + self.means)
        return Layer(f"layer {number}", heads, self.feed_forward(snaps))


def random_weights(seed, kinds, roles=ROLES, vocab=9, bits=53):
    """Return weights with a layer for each tuple of kinds; token 0 begins, others have `roles`.

    There may be no more than `MEANS` uniform and mean heads. Direction 0 is the position, which is
    read.
    """
    draw = Draw(seed)
    d_model = PLAIN + MEANS
    embedding = np.zeros((vocab, d_model))
    embedding[:, 1:PLAIN] = draw.numbers(vocab, PLAIN - 1)
    tokens = [Token("<bos>", "begin", {})]
    for i in range(1, vocab):
        tokens.append(Token(f"t{i}", str(draw.rng.choice(roles)), {}))
    return Weights(
        construction="random",
        target="hard",
        directions=tuple(f"d{i}" for i in range(d_model)),
        tokens=tuple(tokens),
        readouts=(),
        bounds=Bounds(position=2**40, key=2**26, bits=bits),
        W_E=Matrix.from_dense(embedding),
        W_pos=np.eye(d_model)[0],
        layers=tuple(draw.layer(layer, number) for number, layer in enumerate(kinds)),
        W_U=Matrix.from_dense(np.vstack([draw.numbers(PLAIN, vocab), np.zeros((MEANS, vocab))])),
        b_U=draw.numbers(vocab),
    )


def random_prompt(seed, weights, length):
    """Return ids of a prompt: a begin token, then any others."""
    drawn = np.random.default_rng(seed).integers(1, weights.d_vocab, length - 1)
    return [0, *drawn.tolist()]


def forced(runner, tokens):
    """Return the streams after each of these tokens, fed to a runner that begins with the first.

    What it emits is replaced by the next of them, as if that had been emitted.
    """
    found = [runner.streams()]
    for token in tokens[1:]:
        kept = isinstance(runner._pending, np.ndarray)
        runner._pending = np.array([token], dtype=np.uint64) if kept else [token]
        runner._cut = runner.weights.tokens[token].role == "cut"
        found.append(runner.streams())
    return np.array(found)
