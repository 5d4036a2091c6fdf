"""Runs that are recorded: what the weights say step by step, or what the rules do."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.errors import ArtifactError, BoundError, InputError
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.pictures.spacetime.history import Recorder
from tm2tf.runtime.follow import follow
from tm2tf.runtime.run import FIRST_CHUNK, interrupts, refuse_trouble, resized
from tm2tf.runtime.told import NO_MOVE, Told
from tm2tf.verify.table_simulator import Steps, TableSimulation, fits

MOST = 2**17
"""Most steps taken at once: what is told of them takes some ten MB."""

OnProgress = Callable[[int], None]

_Part: TypeAlias = tuple[Told | Steps, str | None, BoundError | ArtifactError | None]
"""Steps, how the run is over after them, and what else stops it."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """How a recorded run went.

    Attributes:
        outcome: how it ended; None if it was stopped.
        by: what ran, in words.
        interrupted: whether Ctrl-C stopped it.
        error: what stopped it, if it could not go on: a bound, or weights that are damaged.
    """

    outcome: str | None
    by: str
    interrupted: bool
    error: BoundError | ArtifactError | None = None


def record(
    compiled: Compiled,
    start: Configuration,
    recorder: Recorder,
    max_steps: int | None = None,
    on_progress: OnProgress | None = None,
) -> Recorded:
    """Run compiled weights and give a recorder every step as they tell it.

    A run that leaves the range in which the weights are exact, or their tape, or in which they
    emit what no run may hold, is recorded up to there; the error says what it was.
    """
    follower = follow(compiled, start)

    def tell(count: int) -> _Part:
        try:
            told = follower.tell(count)
        except BoundError as error:
            return Told.join([], compiled.machine.tapes), None, error
        clear, unclear = _clear(told, recorder.steps)
        if unclear is not None:
            return clear, None, unclear
        try:
            refuse_trouble(compiled, follower)
        except (ArtifactError, BoundError) as error:
            return clear, None, error
        return clear, follower.outcome, None

    by = f"{compiled.weights.construction}/{compiled.weights.target} weights"
    return _record(tell, follower.outcome, by, recorder, max_steps, on_progress)


def record_rules(
    machine: Machine,
    start: Configuration,
    recorder: Recorder,
    max_steps: int | None = None,
    on_progress: OnProgress | None = None,
) -> Recorded:
    """Run a machine by its own rules and give a recorder every step.

    Raises:
        InputError: the machine's rule table is too large to hold.
    """
    if not fits(machine):
        raise InputError(
            f"machine {machine.name!r} is too large to simulate: its rule table has "
            f"{len(machine.states)} * {len(machine.symbols)}^{machine.tapes} entries; "
            "leave --simulate out"
        )
    table = TableSimulation(machine, start)

    def tell(count: int) -> _Part:
        return table.advance(count), table.outcome, None

    return _record(tell, table.outcome, "the machine's rules", recorder, max_steps, on_progress)


def _record(
    tell: Callable[[int], _Part],
    outcome: str | None,
    by: str,
    recorder: Recorder,
    max_steps: int | None,
    on_progress: OnProgress | None,
) -> Recorded:
    """Take steps until the run is over, stopped or interrupted.

    As in `runtime.run`, Ctrl-C is noted and looked at between chunks; a second one raises
    KeyboardInterrupt.
    """
    size, interrupted, error = FIRST_CHUNK, False, None
    with interrupts() as noted:
        while outcome is None and recorder.steps != max_steps and not (interrupted or error):
            left = size if max_steps is None else min(size, max_steps - recorder.steps)
            looked = time.perf_counter()
            told, outcome, error = tell(left)
            recorder.take(told.next_states, told.writes, told.moves)
            size = min(MOST, resized(size, time.perf_counter() - looked))
            if on_progress is not None:
                on_progress(recorder.steps)
            interrupted = bool(noted) and outcome is None
    return Recorded(outcome, by, interrupted, error)


def _clear(told: Told, before: int) -> tuple[Told, ArtifactError | None]:
    """Return the steps before one of which weights do not say clearly what it does, and why."""
    unclear = (told.next_states < 0) | (told.writes < 0).any(axis=1)
    unclear |= (told.moves == NO_MOVE).any(axis=1)
    if not unclear.any():
        return told, None
    first = int(np.argmax(unclear))
    columns = (getattr(told, name)[:first] for name in Told.__slots__)
    return Told(*columns), ArtifactError(
        f"the weights do not say clearly what step {before + first + 1:,} does: they are damaged "
        "or foreign (tm2tf verify shows where they part)"
    )
