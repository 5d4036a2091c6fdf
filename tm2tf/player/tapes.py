"""Tapes that steps are applied to, forward and back, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from tm2tf.machine.spec import Configuration, Machine, Tape

MARGIN = 64
"""Cells more than are needed that a tape gets at either end when it grows; or as many as it has."""


class Cells:
    """A tape: symbols, as their numbers in the machine's list, by address; the blank elsewhere."""

    def __init__(self, blank: int, first: int = 0, held: Sequence[int] | np.ndarray = ()) -> None:
        self.blank = blank
        self._first = first
        self._held = np.array(held, dtype=np.int32)

    @property
    def size(self) -> int:
        """The bytes that the tape takes."""
        return self._held.nbytes

    def copy(self) -> Cells:
        """Return a tape of its own that holds the same."""
        return Cells(self.blank, self._first, self._held)

    def read(self, addresses: Int64[np.ndarray, " count"]) -> Int64[np.ndarray, " count"]:
        """Return what stands at some addresses."""
        places = addresses - self._first
        known = (places >= 0) & (places < len(self._held))
        found = np.full(len(addresses), self.blank, dtype=np.int64)
        found[known] = self._held[places[known]]
        return found

    def write(
        self, addresses: Int64[np.ndarray, " count"], symbols: Int64[np.ndarray, " count"]
    ) -> None:
        """Write symbols one after another: of those at one address the last remains."""
        if len(addresses):
            self._reach(int(addresses.min()), int(addresses.max()))
            self._held[addresses - self._first] = symbols

    def _reach(self, low: int, high: int) -> None:
        """Make room for addresses from `low` to `high`."""
        if not len(self._held):
            self._first = low
        end = self._first + len(self._held)
        if self._first <= low and high < end:
            return
        room = max(MARGIN, len(self._held))
        before = room + self._first - low if low < self._first else 0
        after = room + high + 1 - end if high >= end else 0
        self._held = np.pad(self._held, (before, after), constant_values=self.blank)
        self._first -= before

    def tape(self, machine: Machine, head: int) -> Tape:
        """Return the tape in the machine's words, without blanks at either end."""
        places = np.flatnonzero(self._held != self.blank)
        if not len(places):
            return Tape((), 0, head)
        first, last = int(places[0]), int(places[-1])
        words = tuple(machine.symbols[i] for i in self._held[first : last + 1].tolist())
        return Tape(words, self._first + first, head)


@dataclass(frozen=True, slots=True, eq=False)
class Deltas:
    """Steps in a row, as what each changes; numbers as in `runtime.told.Told`."""

    reads: Int64[np.ndarray, "count tapes"]
    writes: Int64[np.ndarray, "count tapes"]
    moves: Int64[np.ndarray, "count tapes"]


@dataclass(slots=True, eq=False)
class Situation:
    """Where a run is after `step` steps: the heads' addresses and the tapes."""

    step: int
    heads: Int64[np.ndarray, " tapes"]
    cells: list[Cells]

    @staticmethod
    def begin(machine: Machine, start: Configuration) -> Situation:
        """Return a start configuration."""
        numbers = {symbol: i for i, symbol in enumerate(machine.symbols)}
        blank = numbers[machine.blank]
        cells = [
            Cells(blank, tape.origin, [numbers[symbol] for symbol in tape.contents])
            for tape in start.tapes
        ]
        heads = np.array([tape.head for tape in start.tapes], dtype=np.int64)
        return Situation(0, heads, cells)

    @property
    def size(self) -> int:
        """The bytes that the tapes take."""
        return sum(cells.size for cells in self.cells)

    def copy(self) -> Situation:
        """Return a situation of its own, which is the same."""
        return Situation(self.step, self.heads.copy(), [cells.copy() for cells in self.cells])

    def under(self) -> list[int]:
        """Return what stands under each head."""
        return [int(cells.read(self.heads[t : t + 1])[0]) for t, cells in enumerate(self.cells)]

    def forward(self, deltas: Deltas) -> None:
        """Take steps, which begin here."""
        after = np.cumsum(deltas.moves, axis=0)
        for t, cells in enumerate(self.cells):
            cells.write(self.heads[t] + after[:, t] - deltas.moves[:, t], deltas.writes[:, t])
        self.heads = self.heads + deltas.moves.sum(axis=0)
        self.step += len(deltas.moves)

    def back(self, deltas: Deltas) -> None:
        """Take steps back, which end here: what was read stands again where it was read."""
        undone = np.cumsum(deltas.moves[::-1], axis=0)
        for t, cells in enumerate(self.cells):
            cells.write(self.heads[t] - undone[:, t], deltas.reads[::-1, t])
        self.heads = self.heads - deltas.moves.sum(axis=0)
        self.step -= len(deltas.moves)
