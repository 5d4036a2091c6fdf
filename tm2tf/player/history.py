"""What the weights said of a run, kept so that each of its situations can be had again.

A step is kept as the number of what happened in it (state, reads, writes, moves, next state), as
few differ: a byte a step for most machines. Now and then a whole situation is kept; the others are
made from the nearest one by the steps in between, forward or back.

The follower is the weights' run. What it says is taken only as long as it fits itself: a head is
where its moves took it, and reads what was last written there. Where it does not, the history ends,
and `trouble` says why.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError
from tm2tf.machine.spec import Configuration
from tm2tf.player.tapes import Deltas, Situation
from tm2tf.runtime.follow import follow
from tm2tf.runtime.run import tape_full
from tm2tf.runtime.told import NO_MOVE, Told

MOST_STEPS = 100_000_000
"""The most steps that are kept: 100 MB where fewer than 256 different things happen, else more."""

CHUNK = 2**16 - 1
"""Steps that are read at once: a head's addresses then differ by less than 2**16, which NumPy sorts
in linear time."""

EVERY = 2**18
"""Steps between two situations that are kept; they are made in some ten milliseconds."""

ROOM = 2**27
"""Bytes of kept situations, from which on there are half as many."""

FEW = 2**20
"""Steps that are taken once more, some times, to find the last one before a bound, say."""

OFFSETS = {-1: "L", 0: "S", 1: "R"}


@dataclass(frozen=True, slots=True)
class Rule:
    """What happened in a step, as the weights said it, in the machine's words."""

    state: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    moves: tuple[str, ...]
    next_state: str


