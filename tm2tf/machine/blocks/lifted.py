"""The block machine of a base machine, and what its states, symbols and steps stand for.

States say where in the block the head is:

- `q>` and `q<`: base state q, on the first cell (it came from the left), on the last one;
- `q@i`: base state q has halted, on cell i of the block;
- `q?i`: base state q finds no rule on cell i; this halts as the base machine's `undefined` says;
- `q~i`: from q on cell i the base machine comes back to just that within the block, for ever: the
  block machine then stays, a round a step.

So a run of the block machine ends as the base machine's does in a halting state only. One that
finds no rule elsewhere (`lacks`) has met what its table does not know: a table by closure knows
all, one by a first run knows that run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from tm2tf.errors import InputError
from tm2tf.machine.spec import Configuration, Machine, Tape

MOST_RULES = 4096
"""Rules of a block machine, at most, unless more are asked for: each is a neuron when compiled."""

MOST_BLOCK = 512
"""Cells of a block, at most: far beyond what pays (see `choice`), and names still fit a screen."""

MOST_STEPS = 1_000_000
"""Base steps played out within one block, at most: a machine may count in it for ages."""

Block = tuple[str, ...]
Found = Literal["closure", "run"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a state of a block machine stands: the base state, and the head's cell in its block."""

    state: str
    cell: int


@dataclass(frozen=True, slots=True)
class FirstRun:
    """The run that found a table.

    Attributes:
        macro_steps, base_steps: how long it was.
        over: whether it came to an end, or to a loop within a block (`loops`); else it was stopped.
        seconds: how long it took.
    """

    macro_steps: int
    base_steps: int
    over: bool
    loops: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class BlockMachine:
    """A machine over blocks of another machine's cells.

    Attributes:
        base: the machine whose cells they are; `block`: how many cells a block has.
        machine: the block machine, a machine like any other.
        places: for each of its states the base state and the head's cell.
        blocks: for each of its symbols the cells.
        steps: for each of its rules, by state and symbol, how many base steps it stands for.
        found: how its rules were found; `first_run`: by which run, None for a closure.
    """

    base: Machine
    block: int
    machine: Machine
    places: Mapping[str, Place]
    blocks: Mapping[str, Block]
    steps: Mapping[tuple[str, str], int]
    found: Found = "closure"
    first_run: FirstRun | None = None

    def unfold(self, configuration: Configuration, zero: int = 0) -> Configuration:
        """Return the base configuration that one of the block machine's stands for.

        Args:
            configuration: of the block machine.
            zero: the base address of the first cell of block 0.
        """
        (tape,) = configuration.tapes
        place = self.places[configuration.state]
        cells = tuple(chain.from_iterable(map(self.blocks.__getitem__, tape.contents)))
        head = zero + tape.head * self.block + place.cell
        unfolded = Tape(cells, zero + tape.origin * self.block, head)
        return Configuration(place.state, (unfolded.trimmed(self.base.blank),))

    def start(self, configuration: Configuration) -> Configuration:
        """Return the start for a base start, whose head is on the first cell of block 0.

        Raises:
            InputError: it has blocks that the table was not made for.
        """
        (tape,) = configuration.tapes
        first, blocks = cut(configuration, self.base, self.block)
        names = {block: name for name, block in self.blocks.items()}
        for block in blocks:
            if block not in names:
                raise InputError(
                    f"the block {self.base.join(block)!r} of the start is none that this block "
                    f"machine knows: make it for this start ({self.base.join(tape.contents)!r})"
                )
        contents = tuple(names[block] for block in blocks)
        return Configuration(self.machine.start, (Tape(contents, first, 0),))

    def lacks(self, state: str) -> bool:
        """Return whether a run that is over in a state ended for want of a rule of the table.

        The base machine's run goes on there: its own ends are halting states here.
        """
        return self.machine.outcome_of(state) is None

    def missing(self, state: str, symbol: str | None = None) -> InputError:
        """Return the error for a run that ended for want of a rule (`lacks`)."""
        on = "" if symbol is None else f" on the block {self.base.join(self.blocks[symbol])!r}"
        return InputError(
            f"the table of {self.machine.name!r} has no rule for state {state!r}{on}: it was "
            "found by a run from another start, or by a shorter one, and machine "
            f"{self.base.name!r} goes on here; find the table for this start, or by closure"
        )

    def base_steps(self, times: Mapping[tuple[str, str], int]) -> int:
        """Return the base steps of a run that took each rule, by state and symbol, so many times.

        Raises:
            KeyError: there is no such rule.
        """
        return sum(self.steps[rule] * count for rule, count in times.items())


def check_base(base: Machine, block: int) -> None:
    """Refuse what has no block machine.

    Raises:
        InputError: the machine has several tapes, or blocks are too small or too large.
    """
    if base.tapes != 1:
        raise InputError(
            f"blocks are of one tape, and machine {base.name!r} has {base.tapes}: "
            "run it without blocks"
        )
    if not 1 <= block <= MOST_BLOCK:
        raise InputError(f"a block has 1 to {MOST_BLOCK} cells, not {block}")


def cut(configuration: Configuration, base: Machine, block: int) -> tuple[int, list[Block]]:
    """Return the blocks of a start, counted from the head's cell, and the first one's number."""
    (tape,) = configuration.tapes
    if not tape.contents:
        return 0, []
    offset = tape.origin - tape.head
    first, last = offset // block, (offset + len(tape.contents) - 1) // block
    cells = (
        [base.blank] * (offset - first * block)
        + list(tape.contents)
        + [base.blank] * ((last + 1) * block - offset - len(tape.contents))
    )
    blocks = [tuple(cells[i : i + block]) for i in range(0, len(cells), block)]
    return first, blocks


def too_many_rules(base: Machine, block: int, most: int) -> InputError:
    """Return the error for a table that grows beyond what is allowed."""
    return InputError(
        f"machine {base.name!r} in blocks of {block} has more than {most:,} rules: "
        "take smaller blocks, or allow more with --most-rules"
    )


def too_long(base: Machine, block: int, most: int) -> InputError:
    """Return the error for a machine that stays in one block for too long."""
    return InputError(
        f"machine {base.name!r} takes more than {most:,} steps within one block of "
        f"{block} cells: take smaller blocks"
    )
