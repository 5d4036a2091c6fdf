"""A decoder's run, and any pass of it that emits a step's token, through the plain torch model.

A run is read once, token by token. What is kept of it are tokens and what the heads cache: so a
pass that was made can be made again at the cost of one pass, by letting the heads forget what came
later and feeding its token once more. Only in a context that was cut since, its tokens are read
again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.snapshot import NOWHERE, Attended, Labels, Place, Row, Seen, Snapshot, Within
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
"""The most tokens that are read for step views, the prompt and every summary included: that takes
the plain torch model about half a minute, and bounds what is kept of a run."""

BLOCK = 256
"""Tokens of a prompt that are read at once."""


@dataclass(slots=True, eq=False)
class _Stretch:
    """What stood in one context; the attributes as in `Seen`.

    `sums`: what each uniform head held after so many tokens, where a reading of tokens ended.
    """

    starts: tuple[int, ...]
    rebased: bool
    ids: list[int] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    sums: dict[int, list[Tensor | None]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Moment:
    """Where a pass is: in which context, after how many of its tokens; `number` as in `Seen`."""

    stretch: int
    length: int
    number: int


class Walk:
    """A run, read as far as it was asked for.

    The pass of a step is the one that emits its token. Where a step is a row of cells, that is the
    pass that emits the cell with the head; if there is no such cell, the one that ends the row.
    """

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        chosen, begin = compiled.construction, compiled.start(start)
        self._weights, self._labels = compiled.weights, Labels(compiled.weights)
        self._prompt = begin.ids
        roles = [self._weights.tokens[i].role for i in begin.ids]
        self._cells = roles.count("cell") if chosen.view == "rows" else None
        self._per_step = chosen.tokens_per_step(compiled.machine, self._weights.options)
        self._rebases, self._heads = chosen.rebases, [tape.head for tape in start.tapes]
        self._model, self._context = Transformer(self._weights), Context(self._weights)
        self._stretches = [_Stretch(begin.origins, rebased=False)]
        self._moments: list[_Moment] = []
        self._error: InputError | None = None
        self._held = self._known = 0  # which stretch the heads know, and how many tokens of it
        self._made = (0, 0)  # the stretch and the length of the last pass
        self._tokens_read = self._done = self._cell = self._next = 0
        self._number, self._begun = 1, False
        self._within: Within = "run"
        self._over = self._weights.tokens[begin.ids[-1]].outcome is not None
        self._logits = torch.zeros(0)
        self._inputs: dict[int, np.ndarray] = {}
        self._added: dict[int, np.ndarray] = {}
        for which, head in enumerate(self._model.heads):
            head.register_forward_hook(self._keep(which))

    @property
    def known(self) -> int:
        """The steps whose passes are known."""
        return len(self._moments)

    def at(self, number: int) -> Seen:
        """Return the pass of a step.

        Raises:
            NotFoundError: the run has no such step.
            InputError: it comes after more than `MAX_POSITIONS` tokens.
            BoundError: the run leaves the range in which the weights are exact.
            ArtifactError: a token cuts a context that holds no summary.
        """
        self.reach(number)
        moment = self._moments[number - 1]
        stretch = self._stretches[moment.stretch]
        self._look(moment.stretch, moment.length)
        places = stretch.places[: moment.length]
        return Seen(
            number=moment.number,
            places=places,
            cells=self._cells,
            starts=stretch.starts,
            rebased=stretch.rebased,
            fed=places[-1],
            snapshot=self._snapshot(places),
        )

    def reach(self, number: int, most: int | None = None) -> bool:
        """Read on until a step's pass is known, up to `most` tokens; return whether it is.

        Raises:
            InputError: as `at` does.
        """
        if number <= len(self._moments):
            return True
        if self._per_step is not None:
            _check_length(number, len(self._prompt), self._per_step)
        if self._error is not None:
            raise self._error
        try:
            if not self._begun:
                self._begun = True
                self._read(self._prompt, ["prompt"] * len(self._prompt))
            while len(self._moments) < number and most != 0:
                self._go_on(number)
                most = None if most is None else most - 1
        except NotFoundError:
            raise
        except InputError as error:
            self._error = error
            raise
        return len(self._moments) >= number

    def _go_on(self, number: int) -> None:
        """Read what was emitted last, for the sake of step `number`."""
        emitted = self._next
        token = self._weights.tokens[emitted]
        if self._over:
            self._refuse(number, self._weights.tokens[self._prompt[-1]], 0)
        done = self._done + (token.role == ("step" if self._cells is None else "row"))
        if token.role == "end" or token.outcome is not None:
            self._refuse(number, token, done)
        self._done, self._number = done, self._number + 1
        if token.role == "step":
            moves = (token.values.get(f"tape{t}.move", 0) for t in range(len(self._heads)))
            self._heads = [a + int(b) for a, b in zip(self._heads, moves, strict=True)]
        if token.role == "cut":
            self._begin_anew(emitted)
        else:
            self._within = "summary" if token.role == "summary" else self._within
            self._read([emitted], [self._within])

    def _shows(self, token: Token) -> bool:
        """Return whether a token of a step is the one to show."""
        if self._cells is None:
            return token.role in ("step", "end")
        return "state" in token.values or token.role in ("row", "end")

    def _begin_anew(self, emitted: int) -> None:
        """Begin the context anew with the summary that `emitted` closes."""
        kept = self._context.cut(emitted)
        before = self._stretches[-1]
        starts = tuple(self._heads) if self._rebases else before.starts
        self._stretches.append(_Stretch(starts, before.rebased or self._rebases))
        self._within = "run"
        within: list[Within] = ["summary"] * len(kept)
        self._read(kept, ["prompt", *within[1:]])

    def _read(self, ids: Sequence[int], within: Sequence[Within]) -> None:
        """Let the model read more tokens, and note what it then emits."""
        stretch, weights = self._stretches[-1], self._weights
        self._tokens_read += len(ids)
        if self._tokens_read > MAX_POSITIONS:
            raise InputError(
                f"the step comes after more than {MAX_POSITIONS:,} tokens, and this view runs "
                f"the plain model over {MAX_POSITIONS:,} at most; that was in step "
                f"{self._done + 1:,}: ask for an earlier one"
            )
        if len(stretch.places) + len(ids) > weights.bounds.position:
            raise beyond(weights, "position", weights.bounds.position)
        for token, of in zip(ids, within, strict=True):
            self._place(weights.tokens[token], of)
        stretch.ids += ids
        self._context.feed(len(ids), ids)
        self._look(len(self._stretches) - 1, len(stretch.ids))
        if any(getattr(head, "beyond", False) for head in self._model.heads):
            raise beyond(weights, "key", self._done)
        self._next = int(self._logits.argmax())
        due = len(self._moments) == self._done and not self._over
        if due and self._shows(weights.tokens[self._next]):
            which = len(self._stretches) - 1
            self._moments.append(_Moment(which, len(stretch.ids), self._number))

    def _place(self, token: Token, within: Within) -> None:
        """Note where a token stands and what it belongs to."""
        stretch, step, addresses = self._stretches[-1], None, tuple[int, ...]()
        if within == "run":  # a row that is being written is one that is not done
            step = self._done + (token.role == "cell") or None
        if token.role == "cell":
            addresses = tuple(self._cell + start for start in stretch.starts)
        self._cell = self._cell + 1 if token.role == "cell" else 0
        position = len(stretch.places) + 1
        stretch.places.append(Place(position, token.name, within, step, addresses))

    def _refuse(self, number: int, last: Token, steps: int) -> NoReturn:
        """Say that the run has no such step."""
        if last.role == "end":
            more = f"the pass after the last, {steps + 1:,}, emits {last.name} ({last.outcome})"
        else:
            more = f"the last token is {last.name} ({last.outcome})"
        plural = "" if steps == 1 else "s"
        raise NotFoundError(f"no step {number:,}: the run has {steps:,} step{plural}; {more}")

    def _look(self, which: int, length: int) -> None:
        """Make the pass after the first `length` tokens of a context, if it was not the last."""
        if self._made == (which, length):
            return
        stretch = self._stretches[which]
        if which != self._held:
            self._model.reset()
            self._held, self._known = which, 0
        seen = min(self._known, length - 1)
        self._rewind(stretch, seen)
        for first in range(seen, length - 1, BLOCK):
            self._feed(stretch, first, min(first + BLOCK, length - 1))
        self._feed(stretch, length - 1, length)
        self._made = (which, length)

    def _rewind(self, stretch: _Stretch, seen: int) -> None:
        """Let the heads forget all but the first `seen` tokens of the context that they know."""
        self._model.seen = seen
        sums = iter(stretch.sums[seen] if seen else [None] * len(self._model.heads))
        for head in self._model.heads:
            head.seen = seen
            if isinstance(head, UniformHead):
                head.sum = next(sums)

    def _feed(self, stretch: _Stretch, first: int, end: int) -> None:
        """Feed some tokens of the context that the heads know."""
        self._logits = self._model(torch.tensor([stretch.ids[first:end]]))[0, -1]
        heads = self._model.heads
        stretch.sums[end] = [head.sum for head in heads if isinstance(head, UniformHead)]
        self._known = max(self._known, end)

    def _keep(self, which: int) -> Callable[..., None]:
        """Return a hook that keeps a head's last input and output."""

        def hook(_module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            self._inputs[which] = inputs[0][0, -1].numpy()
            self._added[which] = output[0, -1].numpy()

        return hook

    def _snapshot(self, places: Sequence[Place]) -> Snapshot:
        """Return what the last pass was, at the last position."""
        streams = [x[0, -1].numpy() for x in self._model.stream]
        found = Snapshot(self._labels, streams, self._logits.numpy())
        which = 0
        for layer, of_layer in enumerate(self._weights.layers):
            for index, head in enumerate(of_layer.heads):
                attended, row, mean = self._attended(which, head, places)
                found.note(layer, index, self._added[which], row, attended, mean)
                which += 1
        return found

    def _attended(
        self, which: int, head: Head, places: Sequence[Place]
    ) -> tuple[Attended, Row, Sequence[float]]:
        """Return where a head looked, its row of attention, and the mean of what it saw.

        `which` counts all heads.
        """
        module, row = self._model.heads[which], np.zeros(len(places))
        if isinstance(module, LookupHead):
            query = self._inputs[which] @ head.W_Q.dense() + head.b_Q
            scores = module.keys[0].numpy() @ query
            if isinstance(module, MeanHead):
                chosen = module.attended[0, -1]
                mean = module.values[0][chosen].mean(dim=0).tolist()
                best = Attended.among(scores, int(scores.argmax()), None)
                row[chosen.numpy()] = 1 / int(chosen.sum())
                return replace(best, count=int(chosen.sum())), row, mean
            assert isinstance(module, LatestHead)
            index = int(module.attended[0, -1])
            row[index] = 1
            return Attended.among(scores, index, places[index]), row, ()
        if isinstance(module, RelativeHead):
            assert module.attended is not None
            index = int(module.attended[0, -1])
            row[index] = 1
            return Attended(places[index]), row, ()
        assert isinstance(module, UniformHead)
        assert module.sum is not None
        row[:] = 1 / len(places)
        return NOWHERE, row, (module.sum[0, -1] / module.seen).tolist()


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
