"""A small structured assembler: programs of blocks in, ordinary machines out.

Long machines with several tapes are hard to read as rule tables. Here they are written with
sequences, loops, tests and named blocks::

    b = Builder(tapes=["01", "01"])            # the symbols of each tape, besides the blank
    to_end = loop(~on(0, "_"), act(move={0: "R"}))
    copy = loop(~on(0, "_"), act(write={1: copy_of(0)}, move={0: "R", 1: "R"}))
    machine = b.build(seq(call("copy", copy), accept), name="copy")

Only `act` takes a step. Tests cost nothing: they are resolved for every combination of symbols
under the heads when the machine is built, and folded into the transition that comes next (where
that would be the end of the run, it is one step in place). A state of the machine is a place in
the program, named after the innermost `call` around it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeAlias

from tm2tf.errors import BuilderError
from tm2tf.machine.spec import OFFSET, Machine, Reads, Transition, Undefined


@dataclass(frozen=True, slots=True)
class Test:
    """A condition on the symbols under the heads; combine with `&`, `|` and `~`."""

    holds: Callable[[Reads], bool]

    def __and__(self, other: Test) -> Test:
        return Test(lambda reads: self.holds(reads) and other.holds(reads))

    def __or__(self, other: Test) -> Test:
        return Test(lambda reads: self.holds(reads) or other.holds(reads))

    def __invert__(self) -> Test:
        return Test(lambda reads: not self.holds(reads))


def on(tape: int, symbols: Iterable[str]) -> Test:
    """Return the test "the head of `tape` is on one of `symbols`" (a string is its characters)."""
    wanted = frozenset(symbols)
    return Test(lambda reads: _under(tape, reads) in wanted)


def same(tape: int, other: int) -> Test:
    """Return the test "both heads are on the same symbol"."""
    return Test(lambda reads: _under(tape, reads) == _under(other, reads))


always = Test(lambda reads: True)


def _under(tape: int, reads: Reads) -> str:
    """Return the symbol under the head of a tape, or say that there is no such tape."""
    if not 0 <= tape < len(reads):
        raise BuilderError(f"tape {tape} does not exist: there are {len(reads)}, from 0")
    return reads[tape]


@dataclass(frozen=True, slots=True)
class Copy:
    """Stands for the symbol read on `tape`, as something to write elsewhere."""

    tape: int


def copy_of(tape: int) -> Copy:
    """Return what stands for the symbol under the head of `tape`."""
    return Copy(tape)


Written: TypeAlias = str | Copy | Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Act:
    """One step: write on some tapes, move some heads; the others keep and stay."""

    write: Mapping[int, Written]
    move: Mapping[int, str]


@dataclass(frozen=True, eq=False)
class Chain:
    """Blocks one after the other."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Loop:
    """Repeats its body while the test holds."""

    test: Test
    body: Block


@dataclass(frozen=True, eq=False)
class If:
    """Chooses by a test."""

    test: Test
    then: Block
    otherwise: Block


@dataclass(frozen=True, eq=False)
class Switch:
    """Chooses by the symbol under one head."""

    tape: int
    cases: Mapping[str, Block]
    default: Block


@dataclass(frozen=True, eq=False)
class Call:
    """A block under a name of its own; the states it becomes are called after it."""

    name: str
    body: Block


@dataclass(frozen=True, eq=False)
class Leave:
    """Leaves the innermost loop (`again` false) or begins its next round (`again` true)."""

    again: bool


@dataclass(frozen=True, eq=False)
class Stop:
    """Ends the run in a halting state of the kind `accept`, `reject` or `halt`."""

    kind: str
    state: str


Block: TypeAlias = Act | Chain | Loop | If | Switch | Call | Leave | Stop


def act(write: Mapping[int, Written] | None = None, move: Mapping[int, str] | None = None) -> Act:
    """Return one step. `write[t]` is a symbol, `copy_of(u)`, or a map from read to written."""
    return Act(dict(write or {}), dict(move or {}))


def seq(*blocks: Block) -> Block:
    """Return the blocks one after the other."""
    return Chain(blocks)


def loop(test: Test, *body: Block) -> Block:
    """Return a while loop."""
    return Loop(test, seq(*body))


def when(test: Test, then: Block, otherwise: Block | None = None) -> Block:
    """Return an if, with or without an else."""
    return If(test, then, otherwise or seq())


def on_symbol(tape: int, cases: Mapping[str, Block], default: Block | None = None) -> Block:
    """Return a choice by symbol; a key of several one-character symbols stands for each.

    Symbols longer than one character are separated by spaces within a key.
    """
    spread = {
        symbol: block
        for key, block in cases.items()
        for symbol in (key.split() if " " in key.strip() else (key, *key))
    }
    return Switch(tape, spread, default or seq())


def call(name: str, *body: Block) -> Block:
    """Return the body as a named block. Every call is a copy of its own: there is no stack."""
    return Call(name, seq(*body))


accept: Block = Stop("accept", "accept")
reject: Block = Stop("reject", "reject")
halt: Block = Stop("halt", "halt")
leave: Block = Leave(again=False)
again: Block = Leave(again=True)


