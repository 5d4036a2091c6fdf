"""Steps told by configurations: what changed from one row of cells to the next.

For constructions that write the whole configuration again at each step, as queues and looped
transformers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from tm2tf.machine.spec import Machine, Tape
from tm2tf.runtime.told import UNCLEAR, Told

NOWHERE = -(2**40)
"""The address of a head that no cell, or more than one, claims to hold."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A configuration as cells: numbers as in `told.Told`, heads as places in the row.

    `heads` are -1 where no cell holds a tape's head, -2 where several do.
    """

    state: int
    heads: Int64[np.ndarray, " tapes"]
    symbols: Int64[np.ndarray, "tapes cells"]

    def tapes(self, machine: Machine, origins: Sequence[int]) -> tuple[Tape, ...]:
        """Return the trimmed tapes; cells that hold no symbol of the machine show as `?`."""
        named = [*machine.symbols, "?"]
        return tuple(
            Tape(
                tuple(named[s] if 0 <= s < len(named) else "?" for s in symbols.tolist()),
                origin,
                int(head) + origin if head >= 0 else NOWHERE,
            ).trimmed(machine.blank)
            for symbols, head, origin in zip(self.symbols, self.heads, origins, strict=True)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Configurations one after another, as wide as each other; their numbers are those of `Row`."""

    states: Int64[np.ndarray, " rows"]
    heads: Int64[np.ndarray, "rows tapes"]
    symbols: Int64[np.ndarray, "rows tapes cells"]

    @staticmethod
    def of(rows: Sequence[Row]) -> Rows:
        """Return single configurations, at least one, as many."""
        return Rows(
            np.array([row.state for row in rows], dtype=np.int64),
            np.stack([row.heads for row in rows]),
            np.stack([row.symbols for row in rows]),
        )

    @staticmethod
    def join(parts: Sequence[Rows]) -> Rows:
        """Return all configurations of the parts, at least one part, in their order."""
        return Rows(*(np.concatenate([getattr(p, n) for p in parts]) for n in Rows.__slots__))

    @property
    def last(self) -> Rows:
        """The last one, alone."""
        return Rows(self.states[-1:], self.heads[-1:], self.symbols[-1:])

    def row(self, number: int) -> Row:
        """Return one of them."""
        return Row(int(self.states[number]), self.heads[number], self.symbols[number])

    def widened(self, left: int, right: int, blank: int) -> Rows:
        """Return the same with so many cells more at the ends, that hold the symbol `blank`."""
        heads = np.where(self.heads >= 0, self.heads + left, self.heads)
        ends = ((0, 0), (0, 0), (left, right))
        return Rows(self.states, heads, np.pad(self.symbols, ends, constant_values=blank))

    def told(self, origins: Sequence[int], passes: Int64[np.ndarray, " steps"]) -> Told:
        """Return the steps between them, as `told_between` does."""
        states, places, symbols = self.states, self.heads, self.symbols
        heads = np.where(places >= 0, places + np.array(origins, dtype=np.int64), NOWHERE)
        at = np.maximum(places[:-1], 0)[:, :, None]
        reads = np.take_along_axis(symbols[:-1], at, axis=2)[:, :, 0]
        writes = np.take_along_axis(symbols[1:], at, axis=2)[:, :, 0]
        changed = symbols[1:] != symbols[:-1]
        np.put_along_axis(changed, at, values=False, axis=2)
        astray = changed.any(axis=2) | (places[:-1] < 0)
        return Told(
            states=states[:-1],
            reads=reads,
            heads=heads[:-1],
            next_states=states[1:],
            writes=np.where(astray, UNCLEAR, writes),
            moves=heads[1:] - heads[:-1],
            passes=passes,
        )


def told_between(
    rows: Sequence[Row], origins: Sequence[int], passes: Int64[np.ndarray, " steps"]
) -> Told:
    """Return the steps between rows, one fewer than rows (at least one row).

    What was written is unclear where a cell changed that the head was not on.

    Args:
        rows: configurations, all equally wide.
        origins: the address of cell 0 on each tape.
        passes: for each step the pass that made it.
    """
    return Rows.of(rows).told(origins, passes)
