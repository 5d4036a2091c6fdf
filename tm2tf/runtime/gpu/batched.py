"""Many streams through the plain torch model, as one batch whose every pass is the same few calls.

`runtime.model.generate` does the same and reads the tokens of each pass. Here all that changes from
pass to pass is kept on the device, in buffers that stay where they are: on CUDA one pass is
captured as a graph, and replayed. Caches of keys and values double when they are full, and then
the pass is captured anew.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from tm2tf.compiler import Compiled, Start
from tm2tf.errors import InternalError
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.memory import PARABOLA, Memory, addresses_of, decode, lookup
from tm2tf.runtime.model import (
    LatestHead,
    LookupHead,
    MeanHead,
    RelativeHead,
    Transformer,
    UniformHead,
)
from tm2tf.runtime.run import Result, refuse_trouble, result_of, run
from tm2tf.runtime.runner import Emitted, Probe, Runner, beyond, probed
from tm2tf.runtime.steps import StepFollower
from tm2tf.weights.model import Weights

FIRST_ROOM = 64
"""Positions of the caches at first."""

LOOK = 32
"""Passes between two looks at whether all streams are over: looking waits for the device."""

WARM = 3
"""Passes before one is captured, in which libraries take what memory they need."""


class Decoder:
    """A batch of sequences in the midst of decoding.

    Attributes:
        position: the tokens fed so far, the same for all.
        told: the tokens emitted by the pass that fed position p, in column p; -1: none.
        kept: the residual stream behind the last token of each sequence.
    """

    def __init__(
        self,
        weights: Weights,
        prompts: Sequence[Sequence[int]],
        device: str = "cpu",
        max_tokens: int | None = None,
    ) -> None:
        self.weights, self.device = weights, device
        self.model = Transformer(weights, device)
        stops = [token.outcome is not None for token in weights.tokens]
        longest = max(map(len, prompts))
        self._prompts = self._tensor([[*p, *[p[-1]] * (longest - len(p))] for p in prompts])
        self._lengths = self._tensor([len(p) for p in prompts])
        self._stops = self._tensor(stops)
        self._over = self._tensor([stops[p[-1]] or max_tokens == 0 for p in prompts])
        self._closed = torch.zeros_like(self._over)
        self._beyond = torch.zeros(1, dtype=torch.bool, device=device)
        self._most = 2**62 if max_tokens is None else max_tokens
        self._idle = next((i for i, token in enumerate(weights.tokens) if token.role == "end"), 0)
        self._next = self._prompts[:, 0].clone()
        self._at = torch.zeros(1, dtype=torch.int64, device=device)
        self.position = 0
        count = len(prompts)
        self.kept = torch.zeros(count, weights.d_model, dtype=torch.float64, device=device)
        self.told = torch.full((count, FIRST_ROOM), -1, dtype=torch.int64, device=device)
        self._caches = [self._cache(head, count) for head in self.model.heads]
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.no_grad()
    def run(self) -> None:
        """Feed and emit until all sequences are over and their last tokens are fed.

        Raises:
            BoundError: a sequence leaves the range in which the weights are exact.
        """
        while not bool(self._closed.all()):
            for _ in range(LOOK):
                if self.position == self.told.shape[1]:
                    self._grow()
                if self.position == self.weights.bounds.position:
                    break
                self._step()
                self.position += 1
            if bool(self._beyond):
                raise beyond(self.weights, "key", self.position)
            if self.position == self.weights.bounds.position and not bool(self._closed.all()):
                raise beyond(self.weights, "position", self.position)

    def _step(self) -> None:
        """Make one pass; on CUDA, as a graph."""
        if self.device != "cuda" or self.position < WARM:
            self._pass()
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._pass()
        self._graph.replay()

    def _pass(self) -> None:
        """Feed each sequence its next token; where the prompt is over, note what is emitted."""
        model, at = self.model, self._at
        counted = (at + 1).to(torch.float64) * model.W_pos
        x = model.W_E[self._next] + torch.where(model.W_pos == 0, 0, counted)
        number = 0
        for heads, mlp in model.blocks:
            brought = []
            for head in heads:
                brought.append(self._bring(head, self._caches[number], x))
                number += 1
            for part in brought:
                x = x + part
            x = x + mlp(x[:, None])[:, 0]
        best = (x @ model.W_U + model.b_U).argmax(dim=-1)
        closing = self._over & ~self._closed & (at + 1 >= self._lengths)
        self.kept.copy_(torch.where(closing[:, None], x, self.kept))
        self._closed |= closing
        speaks = ~self._over & (at + 1 >= self._lengths)
        self.told.index_copy_(1, at, torch.where(speaks, best, -1)[:, None])
        self._over |= speaks & (self._stops[best] | (at + 2 - self._lengths >= self._most))
        prompted = self._prompts.index_select(1, (at + 1).clamp(max=self._prompts.shape[1] - 1))
        after = torch.where(speaks, best, self._idle)
        self._next.copy_(torch.where(at + 1 < self._lengths, prompted[:, 0], after))
        at += 1

    def _bring(self, head: torch.nn.Module, cache: list[Tensor], x: Tensor) -> Tensor:
        """Return what a head adds to the stream `[batch, d_model]`, having cached what it must."""
        at = self._at
        if isinstance(head, UniformHead):
            cache[0] += x @ head.W_V
            return (cache[0] / (at + 1)) @ head.W_O
        if isinstance(head, RelativeHead):
            cache[0].index_copy_(1, at, (x @ head.W_V)[:, None])
            return cache[0].index_select(1, (at - head.offset).clamp(min=0))[:, 0] @ head.W_O
        if not isinstance(head, LookupHead):
            raise InternalError(f"a batch has no way to evaluate a {type(head).__name__}")
        keys, values = cache
        query, key = x @ head.W_Q + head.b_Q, x @ head.W_K + head.b_K
        keys.index_copy_(1, at, key[:, None])
        values.index_copy_(1, at, (x @ head.W_V)[:, None])
        if key.shape[-1] == PARABOLA:
            far = (query[:, 0].abs() / 2 > head.key_bound) | (key[:, 0].abs() > head.key_bound)
            self._beyond |= (far & ~self._closed).any()
        scores = (keys @ query[:, :, None])[:, :, 0]
        seen = torch.arange(keys.shape[1], device=keys.device) <= at
        scores = torch.where(seen, scores, -torch.inf)
        if isinstance(head, MeanHead):
            chosen = (scores == scores.amax(dim=1, keepdim=True)).to(values.dtype)
            mean = (chosen[:, None] @ values)[:, 0] / chosen.sum(dim=1, keepdim=True)
            return mean @ head.W_O
        if not isinstance(head, LatestHead):
            raise InternalError(f"a batch has no way to evaluate a {type(head).__name__}")
        # argmax takes the first of equals, so it looks at the prefix from its end
        latest = keys.shape[1] - 1 - scores.flip(1).argmax(dim=1)
        return values[torch.arange(len(latest), device=latest.device), latest] @ head.W_O

    def _cache(self, head: torch.nn.Module, count: int) -> list[Tensor]:
        """Return empty caches of a head: a sum, or keys and values by position."""
        widths = [getattr(head, "W_V").shape[1]]  # noqa: B009 - typed as a module
        if isinstance(head, LookupHead):
            widths.insert(0, head.W_K.shape[1])
        room = () if isinstance(head, UniformHead) else (FIRST_ROOM,)
        return [
            torch.zeros(count, *room, width, dtype=torch.float64, device=self.device)
            for width in widths
        ]

    def _grow(self) -> None:
        """Double the room of all that is kept by position."""
        self._graph = None
        self.told = torch.cat([self.told, torch.full_like(self.told, -1)], dim=1)
        self._caches = [
            [it if it.dim() == 2 else torch.cat([it, torch.zeros_like(it)], dim=1) for it in cache]
            for cache in self._caches
        ]

    def _tensor(self, values: list[int] | list[bool] | list[list[int]]) -> Tensor:
        return torch.tensor(values, device=self.device)

    def tokens(self) -> list[list[int]]:
        """Return what each sequence emitted."""
        found = self.told.cpu().numpy()
        return [row[row >= 0].tolist() for row in found]

    def memory(self, head: str, sequence: int) -> Memory:
        """Return what the "latest" head called `head` would bring to a sequence, by address."""
        number, label = lookup(self.weights, head)
        keys, values = (it[sequence, : self.position].cpu().numpy() for it in self._caches[number])
        held, addresses = addresses_of(self.weights, label, keys)
        return decode(self.weights, label, addresses[held], values[held])


class Row:
    """One sequence of a batch that has been decoded. See `runner.Runner` for the methods."""

    name = "torch"
    attention = "argmax over the prefix"
    kernel: str | None = None

    def __init__(
        self, weights: Weights, prompt: Sequence[int], probes: Sequence[str], device: str
    ) -> None:
        self.device = device
        self.reason: str | None = None
        self._prompt, self._probes = tuple(prompt), probed(weights, probes)
        self._number, self._done, self._settled = -1, 0, False
        self._decoder: Decoder | None = None
        self._tokens: list[int] = []

    def give(self, decoder: Decoder, number: int, tokens: list[int]) -> None:
        """Say which row of a batch it is, and what that one emitted."""
        self._decoder, self._number, self._tokens = decoder, number, tokens

    @property
    def context(self) -> int:
        """The tokens fed in the present context."""
        return len(self._prompt) + self._done - (not self._settled)

    @property
    def peak_context(self) -> int:
        """The tokens fed in the longest context so far."""
        return self.context

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Return up to `count` more of the tokens, without probes."""
        if probe:
            raise InternalError("a row of a batch was asked for probes")
        tokens = np.array(self._tokens[self._done : self._done + count], dtype=np.int64)
        self._done += len(tokens)
        return Emitted(tokens, np.zeros((len(tokens), 0), dtype=np.int64))

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> None:
        """Return None: every token is listed."""
        return

    def record(self, count: int, plain: Bool[np.ndarray, " d_vocab"]) -> None:
        """Return None: features are read off the residual stream."""
        return

    def settle(self) -> dict[str, int]:
        """Return the probes behind the last token by name."""
        self._settled = True
        x = self._whole().kept[self._number].cpu().numpy()
        return {readout.feature.name: readout.read(x) for readout in self._probes}

    def cases(self) -> None:
        """Return None: they are not counted."""
        return

    @property
    def read_by(self) -> tuple[Probe, ...]:
        """None: features are read off the residual stream."""
        return ()

    def streams(self) -> NoReturn:
        """Raise: a batch keeps no residual streams."""
        raise InternalError("a row of a batch was asked for its residual streams")

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        return self._whole().memory(head, self._number)

    def _whole(self) -> Decoder:
        if self._decoder is None:
            raise InternalError("a row of a batch was read before the batch was decoded")
        return self._decoder


