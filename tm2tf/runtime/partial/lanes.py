"""The eight lanes of a core: the table of all that is remembered, and the pool of cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8, UInt16

from tm2tf.runtime.partial.kernels import Kernel
from tm2tf.runtime.partial.loops import STOP
from tm2tf.runtime.partial.streams import COUNT, ENTRIES, LANES, LOW, PLACE, WIDTHS, lockstep

MOST_VALUES = 2**8
"""Classes of values, at most: a cell of the pool holds one byte."""

MOST_REACH = 2**10
"""How far a token may move in a lane: a burst stays within some hundred thousand cells."""

SKEW = 576
"""Cells between the lanes' own: nine lines of a cache. At distances that are powers of two they
would fall into the same few places of it, and drive each other out."""

IDLE = 64
"""Cells for a lane that is not live: a line of a cache, so that none waits for another."""

ROOMY = 2**20
"""Cells of a lane that are given back when a run comes that needs less than a quarter of them."""

MOST_CELLS = 2**28
"""Cells of a lane, at most: those of all lanes together are numbered by 32 bits."""

FULL = ENTRIES - ENTRIES // 4
"""Entries in use beyond which the table is begun anew when a run comes."""

WORD = 2**64


@dataclass(frozen=True, slots=True, eq=False)
class Lent:
    """A run as a lane takes it: it stands behind a token that was fed and has emitted nothing.

    Attributes:
        cells: the class that each cell holds.
        place: the place that is looked up next; bursts begin from `low` to below `high`.
        token: the token fed last.
        most: passes that it may make.
    """

    kernel: Kernel
    cells: UInt16[np.ndarray, " size"]
    place: int
    low: int
    high: int
    token: int
    most: int


@dataclass(frozen=True, slots=True, eq=False)
class Returned:
    """A run as a lane gives it back: cells, place and last token now, and the passes made."""

    cells: UInt8[np.ndarray, " size"]
    place: int
    token: int
    passes: int


def takes(kernel: Kernel) -> bool:
    """Return whether runs of a folded kernel with one lookup can run in lanes."""
    moves, values = kernel.parts.moves, kernel.parts.back.values
    return (
        len(values[0].example) <= min(MOST_VALUES, ENTRIES // 4)
        and moves.reach <= MOST_REACH
        and not moves.write[moves.fits].any()
    )


class Table:
    """What is remembered, as differences of words: a row for each token that was met."""

    def __init__(self) -> None:
        self.entries = np.zeros(ENTRIES + MOST_VALUES, dtype=np.uint64)
        self.kept = np.zeros(ENTRIES + MOST_VALUES, dtype=np.uint8)
        self._rows: dict[tuple[Kernel, int], int] = {}
        self._tokens: dict[int, tuple[Kernel, int]] = {}
        self.used = 1  # entry 0 is of lanes that are not live

    def renew(self, needed: Sequence[tuple[Kernel, int]]) -> list[int]:
        """Forget everything but some tokens, a few; return their rows."""
        self.entries[:], self.used = 0, 1
        self._rows, self._tokens = {}, {}
        rows = [self._rows.get(each) or self._new(*each) or 0 for each in needed]
        self._fill(list(rows))
        return rows

    def token(self, row: int) -> int:
        """Return the token that a row is of."""
        return self._tokens[row][1]

    def row(self, kernel: Kernel, token: int) -> int | None:
        """Return the row of a token, which is made if it must be; None if the table is full."""
        row = self._rows.get((kernel, token))
        if row is not None:
            return row
        row = self._new(kernel, token)
        if row is not None:
            self._fill([row])
        return row

    def know(self, row: int, value: int) -> bool:
        """Return whether the kernel knows by now what comes next, having taken note of it."""
        self._fill([row])
        return bool(self.entries[row + value])

    def _new(self, kernel: Kernel, token: int) -> int | None:
        values = len(kernel.parts.back.values[0].example)
        row = self.used
        if row + values > ENTRIES:
            return None
        self.used += values
        self.kept[row : row + values] = np.arange(values)
        self._rows[kernel, token], self._tokens[row] = row, (kernel, token)
        return row

    def _fill(self, rows: list[int]) -> None:
        """Enter all that kernels know of these rows, and of those that they lead to."""
        while rows:
            row = rows.pop()
            kernel, token = self._tokens[row]
            moves, values = kernel.parts.moves, len(kernel.parts.back.values[0].example)
            case = int(kernel.state[token]) * values
            for value in np.flatnonzero(kernel.goes[case : case + values] < STOP).tolist():
                if self.entries[row + value]:
                    continue
                following = int(kernel.token[case + value])
                there = self._rows.get((kernel, following))
                if there is None:
                    there = self._new(kernel, following)
                    if there is None:
                        continue
                    rows.append(there)
                shift = int(moves.shift[following, 0].astype(np.int64))
                word = (shift << int(PLACE)) + (1 << int(COUNT)) + there - row
                self.kept[row + value] = moves.kept[following, 0]
                self.entries[row + value] = word % WORD


def _idle(lane: int) -> int:
    """Return the word of a lane that is not live."""
    return (IDLE * lane) << int(PLACE)


class Lanes:
    """Eight lanes. Those that are not live stand still at a cell of their own, in no table's row.

    Attributes:
        live: which lanes hold a run; `made`: the passes that each made since it was put there.
    """

    def __init__(self) -> None:
        self._table = Table()
        self._pool = np.zeros(IDLE * LANES, dtype=np.uint8)
        self._words = np.array([_idle(lane) for lane in range(LANES)], dtype=np.uint64)
        self._low, self._high, self._left = (np.zeros(LANES, dtype=np.uint64) for _ in range(3))
        self.made = np.zeros(LANES, dtype=np.uint64)
        self.live = np.zeros(LANES, dtype=np.bool_)
        self._lent: list[Lent | None] = [None] * LANES
        self._room = [0] * LANES
        self._first = [0] * LANES

    def go(self, bursts: int) -> None:
        """Let all lanes make passes, up to so many bursts."""
        live = np.flatnonzero(self.live)
        width = next(width for width in WIDTHS if width >= len(live))
        lanes = np.concatenate([live, np.flatnonzero(~self.live)])[:width]
        left, made = self._left[lanes], self.made[lanes]
        self._words[lanes] = lockstep(
            self._pool, self._table.entries, self._table.kept, tuple(self._words[lanes]),
            self._low[lanes], self._high[lanes], left, made, self.live[lanes], bursts,
        )  # fmt: skip
        self._left[lanes], self.made[lanes] = left, made

    def put(self, lane: int, lent: Lent, most: int) -> bool:
        """Let a lane go on with a run, for up to `most` passes; return whether it can."""
        if self._table.used > FULL:
            self._renew()
        row, size = self._table.row(lent.kernel, lent.token), len(lent.cells)
        if row is None or size > MOST_CELLS:
            return False
        if size > self._room[lane] or self._room[lane] > max(ROOMY, 4 * size):
            self._lay_out(lane, size)
        first = self._first[lane]
        self._pool[first : first + size] = lent.cells
        self._words[lane] = ((first + lent.place) << int(PLACE)) + row
        self._low[lane], self._high[lane] = first + lent.low, first + lent.high
        self._left[lane], self.made[lane] = min(most, lent.most), 0
        self._lent[lane], self.live[lane] = lent, True
        return True

    def stands(self, lane: int) -> bool:
        """Return whether a lane must be seen to: it stands still, or has no room or passes left."""
        word = int(self._words[lane])
        place, row = word >> int(PLACE), word & int(LOW)
        if not self._low[lane] <= place < self._high[lane] or not self._left[lane]:
            return True
        value = int(self._pool[place])
        return not self._table.entries[row + value] and not self._table.know(row, value)

    def take(self, lane: int) -> Returned:
        """Return the run in a lane, which is free then."""
        lent, first = self._lent[lane], self._first[lane]
        word, size = int(self._words[lane]), 0 if lent is None else len(lent.cells)
        returned = Returned(
            self._pool[first : first + size],
            (word >> int(PLACE)) - first,
            self._table.token(word & int(LOW)),
            int(self.made[lane]),
        )
        self._lent[lane], self.live[lane], self._words[lane] = None, False, _idle(lane)
        return returned

    def _renew(self) -> None:
        """Begin the table anew, with what the live lanes need."""
        needed = [
            (lane, lent.kernel, self._table.token(int(self._words[lane] & LOW)))
            for lane, lent in enumerate(self._lent)
            if lent is not None
        ]
        rows = self._table.renew([(kernel, token) for _, kernel, token in needed])
        for (lane, _, _), row in zip(needed, rows, strict=True):
            self._words[lane] = (int(self._words[lane]) & ~int(LOW)) + row

    def _lay_out(self, lane: int, size: int) -> None:
        """Lay the pool out anew, with room for so many cells in a lane."""
        before, starts = self._pool, list(self._first)
        self._room[lane] = size
        places = np.cumsum([IDLE * LANES, *(room + SKEW for room in self._room)]).tolist()
        self._pool = np.zeros(places[-1], dtype=np.uint8)
        self._first = places[:-1]
        for other in np.flatnonzero(self.live).tolist():
            was, now, room = starts[other], self._first[other], self._room[other]
            self._pool[now : now + room] = before[was : was + room]
            for column, step in ((self._words, int(PLACE)), (self._low, 0), (self._high, 0)):
                column[other] = int(column[other]) + ((now - was) << step)
