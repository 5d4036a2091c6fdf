"""The plain simulator that runs of weights are timed against: a table, tapes, and a tight loop.

It is what someone would write who wants a Turing machine fast and nothing else: compiled by numba,
one byte a cell, one lookup for each of next state, symbol and move, unsigned indices (signed ones
would be looked at for being negative). The loop looks for no tape's end: there are always more
cells on both sides of a head than steps until somebody looks. It owes nothing to the evaluators
that it is compared with. With `sweeps` it is what someone would write who has read how the folded
kernel sweeps: see `_sweeping`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from tm2tf.errors import InputError
from tm2tf.jit import cached_njit
from tm2tf.machine.spec import (
    OFFSET,
    UNDEFINED_OUTCOME,
    Configuration,
    Machine,
    Outcome,
)

CHUNK = 1 << 20
"""Steps between two looks, and the cells that are free on both sides of a head before them: some
milliseconds, in which what Python does in between is lost. Cells never visited cost no memory."""

MOST_ROWS = 20_000_000
"""Rows of a table, at most: states * symbols^tapes, each of three numbers of 8 bytes a tape."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a run ended; `seconds` are of the loop alone, without making table and tape."""

    outcome: Outcome
    steps: int
    nonblank: int
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """The rules of a machine as arrays, a row for each state and symbols read.

    `following` has the first row of the next state. Halting states come last, from row `over` on;
    behind them stands the pseudo-state of a missing rule, at row `stuck`, which a step enters that
    is none. Shapes: following `[rows]`, writes `[rows, tapes]`, moves alike, as what is added to
    an unsigned address. Symbols are numbers, the blank 0.
    """

    following: np.ndarray
    writes: np.ndarray
    moves: np.ndarray
    over: int
    stuck: int
    states: tuple[str, ...]
    symbols: tuple[str, ...]

    @property
    def block(self) -> int:
        """The rows of a state."""
        return self.stuck // len(self.states)


def table(machine: Machine) -> Table:
    """Return the table of a machine.

    Raises:
        InputError: it would be too large.
    """
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    ending = [state for state in machine.states if machine.outcome_of(state) is not None]
    states = (*running, *ending)
    symbols = (machine.blank, *(it for it in machine.symbols if it != machine.blank))
    radix, tapes = len(symbols), machine.tapes
    block = radix**tapes
    if len(states) * block > MOST_ROWS:
        raise InputError(
            f"machine {machine.name!r} is too large for the plain simulator: {len(states)} * "
            f"{radix}^{tapes} rows, at most {MOST_ROWS:,}"
        )
    first = {state: number * block for number, state in enumerate(states)}
    digit = {symbol: number for number, symbol in enumerate(symbols)}
    rows, stuck = len(running) * block, len(states) * block
    cell = np.uint8 if radix <= 256 else np.uint16
    read = np.stack(np.unravel_index(np.arange(rows) % block, (radix,) * tapes), axis=1)
    following, writes = np.full(rows, stuck, np.uint64), read.astype(cell)
    moves = np.zeros((rows, tapes), np.int64)
    for (state, reads), to in machine.transitions.items():
        row = 0
        for symbol in reads:
            row = row * radix + digit[symbol]
        row += first[state]
        following[row] = first[to.state]
        writes[row] = [digit[symbol] for symbol in to.writes]
        moves[row] = [OFFSET[move] for move in to.moves]
    return Table(following, writes, moves.view(np.uint64), rows, stuck, states, symbols)


