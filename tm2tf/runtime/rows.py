"""A decoder's run followed by the rows of cells that it writes (view "rows")."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Bool, Int64

from tm2tf.compiler import Compiled
from tm2tf.machine.spec import Configuration, Tape
from tm2tf.program.program import Token
from tm2tf.runtime.configurations import Rows
from tm2tf.runtime.steps import MakeRunner
from tm2tf.runtime.told import NOTHING, UNCLEAR, Told, Words

BLOCK = 2**18
"""Most tokens emitted at once: what is told of them takes some ten MB."""

CELL, ROW, END, STRANGE = 0, 1, 2, 3
"""What an emitted token is; no run may emit a strange one."""

GROW = "tape0.grow"
"""The feature that is -1 on the first cell of a row which begins one further left than the last."""


class RowFollower:
    """A run on one tape, read by its tokens with role "cell" and those with role "row".

    A step is a row that was written to its end, by the pass that `Told.passes` numbers. All rows
    are as wide as the prompt's; but if the weights know `GROW`, each may have a blank cell more
    than the one before, to the left or to the right of it. A token with role "end" may stand
    anywhere.
    """

    widened = 0

    def __init__(self, compiled: Compiled, start: Configuration, make: MakeRunner) -> None:
        self.compiled, self.begin = compiled, compiled.start(start)
        self._runner = make((), self.begin)
        self.runtime, self.device = self._runner.name, self._runner.device
        self.steps = self.passes = 0
        self.state = start.state
        self.trouble: str | None = None
        self._tokens = tokens = compiled.weights.tokens
        self.outcome = tokens[self.begin.ids[-1]].outcome
        self._kinds = np.array([_kind(token) for token in tokens], dtype=np.int64)
        words = Words(compiled)
        self._states = np.array([words.state(t.values.get("state")) for t in tokens])
        self._symbols = np.array([words.symbol(t.values.get("tape0.symbol")) for t in tokens])
        self._blank = compiled.machine.symbols.index(compiled.machine.blank)
        self._grown = np.array([t.values.get(GROW) == -1 for t in tokens])
        self._growth = int(any(r.feature.name == GROW for r in compiled.weights.readouts))
        (self._origin,) = self.begin.origins
        given = np.array(self.begin.ids, dtype=np.int64)
        cells = given[self._kinds[given] == CELL]
        self._width = len(cells)
        self._last = self._read(cells[None, :])
        self._begun = given[:0]  # what there is of the row that is being written

    @property
    def kernel(self) -> str | None:
        """The kernel that runs, where there are several."""
        return self._runner.kernel

    @property
    def reason(self) -> str | None:
        """Why it is another one than was asked for."""
        return self._runner.reason

    @property
    def attention(self) -> str:
        """How lookups are evaluated."""
        return self._runner.attention

    @property
    def peak(self) -> int:
        """The longest context so far."""
        return self._runner.peak_context

    def advance(self, count: int) -> None:
        """Take up to `count` more steps, fewer if the run is over."""
        self._go(count, tell=False)

    def tell(self, count: int) -> Told:
        """Take up to `count` more steps and return what the weights said of each."""
        return Told.join(self._go(count, tell=True), 1)

    def speak(self, count: int) -> None:
        """Return None: steps can only be told."""
        return

    def finish(self) -> bool:
        """Find out whether the run is over here; return whether it is."""
        before = self.steps
        while self.outcome is None and self.trouble is None and self.steps == before:
            self._take(self._missing(1), tell=False)
        return self.outcome is not None and self.steps == before

    def cases(self) -> None:
        """Return None: cases are not counted."""
        return

    def end(self) -> tuple[str, tuple[Tape, ...]]:
        """Return the state and the tape of the last row that was written to its end."""
        row = self._last.row(0)
        return self._name(row.state), row.tapes(self.compiled.machine, (self._origin,))

    def _go(self, count: int, tell: bool) -> list[Told]:
        told: list[Told] = []
        last = self.steps + count
        while self.steps < last and self.outcome is None and self.trouble is None:
            told += self._take(self._missing(last - self.steps), tell)
        return told

    def _missing(self, rows: int) -> Int64[np.ndarray, " count"]:
        """Return what the weights emit next, at most until so many rows are complete."""
        count = rows * (self._width + 1) - len(self._begun)  # more, if they grow
        return self._runner.advance(max(1, min(BLOCK, count)), probe=False).tokens

    def _take(self, emitted: Int64[np.ndarray, " count"], tell: bool) -> list[Told]:
        """Take note of emitted tokens; return the steps that they complete, if they are told."""
        first = self.passes - len(self._begun)  # the pass that emitted the row's first token
        self.passes += len(emitted)
        self.outcome = self._tokens[int(emitted[-1])].outcome
        tokens = np.concatenate([self._begun, emitted])
        cut = _Cut.of(self._kinds[tokens], self._grown[tokens], self._width, self._growth)
        at, rows = cut.regular, cut.rows
        if at < len(tokens) and self._kinds[tokens[at]] != END:
            name = self._tokens[int(tokens[at])].name
            self.trouble = f"pass {first + at + 1:,} emitted {name!r} in place of {cut.due(at)}"
            self.outcome = None
        told: list[Told] = []
        for one, other in pairwise(sorted({0, *cut.turns.tolist(), rows})):  # alike in width
            part = tokens[cut.starts[one] : cut.starts[other]].reshape(other - one, -1)
            before = self._last_as_wide(part.shape[1] - 1, bool(cut.grown[one]))
            found = self._read(part[:, :-1])
            self._last = found.last
            if tell:
                passes = first + cut.starts[one + 1 : other + 1] - 1
                told.append(Rows.join([before, found]).told((self._origin,), passes))
        if rows:
            self.state = self._name(self._last.row(0).state)
        self.steps += rows
        self._begun = tokens[cut.starts[rows] : at]
        return told

    def _last_as_wide(self, width: int, left: bool) -> Rows:
        """Return the last row with as many cells as the next; `left` is where one came."""
        if width == self._width:
            return self._last
        right = width - self._width - left
        self._width, self._origin = width, self._origin - left
        return self._last.widened(int(left), right, self._blank)

    def _read(self, tokens: Int64[np.ndarray, "rows cells"]) -> Rows:
        """Return the configurations that rows of cell tokens stand for."""
        states = self._states[tokens]
        heads = (states != NOTHING).sum(axis=1)
        places = (states != NOTHING).argmax(axis=1)
        found = states[np.arange(len(states)), places]
        return Rows(
            states=np.where(heads == 1, found, np.where(heads == 0, NOTHING, UNCLEAR)),
            heads=np.where(heads == 1, places, np.where(heads == 0, -1, -2))[:, None],
            symbols=self._symbols[tokens][:, None, :],
        )

    def _name(self, state: int) -> str:
        return self.compiled.machine.states[state] if state >= 0 else "none"


@dataclass(frozen=True, slots=True, eq=False)
class _Cut:
    """Tokens cut into rows.

    Attributes:
        starts: where rows begin, last the one that is not complete.
        grown: whether they begin one cell further left than the row before.
        least: the cells that they must have.
        regular: how many tokens are rows and the beginning of one.
        rows: how many rows are complete among these.
        turns: those of them that have another width than the row before.
    """

    starts: Int64[np.ndarray, " rows"]
    grown: Bool[np.ndarray, " rows"]
    least: Int64[np.ndarray, " rows"]
    regular: int
    rows: int
    turns: Int64[np.ndarray, " turns"]

    @staticmethod
    def of(
        kinds: Int64[np.ndarray, " tokens"],
        grown: Bool[np.ndarray, " tokens"],
        width: int,
        growth: int,
    ) -> _Cut:
        """Cut tokens, the first of which begins a row.

        Args:
            kinds: what they are.
            grown: whether they may only begin a row, which then begins one further left.
            width: the cells of the row before.
            growth: how many cells more than the row before a row may have.
        """
        ends = np.flatnonzero(kinds == ROW)
        starts = np.concatenate([[0], ends + 1])
        cells = np.append(ends, len(kinds)) - starts
        before = np.concatenate([[width], cells[:-1]])
        first = np.append(grown, False)[starts]
        least, most = before + first, before + growth
        inside = grown.copy()
        inside[starts[starts < len(kinds)]] = False
        places = (
            np.flatnonzero(inside | (kinds > ROW)),
            ends[cells[:-1] < least[:-1]],
            (starts + most)[cells > most],
        )
        regular = min((int(found[0]) for found in places if len(found)), default=len(kinds))
        rows = int(np.searchsorted(ends, regular))
        turns = np.flatnonzero(cells[:rows] != before[:rows])
        return _Cut(starts, first, least, regular, rows, turns)

    def due(self, at: int) -> str:
        """Return what should stand at the place `at`, in or just behind the regular tokens."""
        cells = int(self.least[self.rows])
        if at - self.starts[self.rows] < cells:
            return "a cell"
        return f"the end of a row of {cells:,} cells"


def _kind(token: Token) -> int:
    if token.role == "end":
        return STRANGE if token.outcome is None else END
    return {"cell": CELL, "row": ROW}.get(token.role, STRANGE)
