"""A looped model's run, and any pass of it, seen from the cell with the head.

The window of a step is as wide as the run needs it up to there: `runtime.cells` follows the run
first. Then the same model makes the passes again, and what one of them was is read from its
residual streams. Streams between passes are kept, every so many, so that going back costs few.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from tm2tf.compiler import Compiled, Start
from tm2tf.constructions.looped import WINDOW
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.inspect.snapshot import NOWHERE, Attended, Labels, Place, Row, Seen, Snapshot
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.cells import CellFollower
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.runtime.told import Told
from tm2tf.weights.model import Head

MAX_PASSES = 20_000
"""The most passes that are made for a step view."""

AT_ONCE = 128
"""Steps that the run is followed by before it is asked whether the window widened."""

ROOM = 2**23
"""Numbers of residual streams that are kept, 64 MB: as many passes as that has room for, spread
evenly, so that going back makes those between two of them again."""


class Passes:
    """A run, followed as far as it was asked for."""

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self._compiled, self._start = compiled, start
        self._labels = Labels(compiled.weights)
        self._run = CellFollower(compiled, start, "cpu", "float64", grow=True)
        # from which step on the window has how many cells
        self._since, self._windows = [0], [self._run.window]
        self._error: BoundError | None = None
        self._model = LoopedTransformer(compiled.weights)
        self._window, self._begin = 0, self._run.begin
        self._kept: dict[int, Tensor] = {}
        self._stride, self._number = 1, 0

    @property
    def known(self) -> int:
        """The steps whose passes are known."""
        return self._run.steps

    def at(self, number: int) -> Seen:
        """Return pass `number`, which takes that step, or finds that there is none to take.

        Raises:
            NotFoundError: the run has no such step, or no one cell had the head.
            InputError: it takes more than `MAX_PASSES` passes.
            BoundError: a head leaves the widest window there is.
        """
        self.reach(number)
        made = self._run.passes if self._run.trouble is None else self._run.steps + 1
        if made < number:
            steps = f"{self._run.steps:,} step{'' if self._run.steps == 1 else 's'}"
            ended = self._run.trouble or f"then it is over ({self._run.outcome})"
            raise NotFoundError(f"no step {number:,}: the run has {steps}; {ended}")
        self._turn_to(number, self._windows[bisect_right(self._since, number) - 1])
        places = [self._place(i, token) for i, token in enumerate(self._begin.ids)]
        streams = [x[0].numpy() for x in self._model.stream]
        fed = places[self._seen_from(number, streams)]
        return Seen(
            number=number,
            places=places,
            cells=self._window,
            starts=self._begin.origins,
            rebased=False,
            fed=fed,
            snapshot=self._snapshot(streams, places, fed.position - 1),
        )

    def reach(self, number: int, most: int | None = None) -> bool:
        """Follow the run up to a step, up to `most` steps; return whether that is known then.

        Raises:
            InputError: as `at` does.
        """
        if number > MAX_PASSES:
            raise InputError(
                f"step {number:,} takes {number:,} passes, and this view makes {MAX_PASSES:,} at "
                "most: ask for an earlier one"
            )
        run = self._run
        last = number if most is None else min(number, run.steps + most)
        while run.steps < last and run.outcome is None and run.trouble is None:
            if self._error is not None:
                raise self._error
            before, window, begin = run.steps, run.window, run.begin
            try:
                told = run.tell(min(AT_ONCE, last - run.steps))
            except BoundError as error:
                self._error = error
                raise
            if run.window != window:
                self._note_windows(before, window, begin, told)
        return run.steps >= number or run.outcome is not None or run.trouble is not None

    def _note_windows(self, before: int, window: int, begin: Start, told: Told) -> None:
        """Note which of the steps told after `before` was the first to need a wider window."""
        for row, after in enumerate(told.heads + told.moves):
            while window < self._run.window:
                places = after - np.array(begin.origins)
                if places.min() >= 0 and places.max() < window:
                    break
                window *= 2
                begin = self._compiled.start(self._start, **{WINDOW.name: window})
                self._since.append(before + row + 1)
                self._windows.append(window)

    def _turn_to(self, number: int, window: int) -> None:
        """Let the model's last pass be pass `number`, in a window of so many cells."""
        if window != self._window:
            self._window, self._kept, self._stride = window, {}, 1
            self._begin = self._compiled.start(self._start, **{WINDOW.name: window})
            self._model.begin(torch.tensor([self._begin.ids]))
            self._kept[0], self._number = self._model.start, 0
        if number == self._number:
            return
        if number < self._number or max(i for i in self._kept if i < number) > self._number:
            self._number = max(i for i in self._kept if i < number)
            self._model.start = self._kept[self._number]
        while self._number < number:
            self._model.turn()
            self._number += 1
            if self._number % self._stride == 0:
                self._keep(self._number)

    def _keep(self, number: int) -> None:
        """Keep the stream after a pass; where there is no room, drop every other one."""
        self._kept[number] = self._model.start
        if len(self._kept) > max(2, ROOM // self._model.start.numel()):
            self._stride *= 2
            self._kept = {i: x for i, x in self._kept.items() if i % self._stride == 0}

    def _place(self, index: int, token: int) -> Place:
        it, addresses = self._labels.weights.tokens[token], tuple[int, ...]()
        if it.role == "cell":
            addresses = tuple(index - 1 + start for start in self._begin.origins)
        return Place(index + 1, it.name, "window", None, addresses)

    def _seen_from(
        self, number: int, streams: Sequence[Float64[np.ndarray, "positions d_model"]]
    ) -> int:
        """Return the index of the one cell that holds tape 0's head at the beginning."""
        known = {readout.feature.name: readout for readout in self._labels.weights.readouts}
        readout = known.get("tape0.here", known["state"])
        here = ("yes",) if "tape0.here" in known else self._compiled.machine.states
        words = [word for word, _ in readout.values]
        read = [readout.read(x) for x in streams[readout.layer + 1]]
        held = [i for i, value in enumerate(read) if value >= 0 and words[value] in here]
        if len(held) != 1:
            raise NotFoundError(
                f"step {number:,} cannot be seen from the head: before that pass {len(held)} "
                "cells hold tape 0's, and it should be 1"
            )
        return held[0]

    def _snapshot(
        self,
        streams: Sequence[Float64[np.ndarray, "positions d_model"]],
        places: Sequence[Place],
        at: int,
    ) -> Snapshot:
        """Return what the last pass was at one position."""
        logits = self._model.logits()[0].numpy()[at]
        found = Snapshot(self._labels, [x[at] for x in streams], logits)
        for layer, of_layer in enumerate(self._labels.weights.layers):
            for index, head in enumerate(of_layer.heads):
                attended, row, mean = _attend(streams[layer], at, head, places)
                brought = row @ (streams[layer] @ head.W_V.dense()) @ head.W_O.dense()
                found.note(layer, index, brought, row, attended, mean)
        return found


def _attend(
    x: Float64[np.ndarray, "positions d_model"], at: int, head: Head, places: Sequence[Place]
) -> tuple[Attended, Row, Sequence[float]]:
    """Return where a head looks from a position, its row of attention, and the mean of all."""
    row = np.zeros(len(x))
    if head.kind == "uniform":
        row[:] = 1 / len(x)
        return NOWHERE, row, (x @ head.W_V.dense()).mean(axis=0).tolist()
    if head.kind == "relative":
        index = min(max(at - head.offset, 0), len(x) - 1)
        row[index] = 1
        return Attended(places[index]), row, ()
    query, keys = x[at] @ head.W_Q.dense() + head.b_Q, x @ head.W_K.dense() + head.b_K
    scores = keys @ query
    if head.kind == "softmax":
        scores = scores / np.sqrt(len(query))
        row = np.exp(scores - scores.max())
        row /= row.sum()
        index = int(scores.argmax())
        return Attended.among(scores, index, places[index], float(row[index])), row, ()
    index = len(x) - 1 - int(scores[::-1].argmax())
    row[index] = 1
    return Attended.among(scores, index, places[index]), row, ()
