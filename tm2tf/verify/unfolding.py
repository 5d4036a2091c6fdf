"""A block machine's run beside its base machine's: every macro step against every base step.

For each macro step the base machine takes as many steps as the rule says, each of which must begin
within the block; then its state, its head and the cells of the block must be what the block
machine's state and symbol stand for. The head left no other block's cells changed, as it was not
there. So all of the tape is compared at every boundary. Compiled, with arrays made from the block
machine as it is compiled to weights (names and all) and from the base machine's own rules.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from tm2tf.jit import cached_njit
from tm2tf.machine.blocks.lifted import BlockMachine
from tm2tf.machine.spec import OFFSET, UNDEFINED_OUTCOME, Configuration, Outcome, Tape

CHUNK = 1 << 20
"""Macro steps between two looks for Ctrl-C: some tenths of a second in blocks of 24."""

FIRST_BLOCKS = 256
"""Blocks of the tape at first; it doubles when the head needs it."""

_BLOCK_STATE, _BLOCK_HEAD, _BASE_STATE, _BASE_HEAD, _MACRO_STEPS, _BASE_STEPS = range(6)
"""What `here` holds: states by number, heads by place on the tapes, the steps taken."""

_MORE, _OVER, _NO_ROOM, _LEFT, _STOPPED, _STATE, _HEAD, _CELLS = range(8)
_WHAT = {
    _LEFT: "the base machine leaves the block before the macro step is over",
    _STOPPED: "the base machine is over before the macro step is",
    _STATE: "the base machine is in another state than the macro step says",
    _HEAD: "the base machine's head is elsewhere than the macro step says",
    _CELLS: "the base machine leaves other cells in the block than the macro step says",
}


@dataclass(frozen=True, slots=True)
class Unfolded:
    """How far a block machine's run and its base machine's agreed.

    Attributes:
        macro_steps, base_steps: compared, each.
        outcome: how the base machine's run ends, or "step-limit".
        configuration: the base machine's at the end, trimmed, addresses as in the start.
        state: the block machine's at the end.
        lacks: whether its table has no rule there, though the base machine may go on.
        difference: what differs, and in which macro step; None if nothing does.
        seconds: how long it took.
    """

    macro_steps: int
    base_steps: int
    outcome: Outcome
    configuration: Configuration
    state: str
    lacks: bool
    difference: str | None
    seconds: float


class _Blocks(NamedTuple):
    """The block machine: its rules by state and symbol, the places of states, cells of symbols."""

    following: Int64[np.ndarray, "states symbols"]
    written: Int64[np.ndarray, "states symbols"]
    moves: Int64[np.ndarray, "states symbols"]
    steps: Int64[np.ndarray, "states symbols"]
    place_states: Int64[np.ndarray, " states"]
    place_cells: Int64[np.ndarray, " states"]
    cells: Int64[np.ndarray, "symbols width"]


class _Base(NamedTuple):
    """The base machine: next state (-1: none), symbol written, move, by state and symbol."""

    following: Int64[np.ndarray, "states symbols"]
    written: Int64[np.ndarray, "states symbols"]
    moves: Int64[np.ndarray, "states symbols"]
    over: Int64[np.ndarray, " states"]


def unfold(
    found: BlockMachine,
    start: Configuration,
    macro_steps: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Unfolded:
    """Run a block machine beside its base machine from a start of the latter, and compare.

    `macro_steps`: stop after so many; a run that goes round in a block needs it. `on_progress` is
    told the base steps compared.

    Raises:
        InputError: the start has blocks that the table was not made for.
    """
    began = time.perf_counter()
    pair = _Pair(found, start)
    last = 2**62 if macro_steps is None else macro_steps
    while pair.why == _MORE and pair.macro_steps < last:
        pair.advance(min(CHUNK, last - pair.macro_steps))
        if on_progress is not None:
            on_progress(pair.base_steps)
    return pair.result(time.perf_counter() - began)


class _Pair:
    """Both machines in motion, on tapes whose first block has the number `lowest`."""

    def __init__(self, found: BlockMachine, start: Configuration) -> None:
        self.found, self._zero = found, start.tapes[0].head
        (tape,) = found.start(start).tapes
        states = {name: i for i, name in enumerate(found.machine.states)}
        symbols = {name: i for i, name in enumerate(found.machine.symbols)}
        self._blocks, self._base = _tables(found, states, symbols)
        self._blank = symbols[found.machine.blank]
        size = FIRST_BLOCKS + 2 * (abs(tape.origin) + len(tape.contents))
        self.lowest = -(size // 2)
        self._tape = np.full(size, self._blank, dtype=np.int64)
        for i, symbol in enumerate(tape.contents):
            self._tape[tape.origin + i - self.lowest] = symbols[symbol]
        self._cells = self._blocks.cells[self._tape].ravel()
        state = states[found.machine.start]
        head, position = -self.lowest, -self.lowest * found.block
        self._here = np.array([state, head, self._blocks.place_states[state], position, 0, 0])
        self.why = _MORE if found.machine.outcome_of(found.machine.start) is None else _OVER

    @property
    def macro_steps(self) -> int:
        return int(self._here[_MACRO_STEPS])

    @property
    def base_steps(self) -> int:
        return int(self._here[_BASE_STEPS])

    def advance(self, count: int) -> None:
        """Take up to `count` macro steps; `why` says how that ended."""
        last = self.macro_steps + count
        while self.macro_steps < last:
            self.why = _compare(
                *self._blocks, *self._base, self._tape, self._cells, self._here,
                last - self.macro_steps,
            )  # fmt: skip
            if self.why != _NO_ROOM:
                return
            self._make_room()
            self.why = _MORE

    def _make_room(self) -> None:
        """Double both tapes to the side where the head is near the end."""
        size, width = len(self._tape), self.found.block
        below = size if self._here[_BLOCK_HEAD] < 1 else 0
        tape = np.full(2 * size, self._blank, dtype=np.int64)
        tape[below : below + size] = self._tape
        cells = self._blocks.cells[tape].ravel()
        cells[below * width : (below + size) * width] = self._cells
        self._tape, self._cells, self.lowest = tape, cells, self.lowest - below
        self._here[_BLOCK_HEAD] += below
        self._here[_BASE_HEAD] += below * width

    def result(self, seconds: float) -> Unfolded:
        """Return what was found."""
        base, names = self.found.base, self.found.machine.states
        state, position = base.states[int(self._here[_BASE_STATE])], int(self._here[_BASE_HEAD])
        symbols = [base.symbols[cell] for cell in self._cells.tolist()]
        zero = self._zero + self.lowest * self.found.block
        tape = Tape(tuple(symbols), zero, zero + position).trimmed(base.blank)
        block_state, head = int(self._here[_BLOCK_STATE]), int(self._here[_BLOCK_HEAD])
        outcome = self.found.machine.outcome_of(names[block_state])
        under = self._tape[head] if 0 <= head < len(self._tape) else self._blank
        unknown = self._blocks.following[block_state, under] < 0
        difference = _WHAT.get(self.why)
        if difference is None and outcome is not None:
            difference = self._ended(state, symbols[position], outcome)
        if difference is not None:
            difference += f" (macro step {self.macro_steps + 1:,}, base step {self.base_steps:,})"
        return Unfolded(
            macro_steps=self.macro_steps,
            base_steps=self.base_steps,
            outcome=outcome or "step-limit",
            configuration=Configuration(state, (tape,)),
            state=names[block_state],
            lacks=bool(unknown) and outcome is None,
            difference=difference,
            seconds=seconds,
        )

    def _ended(self, state: str, symbol: str, outcome: Outcome) -> str | None:
        """Return what is wrong with the end of the run, None if the base machine ends so, too."""
        base = self.found.base
        ends = base.outcome_of(state)
        if ends is None and (state, (symbol,)) not in base.transitions:
            ends = UNDEFINED_OUTCOME[base.undefined]
        if ends == outcome:
            return None
        return f"the block machine's run is {outcome}, the base machine's {ends or 'not over'}"


def _tables(
    found: BlockMachine, states: dict[str, int], symbols: dict[str, int]
) -> tuple[_Blocks, _Base]:
    """Return both machines as arrays."""
    base_states = {name: i for i, name in enumerate(found.base.states)}
    base_symbols = {name: i for i, name in enumerate(found.base.symbols)}
    shape = (len(states), len(symbols))
    blocks = _Blocks(
        np.full(shape, -1, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.array([base_states[found.places[name].state] for name in states], dtype=np.int64),
        np.array([found.places[name].cell for name in states], dtype=np.int64),
        np.array([[base_symbols[c] for c in found.blocks[name]] for name in symbols]),
    )
    for (state, (symbol,)), to in found.machine.transitions.items():
        place = states[state], symbols[symbol]
        blocks.following[place] = states[to.state]
        blocks.written[place] = symbols[to.writes[0]]
        blocks.moves[place] = OFFSET[to.moves[0]]
        blocks.steps[place] = found.steps[state, symbol]
    shape = (len(base_states), len(base_symbols))
    base = _Base(
        np.full(shape, -1, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.zeros(shape, dtype=np.int64),
        np.array([found.base.outcome_of(name) is not None for name in base_states], np.int64),
    )
    for (state, (symbol,)), to in found.base.transitions.items():
        place = base_states[state], base_symbols[symbol]
        base.following[place] = base_states[to.state]
        base.written[place] = base_symbols[to.writes[0]]
        base.moves[place] = OFFSET[to.moves[0]]
    return blocks, base


@cached_njit(nogil=True)
def _compare(  # type: ignore[no-untyped-def] # noqa: C901, PLR0915
    following, written, moves, steps, place_states, place_cells, blocks,
    base_following, base_written, base_moves, over, tape, cells, here, count,
):  # fmt: skip
    """Take up to `count` macro steps, and the base steps that each stands for; return why not."""
    width, size = np.int64(blocks.shape[1]), np.int64(tape.shape[0])
    state, head = here[_BLOCK_STATE], here[_BLOCK_HEAD]
    base_state, position = here[_BASE_STATE], here[_BASE_HEAD]
    why, done, taken = _MORE, 0, 0
    while done < count:
        if head < 1 or head >= size - 1:
            why = _NO_ROOM
            break
        symbol = tape[head]
        target = following[state, symbol]
        if target < 0:
            why = _OVER
            break
        first = head * width
        beyond = first + width
        left = steps[state, symbol]
        while left > 0:
            if position < first or position >= beyond:
                why = _LEFT
                break
            read = cells[position]
            entered = base_following[base_state, read]
            if entered < 0 or over[base_state]:
                why = _STOPPED
                break
            cells[position] = base_written[base_state, read]
            position += base_moves[base_state, read]
            base_state = entered
            left -= 1
            taken += 1
        if why != _MORE:
            break
        new = written[state, symbol]
        tape[head] = new
        head += moves[state, symbol]
        state = target
        if base_state != place_states[state]:
            why = _STATE
            break
        if position != head * width + place_cells[state]:
            why = _HEAD
            break
        for i in range(width):
            if cells[first + i] != blocks[new, i]:
                why = _CELLS
        if why != _MORE:
            break
        done += 1
    here[_BLOCK_STATE], here[_BLOCK_HEAD] = state, head
    here[_BASE_STATE], here[_BASE_HEAD] = base_state, position
    here[_MACRO_STEPS] += done
    here[_BASE_STEPS] += taken
    return why
