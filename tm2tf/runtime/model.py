"""The plain torch model: a decoder with explicit matrices, as a textbook would write it.

    x = W_E[token] + n W_pos                               embedding; n = 1, 2, ... is the position
    x = x + sum over heads of attend(q, k, v) W_O
            q = x W_Q + b_Q, k = x W_K + b_K, v = x W_V    each kind in its own way
    x = x + snap(relu(x W_gate + b_gate) * (x W_in + b_in)) W_out
    logits = x W_U + b_U

It takes the argmax of attention over the whole prefix and reads nothing but tensors and the
kinds of heads, so it is what every faster runtime is compared with. Float64 or any format with
bits enough for the weights, on the CPU or on CUDA, batched over sequences, with a key-value cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from tm2tf.errors import InputError
from tm2tf.runtime.memory import PARABOLA
from tm2tf.runtime.runner import beyond, check_dtype
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward, Head, Weights

Stream: TypeAlias = Float[Tensor, "batch new d_model"]
Scores: TypeAlias = Float[Tensor, "batch new seen"]


def as_tensor(matrix: Matrix | np.ndarray) -> Tensor:
    """Return a weight as a dense tensor of its own."""
    return torch.from_numpy(matrix.dense() if isinstance(matrix, Matrix) else matrix.copy())


class UniformHead(nn.Module):
    """Brings the mean of the values so far. Its cache is their sum and their number."""

    W_V: Tensor
    W_O: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.register_buffer("W_V", as_tensor(head.W_V))
        self.register_buffer("W_O", as_tensor(head.W_O))
        self.sum: Tensor | None = None
        self.seen = 0

    def reset(self) -> None:
        """Forget the prefix."""
        self.sum, self.seen = None, 0

    def forward(self, x: Stream) -> Stream:
        """Return what the head adds to the stream at each new position."""
        sums = (x @ self.W_V).cumsum(dim=1)
        if self.sum is not None:
            sums = sums + self.sum
        n = torch.arange(self.seen + 1, self.seen + 1 + x.shape[1], device=x.device)
        self.sum, self.seen = sums[:, -1:], self.seen + x.shape[1]
        return (sums / n.to(x.dtype)[:, None]) @ self.W_O


class RelativeHead(nn.Module):
    """Brings the value `offset` positions back, or the first. Its cache is all values."""

    W_V: Tensor
    W_O: Tensor

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.register_buffer("W_V", as_tensor(head.W_V))
        self.register_buffer("W_O", as_tensor(head.W_O))
        self.offset = head.offset
        self.attended: Tensor | None = None
        self.reset()

    def reset(self) -> None:
        """Forget the prefix."""
        self._values: Tensor | None = None
        self.seen = 0

    def forward(self, x: Stream) -> Stream:
        """Return what the head adds to the stream; `attended` then holds the positions chosen."""
        first, self.seen = self.seen, self.seen + x.shape[1]
        self._values = _append(self._values, x @ self.W_V, first)
        back = torch.arange(first, self.seen, device=x.device) - self.offset
        self.attended = back.clamp(min=0).expand(x.shape[0], -1)
        return self._values[:, self.attended[0]] @ self.W_O


class LookupHead(nn.Module):
    """Scores all positions so far; what it brings, kinds decide. Its cache is all keys, values.

    `beyond` is whether an address was past `key_bound`.
    """

    W_Q: Tensor
    b_Q: Tensor
    W_K: Tensor
    b_K: Tensor
    W_V: Tensor
    W_O: Tensor

    def __init__(self, head: Head, key_bound: int) -> None:
        super().__init__()
        for name in ("W_Q", "b_Q", "W_K", "b_K", "W_V", "W_O"):
            self.register_buffer(name, as_tensor(getattr(head, name)))
        self.key_bound = key_bound
        self.beyond = False
        self.reset()

    def reset(self) -> None:
        """Forget the prefix."""
        self._keys: Tensor | None = None
        self._values: Tensor | None = None
        self.seen = 0

    @property
    def keys(self) -> Float[Tensor, "batch seen d_head"]:
        """The keys of the prefix."""
        assert self._keys is not None
        return self._keys[:, : self.seen]

    @property
    def values(self) -> Float[Tensor, "batch seen d_value"]:
        """The values of the prefix."""
        assert self._values is not None
        return self._values[:, : self.seen]

    def bring(self, scores: Scores) -> Float[Tensor, "batch new d_value"]:
        """Return what is brought to each new position, by the scores of all."""
        raise NotImplementedError

    def forward(self, x: Stream) -> Stream:
        """Return what the head adds to the stream."""
        queries, keys = x @ self.W_Q + self.b_Q, x @ self.W_K + self.b_K
        first, self.seen = self.seen, self.seen + x.shape[1]
        self._keys = _append(self._keys, keys, first)
        self._values = _append(self._values, x @ self.W_V, first)
        scores = queries @ self.keys.transpose(1, 2)
        here = torch.arange(first, self.seen, device=x.device)
        future = torch.arange(self.seen, device=x.device)[None, :] > here[:, None]
        brought = self.bring(scores.masked_fill(future, -torch.inf))
        if keys.shape[-1] == PARABOLA:
            # compared as float64, which holds the bound
            sought, kept = queries[..., 0].double().abs() / 2, keys[..., 0].double().abs()
            self.beyond |= bool(((sought > self.key_bound) | (kept > self.key_bound)).any())
        return brought @ self.W_O


class LatestHead(LookupHead):
    """Brings the value at the greatest score, ties to the latest."""

    attended: Int64[Tensor, "batch new"]

    def bring(self, scores: Scores) -> Float[Tensor, "batch new d_value"]:
        """Return the values; `attended` then holds the positions chosen."""
        # argmax takes the first of equals, so it looks at the prefix from its end
        self.attended = self.seen - 1 - scores.flip(-1).argmax(dim=-1)
        index = self.attended[..., None].expand(-1, -1, self.values.shape[-1])
        return self.values.gather(1, index)


class MeanHead(LookupHead):
    """Brings the mean of the values at all positions with the greatest score."""

    attended: Bool[Tensor, "batch new seen"]

    def bring(self, scores: Scores) -> Float[Tensor, "batch new d_value"]:
        """Return the means; `attended` then holds which positions were chosen."""
        self.attended = scores == scores.amax(dim=-1, keepdim=True)
        chosen = self.attended.to(self.values.dtype)
        return (chosen @ self.values) / chosen.sum(dim=-1, keepdim=True)


class GatedFeedForward(nn.Module):
    """relu(gate) * inner, rounded to the nearest integer where `snap` is set."""

    W_gate: Tensor
    b_gate: Tensor
    W_in: Tensor
    b_in: Tensor
    W_out: Tensor
    snap: Tensor

    def __init__(self, mlp: FeedForward) -> None:
        super().__init__()
        for name in ("W_gate", "b_gate", "W_in", "b_in", "W_out", "snap"):
            self.register_buffer(name, as_tensor(getattr(mlp, name)))

    def forward(self, x: Stream) -> Stream:
        """Return what the layer adds to the stream."""
        neurons = torch.relu(x @ self.W_gate + self.b_gate) * (x @ self.W_in + self.b_in)
        return torch.where(self.snap, neurons.round(), neurons) @ self.W_out


def _head(head: Head, key_bound: int) -> UniformHead | LookupHead | RelativeHead:
    if head.kind in ("latest", "mean"):
        return (LatestHead if head.kind == "latest" else MeanHead)(head, key_bound)
    return UniformHead(head) if head.kind == "uniform" else RelativeHead(head)


class Transformer(nn.Module):
    """A compiled transformer as a torch module; call it on token ids.

    Raises:
        InputError: `dtype` has too few bits for the weights.
    """

    W_E: Tensor
    W_pos: Tensor
    W_U: Tensor
    b_U: Tensor

    def __init__(
        self, weights: Weights, device: str = "cpu", dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__()
        check_dtype(weights, str(dtype).removeprefix("torch."))
        for name in ("W_E", "W_pos", "W_U", "b_U"):
            self.register_buffer(name, as_tensor(getattr(weights, name)))
        bound = weights.bounds.key
        self.blocks = [
            (
                [_head(head, bound) for head in layer.heads],
                GatedFeedForward(layer.feed_forward),
            )
            for layer in weights.layers
        ]
        self.parts = nn.ModuleList(part for heads, mlp in self.blocks for part in (*heads, mlp))
        self.seen = 0
        self.stream: list[Tensor] = []
        self.to(device, dtype)

    @property
    def heads(self) -> list[UniformHead | LookupHead | RelativeHead]:
        """All heads in order."""
        return [head for heads, _ in self.blocks for head in heads]

    def reset(self) -> None:
        """Forget the prefix: the next call begins new sequences."""
        self.seen = 0
        for head in self.heads:
            head.reset()

    @torch.no_grad()
    def forward(self, tokens: Int64[Tensor, "batch new"]) -> Float[Tensor, "batch new d_vocab"]:
        """Return the logits after each new token, which follow those of earlier calls.

        Afterwards `stream` holds the residual stream `[batch, new, d_model]` after the embedding
        and after each layer.
        """
        new = torch.arange(self.seen + 1, self.seen + 1 + tokens.shape[1], device=tokens.device)
        self.seen += tokens.shape[1]
        counted = new.to(self.W_pos.dtype)[:, None] * self.W_pos
        # where W_pos is 0 nothing is counted: float16 ends at 65,504, and infinity * 0 is no number
        x = self.W_E[tokens] + torch.where(self.W_pos == 0, 0, counted)
        self.stream = [x]
        for heads, mlp in self.blocks:
            for brought in [head(x) for head in heads]:
                x = x + brought
            x = x + mlp(x)
            self.stream.append(x)
        return x @ self.W_U + self.b_U


def _append(cache: Tensor | None, new: Tensor, seen: int) -> Tensor:
    """Return a cache with `new` written at `seen`, its room doubled when it is full."""
    needed = seen + new.shape[1]
    if cache is None or needed > cache.shape[1]:
        room = new.new_empty(new.shape[0], max(2 * needed, 64), new.shape[2])
        if cache is not None:
            room[:, :seen] = cache[:, :seen]
        cache = room
    cache[:, seen:needed] = new
    return cache


def generate(
    model: Transformer, weights: Weights, prompts: Sequence[Sequence[int]], max_tokens: int
) -> list[list[int]]:
    """Return what the model emits after each prompt, greedily, all prompts as one batch.

    A sequence ends with a token that has an outcome, or after `max_tokens`. Prompts may differ
    in length: all begin at position 1, and the shorter ones begin to emit sooner, so nothing is
    padded. A sequence that is over is fed the token that ends runs, which writes nothing.

    Raises:
        BoundError: some sequence leaves the range in which the weights are exact.
        InputError: the vocabulary has a token that cuts contexts.
    """
    cuts = [token.name for token in weights.tokens if token.role == "cut"]
    if cuts:  # sequences would be cut at different times, and one cache serves them all
        raise InputError(
            f"a batch cannot be cut, and {cuts[0]!r} cuts a context; run the prompts one by one"
        )
    model.reset()
    device = model.W_E.device
    stops = [token.outcome is not None for token in weights.tokens]
    idle = next((i for i, token in enumerate(weights.tokens) if token.role == "end"), 0)
    emitted: list[list[int]] = [[] for _ in prompts]
    over = [stops[prompt[-1]] or max_tokens == 0 for prompt in prompts]
    following = [prompt[0] for prompt in prompts]
    position = 0
    while not all(over):
        if position >= weights.bounds.position:
            raise beyond(weights, "position", position)
        logits = model(torch.tensor(following, device=device)[:, None])
        best = logits[:, -1].argmax(dim=-1).tolist()
        position += 1
        for i, prompt in enumerate(prompts):
            if position < len(prompt):
                following[i] = prompt[position]
            elif over[i]:
                following[i] = idle
            else:
                emitted[i].append(best[i])
                following[i] = best[i]
                over[i] = stops[best[i]] or len(emitted[i]) == max_tokens
        if any(getattr(head, "beyond", False) for head in model.heads):
            raise beyond(weights, "key", position)
    return emitted
