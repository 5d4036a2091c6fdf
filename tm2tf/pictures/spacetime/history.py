"""A run as rows, binned so that any length and any width fit one picture.

A run of T steps is the configurations 0 to T. A row stands for `stride` of them on end: it shows
the cells and the state of the first, and how far left and right the heads were in all of them.
A column stands for `bin` cells on end, the addresses `bin * c` to `bin * c + bin - 1`: where `bin`
is 1 it shows the cell's symbol, else sums over the bin of what the caller measures by symbol.

How long a run is and how far it goes is not known before. So a `Recorder` keeps some times the
rows and columns wanted; when there are more, every second row goes, or columns become one with
their neighbours. At the end it takes so many of the finer rows and columns together that the
picture has at most as many as wanted, and not many less if it is binned at all (see `FINE`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from jaxtyping import Float, Int

from tm2tf.jit import cached_njit
from tm2tf.machine.spec import Configuration, Machine, Tape

FINE, FINE_COLUMNS = 8, 4
"""Rows and columns kept for each one wanted. Halved when there are more, at least half of them are
left; the least whole number of these that makes one leaves 4/5 of the rows wanted, or more, and
2/3 of the columns, which take more memory."""

LEAST = 2
"""Columns that a tape takes at least: the addresses -1 and 0 never share one."""

FIRST_CELLS = 1024
"""Cells of a tape kept at first; they double when a head needs it."""

Values: TypeAlias = Int[np.ndarray, " cells"] | Float[np.ndarray, "columns measures"]


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Columns of one tape on end, the first with number `first`; blank on both sides.

    `values` are numbers of symbols, or where bins are wider than one cell the bins' sums.
    """

    first: int
    values: Values


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """Some configurations on end.

    Attributes:
        step: the steps taken before the first.
        state: the number of the first one's state.
        heads: the addresses of the first one's heads, one a tape.
        lows, highs: the least and the greatest address of each head in all of them.
        strips: the first one's cells, one a tape.
    """

    step: int
    state: int
    heads: tuple[int, ...]
    lows: tuple[int, ...]
    highs: tuple[int, ...]
    strips: tuple[Strip, ...]

    def joined(self, later: Row) -> Row:
        """Return this row for the configurations of a later one as well."""
        lows = tuple(map(min, self.lows, later.lows))
        return replace(self, lows=lows, highs=tuple(map(max, self.highs, later.highs)))


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """A run, or as much of it as was made, as rows.

    Attributes:
        steps: the steps taken; `state`: the number of the state after them.
        stride: configurations a row (the last may have fewer).
        bin: cells a column.
        reach: for each tape, the first and the last column that it ever used.
        measures: what is measured, by symbol, less what the blank measures.
        weights: the matrix from the sums in rows of wide bins to measures.
    """

    machine: Machine
    steps: int
    state: int
    stride: int
    bin: int
    rows: tuple[Row, ...]
    reach: tuple[tuple[int, int], ...]
    measures: Float[np.ndarray, "symbols measures"]
    weights: Float[np.ndarray, "sums measures"]

    def column(self, address: int) -> int:
        """Return the number of the column in which an address is."""
        return address // self.bin

    def symbols(self, tape: int) -> Int[np.ndarray, "rows columns"]:
        """Return the symbols' numbers over a tape's reach; bins must be one cell wide."""
        first, last = self.reach[tape]
        blank = self.machine.symbols.index(self.machine.blank)
        found = np.full((len(self.rows), last - first + 1), blank, dtype=np.int64)
        for number, row in enumerate(self.rows):
            strip = row.strips[tape]
            at = strip.first - first
            found[number, at : at + len(strip.values)] = strip.values
        return found

    def means(self, tape: int) -> Float[np.ndarray, "rows columns measures"]:
        """Return what is measured, as the mean over each bin, of all columns of a tape's reach."""
        if self.bin == 1:
            each: Float[np.ndarray, "rows columns measures"] = self.measures[self.symbols(tape)]
            return each
        first, last = self.reach[tape]
        found = np.zeros((len(self.rows), last - first + 1, self.measures.shape[1]))
        for number, row in enumerate(self.rows):
            strip = row.strips[tape]
            at = strip.first - first
            found[number, at : at + len(strip.values)] = strip.values @ self.weights / self.bin
        return found

    def tape(self, row: Row, tape: int) -> Tape:
        """Return a row's tape, trimmed of outer blanks; bins must be one cell wide."""
        strip, names = row.strips[tape], self.machine.symbols
        contents = tuple(names[number] for number in strip.values)
        return Tape(contents, strip.first, row.heads[tape]).trimmed(self.machine.blank)