def run(
    machine: Machine,
    start: Configuration,
    max_steps: int | None = None,
    made: Table | None = None,
    sweeps: bool = False,
) -> Ran:
    """Run a machine from a start to its end, or for so many steps; `made` is its table, if there.

    Raises:
        InputError: the machine's table would be too large, or has several tapes and `sweeps`.
    """
    if sweeps and machine.tapes > 1:
        raise InputError(f"machine {machine.name!r} has {machine.tapes} tapes, sweeps are for one")
    found = made or table(machine)
    limit = 2**62 if max_steps is None else max_steps
    cells, heads = _tapes(found, start)
    base, steps = found.states.index(start.state) * found.block, 0
    _chunk(found, cells, heads, base, 0, sweeps)  # compiles the loop, or loads it
    began = time.perf_counter()
    while base < found.over and steps < limit:
        cells, heads = _roomy(cells, heads)
        base, done = _chunk(found, cells, heads, base, min(CHUNK, limit - steps), sweeps)
        steps += done
    seconds = time.perf_counter() - began
    if base == found.stuck:
        outcome = UNDEFINED_OUTCOME[machine.undefined]
    else:
        outcome = machine.outcome_of(found.states[base // found.block]) or "step-limit"
    return Ran(outcome, steps, int(np.count_nonzero(cells)), seconds)


def _tapes(found: Table, start: Configuration) -> tuple[np.ndarray, np.ndarray]:
    """Return the tapes `[tapes, cells]` of a start, and where on them the heads are."""
    ends = [
        (min(tape.head, tape.origin), max(tape.head, tape.origin + len(tape.contents)))
        for tape in start.tapes
    ]
    lowest = min(low for low, _ in ends) - CHUNK
    size = max(high for _, high in ends) + CHUNK + 1 - lowest
    cells = np.zeros((len(ends), size), found.writes.dtype)
    for row, tape in zip(cells, start.tapes, strict=True):
        numbers = [found.symbols.index(symbol) for symbol in tape.contents]
        row[tape.origin - lowest : tape.origin - lowest + len(numbers)] = numbers
    heads = np.array([tape.head - lowest for tape in start.tapes], np.uint64)
    return cells, heads


def _roomy(cells: np.ndarray, heads: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tapes and heads with `CHUNK` free cells on both sides of each head."""
    size = cells.shape[1]
    low, high = int(heads.min()), int(heads.max())
    if low >= CHUNK and high + CHUNK < size:
        return cells, heads
    before, after = (size if low < CHUNK else 0), (size if high + CHUNK >= size else 0)
    more = np.zeros((len(cells), before + size + after), cells.dtype)
    more[:, before : before + size] = cells
    return more, heads + np.uint64(before)


def _chunk(
    found: Table, cells: np.ndarray, heads: np.ndarray, base: int, most: int, sweeps: bool
) -> tuple[int, int]:
    """Take up to `most` steps, changing `cells` and `heads`; return the state's row, and steps."""
    ends = (np.uint64(found.over), np.uint64(found.stuck))
    radix, begin = np.uint64(len(found.symbols)), (np.uint64(base), np.uint64(most))
    if len(cells) > len(_LOOPS):
        rules = (found.following, found.writes, found.moves)
        after, done = _several(*rules, *ends, radix, cells, heads, *begin)
    else:
        rules = (found.following, *found.writes.T.copy(), *found.moves.T.copy())
        loop = _sweeping if sweeps else _LOOPS[len(cells) - 1]
        after, done = loop(*rules, *ends, radix, *cells, heads, *begin)
    return int(after), int(done)


@cached_njit(nogil=True)
def _one(  # type: ignore[no-untyped-def]
    following, writes, moves, over, stuck, radix, cells, heads, base, most
):  # fmt: skip
    """Take steps on one tape; return the row of the state then, and how many steps there were."""
    head, done = heads[0], np.uint64(0)
    while done < most:
        row = base + np.uint64(cells[head])
        cells[head] = writes[row]
        head += moves[row]
        base = following[row]
        done += np.uint64(1)
        if base >= over:
            if base == stuck:
                done -= np.uint64(1)
            break
    heads[0] = head
    return base, done


@cached_njit(nogil=True)
def _sweeping(  # type: ignore[no-untyped-def]
    following, writes, moves, over, stuck, radix, cells, heads, base, most
):  # fmt: skip
    """Take steps on one tape as `_one` does, those of a sweep many at once.

    Where a rule goes on in its own state, and its symbol is read again, it applies again: 64 cells
    are compared at once.
    """
    head, done, one, block = heads[0], np.uint64(0), np.uint64(1), np.uint64(64)
    while done < most:
        symbol = cells[head]
        row = base + np.uint64(symbol)
        before, move = base, moves[row]
        cells[head] = writes[row]
        head += move
        base = following[row]
        done += one
        if base >= over:
            if base == stuck:
                done -= one
            break
        if base != before or cells[head] != symbol or move == 0:
            continue
        m, left = np.uint64(0), most - done
        while m + block <= left:
            first = head + m if move == one else head - m - block + one
            differs = np.uint8(0)
            for k in range(block):
                differs |= np.uint8(cells[first + k] != symbol)
            if differs:
                break
            m += block
        while m < left and cells[head + m * move] == symbol:
            m += one
        if writes[row] != symbol:
            first = head if move == one else head - m + one
            for k in range(m):
                cells[first + k] = writes[row]
        head += m * move
        done += m
    heads[0] = head
    return base, done


@cached_njit(nogil=True)
def _two(  # type: ignore[no-untyped-def]
    following, writes0, writes1, moves0, moves1, over, stuck, radix, cells0, cells1, heads, base,
    most,
):  # fmt: skip
    """Take steps on two tapes: as `_several`, and twice as fast."""
    head0, head1, done = heads[0], heads[1], np.uint64(0)
    while done < most:
        row = base + np.uint64(cells0[head0]) * radix + np.uint64(cells1[head1])
        cells0[head0] = writes0[row]
        cells1[head1] = writes1[row]
        head0 += moves0[row]
        head1 += moves1[row]
        base = following[row]
        done += np.uint64(1)
        if base >= over:
            if base == stuck:
                done -= np.uint64(1)
            break
    heads[0], heads[1] = head0, head1
    return base, done


@cached_njit(nogil=True)
def _three(  # type: ignore[no-untyped-def]
    following, writes0, writes1, writes2, moves0, moves1, moves2, over, stuck, radix,
    cells0, cells1, cells2, heads, base, most,
):  # fmt: skip
    """Take steps on three tapes."""
    head0, head1, head2, done = heads[0], heads[1], heads[2], np.uint64(0)
    while done < most:
        row = (np.uint64(cells0[head0]) * radix + np.uint64(cells1[head1])) * radix
        row += base + np.uint64(cells2[head2])
        cells0[head0] = writes0[row]
        cells1[head1] = writes1[row]
        cells2[head2] = writes2[row]
        head0 += moves0[row]
        head1 += moves1[row]
        head2 += moves2[row]
        base = following[row]
        done += np.uint64(1)
        if base >= over:
            if base == stuck:
                done -= np.uint64(1)
            break
    heads[0], heads[1], heads[2] = head0, head1, head2
    return base, done


@cached_njit(nogil=True)
def _several(  # type: ignore[no-untyped-def]
    following, writes, moves, over, stuck, radix, cells, heads, base, most
):  # fmt: skip
    """Take steps on any number of tapes; else as `_one`."""
    tapes, done = cells.shape[0], np.uint64(0)
    while done < most:
        row = np.uint64(0)
        for t in range(tapes):
            row = row * radix + np.uint64(cells[t, heads[t]])
        row += base
        for t in range(tapes):
            cells[t, heads[t]] = writes[row, t]
            heads[t] += moves[row, t]
        base = following[row]
        done += np.uint64(1)
        if base >= over:
            if base == stuck:
                done -= np.uint64(1)
            break
    return base, done


_LOOPS = (_one, _two, _three)
"""Loops for one, two and three tapes, whose heads can stay in registers."""
