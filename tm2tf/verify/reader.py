"""What weights say of each step, as numbers in the machine's order, compared with its steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tm2tf.machine.spec import Configuration, Machine
from tm2tf.runtime.runner import Emitted, probed
from tm2tf.verify.table_simulator import Steps
from tm2tf.weights.model import Weights

_MOVES = {-1: "L", 0: "S", 1: "R"}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first difference in a chunk: its row, and a feature with both values, in words."""

    row: int
    feature: str
    expected: str
    got: str


class Reader:
    """Reads emitted tokens and probes by their labels.

    `probes` are the features to probe; a run's heads begin at `start`, which the weights call 0.
    """

    def __init__(self, weights: Weights, machine: Machine, start: Configuration) -> None:
        self.weights, self.machine = weights, machine
        k = machine.tapes
        reads = [f"tape{t}.read" for t in range(k)]
        heads = [f"tape{t}.head" for t in range(k)]
        self.probes = ("state", *reads, *heads)
        self._offsets = np.array([tape.head for tape in start.tapes], dtype=np.int64)
        state = {name: i for i, name in enumerate(machine.states)}
        symbol = {name: i for i, name in enumerate(machine.symbols)}
        tables = [state, *(symbol,) * k]
        self._order = [
            np.array([*(table.get(value, -3) for value, _ in readout.values), -2, -1])
            for table, readout in zip(tables, probed(weights, self.probes), strict=False)
        ]
        count = len(weights.tokens)
        self._next = np.full(count, -1, dtype=np.int64)
        self._writes = np.full((count, k), -1, dtype=np.int64)
        self._moves = np.full((count, k), -9, dtype=np.int64)
        for number, token in enumerate(weights.tokens):
            if token.role != "step":
                continue
            self._next[number] = state.get(str(token.values.get("state")), -3)
            for t in range(k):
                self._writes[number, t] = symbol.get(str(token.values.get(f"tape{t}.write")), -3)
                self._moves[number, t] = token.values.get(f"tape{t}.move", 0)

    def furthest(self, steps: Steps) -> int:
        """Return how far a head was from where it began, at the most, in these steps."""
        return int(np.abs(steps.heads - self._offsets).max(initial=0))

    def compare(self, steps: Steps, emitted: Emitted, outcome: str | None) -> Mismatch | None:
        """Return the first difference between steps and what the weights emitted for them.

        `emitted` may hold one more token, the one that ends a run with no transition; `outcome`
        is how the machine's run is over after these steps, if it is.
        """
        count, got = len(steps.states), len(emitted.tokens)
        rows = min(count, got)
        tokens = emitted.tokens[:rows]
        found: list[Mismatch] = []
        for name, kind, want, told in self._columns(steps, emitted.probes[:rows], tokens, rows):
            differ = np.flatnonzero(want != told)
            if len(differ):
                row = int(differ[0])
                words = (self._word(kind, int(want[row])), self._word(kind, int(told[row])))
                found.append(Mismatch(row, name, *words))
        if found:
            return min(found, key=lambda mismatch: mismatch.row)
        if got < count:
            return Mismatch(got - 1, "outcome", "the run goes on", "the run is over")
        last = self.weights.tokens[int(emitted.tokens[-1])]
        if last.outcome != outcome:
            return Mismatch(got - 1, "outcome", str(outcome), f"{last.outcome} ({last.name})")
        return None

    def _columns(
        self, steps: Steps, probes: np.ndarray, tokens: np.ndarray, rows: int
    ) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
        """Return (feature, kind of value, expected, got) in the order in which they are made."""
        k = self.machine.tapes
        columns = []
        for t in range(k):
            told = probes[:, 1 + k + t] + self._offsets[t]
            columns.append((f"tape{t}.head", "integer", steps.heads[:rows, t], told))
        columns.append(("state", "state", steps.states[:rows], self._order[0][probes[:, 0]]))
        for t in range(k):
            told = self._order[1 + t][probes[:, 1 + t]]
            columns.append((f"tape{t}.read", "symbol", steps.reads[:rows, t], told))
        columns.append(("next.state", "state", steps.next_states[:rows], self._next[tokens]))
        for t in range(k):
            told = self._writes[tokens, t]
            columns.append((f"next.tape{t}.write", "symbol", steps.writes[:rows, t], told))
            told = self._moves[tokens, t]
            columns.append((f"next.tape{t}.move", "move", steps.moves[:rows, t], told))
        return columns

    def _word(self, kind: str, number: int) -> str:
        if kind == "integer":
            return str(number)
        if kind == "move":
            return _MOVES.get(number, "none")
        names = self.machine.states if kind == "state" else self.machine.symbols
        return names[number] if number >= 0 else {-1: "none", -2: "unclear"}.get(number, "unknown")