@dataclass(frozen=True)
class _Place:
    """A place in a program: what is left to do, as a stack of blocks (innermost first).

    Places are told apart by the identity of their blocks and by position, held in `key`.
    """

    frames: tuple[tuple[Block, int], ...]
    key: tuple[tuple[int, int], ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", tuple((id(b), i) for b, i in self.frames))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place) and self.key == other.key

    def then(self, *blocks: Block) -> _Place:
        return _Place((*((block, 0) for block in blocks), *self.frames))

    def name(self) -> str:
        return next((b.name for b, i in self.frames if isinstance(b, Call) and i == 1), "main")


class Builder:
    """Builds machines over given tapes.

    Args:
        tapes: for each tape the symbols it may hold besides the blank (a string is its
            characters). Transitions are made for these symbols alone, so narrow alphabets
            keep machines with many tapes small.
        blank: the blank, shared by all tapes.
    """

    def __init__(self, tapes: Sequence[Iterable[str]], blank: str = "_") -> None:
        if not tapes:
            raise BuilderError("a builder needs at least one tape")
        self.blank = blank
        self.alphabets = [tuple(dict.fromkeys((blank, *symbols))) for symbols in tapes]

    def build(
        self,
        program: Block,
        name: str,
        *,
        undefined: Undefined = "reject",
        description: str = "",
        source: str = "",
    ) -> Machine:
        """Return the machine of a program; falling off its end halts.

        Raises:
            BuilderError: a loop that can go round without a step, a tape or symbol that does
                not exist, `leave` or `again` outside a loop.
        """
        whole = seq(program, halt)
        begin = self._settle(_Place(()).then(whole))
        names: dict[_Place, str] = {}
        stops: dict[str, Stop] = {}
        start = self._state(begin, names, stops)
        transitions: dict[tuple[str, Reads], Transition] = {}
        queue = list(names)
        while queue:
            place = queue.pop(0)
            for reads in product(*self.alphabets):
                step, target = self._resolve(place, reads)
                before = len(names)
                state = self._state(target, names, stops)
                queue += list(names)[before:]
                transitions[names[place], reads] = self._transition(step, reads, state)
        kinds = {
            kind: tuple(s.state for s in stops.values() if s.kind == kind)
            for kind in ("accept", "reject", "halt")
        }
        symbols = tuple(dict.fromkeys(s for alphabet in self.alphabets for s in alphabet))
        return Machine(
            name=name,
            symbols=symbols,
            blank=self.blank,
            states=(*names.values(), *(state for group in kinds.values() for state in group)),
            start=start,
            transitions=transitions,
            tapes=len(self.alphabets),
            accept=kinds["accept"],
            reject=kinds["reject"],
            halt=kinds["halt"],
            undefined=undefined,
            description=description,
            source=source,
        )

    def _state(self, place: _Place, names: dict[_Place, str], stops: dict[str, Stop]) -> str:
        first = place.frames[0][0]
        if isinstance(first, Stop):
            return stops.setdefault(first.state, first).state
        if place not in names:
            base = place.name()
            taken = set(names.values())
            number, name = 1, base
            while name in taken or name in ("accept", "reject", "halt"):
                number += 1
                name = f"{base}.{number}"
            names[place] = name
        return names[place]

    def _settle(self, place: _Place) -> _Place:
        """Open sequences and calls, which need no test, so that equal places compare equal."""
        while True:
            (block, at), rest = place.frames[0], place.frames[1:]
            if isinstance(block, Chain):
                left = () if at + 1 >= len(block.blocks) else ((block, at + 1),)
                inner = () if at >= len(block.blocks) else ((block.blocks[at], 0),)
                place = _Place((*inner, *left, *rest))
            elif isinstance(block, Call):
                place = _Place(((block.body, 0), (block, 1), *rest)) if at == 0 else _Place(rest)
            elif isinstance(block, Leave):
                place = self._left(block, rest)
            else:
                return place

    def _left(self, block: Leave, rest: tuple[tuple[Block, int], ...]) -> _Place:
        for depth, (outer, _) in enumerate(rest):
            if isinstance(outer, Loop):
                return _Place(rest[depth + (0 if block.again else 1) :])
        raise BuilderError("`leave` or `again` stands outside every loop")

    def _resolve(self, place: _Place, reads: Reads) -> tuple[Act, _Place]:
        """Follow tests for one combination of symbols up to the next step; return it and after."""
        seen: set[_Place] = set()
        while True:
            place = self._settle(place)
            if place in seen:
                raise BuilderError(
                    f"a loop in block {place.name()!r} goes round for ever without a step when "
                    f"the heads read {', '.join(map(repr, reads))}: give it an `act`"
                )
            seen.add(place)
            (block, _), rest = place.frames[0], place.frames[1:]
            if isinstance(block, Act):
                return block, self._settle(_Place(rest))
            if isinstance(block, Stop):
                return Act({}, {}), place
            if isinstance(block, Loop):
                inner = ((block.body, 0), (block, 0)) if block.test.holds(reads) else ()
                place = _Place((*inner, *rest))
            elif isinstance(block, If):
                chosen = block.then if block.test.holds(reads) else block.otherwise
                place = _Place(((chosen, 0), *rest))
            elif isinstance(block, Switch):
                chosen = block.cases.get(_under(block.tape, reads), block.default)
                place = _Place(((chosen, 0), *rest))

    def _transition(self, step: Act, reads: Reads, state: str) -> Transition:
        writes = list(reads)
        for tape, what in step.write.items():
            read = _under(tape, reads)
            if isinstance(what, Copy):
                writes[tape] = _under(what.tape, reads)
            elif isinstance(what, str):
                writes[tape] = what
            else:
                writes[tape] = what.get(read, read)
            if writes[tape] not in self.alphabets[tape]:
                raise BuilderError(
                    f"{writes[tape]!r} is written on tape {tape}, whose symbols are "
                    f"{' '.join(self.alphabets[tape])}"
                )
        for tape, move in step.move.items():
            _under(tape, reads)
            if move not in OFFSET:
                raise BuilderError(f"unknown move {move!r}: expected L, S or R")
        moves = tuple(step.move.get(tape, "S") for tape in range(len(reads)))
        return Transition(state, tuple(writes), moves)
