"""The simulator as a table, compiled: the machine's rules as arrays, for runs of many steps.

Built from the machine alone. It is what long runs of weights are compared with; `lockstep`
checks it against the reference simulator at the start of every run.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64
from numba.cpython.unsafe.tuple import tuple_setitem

from tm2tf.jit import cached_njit
from tm2tf.machine.spec import (
    OFFSET,
    UNDEFINED_OUTCOME,
    Configuration,
    Machine,
    Outcome,
    Tape,
)

MAX_ENTRIES = 20_000_000
"""Largest rule table: states * symbols^tapes entries of 4 * (1 + 2 tapes) bytes, under 1 GB."""

FIRST_CELLS = 1024
"""Cells a tape has at first; all tapes double when a head needs it."""

_RUNNING, _OVER, _FULL = range(3)
_RUNS, _HALTS, _STUCK = range(3)


class Table(NamedTuple):
    """A machine's rules, a row for each state and symbols read, -1 where there is none.

    `states` and `reads` say what a row is for; moves are -1, 0 or 1.
    """

    states: Int32[np.ndarray, " rows"]
    next_states: Int32[np.ndarray, " rows"]
    reads: Int32[np.ndarray, "rows tapes"]
    writes: Int32[np.ndarray, "rows tapes"]
    moves: Int32[np.ndarray, "rows tapes"]


@dataclass(frozen=True, eq=False)
class Steps:
    """What happened in each of some steps: the row of the table, and heads before the move.

    Symbols and states are numbers in the machine's order.
    """

    table: Table
    rows: Int32[np.ndarray, " steps"]
    heads: Int64[np.ndarray, "steps tapes"]

    @cached_property
    def states(self) -> Int32[np.ndarray, " steps"]:
        """The states before each step."""
        return np.take(self.table.states, self.rows, axis=0)

    @cached_property
    def next_states(self) -> Int32[np.ndarray, " steps"]:
        """The states after each step."""
        return np.take(self.table.next_states, self.rows, axis=0)

    @cached_property
    def reads(self) -> Int32[np.ndarray, "steps tapes"]:
        """The symbols read."""
        return np.take(self.table.reads, self.rows, axis=0)

    @cached_property
    def writes(self) -> Int32[np.ndarray, "steps tapes"]:
        """The symbols written."""
        return np.take(self.table.writes, self.rows, axis=0)

    @cached_property
    def moves(self) -> Int32[np.ndarray, "steps tapes"]:
        """The moves, -1, 0 or 1."""
        return np.take(self.table.moves, self.rows, axis=0)


def fits(machine: Machine) -> bool:
    """Return whether the machine's rule table is small enough."""
    entries: int = len(machine.states) * len(machine.symbols) ** machine.tapes
    return entries <= MAX_ENTRIES


