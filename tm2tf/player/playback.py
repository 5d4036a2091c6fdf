"""A run with a cursor: forward, back without limit, jumps, breakpoints. No screen.

The cursor stands between steps: `at` of them were taken, and the next is about to be. What takes
long is an iterator that does a part of the work at a time, so that a screen stays alive; the cursor
moves when it is through, and stays where it is if it is dropped before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.forms import printable
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Configuration, Machine, Tape
from tm2tf.player.breakpoints import Breakpoint, find
from tm2tf.player.history import CHUNK, History, Rule
from tm2tf.player.tapes import Situation

SLICE = 0.03
"""Seconds that a part of long work takes, about: a screen then still answers at once."""

FIRST = 64
"""Steps that are read in the first part; then twice or half as many, whatever the machine's speed:
a looped model takes milliseconds a step, a decoder a fraction of a microsecond."""

AT_ONCE = 0.1
"""Seconds in which a run is read when it is opened: the end of a short one is known then."""

Work = Iterator[int]
"""Long work: yields how many steps are known after each part."""


@dataclass(frozen=True, slots=True)
class Now:
    """Where the cursor stands.

    Attributes:
        step: the steps taken.
        state: the state.
        reads: what stands under each head.
        heads: the address of each head.
        next: what happens in the next step, None if there is none (or none is known).
        last: what happened in the step before, None at the beginning.
    """

    step: int
    state: str
    reads: tuple[str, ...]
    heads: tuple[int, ...]
    next: Rule | None
    last: Rule | None


class Playback:
    """A run of compiled weights, to be looked at.

    Attributes:
        compiled: the machine and its weights.
        start: the start configuration.
        history: what is known of the run.
        at: the steps taken where the cursor stands.
        breakpoints: where `run`, `to_next` and `to_previous` stop.
    """

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self.compiled, self.machine, self.start = compiled, compiled.machine, start
        self.history = History(compiled, start)
        self.at = 0
        self.breakpoints: list[Breakpoint] = []
        self._situation = Situation.begin(self.machine, start)
        self._size = FIRST
        began = time.perf_counter()
        while not self.history.over and time.perf_counter() - began < AT_ONCE:
            self.read_on()

    @property
    def total(self) -> int | None:
        """How many steps the run has; None while that is not known."""
        return self.history.steps if self.history.over else None

    def now(self) -> Now:
        """Return where the cursor stands."""
        here, history = self._here(), self.history
        return Now(
            step=self.at,
            state=history.state(self.at),
            reads=tuple(self.machine.symbols[i] for i in here.under()),
            heads=tuple(here.heads.tolist()),
            next=history.rule(self.at + 1) if self.at < history.steps else None,
            last=history.rule(self.at) if self.at else None,
        )

    def ended(self) -> str | None:
        """Return in words how the run ended, if the cursor is at its end; None if it is not."""
        history = self.history
        if not history.over or self.at < history.steps:
            return None
        if history.outcome is None:
            return history.trouble
        return _ending(self.machine, self.now(), history.outcome)

    def configuration(self) -> Configuration:
        """Return the configuration where the cursor stands, tapes trimmed of outer blanks."""
        here = self._here()
        heads = here.heads.tolist()
        return Configuration(self.history.state(self.at), tuple(map(self._tape, range(len(heads)))))

    def _tape(self, number: int) -> Tape:
        here = self._here()
        return here.cells[number].tape(self.machine, int(here.heads[number]))

    def window(self, tape: int, first: int, count: int) -> tuple[str, ...]:
        """Return what stands in so many cells of a tape, from an address on."""
        read = self._here().cells[tape].read(np.arange(first, first + count))
        return tuple(self.machine.symbols[i] for i in read.tolist())

    def _here(self) -> Situation:
        self._situation = self.history.move(self._situation, self.at)
        return self._situation

    def read_on(self) -> int:
        """Read some more of the run, as much as a part of long work; return the steps known."""
        began = time.perf_counter()
        self.history.extend(self._size)
        seconds = time.perf_counter() - began
        if seconds > 2 * SLICE:
            self._size = max(1, self._size // 2)
        elif seconds < SLICE / 2:
            self._size = min(CHUNK * 8, self._size * 2)
        return self.history.steps

    def _know(self, step: int) -> Work:
        """Read on until a step is known, and whether another comes, or the run is over."""
        while not self.history.over and self.history.steps <= step:
            yield self.read_on()

    def going_to(self, step: int) -> Work:
        """Go to where so many steps were taken.

        Raises:
            NotFoundError: the run has fewer; then the cursor stands at its end.
        """
        if step < 0:
            raise InputError(f"there is no step {step:,}: a run begins at step 0")
        yield from self._know(step)
        self.at = min(step, self.history.steps)
        if step > self.history.steps:
            steps = self.history.steps
            raise NotFoundError(
                f"no step {step:,}: the run has {steps:,} step{'' if steps == 1 else 's'}"
            )

    def going_to_end(self) -> Work:
        """Go to the end, which may never come."""
        while not self.history.over:
            yield self.read_on()
        self.at = self.history.steps

    def going_to_next(self) -> Work:
        """Go to the next breakpoint.

        Raises:
            InputError: there are none.
            NotFoundError: the run meets none from here on; the cursor stays.
        """
        self._need_breakpoints()
        looked = self.at
        while True:
            # the last step known counts only when the next is, or when there is none
            last = self.history.steps - (not self.history.over)
            found = find(self.breakpoints, self.history, looked + 1, last, backward=False)
            if found is not None:
                self.at = found
                return
            if self.history.over:
                raise NotFoundError(f"no breakpoint is met after step {self.at:,}")
            looked = max(looked, last)
            yield self.read_on()

    def to_previous(self) -> None:
        """Go back to the breakpoint before.

        Raises:
            InputError: there are none.
            NotFoundError: none was met before; the cursor stays.
        """
        self._need_breakpoints()
        found = find(self.breakpoints, self.history, 0, self.at - 1, backward=True)
        if found is None:
            raise NotFoundError(f"no breakpoint is met before step {self.at:,}")
        self.at = found

    def _need_breakpoints(self) -> None:
        if not self.breakpoints:
            raise InputError("there are no breakpoints; b sets one, such as `state B`")

    def forward(self, count: int = 1) -> bool:
        """Take up to `count` steps, fewer at a breakpoint, at the end, or if reading on takes long.

        Returns:
            whether it may go on: no breakpoint was met, and the run is not over.
        """
        wanted = self.at + count
        if wanted >= self.history.steps and not self.history.over:
            self.read_on()
        last = min(wanted, self.history.steps)
        found = find(self.breakpoints, self.history, self.at + 1, last, backward=False)
        self.at = last if found is None else found
        return found is None and not (self.history.over and self.at == self.history.steps)

    def back(self, count: int = 1) -> None:
        """Take up to `count` steps back; none before the beginning."""
        self.at = max(0, self.at - count)

    def toggle(self, breakpoint_: Breakpoint) -> bool:
        """Set a breakpoint, or take it away if it is set; return whether it is set now."""
        if breakpoint_ in self.breakpoints:
            self.breakpoints.remove(breakpoint_)
            return False
        self.breakpoints.append(breakpoint_)
        return True

    def met(self) -> list[Breakpoint]:
        """Return the breakpoints that are met where the cursor stands."""
        now = self.now()
        return [b for b in self.breakpoints if b.meets(now.step, now.state, now.reads)]


def _ending(machine: Machine, now: Now, outcome: str) -> str:
    """Return how a run ended: in a halting state, or for want of a rule."""
    state, reads = printable(now.state), ", ".join(map(printable, now.reads))
    steps = f"after {now.step:,} step{'' if now.step == 1 else 's'}"
    if machine.outcome_of(now.state) is not None:
        return f"{outcome} in state {state} {steps}"
    stuck = (now.state, now.reads) not in machine.transitions
    why = f"no rule for state {state} reading {reads}" if stuck else "the weights have no rule here"
    fits = UNDEFINED_OUTCOME[machine.undefined] == outcome
    return f"{outcome} {steps}: {why}" if fits or not stuck else f"{outcome} {steps}"
