"""Tapes as the tokens of a run leave them: the writes that weights told of, done again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from tm2tf.learning.tape.blocks import MARK
from tm2tf.learning.tape.layout import read_fields
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.runtime.told import Told


class Replay:
    """The tapes of a run, kept up from what weights say of its steps (`lockstep`'s `on_told`).

    Args:
        machine: whose run it is.
        start: where it begins.
        watched: states; whenever one is entered, the numbers of tape 1 are noted.

    Attributes:
        noted: for each watched state the fields of tape 1 at each time it was entered.
        epochs: how many entries all watched states had each time when a `#` was erased on tape 0.
    """

    def __init__(self, machine: Machine, start: Configuration, watched: Iterable[str]) -> None:
        self._machine = machine
        self._cells = [
            {tape.origin + i: symbol for i, symbol in enumerate(tape.contents)}
            for tape in start.tapes
        ]
        self._names = {machine.states.index(state): state for state in watched}
        self._mark = machine.symbols.index(MARK)
        self.noted: dict[str, list[tuple[int, ...]]] = {name: [] for name in self._names.values()}
        self.epochs: list[dict[str, int]] = []

    def __call__(self, told: Told) -> None:
        """Take in some more steps."""
        begin = 0
        for row in np.flatnonzero(np.isin(told.next_states, list(self._names))):
            self._write(told, begin, int(row) + 1)
            begin = int(row) + 1
            self.noted[self._names[int(told.next_states[row])]].append(self.fields())
        self._write(told, begin, len(told.states))

    def _write(self, told: Told, begin: int, end: int) -> None:
        """Do the writes of some steps that change anything."""
        symbols, blank = self._machine.symbols, self._machine.blank
        for row, t in np.argwhere(told.writes[begin:end] != told.reads[begin:end]):
            step = begin + int(row)
            symbol = int(told.writes[step, t])
            self._cells[t][int(told.heads[step, t])] = symbols[symbol] if symbol >= 0 else blank
            if t == 0 and told.reads[step, t] == self._mark:
                self.epochs.append({name: len(entries) for name, entries in self.noted.items()})

    def fields(self) -> tuple[int, ...]:
        """Return the numbers that tape 1 holds now."""
        return read_fields(self.cells(1))

    def cells(self, tape: int) -> list[str]:
        """Return what the cells of a tape hold now that ever held anything, from left to right."""
        return [symbol for _, symbol in sorted(self._cells[tape].items())]
