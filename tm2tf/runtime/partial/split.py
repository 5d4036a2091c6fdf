"""Where weights fall into a front, which makes addresses, and a back, which makes tokens.

`History` directions are those that depend on more than the token that stands there and what was
looked up: the position, what uniform heads bring, and what neurons make of these. In the layers
before the one that looks up, only such neurons may stand; from there on, nothing may read history
but queries and keys. Then values depend on a token alone, and the next token on a token and on the
values that were found.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
from jaxtyping import Bool

from tm2tf.runtime.memory import PARABOLA
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Head, Weights


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """The two halves of some weights.

    Attributes:
        looking: the number of the layer that looks up.
        history: the directions that depend on the tokens before.
    """

    weights: Weights
    looking: int
    history: Bool[np.ndarray, " d_model"]

    @property
    def lookups(self) -> tuple[Head, ...]:
        """The heads that look something up, in order."""
        return self.weights.layers[self.looking].heads

    @property
    def summing(self) -> tuple[tuple[int, Head], ...]:
        """The heads that bring means, each with its layer."""
        layers = enumerate(self.weights.layers[: self.looking])
        return tuple((number, head) for number, layer in layers for head in layer.heads)


def split(weights: Weights) -> Split:
    """Return the two halves of weights.

    Raises:
        Unfit: they have none.
    """
    if weights.W_loop is not None:
        raise Unfit("the weights are looped")
    if any(token.role == "cut" for token in weights.tokens):
        raise Unfit("a token cuts the context")
    looking = _looking(weights)
    history = weights.W_pos != 0
    for layer in weights.layers[:looking]:
        for head in layer.heads:
            _refuse(reads(head.W_V), history, f"what the head {head.name!r} sums up")
            history |= written(head.W_O)
        mlp = layer.feed_forward
        told = feeds(mlp.W_gate, history) | feeds(mlp.W_in, history)
        idle = (np.diff(mlp.W_out.starts) == 0) | told
        if not idle.all():
            name = mlp.neurons[int(np.argmin(idle))]
            raise Unfit(f"the neuron {name!r}, before the lookups, depends on the token alone")
        history |= written(mlp.W_out)
    _refuse(written(weights.W_E), history, "an embedding's direction")
    for head in weights.layers[looking].heads:
        _refuse(reads(head.W_V), history, f"what the head {head.name!r} brings")
    for layer in weights.layers[looking:]:
        mlp = layer.feed_forward
        for matrix in (mlp.W_gate, mlp.W_in):
            _refuse(reads(matrix), history, "a neuron after the lookups")
    _refuse(reads(weights.W_U), history, "a logit")
    return Split(weights, looking, history)


def _looking(weights: Weights) -> int:
    """Return the layer that looks up, the only one, behind which there are no heads."""
    known = ("uniform", "latest")
    for head in chain.from_iterable(layer.heads for layer in weights.layers):
        if head.kind not in known:
            raise Unfit(f"the head {head.name!r} is of kind {head.kind!r}")
        if head.kind == "latest" and head.W_Q.shape[1] != PARABOLA:
            raise Unfit(f"the head {head.name!r} compares words, not addresses")
    kinds = [{head.kind for head in layer.heads} for layer in weights.layers]
    looking = [number for number, found in enumerate(kinds) if "latest" in found]
    if not looking:
        raise Unfit("nothing is looked up")
    if len(looking) > 1 or any(kinds[looking[0] + 1 :]):
        raise Unfit(f"layer {looking[0]} looks up, and there are heads in a later layer")
    if len(kinds[looking[0]]) > 1:
        raise Unfit(f"layer {looking[0]} looks up and sums up")
    return looking[0]


def reads(matrix: Matrix) -> Bool[np.ndarray, " rows"]:
    """Return which rows of a matrix hold anything: which directions it reads."""
    return np.diff(matrix.starts) > 0


def written(matrix: Matrix) -> Bool[np.ndarray, " columns"]:
    """Return which columns of a matrix hold anything: which directions it writes."""
    found = np.zeros(matrix.shape[1], dtype=np.bool_)
    found[matrix.columns] = True
    return found


def feeds(matrix: Matrix, directions: Bool[np.ndarray, " rows"]) -> Bool[np.ndarray, " columns"]:
    """Return which columns read any of these directions."""
    found = np.zeros(matrix.shape[1], dtype=np.bool_)
    found[matrix.columns[directions[matrix.rows()]]] = True
    return found


def _refuse(
    read: Bool[np.ndarray, " d_model"], history: Bool[np.ndarray, " d_model"], what: str
) -> None:
    if (read & history).any():
        raise Unfit(f"{what} depends on the tokens before")
