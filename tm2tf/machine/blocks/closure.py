"""All rules of a block machine, from its start state on: no run is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tm2tf.machine.blocks.assembly import Mark, Rule, Table, assembled, start_of
from tm2tf.machine.blocks.lifted import (
    MOST_RULES,
    Block,
    BlockMachine,
    Place,
    check_base,
    cut,
    too_many_rules,
)
from tm2tf.machine.blocks.play import play
from tm2tf.machine.spec import Configuration, Machine


def block_machine(
    base: Machine,
    block: int,
    starts: Sequence[Configuration] = (),
    *,
    most_rules: int = MOST_RULES,
) -> BlockMachine:
    """Return the block machine of a machine, for these starts (none: the blank tape), by closure.

    Its rules are those of all states that are entered, on all blocks that are written or given. So
    they hold for every run from the blocks given.

    Args:
        base: the machine, of one tape.
        block: cells of a block.
        starts: whose blocks there are besides the blank one.
        most_rules: the cap.

    Raises:
        InputError: the machine has several tapes, blocks are too small or too large, or the
            closure has more than `most_rules` rules.
    """
    check_base(base, block)
    given = [each for start in starts for each in cut(start, base, block)[1]]
    closure = _Closure(base, block, most_rules)
    return assembled(closure.of(given), "closure")


@dataclass(slots=True)
class _Closure:
    """The rules of a block machine, found from the start on."""

    base: Machine
    block: int
    most_rules: int
    numbers: dict[Block, int] = field(default_factory=dict)
    entered: dict[Mark, None] = field(default_factory=dict)
    rules: dict[tuple[Mark, int], Rule] = field(default_factory=dict)

    def of(self, given: Sequence[Block]) -> Table:
        """Return the table whose blocks are the blank one, these, and what is written."""
        for each in ((self.base.blank,) * self.block, *given):
            self._number(each)
        start = start_of(self.base)
        if start.kind == ">":
            self.entered[start] = None
        done = -1
        while done < len(self.entered) * len(self.numbers):
            done = len(self.entered) * len(self.numbers)
            for mark in list(self.entered):
                for block in list(self.numbers):
                    self._find(mark, block)
        rules = tuple(self.rules.values())
        return Table(self.base, self.block, start, tuple(self.numbers), rules)

    def _find(self, mark: Mark, block: Block) -> None:
        """Find the rule of a state that is entered, on a block, if it is not known."""
        read = self._number(block)
        if (mark, read) in self.rules:
            return
        if len(self.rules) == self.most_rules:
            raise too_many_rules(self.base, self.block, self.most_rules)
        found = play(self.base, Place(mark.state, mark.cell), block)
        to = Mark(found.kind, found.place.state, found.place.cell)
        written = self._number(found.written)
        self.rules[mark, read] = Rule(mark, read, to, written, found.move, found.steps)
        if to.kind in "><":
            self.entered[to] = None
        elif to.kind == "~":  # it stays on this block, and meets no other
            self._find(to, found.written)

    def _number(self, block: Block) -> int:
        return self.numbers.setdefault(block, len(self.numbers))