def run_batch(
    compiled: Compiled,
    starts: Sequence[Configuration],
    device: str,
    max_steps: int | None,
    reason: str | None,
) -> list[Result]:
    """Run weights from many starts through the plain torch model, all as one batch.

    Weights whose steps take several tokens, or whose contexts are cut or looped, run one by one.
    """
    construction, weights = compiled.construction, compiled.weights
    alike = construction.view == "steps" and not construction.rebases
    cuts = any(token.role == "cut" for token in weights.tokens)
    if not alike or cuts or weights.W_loop is not None or construction.parts(compiled.machine):
        alone = "the weights do not run as a batch: a step takes several tokens, or contexts change"
        found = (
            run(compiled, start, max_steps=max_steps, runtime="torch", device=device)
            for start in starts
        )
        return [replace(one, reason=reason or alone) for one in found]
    began = time.perf_counter()
    rows: list[Row] = []

    def make(probes: tuple[str, ...], begin: Start) -> Runner:
        rows.append(Row(weights, begin.ids, probes, device))
        rows[-1].reason = reason
        return rows[-1]

    followers = [StepFollower(compiled, start, make) for start in starts]
    if not followers:
        return []
    decoder = Decoder(weights, [compiled.start(start).ids for start in starts], device, max_steps)
    decoder.run()
    for number, (row, tokens) in enumerate(zip(rows, decoder.tokens(), strict=True)):
        row.give(decoder, number, tokens)
        followers[number].advance(len(tokens))
        refuse_trouble(compiled, followers[number])
    seconds = time.perf_counter() - began
    return [result_of(follower, seconds) for follower in followers]
