"""The plain torch model of looped weights: all positions at once, passed through again and again.

    x = W_E[token] + P[n]                            the first pass; n = 1, 2, ... is the position
    x = x + sum over heads of attend(q, k, v) W_O    attention looks both ways
    x = x + snap(relu(x W_gate + b_gate) * (x W_in + b_in)) W_out
    logits = x W_U + b_U                             a token at every position, at each pass
    x = x W_loop + W_fixed[token] + P[n]             the next pass
    P[n] = n W_pos + W_positions[n - 1]

It reads nothing but tensors, kinds of heads and offsets. What it leaves out it leaves out by the
numbers: a head whose W_Q is 0 asks the same everywhere, so it is scored once, not once a position;
`x W_in` where W_in is 0 is not formed; and of tokens whose logits are the same everywhere only the
best can win. Batched over sequences of one length, on the CPU or on CUDA, in any dtype in which
the weights are exact.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import linear, softmax

from tm2tf.errors import BoundError, InputError
from tm2tf.runtime.model import GatedFeedForward, as_tensor
from tm2tf.runtime.runner import check_dtype
from tm2tf.weights.model import FeedForward, Head, Weights

Stream: TypeAlias = Float[Tensor, "batch positions d_model"]


def _beside(parts: list[Tensor], rows: int) -> Tensor:
    """Return matrices side by side, of so many rows each; none at all as no columns."""
    return torch.cat([torch.zeros(rows, 0, dtype=torch.float64), *parts], dim=1)


class Attention(nn.Module):
    """All heads of a layer.

    Their values stand side by side in this order of kinds: "relative", "latest" with the same query
    everywhere, other "latest", "softmax", "uniform".
    """

    W_V: Tensor
    W_O: Tensor
    back: Tensor
    W_K: Tensor
    b_K: Tensor
    queries: Tensor
    owner: Tensor

    def __init__(self, heads: tuple[Head, ...]) -> None:
        super().__init__()
        d_model = heads[0].W_V.shape[0]
        relative = [head for head in heads if head.kind == "relative"]
        latest = [head for head in heads if head.kind == "latest"]
        alike = [head for head in latest if not head.W_Q.nonzeros]
        others = [head for head in latest if head.W_Q.nonzeros]
        soft = [head for head in heads if head.kind == "softmax"]
        uniform = [head for head in heads if head.kind == "uniform"]
        order = [*relative, *alike, *others, *soft, *uniform]
        widths = [head.W_V.shape[1] for head in order]
        self.register_buffer("W_V", _beside([as_tensor(head.W_V) for head in order], d_model))
        self.register_buffer("W_O", torch.cat([as_tensor(head.W_O) for head in order]))
        kinds = (relative, alike, others, soft, uniform)
        ends = np.cumsum([0, *map(len, kinds)])
        self._split = [sum(widths[a:b]) for a, b in pairwise(ends)]
        offsets = [head.offset for head in relative for _ in range(head.W_V.shape[1])]
        self.register_buffer("back", torch.tensor(offsets, dtype=torch.int64))
        self._places = torch.empty(0, len(offsets), dtype=torch.int64)
        # heads that ask the same everywhere: all keys side by side, queries down a diagonal
        self.register_buffer("W_K", _beside([as_tensor(head.W_K) for head in alike], d_model))
        self.register_buffer("b_K", _beside([as_tensor(head.b_K)[None] for head in alike], 1)[0])
        asked = [i for i, head in enumerate(alike) for _ in head.b_Q]
        queries = torch.zeros(len(asked), len(alike), dtype=torch.float64)
        queries[range(len(asked)), asked] = _beside([as_tensor(h.b_Q)[None] for h in alike], 1)[0]
        self.register_buffer("queries", queries)
        owner = [i for i, head in enumerate(alike) for _ in range(head.W_V.shape[1])]
        self.register_buffer("owner", torch.tensor(owner, dtype=torch.int64))
        self.others = nn.ModuleList(Scores(head) for head in others)
        self._each = [head.W_V.shape[1] for head in others]
        self.soft = nn.ModuleList(Scores(head) for head in soft)
        self._each_soft = [head.W_V.shape[1] for head in soft]

    def forward(self, x: Stream) -> Stream:
        """Return what the heads add to the stream."""
        batch, length = x.shape[:2]
        values = x @ self.W_V
        relative, alike, others, soft, uniform = torch.split(values, self._split, dim=2)
        brought = []
        if relative.shape[2]:
            if len(self._places) != length:  # where each column of values comes from
                places = torch.arange(length, device=x.device)[:, None] - self.back
                self._places = places.clamp_(0, length - 1)
            brought.append(relative.gather(1, self._places.expand(batch, -1, -1)))
        if len(self.owner):
            scores = linear(x, self.W_K.T, self.b_K) @ self.queries
            index = _last_greatest(scores, 1)[:, self.owner]
            found = alike.gather(1, index[:, None])
            brought.append(found.expand(-1, length, -1))
        if self._each:
            for head, value in zip(
                self.others, torch.split(others, self._each, dim=2), strict=True
            ):
                index = _last_greatest(head(x), 2)[..., None]
                brought.append(value.gather(1, index.expand(-1, -1, value.shape[2])))
        if self._each_soft:
            for head, value in zip(
                self.soft, torch.split(soft, self._each_soft, dim=2), strict=True
            ):
                assert isinstance(head, Scores)
                brought.append(softmax(head(x) / math.sqrt(len(head.b_Q)), dim=2) @ value)
        if uniform.shape[2]:
            brought.append(uniform.mean(dim=1, keepdim=True).expand(-1, length, -1))
        return (torch.cat(brought, dim=2) if len(brought) > 1 else brought[0]) @ self.W_O


class Scores(nn.Module):
    """The scores q . k of a head: of each position, for each position that asks."""

    W_Q: Tensor
    b_Q: Tensor
    W_K: Tensor
    b_K: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        for name in ("W_Q", "b_Q", "W_K", "b_K"):
            self.register_buffer(name, as_tensor(getattr(head, name)))

    def forward(self, x: Stream) -> Float[Tensor, "batch positions positions"]:
        """Return the scores."""
        return linear(x, self.W_Q.T, self.b_Q) @ linear(x, self.W_K.T, self.b_K).transpose(1, 2)


def _last_greatest(scores: Tensor, dim: int) -> Tensor:
    """Return where scores are greatest along a dimension, the last of equals."""
    return scores.shape[dim] - 1 - scores.flip(dim).argmax(dim=dim)  # argmax takes the first


class Neurons(GatedFeedForward):
    """The same neurons as a decoder's, without the products that do nothing."""

    def __init__(self, mlp: FeedForward) -> None:
        super().__init__(mlp)
        self._fixed = not mlp.W_in.nonzeros
        self._ones = self._fixed and bool((mlp.b_in == 1).all())
        self._snaps = bool(mlp.snap.any())

    def forward(self, x: Stream) -> Stream:
        """Return what the layer adds to the stream."""
        neurons = linear(x, self.W_gate.T, self.b_gate).relu_()
        if not self._ones:
            neurons = neurons * (self.b_in if self._fixed else linear(x, self.W_in.T, self.b_in))
        if self._snaps:
            neurons = torch.where(self.snap, neurons.round(), neurons)
        return neurons @ self.W_out


