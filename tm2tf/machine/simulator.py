"""What a machine means: the reference simulator.

Readable before fast; it shares no code with the program interpreter or the runtimes that are
checked against it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tm2tf.machine.spec import (
    OFFSET,
    UNDEFINED_OUTCOME,
    Configuration,
    Machine,
    Outcome,
    Reads,
    Tape,
    Transition,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: in `state`, with the heads at `heads`, `reads` was read and `transition` taken.

    `number` counts from 1; `heads` are the addresses before the move.
    """

    number: int
    state: str
    heads: tuple[int, ...]
    reads: Reads
    transition: Transition


@dataclass(frozen=True, slots=True)
class Run:
    """How a run ended: its outcome, the steps it took, and where it stopped (tapes trimmed)."""

    outcome: Outcome
    steps: int
    configuration: Configuration


class Simulation:
    """A machine in motion: call `step` until `outcome` is set.

    Attributes:
        state: the current state.
        cells: for each tape, the symbols by address; a missing address is blank.
        heads: the address of each head.
        steps: how many steps were taken.
        outcome: how the run ended, or None while it can go on.
    """

    def __init__(self, machine: Machine, start: Configuration) -> None:
        self.machine = machine
        self.state = start.state
        self.cells = [
            {tape.origin + i: symbol for i, symbol in enumerate(tape.contents)}
            for tape in start.tapes
        ]
        self.heads = [tape.head for tape in start.tapes]
        self.steps = 0
        self.outcome: Outcome | None = machine.outcome_of(start.state)

    def step(self) -> Step | None:
        """Take one step and return it; return None, with `outcome` set, where there is none."""
        if self.outcome is not None:
            return None
        blank = self.machine.blank
        reads = tuple(
            cells.get(head, blank) for cells, head in zip(self.cells, self.heads, strict=True)
        )
        transition = self.machine.transitions.get((self.state, reads))
        if transition is None:
            self.outcome = UNDEFINED_OUTCOME[self.machine.undefined]
            return None
        self.steps += 1
        taken = Step(self.steps, self.state, tuple(self.heads), reads, transition)
        for tape, head in enumerate(self.heads):
            self.cells[tape][head] = transition.writes[tape]
            self.heads[tape] = head + OFFSET[transition.moves[tape]]
        self.state = transition.state
        self.outcome = self.machine.outcome_of(self.state)
        return taken

    def configuration(self) -> Configuration:
        """Return the current configuration, tapes trimmed of outer blanks."""
        return Configuration(
            self.state,
            tuple(
                gather_tape(cells, head, self.machine.blank)
                for cells, head in zip(self.cells, self.heads, strict=True)
            ),
        )


def gather_tape(cells: dict[int, str], head: int, blank: str) -> Tape:
    """Return a trimmed `Tape` holding what `cells` holds by address."""
    written = [address for address, symbol in cells.items() if symbol != blank]
    if not written:
        return Tape((), 0, head)
    first, last = min(written), max(written)
    return Tape(tuple(cells.get(a, blank) for a in range(first, last + 1)), first, head)


def step(machine: Machine, configuration: Configuration) -> Configuration | None:
    """Return the configuration one step later, or None if the machine cannot step."""
    simulation = Simulation(machine, configuration)
    return None if simulation.step() is None else simulation.configuration()


def trace(machine: Machine, start: Configuration, max_steps: int | None = None) -> Iterator[Step]:
    """Yield each step of a run from `start`, at most `max_steps` of them."""
    simulation = Simulation(machine, start)
    while max_steps is None or simulation.steps < max_steps:
        taken = simulation.step()
        if taken is None:
            return
        yield taken


def run(machine: Machine, start: Configuration, max_steps: int | None = None) -> Run:
    """Run from `start` until the machine stops or `max_steps` steps were taken.

    A run whose last allowed step enters a halting state has halted; one that could only
    find out by looking for a further transition has outcome "step-limit".
    """
    simulation = Simulation(machine, start)
    while max_steps is None or simulation.steps < max_steps:
        if simulation.step() is None:
            break
    outcome = simulation.outcome or "step-limit"
    return Run(outcome, simulation.steps, simulation.configuration())