class Recorder:
    """Takes steps, some at a time, and keeps what a picture of them needs.

    Attributes:
        steps: the steps taken; `state`: the number of the state after them.
        rows, cells: how many rows a picture may have, and columns of all its tapes together (at
            least two a tape).
    """

    def __init__(
        self,
        machine: Machine,
        start: Configuration,
        rows: int,
        cells: int,
        measures: Float[np.ndarray, "symbols measures"],
    ) -> None:
        self.machine, self.rows, self.cells = machine, rows, max(cells, LEAST * machine.tapes)
        blank = machine.symbols.index(machine.blank)
        self._measures = np.asarray(measures, dtype=np.float64) - measures[blank]
        self._summed, self._weights = _fewest(self._measures, blank)
        self.steps, self.state = 0, machine.states.index(start.state)
        self._stride = self._bin = 1
        self._tapes = [_Live(machine, tape, self._summed) for tape in start.tapes]
        self._kept: list[Row] = []
        self._narrow()
        self._begin_row()

    def take(
        self,
        next_states: Int[np.ndarray, " steps"],
        writes: Int[np.ndarray, "steps tapes"],
        moves: Int[np.ndarray, "steps tapes"],
    ) -> None:
        """Take steps: the states they enter, the symbols written and the moves, by number."""
        done = 0
        while done < len(next_states):
            due = self._stride - self.steps % self._stride
            part = slice(done, min(len(next_states), done + due))
            spans = [
                live.write(np.ascontiguousarray(writes[part, t]), moves[part, t])
                for t, live in enumerate(self._tapes)
            ]
            self._kept[-1] = _spread(self._kept[-1], spans)
            self._narrow()
            self.steps += part.stop - done
            self.state = int(next_states[part.stop - 1])
            done = part.stop
            if self.steps % self._stride == 0:
                self._begin_row()
            else:  # the configuration that was reached is one of the row's as well
                heads = [(live.head, live.head) for live in self._tapes]
                self._kept[-1] = _spread(self._kept[-1], heads)

    def history(self, rows: int | None = None, cells: int | None = None) -> History:
        """Return what was taken so far, with at most so many rows and columns if not as wanted."""
        most = self.rows if rows is None else rows
        widest = self.cells if cells is None else max(cells, LEAST * self.machine.tapes)
        together = -(-len(self._kept) // most)
        kept = [_joined(self._kept[i : i + together]) for i in range(0, len(self._kept), together)]
        factor, spans = 1, [live.reach() for live in self._tapes]
        while _columns(spans, self._bin * factor) > widest:
            factor += 1
        if factor > 1:
            kept = [_coarser(row, factor, self._summed) for row in kept]
        wide = self._bin * factor
        return History(
            self.machine,
            self.steps,
            self.state,
            self._stride * together,
            wide,
            tuple(kept),
            tuple((low // wide, high // wide) for low, high in spans),
            self._measures,
            self._weights,
        )

    def _begin_row(self) -> None:
        """Keep the present configuration as a row; of too many, every second goes."""
        if len(self._kept) >= FINE * self.rows:  # an even number: this step begins a row still
            pairs = zip(self._kept[::2], self._kept[1::2], strict=True)
            self._kept = [one.joined(other) for one, other in pairs]
            self._stride *= 2
        heads = tuple(live.head for live in self._tapes)
        strips = tuple(live.strip() for live in self._tapes)
        self._kept.append(Row(self.steps, self.state, heads, heads, heads, strips))

    def _narrow(self) -> None:
        """Take columns together until there are few enough."""
        while (
            _columns([live.reach() for live in self._tapes], self._bin) > FINE_COLUMNS * self.cells
        ):
            self._bin *= 2
            for number, row in enumerate(self._kept):  # one by one: they are most of the memory
                self._kept[number] = _coarser(row, 2, self._summed)
            for live in self._tapes:
                live.coarsen()


class _Live:
    """One tape as it is now; where bins are wider than a cell, also the bins' sums.

    Attributes:
        head: where the head is.
    """

    def __init__(
        self, machine: Machine, tape: Tape, measures: Float[np.ndarray, "symbols measures"]
    ) -> None:
        numbers = {symbol: number for number, symbol in enumerate(machine.symbols)}
        small = len(numbers) <= np.iinfo(np.int16).max
        self._blank, self._measures, self._bin = numbers[machine.blank], measures, 1
        self._lowest = -(FIRST_CELLS // 2)
        self._cells = np.full(FIRST_CELLS, self._blank, dtype=np.int16 if small else np.int32)
        self._sums = np.zeros((0, measures.shape[1]))
        trimmed = tape.trimmed(machine.blank)
        self.head = self._low = self._high = tape.head
        if trimmed.contents:
            self._low = min(self._low, trimmed.origin)
            self._high = max(self._high, trimmed.origin + len(trimmed.contents) - 1)
        self._cover()
        at = trimmed.origin - self._lowest
        self._cells[at : at + len(trimmed.contents)] = [numbers[s] for s in trimmed.contents]

    def reach(self) -> tuple[int, int]:
        """Return the first and last address that were used: visited, or not blank at first."""
        return self._low, self._high

    def strip(self) -> Strip:
        """Return a copy of the columns as they are now."""
        first, last = self._low // self._bin, self._high // self._bin
        if self._bin == 1:
            return Strip(first, self._cells[first - self._lowest : last - self._lowest + 1].copy())
        at = self._lowest // self._bin
        return Strip(first, self._sums[first - at : last - at + 1].astype(np.float32))

    def write(
        self, writes: Int[np.ndarray, " steps"], moves: Int[np.ndarray, " steps"]
    ) -> tuple[int, int]:
        """Take steps; return the least and the greatest address that was written to."""
        after = self.head + np.cumsum(moves, dtype=np.int64)
        heads = np.concatenate([[self.head], after[:-1]])
        low, high = int(heads.min()), int(heads.max())
        self.head = int(after[-1])
        self._low = min(self._low, low, self.head)
        self._high = max(self._high, high, self.head)
        self._cover()
        _write(
            self._cells, heads - self._lowest, writes, self._bin, self._sums, self._measures
        )  # fmt: skip
        return low, high

    def coarsen(self) -> None:
        """Make bins twice as wide."""
        wide = 2 * self._bin  # the tape begins and ends where such a bin does
        end = self._lowest + len(self._cells)
        self._add(self._lowest % wide, -end % wide)
        sums = self._measures[self._cells] if self._bin == 1 else self._sums
        self._sums = sums[::2] + sums[1::2]
        self._bin = wide

    def _cover(self) -> None:
        """Double the cells until they hold all that was used."""
        while self._low < self._lowest:
            self._add(len(self._cells), 0)
        while self._high >= self._lowest + len(self._cells):
            self._add(0, len(self._cells))

    def _add(self, below: int, above: int) -> None:
        """Add blank cells, whole bins of them."""
        self._cells = np.pad(self._cells, (below, above), constant_values=self._blank)
        if self._bin > 1:
            bins = (below // self._bin, above // self._bin)
            self._sums = np.pad(self._sums, (bins, (0, 0)))
        self._lowest -= below


def _fewest(
    measures: Float[np.ndarray, "symbols measures"], blank: int
) -> tuple[Float[np.ndarray, "symbols sums"], Float[np.ndarray, "sums measures"]]:
    """Return what to sum up for these measures, by symbol, and the matrix from it to them.

    Of few symbols it is how often each comes but the blank: a machine with two has one number a
    bin, not three for a colour.
    """
    symbols, count = measures.shape
    if symbols - 1 < count:
        return np.delete(np.eye(symbols), blank, axis=1), np.delete(measures, blank, axis=0)
    return measures, np.eye(count)


def _spread(row: Row, spans: Sequence[tuple[int, int]]) -> Row:
    """Return a row whose heads were at these least and greatest addresses too."""
    lows = tuple(min(a, low) for a, (low, _) in zip(row.lows, spans, strict=True))
    highs = tuple(max(a, high) for a, (_, high) in zip(row.highs, spans, strict=True))
    return row if (lows, highs) == (row.lows, row.highs) else replace(row, lows=lows, highs=highs)


def _joined(rows: Sequence[Row]) -> Row:
    """Return several rows on end as one."""
    first = rows[0]
    for later in rows[1:]:
        first = first.joined(later)
    return first


def _columns(reach: Sequence[tuple[int, int]], wide: int) -> int:
    """Return how many columns of `wide` cells the reaches of all tapes take."""
    return sum(high // wide - low // wide + 1 for low, high in reach)


def _coarser(row: Row, factor: int, measures: Float[np.ndarray, "symbols measures"]) -> Row:
    """Return a row with columns that are `factor` times as wide."""
    return replace(row, strips=tuple(_wider(strip, factor, measures) for strip in row.strips))


def _wider(strip: Strip, factor: int, measures: Float[np.ndarray, "symbols measures"]) -> Strip:
    """Return a strip with bins that are `factor` times as wide."""
    sums = measures[strip.values] if strip.values.ndim == 1 else strip.values
    first, before = divmod(strip.first, factor)
    after = -(before + len(sums)) % factor
    padded = np.pad(sums, ((before, after), (0, 0)))
    summed = padded.reshape(-1, factor, sums.shape[1]).sum(axis=1)
    return Strip(first, summed.astype(np.float32))


@cached_njit(nogil=True)
def _write(cells, slots, writes, wide, sums, measures):  # type: ignore[no-untyped-def]
    """Write symbols into slots of a tape, one after the other; keep bins' sums if there are any."""
    for i in range(len(slots)):
        slot = slots[i]
        if wide > 1 and cells[slot] != writes[i]:
            for m in range(measures.shape[1]):
                sums[slot // wide, m] += measures[writes[i], m] - measures[cells[slot], m]
        cells[slot] = writes[i]
