"""Block machines: a machine over blocks of cells is again a machine, which does more in a step.

The tape of a base machine is cut into blocks of B cells, and a block is one symbol. A step of the
block machine is all that the base machine does from entering a block until it leaves it again,
halts there, finds no rule, or goes round for ever. States say where in the block the head is:

- `q>` and `q<`: base state q, on the first cell (it came from the left), on the last one;
- `q@i`: base state q has halted, on cell i of the block;
- `q?i`: base state q finds no rule on cell i; this halts as the base machine's `undefined` says;
- `q~i`: from q on cell i the base machine comes back to just that within the block, for ever: the
  block machine then stays, a round a step.

Each rule knows how many base steps it stands for, so every step unfolds to exact base steps, and
`unfold` gives the base configuration. Rules are found by closure: from the start state, all states
that are entered, on all blocks that are written or given. So no run is needed, and the rules hold
for every run from the blocks given.

Source: block (macro) machines are those of Marxen and Buntrock, "Attacking the Busy Beaver 5"
(1990).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from tm2tf.errors import InputError
from tm2tf.machine.spec import (
    OFFSET,
    UNDEFINED_OUTCOME,
    Configuration,
    Machine,
    Tape,
    Transition,
)

MOST_RULES = 4096
"""Rules of a block machine, at most, unless more are asked for: each is a neuron when compiled."""

MOST_BLOCK = 64
"""Cells of a block, at most: what happens within one is played out, up to states * B * G^B steps
before it must repeat."""

MOST_STEPS = 1_000_000
"""Base steps played out within one block, at most: a machine may count in it for ages."""

Block = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a state of a block machine stands: the base state, and the head's cell in its block."""

    state: str
    cell: int


@dataclass(frozen=True, slots=True)
class BlockMachine:
    """A machine over blocks of another machine's cells.

    Attributes:
        base: the machine whose cells they are; `block`: how many cells a block has.
        machine: the block machine, a machine like any other.
        places: for each of its states the base state and the head's cell.
        blocks: for each of its symbols the cells.
        steps: for each of its rules, by state and symbol, how many base steps it stands for.
    """

    base: Machine
    block: int
    machine: Machine
    places: Mapping[str, Place]
    blocks: Mapping[str, Block]
    steps: Mapping[tuple[str, str], int]

    def unfold(self, configuration: Configuration, zero: int = 0) -> Configuration:
        """Return the base configuration that one of the block machine's stands for.

        Args:
            configuration: of the block machine.
            zero: the base address of the first cell of block 0.
        """
        (tape,) = configuration.tapes
        place = self.places[configuration.state]
        cells = tuple(cell for symbol in tape.contents for cell in self.blocks[symbol])
        head = zero + tape.head * self.block + place.cell
        unfolded = Tape(cells, zero + tape.origin * self.block, head)
        return Configuration(place.state, (unfolded.trimmed(self.base.blank),))

    def start(self, configuration: Configuration) -> Configuration:
        """Return the start for a base start, whose head is on the first cell of block 0.

        Raises:
            InputError: it has blocks that the closure was not given.
        """
        (tape,) = configuration.tapes
        first, blocks = _cut(configuration, self.base, self.block)
        names = {block: name for name, block in self.blocks.items()}
        for block in blocks:
            if block not in names:
                raise InputError(
                    f"the block {self.base.join(block)!r} of the start is none that this block "
                    f"machine knows: make it for this start ({self.base.join(tape.contents)!r})"
                )
        contents = tuple(names[block] for block in blocks)
        return Configuration(self.machine.start, (Tape(contents, first, 0),))


def block_machine(
    base: Machine,
    block: int,
    starts: Sequence[Configuration] = (),
    *,
    most_rules: int = MOST_RULES,
) -> BlockMachine:
    """Return the block machine of a machine, for these starts (none: the blank tape).

    Raises:
        InputError: the machine has several tapes, blocks are too small or too large, or the
            closure has more than `most_rules` rules.
    """
    if base.tapes != 1:
        raise InputError(
            f"blocks are of one tape, and machine {base.name!r} has {base.tapes}: "
            "run it without blocks"
        )
    if not 1 <= block <= MOST_BLOCK:
        raise InputError(f"a block has 1 to {MOST_BLOCK} cells, not {block}")
    given = [_cut(start, base, block)[1] for start in starts]
    return _Closure(base, block, most_rules).of([each for blocks in given for each in blocks])


def _cut(configuration: Configuration, base: Machine, block: int) -> tuple[int, list[Block]]:
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


@dataclass(frozen=True, slots=True)
class _Played:
    """What the base machine does in a block: what it leaves there, and where it is then.

    `kind` is how the state of the block machine is marked, `move` where its head goes.
    """

    kind: str
    place: Place
    written: Block
    move: str
    steps: int


