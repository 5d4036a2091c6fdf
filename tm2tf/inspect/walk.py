"""A decoder's run, up to the pass that emits the token of a step, through the plain torch model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.snapshot import NOWHERE, Attended, Place, Snapshot, Within
from tm2tf.machine.spec import Configuration
from tm2tf.program.program import Token
from tm2tf.runtime.model import (
    LatestHead,
    LookupHead,
    MeanHead,
    RelativeHead,
    Transformer,
    UniformHead,
)
from tm2tf.runtime.runner import Context, beyond
from tm2tf.weights.model import Head

MAX_POSITIONS = 20_000
"""The most tokens that are read for a step view, the prompt and every summary included: that
takes the plain torch model about half a minute."""

BLOCK = 256
"""Tokens of a prompt that are read at once."""


class Walk:
    """A run up to the pass that emits step `number`'s token.

    Where a step is a row of cells, that is the pass that emits the cell with the head; if there is
    no such cell, the one that ends the row.

    Attributes:
        places: the positions of the context then.
        cells: how many cells a row has, if the context consists of rows.
        starts: the machine's address, a tape each, of the weights' address 0.
        rebased: whether that is where its head was when the context was last cut.
        number: which pass it is, from 1, among those that emit something.

    Raises:
        NotFoundError: the run has no such step.
        InputError: it comes after more than `MAX_POSITIONS` tokens.
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: a token cuts a context that holds no summary.
    """

    def __init__(self, compiled: Compiled, start: Configuration, number: int) -> None:
        chosen, begin = compiled.construction, compiled.start(start)
        self.weights = compiled.weights
        self.starts, self.rebased, self.number = begin.origins, False, 1
        roles = [self.weights.tokens[i].role for i in begin.ids]
        self.cells = roles.count("cell") if chosen.view == "rows" else None
        self.places: list[Place] = []
        self._rebases, self._heads = chosen.rebases, [tape.head for tape in start.tapes]
        self._model, self._context = Transformer(self.weights), Context(self.weights)
        self._logits = torch.zeros(0)
        self._tokens_read = self._done = self._cell = 0
        self._inputs: dict[int, np.ndarray] = {}
        self._added: dict[int, np.ndarray] = {}
        for which, head in enumerate(self._model.heads):
            head.register_forward_hook(self._keep(which))
        a_step = chosen.tokens_per_step(compiled.machine, self.weights.options)
        if a_step is not None:
            _check_length(number, len(begin.ids), a_step)
        self._read(begin.ids, ["prompt"] * len(begin.ids))
        last = self.weights.tokens[begin.ids[-1]]
        if last.outcome is not None:
            self._refuse(number, last)
        self._go(number)

    @property
    def fed(self) -> Place:
        """The position at the end of the context."""
        return self.places[-1]

    def _go(self, number: int) -> None:
        """Read what is emitted until the pass that emits step `number`'s token."""
        within: Within = "run"
        while True:
            emitted = int(self._logits.argmax())
            token = self.weights.tokens[emitted]
            if self._done + 1 == number and self._shows(token):
                return
            if token.role == "end":
                self._refuse(number, token)
            self._done += token.role == ("step" if self.cells is None else "row")
            if token.outcome is not None:
                self._refuse(number, token)
            self.number += 1
            if token.role == "step":
                moves = (token.values.get(f"tape{t}.move", 0) for t in range(len(self._heads)))
                self._heads = [a + int(b) for a, b in zip(self._heads, moves, strict=True)]
            if token.role == "cut":
                self._begin_anew(emitted)
                within = "run"
            else:
                within = "summary" if token.role == "summary" else within
                self._read([emitted], [within])

    def _shows(self, token: Token) -> bool:
        """Return whether a token of the step that is asked for is the one to show."""
        if self.cells is None:
            return token.role in ("step", "end")
        return "state" in token.values or token.role in ("row", "end")

    def _begin_anew(self, emitted: int) -> None:
        """Begin the context anew with the summary that `emitted` closes."""
        kept = self._context.cut(emitted)
        self.places = []
        self._model.reset()
        if self._rebases:
            self.starts, self.rebased = tuple(self._heads), True
        within: list[Within] = ["summary"] * len(kept)
        self._read(kept, ["prompt", *within[1:]])

    def _read(self, ids: Sequence[int], within: Sequence[Within]) -> None:
        """Let the model read more tokens."""
        for first in range(0, len(ids), BLOCK):
            block = ids[first : first + BLOCK]
            self._tokens_read += len(block)
            if self._tokens_read > MAX_POSITIONS:
                raise InputError(
                    f"the step comes after more than {MAX_POSITIONS:,} tokens, and this view runs "
                    f"the plain model over {MAX_POSITIONS:,} at most; that was in step "
                    f"{self._done + 1:,}: ask for an earlier one"
                )
            if len(self.places) + len(block) > self.weights.bounds.position:
                raise beyond(self.weights, "position", self.weights.bounds.position)
            for token, of in zip(block, within[first : first + BLOCK], strict=True):
                self._place(self.weights.tokens[token], of)
            self._context.feed(len(block), block)
            self._logits = self._model(torch.tensor([block]))[0, -1]
            if any(getattr(head, "beyond", False) for head in self._model.heads):
                raise beyond(self.weights, "key", self._done)

    def _place(self, token: Token, within: Within) -> None:
        """Note where a token stands and what it belongs to."""
        step, addresses = None, tuple[int, ...]()
        if within == "run":  # a row that is being written is one that is not done
            step = self._done + (token.role == "cell") or None
        if token.role == "cell":
            addresses = tuple(self._cell + start for start in self.starts)
        self._cell = self._cell + 1 if token.role == "cell" else 0
        self.places.append(Place(len(self.places) + 1, token.name, within, step, addresses))

    def _refuse(self, number: int, last: Token) -> NoReturn:
        """Say that the run has no such step."""
        steps = self._done
        if last.role == "end":
            more = f"the pass after the last, {steps + 1:,}, emits {last.name} ({last.outcome})"
        else:
            more = f"the last token is {last.name} ({last.outcome})"
        plural = "" if steps == 1 else "s"
        raise NotFoundError(f"no step {number:,}: the run has {steps:,} step{plural}; {more}")

    def _keep(self, which: int) -> Callable[..., None]:
        """Return a hook that keeps a head's last input and output."""

        def hook(_module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            self._inputs[which] = inputs[0][0, -1].numpy()
            self._added[which] = output[0, -1].numpy()

        return hook

    def snapshot(self) -> Snapshot:
        """Return what the last pass was, at the last position."""
        streams = [x[0, -1].numpy() for x in self._model.stream]
        found = Snapshot(self.weights, streams, self._logits.numpy())
        which = 0
        for layer, of_layer in enumerate(self.weights.layers):
            for index, head in enumerate(of_layer.heads):
                attended, mean = self._attended(which, head)
                found.note(layer, index, self._added[which], attended, mean)
                which += 1
        return found

    def _attended(self, which: int, head: Head) -> tuple[Attended, Sequence[float]]:
        """Return where a head looked, and the mean of what it saw; `which` counts all heads."""
        module = self._model.heads[which]
        if isinstance(module, LookupHead):
            query = self._inputs[which] @ head.W_Q.dense() + head.b_Q
            scores = module.keys[0].numpy() @ query
            if isinstance(module, MeanHead):
                chosen = module.attended[0, -1]
                mean = module.values[0][chosen].mean(dim=0).tolist()
                best = Attended.among(scores, int(scores.argmax()), None)
                return replace(best, count=int(chosen.sum())), mean
            assert isinstance(module, LatestHead)
            index = int(module.attended[0, -1])
            return Attended.among(scores, index, self.places[index]), ()
        if isinstance(module, RelativeHead):
            assert module.attended is not None
            return Attended(self.places[int(module.attended[0, -1])]), ()
        assert isinstance(module, UniformHead)
        assert module.sum is not None
        return NOWHERE, (module.sum[0, -1] / module.seen).tolist()


def _check_length(number: int, prompt: int, a_step: int) -> None:
    """Refuse a step that comes too late in a run whose steps are of one length.

    Raises:
        InputError: it does.
    """
    length = prompt + number * a_step - 1
    if length > MAX_POSITIONS:
        raise InputError(
            f"step {number:,} comes after {length:,} tokens of context, and this view runs the "
            f"plain model over {MAX_POSITIONS:,} at most: ask for a step up to "
            f"{max(0, (MAX_POSITIONS - prompt + 1) // a_step):,}"
        )
