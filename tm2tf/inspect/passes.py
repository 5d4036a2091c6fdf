"""A looped model's passes, up to the one that makes a step, seen from the cell with the head.

The window is as wide as the run needs it: `runtime.cells` follows the run first. Then the same
model makes the passes again, and what the last of them was is read from its residual streams.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.snapshot import NOWHERE, Attended, Place, Snapshot
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.cells import CellFollower
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.weights.model import Head

MAX_PASSES = 20_000
"""The most passes that are made for a step view."""


class Passes:
    """A run up to pass `number`, which takes that step (or finds that there is none to take).

    Attributes:
        number: which pass it is, from 1.
        places: all positions, at the ends the edges of the window; `cells` are the others.
        starts: the machine's address, a tape each, of the first cell.
        rebased: false, as these stay what they are.
        fed: the position of the cell with tape 0's head before the pass, where it is seen from.

    Raises:
        NotFoundError: the run has no such step, or no one cell had the head.
        InputError: it takes more than `MAX_PASSES` passes.
    """

    def __init__(self, compiled: Compiled, start: Configuration, number: int) -> None:
        if number > MAX_PASSES:
            raise InputError(
                f"step {number:,} takes {number:,} passes, and this view makes {MAX_PASSES:,} at "
                "most: ask for an earlier one"
            )
        self.weights, self.number, self.rebased = compiled.weights, number, False
        run = CellFollower(compiled, start, "cpu", "float64", grow=True)
        run.advance(number)
        made = run.passes if run.trouble is None else run.steps + 1
        if made < number:
            steps = f"{run.steps:,} step{'' if run.steps == 1 else 's'}"
            ended = run.trouble or f"then it is over ({run.outcome})"
            raise NotFoundError(f"no step {number:,}: the run has {steps}; {ended}")
        self.cells, self.starts = run.window, run.begin.origins
        self.places = [self._place(i, token) for i, token in enumerate(run.begin.ids)]
        model = LoopedTransformer(self.weights)
        model.begin(torch.tensor([run.begin.ids]))
        for _ in range(number):
            model.turn()
        self._streams = [x[0].numpy() for x in model.stream]
        self._logits = model.logits()[0].numpy()
        self.fed = self._seen_from(compiled)

    def _place(self, index: int, token: int) -> Place:
        it, addresses = self.weights.tokens[token], tuple[int, ...]()
        if it.role == "cell":
            addresses = tuple(index - 1 + start for start in self.starts)
        return Place(index + 1, it.name, "window", None, addresses)

    def _seen_from(self, compiled: Compiled) -> Place:
        """Return the position of the one cell that holds tape 0's head at the beginning."""
        known = {readout.feature.name: readout for readout in self.weights.readouts}
        readout = known.get("tape0.here", known["state"])
        here = ("yes",) if "tape0.here" in known else compiled.machine.states
        words = [word for word, _ in readout.values]
        read = [readout.read(x) for x in self._streams[readout.layer + 1]]
        held = [i for i, value in enumerate(read) if value >= 0 and words[value] in here]
        if len(held) != 1:
            raise NotFoundError(
                f"step {self.number:,} cannot be seen from the head: before that pass {len(held)} "
                "cells hold tape 0's, and it should be 1"
            )
        return self.places[held[0]]

    def snapshot(self) -> Snapshot:
        """Return what the last pass was at `fed`."""
        at = self.fed.position - 1
        found = Snapshot(self.weights, [x[at] for x in self._streams], self._logits[at])
        for layer, of_layer in enumerate(self.weights.layers):
            for index, head in enumerate(of_layer.heads):
                attended, value, mean = self._attend(self._streams[layer], at, head)
                found.note(layer, index, value @ head.W_O.dense(), attended, mean)
        return found

    def _attend(
        self, x: Float64[np.ndarray, "positions d_model"], at: int, head: Head
    ) -> tuple[Attended, Float64[np.ndarray, " d_value"], Sequence[float]]:
        """Return where a head looks from a position, what it brings, and the mean of all values."""
        values = x @ head.W_V.dense()
        if head.kind == "uniform":
            mean = values.mean(axis=0)
            return NOWHERE, mean, mean.tolist()
        if head.kind == "relative":
            index = min(max(at - head.offset, 0), len(x) - 1)
            return Attended(self.places[index]), values[index], ()
        query, keys = x[at] @ head.W_Q.dense() + head.b_Q, x @ head.W_K.dense() + head.b_K
        scores = keys @ query
        if head.kind == "softmax":
            scores = scores / np.sqrt(len(query))
            shares = np.exp(scores - scores.max())
            shares /= shares.sum()
            index = int(scores.argmax())
            attended = Attended.among(scores, index, self.places[index], float(shares[index]))
            return attended, shares @ values, ()
        index = len(x) - 1 - int(scores[::-1].argmax())
        return Attended.among(scores, index, self.places[index]), values[index], ()
