"""The rules of a block machine that a first run meets, found by that run."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
from jaxtyping import Int64, UInt32

from tm2tf.errors import InputError
from tm2tf.machine.blocks import walk
from tm2tf.machine.blocks.assembly import Mark, Rule, Table, assembled, start_of
from tm2tf.machine.blocks.lifted import (
    MOST_RULES,
    MOST_STEPS,
    Block,
    BlockMachine,
    FirstRun,
    Place,
    check_base,
    cut,
    too_long,
    too_many_rules,
)
from tm2tf.machine.blocks.play import play
from tm2tf.machine.spec import OFFSET, Configuration, Machine, Tape, Transition

CHUNK = 1 << 22
"""Macro steps between two looks for Ctrl-C: some 10 ms."""

MOST_BASE_STEPS = 10**12
"""Base steps of a first run that is not told where to stop: some minutes in blocks of 24."""

MOST_WORDS = 1 << 28
"""Words of a table, at most: states times blocks, of 16 bytes, most of which are never touched."""

MOST_LISTED = 1 << 22
"""Rules that may be asked for, at most: a list of so many takes 200 MB."""

FIRST_BLOCKS = 256
"""Blocks that a table has room for at first; it doubles when more are written."""

FIRST_CELLS = 1024
"""Blocks of the tape at first; it doubles when the head needs it."""

OnProgress = Callable[[int], None]


class Walker:
    """A base machine in blocks, from a start: its rules are found as they are met.

    Attributes:
        why: why it stands still, as `walk` says.
    """

    def __init__(
        self,
        base: Machine,
        block: int,
        start: Configuration,
        *,
        most_rules: int = MOST_RULES,
        most_played: int = MOST_STEPS,
        known: int = 0,
    ) -> None:
        """Stand at the start; `known`: how many blocks will be named before the first step."""
        check_base(base, block)
        self.base, self.block = base, block
        self.most_rules, self.most_played = most_rules, most_played
        first, given = cut(start, base, block)
        self._symbols = {symbol: number for number, symbol in enumerate(base.symbols)}
        self._states = {state: number for number, state in enumerate(base.states)}
        self._rules = _numbers(base, self._states, self._symbols)
        row = 2 * len(base.states) + 1
        if most_rules > MOST_LISTED:
            raise InputError(f"--most-rules is {most_rules:,}: give {MOST_LISTED:,} at most")
        named = known + len(given) + 1
        most_blocks, room = named + most_rules, named + min(FIRST_BLOCKS, most_rules)
        self._store = walk.Store(
            into=np.zeros(room * row, dtype=np.uint32),
            wrote=np.zeros(room * row, dtype=np.uint32),
            took=np.zeros(room * row, dtype=np.int64),
            cells=np.zeros((most_blocks, block), dtype=np.uint32),
            slots=np.zeros(1 << (2 * most_blocks).bit_length(), dtype=np.uint32),
            rules=np.zeros((most_rules, 6), dtype=np.int64),
        )
        self._here = np.zeros(7, dtype=np.int64)
        self._here[walk.STATE] = walk.numbered(
            start_of(base).kind, self._states[base.start], 0, 0, len(base.states), block
        )
        self._given: dict[Block, int] = {}
        self._row, self._lowest = row, -(FIRST_CELLS // 2)
        self._tape: UInt32[np.ndarray, " cells"] = np.zeros(FIRST_CELLS, dtype=np.uint32)
        self._here[walk.HEAD] = -self._lowest
        self.number((base.blank,) * block)
        for i, each in enumerate(given):
            self._reach(first + i)
            self._tape[first + i - self._lowest] = self.number(each) * row
        self.why = walk.MORE if start_of(base).kind == ">" else walk.OVER

    @property
    def macro_steps(self) -> int:
        """The macro steps taken."""
        return int(self._here[walk.MACRO])

    @property
    def base_steps(self) -> int:
        """The base steps taken."""
        return int(self._here[walk.BASE])

    @property
    def swept(self) -> int:
        """The macro steps that repeated the one before, in the same state on an equal block."""
        return int(self._here[walk.SWEPT])

    @property
    def rules(self) -> int:
        """The rules known."""
        return int(self._here[walk.RULES])

    @property
    def played(self) -> int:
        """The base steps that were played out to find them."""
        return int(self._store.rules[: self.rules, walk.STEPS].sum())

    def number(self, block: Block) -> int:
        """Return the number of a block, which it gets if it has none; before the first step."""
        if block in self._given:
            return self._given[block]
        number = self._given[block] = len(self._given)
        cells, slots = self._store.cells, self._store.slots
        cells[number] = [self._symbols[symbol] for symbol in block]
        self._here[walk.BLOCKS] += 1
        if self.most_rules:  # new blocks may be written, and must be told from these
            slot = walk.hash_place(cells[number], len(slots))
            while slots[slot]:
                slot = (slot + 1) % len(slots)
            slots[slot] = number + 1
        return number

    def enter(self, rule: Rule) -> None:
        """Make a rule known; its blocks are numbers that `number` gave."""
        read, into = self._numbered(rule.entered, 0), self._numbered(rule.to, OFFSET[rule.move])
        place = rule.read * self._row + read
        if rule.entered.kind in "><":  # a walk ends at the others
            self._store.into[place] = into
            self._store.wrote[place] = rule.written * self._row
            self._store.took[place] = rule.steps

    def advance(self, most_base: int = MOST_BASE_STEPS, chunk: int = CHUNK) -> int:
        """Take up to `chunk` macro steps, not beyond `most_base` base steps; return `why`."""
        limits = np.array([chunk, most_base, 0, self.most_played])
        last = self.macro_steps + chunk
        while self.why in (walk.MORE, walk.NO_CELLS, walk.NO_STEPS):
            limits[walk.CHUNK] = last - self.macro_steps
            # a rule writes one new block at most, for which there must be room
            room = len(self._store.into) // self._row - int(self._here[walk.BLOCKS])
            limits[walk.MOST_RULES] = min(self.most_rules, self.rules + room)
            self.why = walk.walk(*self._rules, *self._store, self._tape, self._here, limits)
            if self.why == walk.NO_CELLS:
                self._reach(int(self._here[walk.HEAD]) + self._lowest)
            elif self.why == walk.NO_RULES and self.rules < self.most_rules and self._make_room():
                self.why = walk.MORE
            else:
                break
        return self.why

    def _make_room(self) -> bool:
        """Double the table, if it does not become too large; return whether it does not."""
        size = len(self._store.into)
        if 2 * size > MOST_WORDS:
            return False
        names = ("into", "wrote", "took")
        known = {name: getattr(self._store, name) for name in names}
        more = {name: np.concatenate([each, np.zeros_like(each)]) for name, each in known.items()}
        self._store = self._store._replace(**more)
        return True

    def configuration(self) -> Configuration:
        """Return the base machine's configuration, the head's first cell at address 0."""
        mark = self._marked(int(self._here[walk.STATE]))
        at = int(self._here[walk.HEAD]) + self._lowest
        used = np.flatnonzero(self._tape)
        if not len(used):
            return Configuration(mark.state, (Tape((), 0, at * self.block + mark.cell),))
        first, last = int(used[0]), int(used[-1])
        numbers = self._tape[first : last + 1] // self._row
        cells = [self.base.symbols[c] for c in self._store.cells[numbers].ravel().tolist()]
        origin = (first + self._lowest) * self.block
        tape = Tape(tuple(cells), origin, at * self.block + mark.cell)
        return Configuration(mark.state, (tape.trimmed(self.base.blank),))

    def mark(self) -> Mark:
        """Return the state in which it stands."""
        return self._marked(int(self._here[walk.STATE]))

    def under(self) -> int:
        """Return the number of the block under the head."""
        return int(self._tape[self._here[walk.HEAD]]) // self._row

    def table(self) -> Table:
        """Return the rules found, with the rule of a loop within a block that the run ends in."""
        symbols = np.array(self.base.symbols, dtype=object)
        known = self._store.cells[: int(self._here[walk.BLOCKS])]
        blocks: list[Block] = list(map(tuple, symbols[known].tolist()))
        marks: dict[int, Mark] = {}
        rules = []
        for entered, read, to, written, move, steps in self._store.rules[: self.rules].tolist():
            for number in (entered, to):
                if number not in marks:
                    marks[number] = self._marked(number)
            rule = Rule(marks[entered], read, marks[to], written, walk.MOVES[move], steps)
            rules.append(rule)
        for to, number in {(r.to, r.written): None for r in rules if r.to.kind == "~"}:
            place, block = Place(to.state, to.cell), blocks[number]
            again = play(self.base, place, block, self.most_played)
            rules.append(Rule(to, number, to, number, "S", again.steps))
        return Table(self.base, self.block, start_of(self.base), blocks, rules)

    def _numbered(self, mark: Mark, move: int) -> int:
        state, states = self._states[mark.state], len(self.base.states)
        return walk.numbered(mark.kind, state, mark.cell, move, states, self.block)

    def _marked(self, number: int) -> Mark:
        kind, state, cell = walk.marked(number, len(self.base.states), self.block)
        return Mark(kind, self.base.states[state], cell)

    def _reach(self, address: int) -> None:
        """Double the tape until it holds an address."""
        while not 0 <= address - self._lowest < len(self._tape):
            size = len(self._tape)
            below = size if address < self._lowest else 0
            more = np.zeros(2 * size, dtype=np.uint32)
            more[below : below + size] = self._tape
            self._tape, self._lowest = more, self._lowest - below
            self._here[walk.HEAD] += below


def first_run(
    base: Machine,
    block: int,
    start: Configuration,
    *,
    most_rules: int = MOST_RULES,
    max_steps: int | None = None,
    on_progress: OnProgress | None = None,
) -> BlockMachine:
    """Return the block machine with the rules that a run from `start` meets.

    The base machine is run in blocks, each rule found as it is met, until it halts, finds no rule,
    or goes round within a block. The rules hold wherever they are met; other runs may meet others,
    and then the block machine finds no rule (`BlockMachine.lacks`).

    Args:
        base: the machine, of one tape.
        block: cells of a block.
        start: from where; its head is on the first cell of block 0.
        most_rules: the cap.
        max_steps: stop before the macro step that goes beyond so many base steps.
        on_progress: is told how many base steps were taken.

    Raises:
        InputError: there is no block machine, it needs more than `most_rules` rules, or the run
            does not end within `MOST_BASE_STEPS` while no `max_steps` was given.
    """
    began = time.perf_counter()
    walker = walked(base, block, start, most_rules, max_steps, on_progress)
    refuse(walker)
    return block_machine_of(walker, began, max_steps)


def walked(
    base: Machine,
    block: int,
    start: Configuration,
    most_rules: int,
    max_steps: int | None,
    on_progress: OnProgress | None,
) -> Walker:
    """Return a walker at the end of a first run, or where it cannot go on (see `refuse`)."""
    walker = Walker(base, block, start, most_rules=most_rules)
    most = MOST_BASE_STEPS if max_steps is None else max_steps
    while walker.advance(most) == walk.MORE:
        if on_progress is not None:
            on_progress(walker.base_steps)
    return walker


def block_machine_of(walker: Walker, began: float, max_steps: int | None) -> BlockMachine:
    """Return the block machine of a first run, which `began` at that time."""
    run = FirstRun(
        macro_steps=walker.macro_steps,
        base_steps=walker.base_steps,
        over=walker.why == walk.OVER,
        loops=walker.mark().kind == "~",
        seconds=time.perf_counter() - began,
    )
    if not run.over and max_steps is None:
        raise InputError(
            f"machine {walker.base.name!r} does not end within {MOST_BASE_STEPS:,} steps, and a "
            "table found by a first run needs its end: give --max-steps, or find the table by "
            "closure"
        )
    return assembled(walker.table(), "run", run)


@cache
def make_ready() -> None:
    """Compile the walk, or load what was compiled, which is not to be taken for its time."""
    right = Transition("A", ("0",), ("R",))
    base = Machine("ready", ("0",), "0", ("A",), "A", {("A", ("0",)): right})
    Walker(base, 1, base.initial(), most_rules=1).advance(chunk=1)


def refuse(walker: Walker) -> None:
    """Raise where a walk cannot go on.

    Raises:
        InputError: there are too many rules, one takes too long, or the table is too large.
    """
    if walker.why == walk.NO_RULES and walker.rules < walker.most_rules:
        raise InputError(
            f"machine {walker.base.name!r} has {len(walker.base.states):,} states, and in blocks "
            f"of {walker.block} its table becomes too large: take smaller blocks"
        )
    if walker.why == walk.NO_RULES:
        raise too_many_rules(walker.base, walker.block, walker.most_rules)
    if walker.why == walk.TOO_LONG:
        raise too_long(walker.base, walker.block, walker.most_played)


def _numbers(base: Machine, states: dict[str, int], symbols: dict[str, int]) -> walk.Rules:
    """Return the base machine's rules as arrays."""
    shape = (len(states), len(symbols))
    following: Int64[np.ndarray, "states symbols"] = np.full(shape, -1, dtype=np.int64)
    written, moves = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for (state, (symbol,)), to in base.transitions.items():
        place = states[state], symbols[symbol]
        following[place] = states[to.state]
        written[place] = symbols[to.writes[0]]
        moves[place] = OFFSET[to.moves[0]]
    ends = {*base.accept, *base.reject, *base.halt}
    over = np.array([state in ends for state in base.states], dtype=np.int64)
    return walk.Rules(following, written, moves, over)