class History:
    """A run, read as far as it was asked for.

    Attributes:
        steps: how many steps are known.
        outcome: how the run is over after these, None while it goes on.
        trouble: why no more can be known: weights that contradict themselves, a bound, a limit.
        rules: the different things that happened.
    """

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self._compiled, self.machine, self.start = compiled, compiled.machine, start
        self._follower = follow(compiled, start)
        self.steps = 0
        self.outcome: str | None = self._follower.outcome
        self.trouble: str | None = None
        self.rules: list[Rule] = []
        self._codes: list[np.ndarray] = []  # the numbers of what happened, chunk by chunk
        self._begins: list[int] = []
        self._numbers: dict[tuple[int, ...], int] = {}
        self._table = np.zeros((0, 2 + 3 * self.machine.tapes), dtype=np.int64)
        self._front = Situation.begin(self.machine, start)
        self._state = self.machine.states.index(start.state)
        self._kept = {0: self._front.copy()}
        self._stride = EVERY

    @property
    def over(self) -> bool:
        """Whether no more steps can be read."""
        return self.outcome is not None or self.trouble is not None

    def extend(self, count: int) -> int:
        """Read up to `count` more steps; return how many there were."""
        before = self.steps
        while not self.over and self.steps < before + count:
            wanted = min(CHUNK, before + count - self.steps, MOST_STEPS - self.steps)
            if wanted == 0:
                self.trouble = (
                    f"the player keeps {MOST_STEPS:,} steps and no more; `tm2tf run` goes further"
                )
                break
            self._read(wanted)
        return self.steps - before

    def _read(self, count: int) -> None:
        """Read at most so many steps, at least one if there is one."""
        try:
            told = self._follower.tell(count)
        except InputError as error:
            if count == 1 or self.steps > FEW:
                self.trouble = str(error)
            else:  # what came before is lost with the rest: ask for less
                self._follower = follow(self._compiled, self.start)
                self._follower.advance(self.steps)
                self._read(count // 2)
            return
        self._take(told)
        if self.trouble is not None:
            return
        if self._follower.outcome == "tape-full":
            self.trouble = str(tape_full(self._follower))
            return
        self.outcome = self._follower.outcome
        if len(told.states) < count and self.outcome is None:
            self.trouble = self._follower.trouble or "the weights say no more, nor why"

    def _take(self, told: Told) -> None:
        """Take note of steps as far as they fit what is known."""
        good, trouble = self._fitting(told)
        if good:
            columns = (told.states, told.reads, told.writes, told.moves, told.next_states)
            rows = np.column_stack([column[:good] for column in columns])
            self._codes.append(self._coded(rows))
            self._begins.append(self.steps)
            self._state = int(told.next_states[good - 1])
            self._front.forward(Deltas(told.reads[:good], told.writes[:good], told.moves[:good]))
            self.steps += good
            if self.steps - max(self._kept) >= self._stride:
                self._keep()
        self.trouble = trouble

    def _fitting(self, told: Told) -> tuple[int, str | None]:
        """Return how many steps fit what is known, and what is wrong with the next."""
        words = np.column_stack([told.states, told.reads, told.next_states, told.writes])
        states = np.concatenate([[self._state], told.next_states[:-1]])
        after = self._front.heads + np.cumsum(told.moves, axis=0)
        checks = [
            ((words < 0).any(axis=1) | (told.moves == NO_MOVE).any(axis=1), "say no step clearly"),
            (told.states != states, "are in another state than they had entered"),
            ((told.heads != after - told.moves).any(axis=1), "have a head elsewhere than it went"),
            (self._misread(told), "read something else than they had written there"),
        ]
        count, trouble = len(told.states), None
        for wrong, what in checks:
            if wrong[:count].any():
                count = int(np.argmax(wrong))
                number = self.steps + count + 1
                trouble = (
                    f"in step {number:,} the weights {what}: they are damaged or foreign "
                    "(tm2tf verify shows where they part)"
                )
        return count, trouble

    def _misread(self, told: Told) -> np.ndarray:
        """Return for each step whether some head read what does not stand there."""
        wrong = np.zeros(len(told.states), dtype=np.bool_)
        for t, cells in enumerate(self._front.cells if len(wrong) else ()):
            heads, reads, writes = told.heads[:, t], told.reads[:, t], told.writes[:, t]
            order = np.argsort((heads - heads.min()).astype(np.uint16), kind="stable")
            sorted_heads = heads[order]
            expected = cells.read(sorted_heads)
            again = np.flatnonzero(sorted_heads[1:] == sorted_heads[:-1]) + 1
            expected[again] = writes[order][again - 1]
            wrong[order] |= reads[order] != expected
        return wrong

    def _coded(self, rows: Int64[np.ndarray, "count columns"]) -> np.ndarray:
        """Return the numbers of what happened, in as few bytes as they need."""
        keys = first = np.zeros(len(rows), dtype=np.int64)
        for column in rows.T:  # numbered anew each time, so that no product overflows
            values = column - column.min()
            keys, first = _numbered(keys * (int(values.max()) + 1) + values)
        found = [self._number(tuple(rows[i].tolist())) for i in first.tolist()]
        return np.array(found, dtype=np.min_scalar_type(max(found)))[keys]

    def _number(self, row: tuple[int, ...]) -> int:
        """Return the number of something that happens, a new one if it never did before."""
        if row not in self._numbers:
            self._numbers[row] = len(self.rules)
            self._table = np.vstack([self._table, row])
            k, states, symbols = self.machine.tapes, self.machine.states, self.machine.symbols
            parts = (row[1 : 1 + k], row[1 + k : 1 + 2 * k], row[1 + 2 * k : 1 + 3 * k])
            self.rules.append(
                Rule(
                    states[row[0]],
                    tuple(symbols[i] for i in parts[0]),
                    tuple(symbols[i] for i in parts[1]),
                    tuple(OFFSETS[move] for move in parts[2]),
                    states[row[-1]],
                )
            )
        return self._numbers[row]

    def _keep(self) -> None:
        """Keep the situation at the front; where there is no more room, drop every other one."""
        self._kept[self.steps] = self._front.copy()
        if sum(held.size for held in self._kept.values()) > ROOM and len(self._kept) > 2:
            self._stride *= 2
            self._kept = {n: held for i, (n, held) in enumerate(self._kept.items()) if i % 2 == 0}

    def codes(self, first: int, last: int) -> np.ndarray:
        """Return the numbers, in `rules`, of steps after `first` up to `last`, both known."""
        if first >= last:
            return np.zeros(0, dtype=np.int64)
        at = bisect_right(self._begins, first) - 1
        parts = []
        while at < len(self._codes) and self._begins[at] < last:
            begin = self._begins[at]
            parts.append(self._codes[at][max(0, first - begin) : last - begin])
            at += 1
        return np.concatenate(parts)

    def rule(self, step: int) -> Rule:
        """Return what happened in a step (from 1) that is known."""
        return self.rules[int(self.codes(step - 1, step)[0])]

    def state(self, step: int) -> str:
        """Return the state after so many steps, which are known."""
        return self.machine.states[self._state] if step == self.steps else self.rule(step + 1).state

    def move(self, situation: Situation, step: int) -> Situation:
        """Return the situation after `step` steps; one that is given may be changed for it."""
        kept = min(self._kept, key=lambda n: abs(n - step))
        near = min(abs(kept - step), abs(self.steps - step))
        if abs(situation.step - step) > near:
            nearer = self._front if abs(self.steps - step) == near else self._kept[kept]
            situation = nearer.copy()
        while situation.step != step:
            here = situation.step
            if here < step:
                situation.forward(self._deltas(here, min(step, here + EVERY)))
            else:
                situation.back(self._deltas(max(step, here - EVERY), here))
        return situation

    def _deltas(self, first: int, last: int) -> Deltas:
        """Return what the steps after `first` up to `last` change."""
        k, rows = self.machine.tapes, self._table[self.codes(first, last)]
        return Deltas(rows[:, 1 : 1 + k], rows[:, 1 + k : 1 + 2 * k], rows[:, 1 + 2 * k : -1])

    def under(self) -> tuple[str, ...]:
        """Return what stands under each head after the last step that is known."""
        return tuple(self.machine.symbols[i] for i in self._front.under())


def _numbered(
    keys: Int64[np.ndarray, " count"],
) -> tuple[Int64[np.ndarray, " count"], Int64[np.ndarray, " different"]]:
    """Return keys numbered from 0, and where each of the different ones stands."""
    size = int(keys.max()) + 1
    if size > CHUNK:
        _, first, numbers = np.unique(keys, return_index=True, return_inverse=True)
        return numbers, first
    places = np.full(size, -1, dtype=np.int64)  # no sorting where a table will do
    places[keys[::-1]] = np.arange(len(keys))[::-1]
    used = np.flatnonzero(places >= 0)
    numbers = np.zeros(size, dtype=np.int64)
    numbers[used] = np.arange(len(used))
    return numbers[keys], places[used]