def table_of(machine: Machine) -> Table:
    """Return a machine's rules as a table."""
    states = {state: i for i, state in enumerate(machine.states)}
    symbols = {symbol: i for i, symbol in enumerate(machine.symbols)}
    radix, k = len(symbols), machine.tapes
    size = len(states) * radix**k
    reads = np.arange(size)[:, None] // radix ** np.arange(k)[::-1] % radix
    table = Table(
        states=(np.arange(size) // radix**k).astype(np.int32),
        next_states=np.full(size, -1, dtype=np.int32),
        reads=reads.astype(np.int32),
        writes=np.zeros((size, k), dtype=np.int32),
        moves=np.zeros((size, k), dtype=np.int32),
    )
    for (state, read), to in machine.transitions.items():
        row = states[state]
        for symbol in read:
            row = row * radix + symbols[symbol]
        table.next_states[row] = states[to.state]
        table.writes[row] = [symbols[symbol] for symbol in to.writes]
        table.moves[row] = [OFFSET[move] for move in to.moves]
    return table


class TableSimulation:
    """A machine in motion, many steps a call. `outcome` is None while it can go on."""

    def __init__(self, machine: Machine, start: Configuration) -> None:
        self.machine = machine
        states = {state: i for i, state in enumerate(machine.states)}
        self._symbols = {symbol: i for i, symbol in enumerate(machine.symbols)}
        self.table = table_of(machine)
        radix, k = len(machine.symbols), machine.tapes
        halting = np.array([machine.outcome_of(s) is not None for s in machine.states])
        following = self.table.next_states
        # where a row leads to: the first row of its next state, or that the run is over there
        over = np.where(following < 0, _STUCK, np.where(halting[following], _HALTS, _RUNS))
        goes = np.where(over == _STUCK, 0, following.astype(np.int64) * radix**k)
        self._goes, self._over, self._radix = goes.astype(np.uint64), over.astype(np.uint8), radix
        self._writes = self.table.writes.astype(np.uint8 if radix <= 256 else np.int32).ravel()
        self._moves = self.table.moves.astype(np.uint64).ravel()
        self.state = states[start.state]
        self.heads = np.array([tape.head for tape in start.tapes], dtype=np.int64)
        self.steps = 0
        self.outcome: Outcome | None = machine.outcome_of(start.state)
        self._lowest = -(FIRST_CELLS // 2)
        blank = self._symbols[machine.blank]
        self._cells = np.full((k, FIRST_CELLS), blank, dtype=self._writes.dtype)
        for t, tape in enumerate(start.tapes):
            for i, symbol in enumerate(tape.contents):
                self._reach(tape.origin + i)
                self._cells[t, tape.origin + i - self._lowest] = self._symbols[symbol]
            self._reach(tape.head)

    def advance(self, count: int, into: Steps | None = None) -> Steps:
        """Take up to `count` steps and return them; fewer when the run is over (`outcome`).

        `into` is room for them, and what is returned then a part of it.
        """
        made = self.room(count) if into is None else into
        rows, heads = made.rows[:count], made.heads[:count]
        done, first = 0, self.state * self._radix**self.machine.tapes
        while done < count and self.outcome is None:
            done, first, places, status = _advance(
                self._goes, self._over, self._writes, self._moves, np.uint64(self._radix),
                self._cells, np.int64(self._lowest).astype(np.uint64),
                tuple((self.heads - self._lowest).astype(np.uint64)), np.uint64(first),
                np.uint64(done),
                rows, heads,
            )  # fmt: skip
            done = int(done)
            self.heads[:] = np.array(places, dtype=np.uint64).astype(np.int64) + self._lowest
            self.state = int(first) // self._radix**self.machine.tapes
            if status == _FULL:
                for head in self.heads:
                    self._reach(int(head))
            elif status == _OVER:
                ended = self.machine.outcome_of(self.state_name)
                self.outcome = ended or UNDEFINED_OUTCOME[self.machine.undefined]
        self.steps += done
        return Steps(self.table, rows[:done], heads[:done])

    def room(self, count: int) -> Steps:
        """Return room for so many steps."""
        heads = np.zeros((count, self.machine.tapes), dtype=np.int64)
        return Steps(self.table, np.zeros(count, dtype=np.int32), heads)

    @property
    def state_name(self) -> str:
        """The current state."""
        return self.machine.states[self.state]

    @property
    def stuck(self) -> bool:
        """Whether the run is over because the machine has no transition."""
        return self.outcome is not None and self.machine.outcome_of(self.state_name) is None

    def _reach(self, address: int) -> None:
        """Double the tapes until they hold an address."""
        while not 0 <= address - self._lowest < self._cells.shape[1]:
            k, size = self._cells.shape
            below = size if address < self._lowest else 0
            blank = self._symbols[self.machine.blank]
            more = np.full((k, 2 * size), blank, dtype=np.int32)
            more[:, below : below + size] = self._cells
            self._cells, self._lowest = more, self._lowest - below

    def configuration(self) -> Configuration:
        """Return the current configuration, tapes trimmed of outer blanks."""
        symbols = self.machine.symbols
        tapes = [
            Tape(tuple(symbols[cell] for cell in row), self._lowest, int(head))
            for row, head in zip(self._cells, self.heads, strict=True)
        ]
        trimmed = (tape.trimmed(self.machine.blank) for tape in tapes)
        return Configuration(self.state_name, tuple(trimmed))


@cached_njit(nogil=True)
def _advance(  # type: ignore[no-untyped-def]
    goes, over, writes, moves, radix, cells, lowest, places, first, done, rows, heads
):
    """Take steps until the arrays are full, the run is over, or a head has left the cells.

    `places`, a tuple, are the heads' cells, counted from `lowest` (two's complement, as moves are);
    `first` is the table's first row for the state.
    """
    one, none = np.uint64(1), np.uint64(0)
    size, wide = np.uint64(cells.shape[1]), np.uint64(len(places))
    while done < np.uint64(rows.shape[0]):
        row = none
        for t in range(len(places)):
            if places[t] >= size:
                return done, first, places, _FULL
            row = row * radix + np.uint64(cells[t, places[t]])
        row += first
        if over[row] == _STUCK:
            return done, first, places, _OVER
        rows[done] = row
        for t in range(len(places)):
            place, at = places[t], row * wide + np.uint64(t)
            heads[done, t] = np.int64(place + lowest)
            cells[t, place] = writes[at]
            # moves are branches: a processor foresees them, and need not wait for the table
            if moves[at] == one:
                place += one
            elif moves[at] == none - one:
                place -= one
            places = tuple_setitem(places, t, place)  # type: ignore[call-arg]
        first = goes[row]
        done += one
        if over[row] == _HALTS:
            return done, first, places, _OVER
    return done, first, places, _RUNNING
