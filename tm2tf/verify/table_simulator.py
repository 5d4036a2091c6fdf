"""The simulator as a table, compiled: the machine's rules as arrays, for runs of many steps.

Built from the machine alone. It is what long runs of weights are compared with; `lockstep`
checks it against the reference simulator at the start of every run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64

from tm2tf.machine.spec import (
    OFFSET,
    UNDEFINED_OUTCOME,
    Configuration,
    Machine,
    Outcome,
    Tape,
)
from tm2tf.runtime.jit import cached_njit

MAX_ENTRIES = 20_000_000
"""Largest rule table: states * symbols^tapes entries of 4 * (1 + 2 tapes) bytes, under 1 GB."""

FIRST_CELLS = 1024
"""Cells a tape has at first; all tapes double when a head needs it."""

_RUNNING, _OVER, _FULL = 0, 1, 2


class Steps(NamedTuple):
    """What happened in each of some steps. Symbols and states are numbers in the machine's order.

    `heads` are addresses before the move, `moves` -1, 0 or 1.
    """

    states: Int32[np.ndarray, " steps"]
    next_states: Int32[np.ndarray, " steps"]
    reads: Int32[np.ndarray, "steps tapes"]
    writes: Int32[np.ndarray, "steps tapes"]
    moves: Int32[np.ndarray, "steps tapes"]
    heads: Int64[np.ndarray, "steps tapes"]


def fits(machine: Machine) -> bool:
    """Return whether the machine's rule table is small enough."""
    entries: int = len(machine.states) * len(machine.symbols) ** machine.tapes
    return entries <= MAX_ENTRIES


class TableSimulation:
    """A machine in motion, many steps a call. `outcome` is None while it can go on."""

    def __init__(self, machine: Machine, start: Configuration) -> None:
        self.machine = machine
        states = {state: i for i, state in enumerate(machine.states)}
        self._symbols = {symbol: i for i, symbol in enumerate(machine.symbols)}
        radix, k = len(machine.symbols), machine.tapes
        size = len(states) * radix**k
        self._next = np.full(size, -1, dtype=np.int32)
        self._writes = np.zeros((size, k), dtype=np.int32)
        self._moves = np.zeros((size, k), dtype=np.int32)
        for (state, reads), to in machine.transitions.items():
            row = states[state]
            for symbol in reads:
                row = row * radix + self._symbols[symbol]
            self._next[row] = states[to.state]
            self._writes[row] = [self._symbols[symbol] for symbol in to.writes]
            self._moves[row] = [OFFSET[move] for move in to.moves]
        self._halting = np.array([machine.outcome_of(s) is not None for s in machine.states])
        self._radix = radix
        self.state = states[start.state]
        self.heads = np.array([tape.head for tape in start.tapes], dtype=np.int64)
        self.steps = 0
        self.outcome: Outcome | None = machine.outcome_of(start.state)
        self._lowest = -(FIRST_CELLS // 2)
        blank = self._symbols[machine.blank]
        self._cells = np.full((k, FIRST_CELLS), blank, dtype=np.int32)
        for t, tape in enumerate(start.tapes):
            for i, symbol in enumerate(tape.contents):
                self._reach(tape.origin + i)
                self._cells[t, tape.origin + i - self._lowest] = self._symbols[symbol]
            self._reach(tape.head)

    def advance(self, count: int) -> Steps:
        """Take up to `count` steps and return them; fewer when the run is over (`outcome`)."""
        k = self.machine.tapes
        made = Steps(
            states=np.zeros(count, dtype=np.int32),
            next_states=np.zeros(count, dtype=np.int32),
            reads=np.zeros((count, k), dtype=np.int32),
            writes=np.zeros((count, k), dtype=np.int32),
            moves=np.zeros((count, k), dtype=np.int32),
            heads=np.zeros((count, k), dtype=np.int64),
        )
        done = 0
        while done < count and self.outcome is None:
            done, self.state, status = _advance(
                self._next,
                self._writes,
                self._moves,
                self._halting,
                self._radix,
                self._cells,
                self._lowest,
                self.heads,
                self.state,
                done,
                *made,
            )
            if status == _FULL:
                for head in self.heads:
                    self._reach(int(head))
            elif status == _OVER:
                ended = self.machine.outcome_of(self.state_name)
                self.outcome = ended or UNDEFINED_OUTCOME[self.machine.undefined]
        self.steps += done
        return Steps(*(column[:done] for column in made))

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
    following, written, moved, halting, radix, cells, lowest, heads, state, done,
    states, next_states, reads, writes, moves, places,
):  # fmt: skip
    """Take steps until the arrays are full, the run is over, or a head has left the cells."""
    tapes, size = cells.shape
    while done < states.shape[0]:
        row = state
        for t in range(tapes):
            slot = heads[t] - lowest
            if slot < 0 or slot >= size:
                return done, state, _FULL
            reads[done, t] = cells[t, slot]
            row = row * radix + cells[t, slot]
        target = following[row]
        if target < 0:
            return done, state, _OVER
        states[done] = state
        next_states[done] = target
        for t in range(tapes):
            places[done, t] = heads[t]
            writes[done, t] = written[row, t]
            moves[done, t] = moved[row, t]
            cells[t, heads[t] - lowest] = written[row, t]
            heads[t] += moved[row, t]
        state = np.int64(target)
        done += 1
        if halting[state]:
            return done, state, _OVER
    return done, state, _RUNNING