class LoopedTransformer(nn.Module):
    """Compiled looped weights as a torch module: `begin`, then call it, a pass a call.

    Attributes:
        start: the residual stream `[batch, positions, d_model]` at the beginning of the next pass.
        stream: that of the last pass, after the embedding and after each layer.

    Raises:
        InputError: the weights are not looped, or not exact in the dtype.
        NotFoundError: there is no such dtype.
    """

    W_E: Tensor
    W_pos: Tensor
    W_loop: Tensor
    W_fixed: Tensor
    W_U: Tensor
    b_U: Tensor
    W_positions: Tensor | None
    eligible: Tensor
    W_eligible: Tensor
    b_eligible: Tensor

    def __init__(self, weights: Weights, device: str = "cpu", dtype: str = "float64") -> None:
        super().__init__()
        if weights.W_loop is None or weights.W_fixed is None:
            raise InputError("these weights are not looped: run them as a decoder")
        check_dtype(weights, dtype)
        for name in ("W_E", "W_pos", "W_loop", "W_fixed", "W_U", "b_U"):
            self.register_buffer(name, as_tensor(getattr(weights, name)))
        table = weights.W_positions
        self.register_buffer("W_positions", None if table is None else as_tensor(table))
        self.layers = nn.ModuleList()
        for layer in weights.layers:
            parts = [Attention(layer.heads)] if layer.heads else []
            self.layers.append(nn.ModuleList([*parts, Neurons(layer.feed_forward)]))
        self.register_buffer("eligible", _eligible(weights))
        self.register_buffer("W_eligible", self.W_U[:, self.eligible])
        self.register_buffer("b_eligible", self.b_U[self.eligible])
        self.stream: list[Tensor] = []
        self.start = torch.empty(0)
        self.fixed = torch.empty(0)
        self.to(device=device, dtype=getattr(torch, dtype))

    @torch.inference_mode()
    def begin(self, tokens: Int64[Tensor, "batch positions"]) -> None:
        """Put sequences in, in place of those that were there.

        Raises:
            BoundError: they are longer than the weights' table of positions.
        """
        tokens, length = tokens.to(self.W_E.device), tokens.shape[1]
        n = torch.arange(1, length + 1, device=tokens.device).to(self.W_pos.dtype)
        counted = n[:, None] * self.W_pos
        if self.W_positions is not None:
            if length > len(self.W_positions):
                raise BoundError(
                    f"{length:,} positions, and the weights have {len(self.W_positions):,}",
                    bound="position",
                )
            counted = counted + self.W_positions[:length]
        self.start = self.W_E[tokens] + counted
        self.fixed = self.W_fixed[tokens] + counted
        self.stream = []

    @torch.inference_mode()
    def turn(self) -> None:
        """Make one pass."""
        self.stream = self._through(len(self.layers))
        self.start = self.stream[-1] @ self.W_loop + self.fixed

    @torch.inference_mode()
    def ahead(self, depth: int) -> Stream:
        """Return the stream of the next pass after so many layers, without making the pass."""
        return self._through(depth)[-1]

    def _through(self, depth: int) -> list[Tensor]:
        """Return the stream at the beginning of the next pass, and after each of some layers."""
        x = self.start
        stream = [x]
        for layer in list(self.layers)[:depth]:
            assert isinstance(layer, nn.ModuleList)
            for part in layer:
                x = x + part(x)
            stream.append(x)
        return stream

    def forward(self) -> Float[Tensor, "batch positions d_vocab"]:
        """Make one pass; return the logits after it."""
        self.turn()
        return self.logits()

    @torch.inference_mode()
    def logits(self) -> Float[Tensor, "batch positions d_vocab"]:
        """Return the logits after the last pass."""
        return linear(self.stream[-1], self.W_U.T, self.b_U)

    @torch.inference_mode()
    def emitted(self) -> Int64[Tensor, "batch positions"]:
        """Return the argmax of the logits after the last pass, ties to the lower id."""
        logits = linear(self.stream[-1], self.W_eligible.T, self.b_eligible)
        return self.eligible[logits.argmax(dim=-1)]


def _eligible(weights: Weights) -> Tensor:
    """Return the ids that can win, ascending: those whose logits vary, and the best other one."""
    varies = np.zeros(weights.d_vocab, dtype=np.bool_)
    varies[weights.W_U.columns] = True
    others = np.flatnonzero(~varies)
    if len(others):
        varies[others[np.argmax(weights.b_U[others])]] = True
    return torch.from_numpy(np.flatnonzero(varies))


def iterate(
    model: LoopedTransformer, tokens: Int64[Tensor, "batch positions"], passes: int
) -> Int64[Tensor, "batch passes positions"]:
    """Return what a batch of sequences of one length emits, at every position, pass by pass."""
    model.begin(tokens)
    emitted = []
    for _ in range(passes):
        model.turn()
        emitted.append(model.emitted())
    if not emitted:
        return tokens.new_zeros(tokens.shape[0], 0, tokens.shape[1])
    return torch.stack(emitted, dim=1)