@dataclass(slots=True)
class _Closure:
    """The rules of a block machine, found from the start on."""

    base: Machine
    block: int
    most_rules: int
    rules: dict[tuple[str, str], Transition] = field(default_factory=dict)
    steps: dict[tuple[str, str], int] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    names: dict[Block, str] = field(default_factory=dict)
    entered: list[str] = field(default_factory=list)

    def of(self, given: Sequence[Block]) -> BlockMachine:
        """Return the block machine whose blocks are the blank one, these, and what is written."""
        blank = self._symbol((self.base.blank,) * self.block)
        for each in given:
            self._symbol(each)
        halted = self.base.outcome_of(self.base.start) is not None
        start = self._state("@" if halted else ">", Place(self.base.start, 0))
        done = 0
        while done < len(self.entered) * len(self.names):
            done = len(self.entered) * len(self.names)
            for state in list(self.entered):
                for block in list(self.names):
                    self._find(state, block)
        return BlockMachine(
            base=self.base,
            block=self.block,
            machine=self._machine(start, blank),
            places=MappingProxyType(self.places),
            blocks=MappingProxyType({name: block for block, name in self.names.items()}),
            steps=MappingProxyType(self.steps),
        )

    def _find(self, state: str, block: Block) -> None:
        """Find the rule of a state that is entered, on a block, if it is not known."""
        symbol = self.names[block]
        if (state, symbol) in self.rules:
            return
        if len(self.rules) == self.most_rules:
            raise InputError(
                f"machine {self.base.name!r} in blocks of {self.block} has more than "
                f"{self.most_rules:,} rules: take smaller blocks, or let it have more"
            )
        found = play(self.base, self.places[state], block)
        to = self._state(found.kind, found.place)
        self.rules[state, symbol] = Transition(to, (self._symbol(found.written),), (found.move,))
        self.steps[state, symbol] = found.steps

    def _symbol(self, block: Block) -> str:
        """Return what a block is called: its cells, apart where they have long names."""
        apart = "" if all(len(symbol) == 1 for symbol in self.base.symbols) else ","
        if any("," in symbol for symbol in self.base.symbols) and apart:
            return self.names.setdefault(block, f"block{len(self.names)}")
        return self.names.setdefault(block, apart.join(block))

    def _state(self, kind: str, place: Place) -> str:
        """Return what a state is called, noting it; those that run are then entered."""
        name = f"{place.state}{kind}" + (str(place.cell) if kind in "@?~" else "")
        if name not in self.places:
            self.places[name], self.kinds[name] = place, kind
            if kind in "><~":
                self.entered.append(name)
        return name

    def _machine(self, start: str, blank: str) -> Machine:
        """Return the block machine itself."""
        outcomes = {name: self._outcome(name) for name in self.places}
        return Machine(
            name=f"{self.base.name}-blocks-of-{self.block}",
            symbols=tuple(self.names.values()),
            blank=blank,
            states=tuple(self.places),
            start=start,
            transitions={(q, (symbol,)): to for (q, symbol), to in self.rules.items()},
            accept=tuple(name for name, how in outcomes.items() if how == "accepted"),
            reject=tuple(name for name, how in outcomes.items() if how == "rejected"),
            halt=tuple(name for name, how in outcomes.items() if how == "halted"),
            undefined=self.base.undefined,
            description=f"{self.base.name} in blocks of {self.block} cells",
            source=self.base.source,
        )

    def _outcome(self, name: str) -> str | None:
        """Return how a run ends that enters a state, None if it goes on."""
        kind = self.kinds[name]
        if kind == "?":
            return UNDEFINED_OUTCOME[self.base.undefined]
        return self.base.outcome_of(self.places[name].state) if kind == "@" else None


def play(base: Machine, place: Place, block: Block) -> _Played:
    """Return what a machine does in a block, from a place in it until it leaves or is over.

    Raises:
        InputError: it takes more than `MOST_STEPS` steps.
    """
    cells, state, at, steps = list(block), place.state, place.cell, 0
    first = saved = (state, at, block)
    look = 1  # after so many steps what is there is saved; then twice as many (Brent 1980)
    while True:
        here = (state, at, tuple(cells))
        if steps and here in (first, saved):  # it goes round, and where it stands is on the way
            return _Played("~", Place(state, at), here[2], "S", steps)
        if steps == look:
            saved, look = here, 2 * look
        rule = base.transitions.get((state, (cells[at],)))
        if rule is None:
            return _Played("?", Place(state, at), here[2], "S", steps)
        cells[at], state, steps = rule.writes[0], rule.state, steps + 1
        at += OFFSET[rule.moves[0]]
        over = base.outcome_of(state) is not None
        if not 0 <= at < len(cells):
            move = "L" if at < 0 else "R"
            at = len(cells) - 1 if at < 0 else 0
            kind = "@" if over else "<" if move == "L" else ">"
            return _Played(kind, Place(state, at), tuple(cells), move, steps)
        if over:
            return _Played("@", Place(state, at), tuple(cells), "S", steps)
        if steps == MOST_STEPS:
            raise InputError(
                f"machine {base.name!r} takes more than {MOST_STEPS:,} steps within one block of "
                f"{len(cells)} cells: take smaller blocks"
            )
