"""The weights of one transformer, with a label for everything in them.

The architecture, for a residual stream x (rows) of width `d_model`, is a decoder without layer
norm. At position n (from 1), `x = W_E[token] + n * W_pos`; in each layer, for every head,
`x += attend(x W_Q + b_Q, x W_K + b_K, x W_V) W_O`, then
`x += snap(relu(x W_gate + b_gate) * (x W_in + b_in)) W_out` (a gated feed-forward layer,
ReGLU of Shazeer 2020, arXiv 2002.05202; `snap` rounds the neurons so marked to the nearest
integer); last, the next token is the argmax of `x W_U + b_U` (ties to the lower id).

Heads attend in one of five ways, `kind`:
- "uniform": the mean of the values of all positions up to and including this one;
- "latest": the value at the position with the greatest score `q . k`, ties to the latest
  (rightmost-hard attention);
- "mean", in decoders only: the mean of the values at all positions with the greatest score
  (average-hard attention, "saturated" in Merrill, Sabharwal & Smith 2022, arXiv 2106.16213);
- "relative": the value `offset` positions back, or at the first position if that is before it
  (a relative position bias, all of its weight on one distance);
- "softmax", in looped weights only: the mean of the values, weighted by softmax(q . k / sqrt(K))
  over all positions, K being `d_head`.

Weights with a `W_loop` are looped (weight-tied): positions are all there from the beginning, heads
look both ways ("relative" with a negative offset: further on, or at the last position), and the
stream at the end of a pass, times `W_loop`, plus `W_fixed` for the token that stands there, plus
`n * W_pos`, is the stream at the beginning of the next one. They may have a table `W_positions`
besides, of learned positions as it were: its row n - 1 is added wherever `n * W_pos` is.

Tensors are called as in TransformerLens. Everything is float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float64

from tm2tf.program.features import Distribution, Feature, Integer
from tm2tf.program.program import Token
from tm2tf.weights.matrix import Matrix

NOT_FINITE = -(2**63)
"""What an integer feature reads as when the residual stream holds infinity or no number."""

HeadKind = Literal["uniform", "latest", "mean", "relative", "softmax"]
SCORED: tuple[HeadKind, ...] = ("latest", "mean", "softmax")
"""The kinds of heads that have queries and keys."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """One attention head. Kinds in `SCORED` have queries and keys; others a `d_head` of 0.

    `offset` is how far back a "relative" head looks (0 for others).

    Shapes: W_Q, W_K `[d_model, d_head]`; b_Q, b_K `[d_head]`; W_V `[d_model, d_value]`;
    W_O `[d_value, d_model]`.
    """

    name: str
    kind: HeadKind
    W_Q: Matrix
    b_Q: Float64[np.ndarray, " d_head"]
    W_K: Matrix
    b_K: Float64[np.ndarray, " d_head"]
    W_V: Matrix
    W_O: Matrix
    offset: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class FeedForward:
    """One gated feed-forward layer; `neurons` names its neurons.

    Shapes: W_gate, W_in `[d_model, d_mlp]`; b_gate, b_in, snap `[d_mlp]`; W_out `[d_mlp, d_model]`.
    """

    neurons: tuple[str, ...]
    W_gate: Matrix
    b_gate: Float64[np.ndarray, " d_mlp"]
    W_in: Matrix
    b_in: Float64[np.ndarray, " d_mlp"]
    W_out: Matrix
    snap: Bool[np.ndarray, " d_mlp"]


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """Attention heads, then a feed-forward layer; `purpose` says in words what it is for."""

    purpose: str
    heads: tuple[Head, ...]
    feed_forward: FeedForward


@dataclass(frozen=True, slots=True)
class Readout:
    """Where the residual stream holds a feature, from the end of layer `layer` on (-1: embedding).

    A categorical feature is the value whose direction is 1 (absent if none is); `values` pairs
    each value with its direction. So it does for a distribution, whose directions hold the shares.
    An integer is `constant` plus the weighted `terms`, which pair a coefficient with a direction. A
    categorical that softmax heads brought is not exact: its directions are within `tolerance` of 0
    and 1.
    """

    feature: Feature
    layer: int
    values: tuple[tuple[str, int], ...] = ()
    terms: tuple[tuple[float, int], ...] = ()
    constant: float = 0.0
    tolerance: float = 0.0

    def read(self, x: Float64[np.ndarray, " d_model"]) -> int:
        """Return the feature in one position's residual stream, as an integer.

        A categorical gives the index of its value; -1 if no direction is set, -2 unless
        exactly one is and holds 1, as far as `tolerance` goes. A distribution gives the index of
        the value with the greatest share, of equals the first; -1 if all are 0, -2 unless all are
        from 0 to 1. Damaged weights may give `NOT_FINITE`.
        """
        if isinstance(self.feature, Distribution):
            shares = self.shares(x)
            if not ((shares >= 0) & (shares <= 1)).all():
                return -2
            return int(shares.argmax()) if shares.any() else -1
        if isinstance(self.feature, Integer):
            value = self.constant + sum(w * x[d] for w, d in self.terms)
            return int(np.rint(value)) if np.isfinite(value) else NOT_FINITE
        pairs = enumerate(self.values)
        held = [(i, x[d]) for i, (_, d) in pairs if not abs(x[d]) <= self.tolerance]
        if not held:
            return -1
        return held[0][0] if len(held) == 1 and abs(held[0][1] - 1) <= self.tolerance else -2

    def shares(self, x: Float64[np.ndarray, " d_model"]) -> Float64[np.ndarray, " values"]:
        """Return what the directions of a distribution's values hold, in their order."""
        return x[[direction for _, direction in self.values]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range in which the weights are exact: runtimes refuse to go past it.

    `position`: the longest context. `key`: the largest absolute integer that a "latest" or "mean"
    head may look for or be addressed by, on a parabola (see the hard target). `bits`: how many
    significant bits a floating-point format must have for that: 53 is float64.
    """

    position: int
    key: int
    bits: int = 53


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A compiled transformer.

    Shapes: W_E `[d_vocab, d_model]`; W_pos `[d_model]`; W_U `[d_model, d_vocab]`; b_U `[d_vocab]`.

    Attributes:
        directions: the name of each residual direction, such as `state=B` or `tape0.head`.
        tokens: the vocabulary, in order of id, with what each token embeds.
        readouts: for each feature of the program, where to read it.
        options: what the construction was asked for, such as {"tape": 256}.
        W_loop: `[d_model, d_model]`, if the weights are looped.
        W_fixed: `[d_vocab, d_model]`, if they are: what a token goes on adding in later passes.
        W_positions: `[bounds.position, d_model]`, if looped weights have a table of positions.
    """

    construction: str
    target: str
    directions: tuple[str, ...]
    tokens: tuple[Token, ...]
    readouts: tuple[Readout, ...]
    bounds: Bounds
    W_E: Matrix
    W_pos: Float64[np.ndarray, " d_model"]
    layers: tuple[Layer, ...]
    W_U: Matrix
    b_U: Float64[np.ndarray, " d_vocab"]
    options: Mapping[str, int] = field(default_factory=dict)
    W_loop: Matrix | None = None
    W_fixed: Matrix | None = None
    W_positions: Matrix | None = None

    @property
    def d_model(self) -> int:
        """The width of the residual stream."""
        return len(self.directions)

    @property
    def d_mlp(self) -> int:
        """The neurons of the widest layer."""
        return max((len(layer.feed_forward.neurons) for layer in self.layers), default=0)

    @property
    def d_vocab(self) -> int:
        """The number of tokens."""
        return len(self.tokens)

    @property
    def heads(self) -> int:
        """The number of attention heads, all layers together."""
        return sum(len(layer.heads) for layer in self.layers)

    def tensors(self) -> Iterator[tuple[str, Matrix | np.ndarray]]:
        """Yield every tensor with its name, in processing order."""
        yield "W_E", self.W_E
        yield "W_pos", self.W_pos
        if self.W_loop is not None and self.W_fixed is not None:
            yield "W_loop", self.W_loop
            yield "W_fixed", self.W_fixed
            if self.W_positions is not None:
                yield "W_positions", self.W_positions
        for number, layer in enumerate(self.layers):
            for index, head in enumerate(layer.heads):
                for name in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "W_O"):
                    yield f"blocks.{number}.attn.{index}.{name}", getattr(head, name)
            for name in ("W_gate", "b_gate", "W_in", "b_in", "W_out", "snap"):
                yield f"blocks.{number}.mlp.{name}", getattr(layer.feed_forward, name)
        yield "W_U", self.W_U
        yield "b_U", self.b_U

    @property
    def parameters(self) -> int:
        """The number of real parameters, zeros included (`snap` is not one)."""
        return sum(tensor.size for name, tensor in self.tensors() if not name.endswith(".snap"))

    @property
    def nonzeros(self) -> int:
        """The number of parameters that are not 0."""
        return sum(
            tensor.nonzeros if isinstance(tensor, Matrix) else int(np.count_nonzero(tensor))
            for name, tensor in self.tensors()
            if not name.endswith(".snap")
        )

    @property
    def emits_probabilities(self) -> bool:
        """Whether the logits are the probabilities of the next token: shares of a distribution.

        The default token's logit stands for no share, and is less than any; its probability is
        what the others leave (target hard says why under "Unembedding").
        """
        shares = {
            direction
            for readout in self.readouts
            if isinstance(readout.feature, Distribution)
            for _, direction in readout.values
        }
        each_once = len(set(self.W_U.columns.tolist())) == self.W_U.nonzeros > 0
        read = set(self.W_U.rows().tolist())
        return each_once and read <= shares and bool((self.W_U.values == 1).all())

    def ids(self) -> dict[str, int]:
        """Return the id of each token by name."""
        return {token.name: number for number, token in enumerate(self.tokens)}
