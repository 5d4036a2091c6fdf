"""The pass behind a step: read when it is looked at, a part at a time."""

from __future__ import annotations

import time
from dataclasses import dataclass

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError
from tm2tf.inspect import heads
from tm2tf.inspect.forms import Names
from tm2tf.inspect.heads import HeadSummary
from tm2tf.inspect.matching import Lookups
from tm2tf.inspect.recording import Attention, Recording
from tm2tf.inspect.snapshot import StepView
from tm2tf.machine.spec import Configuration
from tm2tf.player.playback import SLICE

AT_ONCE = 8
"""Tokens that are read between two looks at the clock."""


@dataclass(frozen=True, slots=True, eq=False)
class Pass:
    """A pass, and its rows of attention."""

    view: StepView
    attention: Attention


class Details:
    """The passes of a run.

    Attributes:
        cost: seconds that the last pass took to look at, 0 before the first.
    """

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self._compiled, self._start = compiled, start
        self._recording: Recording | None = None
        self._summaries: list[HeadSummary] = []
        self.cost = 0.0

    @property
    def summaries(self) -> list[HeadSummary]:
        """What each head looks for, in order."""
        weights = self._compiled.weights
        if not self._summaries:
            lookups = Lookups(weights, Names(weights))
            self._summaries = [
                heads.summary(lookups, number, index)
                for number, layer in enumerate(weights.layers)
                for index in range(len(layer.heads))
            ]
        return self._summaries

    @property
    def known(self) -> int:
        """The steps whose passes were read."""
        return 0 if self._recording is None else self._recording.known

    def reach(self, step: int, seconds: float = SLICE) -> bool:
        """Read towards the pass of a step for about so long; return whether it can be looked at.

        Raises:
            InputError: there is none, or it cannot be read; the message says why.
        """
        began = time.perf_counter()
        if self._recording is None:
            self._recording = Recording(self._compiled, self._start)
        while not self._recording.reach(step, AT_ONCE):
            if time.perf_counter() - began > seconds:
                return False
        return True

    def look(self, step: int) -> Pass:
        """Return the pass that makes a step, read on to it if it was not yet.

        Raises:
            InputError: there is none, or it cannot be read; the message says why.
        """
        began = time.perf_counter()
        if self._recording is None:
            self._recording = Recording(self._compiled, self._start)
        found = Pass(*self._recording.seen(step))
        self.cost = time.perf_counter() - began
        return found

    def whole(self, step: int) -> Pass | None:
        """Return the pass that makes a step, None if the run has none."""
        try:
            return self.look(step)
        except InputError:
            return None
