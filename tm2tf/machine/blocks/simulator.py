"""A block machine run as a table, compiled, without weights: what weights are timed against."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from tm2tf.machine.blocks import walk
from tm2tf.machine.blocks.assembly import Mark, Rule, named, outcome_of
from tm2tf.machine.blocks.finder import CHUNK, Walker
from tm2tf.machine.blocks.lifted import BlockMachine
from tm2tf.machine.spec import Configuration, Outcome

UNBOUNDED = 2**62
"""More steps than any run takes."""


@dataclass(frozen=True, slots=True)
class Simulated:
    """How a block machine's run ended.

    Attributes:
        macro_steps, base_steps: the steps taken.
        outcome: as the base machine's run ends, or "step-limit".
        state: the block machine's at the end.
        lacks: whether it stopped for want of a rule of the table.
        loops: whether it goes round within a block.
        configuration: the base machine's, addresses as in the start.
        seconds: how long the run took, tables being made before.
    """

    macro_steps: int
    base_steps: int
    outcome: Outcome
    state: str
    lacks: bool
    loops: bool
    configuration: Configuration
    seconds: float


def simulate(
    found: BlockMachine,
    start: Configuration,
    *,
    macro_steps: int | None = None,
    base_steps: int | None = None,
) -> Simulated:
    """Run a block machine by its own rules, from a start of the base machine.

    `macro_steps` and `base_steps`: stop before the macro step that would be one more, or would go
    beyond so many. A loop within a block goes on for as long as they allow; it is stopped at its
    beginning if they are not given.

    Raises:
        InputError: the start has blocks that the table was not made for.
    """
    found.start(start)
    walker, rounds = _ready(found, start)
    most = UNBOUNDED if base_steps is None else base_steps
    last = UNBOUNDED if macro_steps is None else macro_steps
    began = time.perf_counter()
    while walker.macro_steps < last:
        if walker.advance(most, min(CHUNK, last - walker.macro_steps)) != walk.MORE:
            break
    seconds = time.perf_counter() - began
    mark, macro, base = walker.mark(), walker.macro_steps, walker.base_steps
    if mark.kind == "~" and (macro_steps is not None or base_steps is not None):
        each = rounds[mark, walker.under()]
        more = min(last - macro, (most - base) // each)
        macro, base = macro + more, base + more * each
    configuration = walker.configuration()
    (tape,) = start.tapes
    return Simulated(
        macro_steps=macro,
        base_steps=base,
        outcome=outcome_of(found.base, mark) or "step-limit",
        state=named(mark),
        lacks=walker.why == walk.NO_RULES,
        loops=mark.kind == "~",
        configuration=_moved(configuration, tape.head),
        seconds=seconds,
    )


def _ready(found: BlockMachine, start: Configuration) -> tuple[Walker, dict[tuple[Mark, int], int]]:
    """Return a walker that knows a table, and the base steps of rounds within a block."""
    marks = {
        name: Mark(_kind(found, name), place.state, place.cell)
        for name, place in found.places.items()
    }
    walker = Walker(found.base, found.block, start, most_rules=0, known=len(found.blocks))
    numbers = {name: walker.number(cells) for name, cells in found.blocks.items()}
    rounds = {}
    for (state, (symbol,)), to in found.machine.transitions.items():
        mark, read = marks[state], numbers[symbol]
        steps = found.steps[state, symbol]
        walker.enter(Rule(mark, read, marks[to.state], numbers[to.writes[0]], to.moves[0], steps))
        if mark.kind == "~":
            rounds[mark, read] = steps
    return walker, rounds


def _kind(found: BlockMachine, name: str) -> str:
    """Return how a state is marked, which its name says after the base state's."""
    return name[len(found.places[name].state)]


def _moved(configuration: Configuration, by: int) -> Configuration:
    """Return a configuration all of whose addresses are greater by `by`."""
    (tape,) = configuration.tapes
    origin = tape.origin + by if tape.contents else 0
    return replace(configuration, tapes=(replace(tape, origin=origin, head=tape.head + by),))
