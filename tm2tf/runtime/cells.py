"""A looped model's run, followed by what its cells hold (view "cells").

Before each pass the cells hold a configuration: `tapeN.symbol`, and where a head is either
`tapeN.here` is `yes` or, without that feature, `state` is a state of the machine. Two
configurations on end are a step, and the token that the head's cell emits in the pass between them
has to say the same.

Passes are made some at a time and then read all at once. Those after the one in which a run ends
are thrown away and not counted. Where a layer makes the features of a configuration, out of what
the loop carries, they are read after that layer, and after the last pass by looking ahead to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from tm2tf.compiler import Compiled, Start
from tm2tf.constructions.looped import WINDOW, fitting
from tm2tf.errors import BoundError
from tm2tf.machine.spec import Configuration, Tape
from tm2tf.runtime.configurations import Row, told_between
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.runtime.runner import probed
from tm2tf.runtime.threads import few_threads
from tm2tf.runtime.told import NO_MOVE, NOTHING, UNCLEAR, Told, Words

FIRST, MOST = 8, 128
"""Passes made before they are read: so many at first, later twice as many, up to `MOST`."""

Cells: TypeAlias = Int64[np.ndarray, "rows cells"]
Flags: TypeAlias = Bool[np.ndarray, " passes"]

ROOM = 2**22
"""Numbers of residual streams that are kept for reading, unless one pass has more."""


class CellFollower:
    """A run of a looped model. See `told.Follower`.

    Attributes:
        window: the cells there are now; `widened`: how often they were doubled.

    Raises:
        ConfigurationError: the start does not fit into the window, which may not grow.
        InputError: the weights are not exact in the dtype.
    """

    runtime = "torch"
    kernel: str | None = None
    reason: str | None = None

    def __init__(
        self, compiled: Compiled, start: Configuration, device: str, dtype: str, grow: bool
    ) -> None:
        self.compiled, self._start, self._grow = compiled, start, grow
        self.device = device
        self.window = compiled.weights.options[WINDOW.name]
        self._widest = compiled.weights.bounds.position - 2
        if grow:
            wide = fitting(compiled.machine, start, self.window)
            self.window = wide if wide <= self._widest else self.window
        self.widened = 0
        self.steps = self.passes = 0
        self.trouble: str | None = None
        self._model = LoopedTransformer(compiled.weights, device, dtype)
        self._reader, self._says = _Reader(compiled), _Steps(compiled)
        self.begin: Start
        self.state = start.state
        self._open()
        self.outcome = compiled.weights.tokens[self.begin.ids[-1]].outcome

    @property
    def attention(self) -> str:
        """How lookups are evaluated."""
        heads = [head for layer in self.compiled.weights.layers for head in layer.heads]
        soft = any(head.kind == "softmax" for head in heads)
        return f"{'softmax' if soft else 'argmax'} over all cells"

    @property
    def peak(self) -> int:
        """The positions: the cells and an edge at either end."""
        return self.window + 2

    def advance(self, count: int) -> None:
        """Take up to `count` more steps, fewer if the run is over.

        Raises:
            BoundError: a head leaves the window, which may not grow.
        """
        self._go(count)

    def tell(self, count: int) -> Told:
        """Take up to `count` more steps and return what the weights said of each.

        Raises:
            BoundError: a head leaves the window, which may not grow.
        """
        return Told.join(self._go(count), self.compiled.machine.tapes)

    def speak(self, count: int) -> None:
        """Return None: steps can only be told."""
        return

    def finish(self) -> bool:
        """Find out whether the run is over here; return whether it is."""
        if self.outcome is None and self.trouble is None:
            made = self._make(1)
            self._take(made, 0)
            if self._says.ends(made.emitted[0]):
                self._conclude(made, 0)
        return self.outcome is not None

    def cases(self) -> None:
        """Return None: cases are not counted."""
        return

    def end(self) -> tuple[str, tuple[Tape, ...]]:
        """Return the state and the trimmed tapes that the cells hold now."""
        return self.state, self._row.tapes(self.compiled.machine, self.begin.origins)

    def _open(self) -> None:
        """Begin with a window of `window` cells."""
        self.begin = self.compiled.start(self._start, **{WINDOW.name: self.window})
        self._model.begin(torch.tensor([self.begin.ids]))
        self._hold(self._ahead())

    def _ahead(self) -> Row:
        """Return what the cells hold before the next pass."""
        return self._reader.rows([self._model.ahead(self._reader.depth)])[0]

    def _hold(self, row: Row) -> None:
        """Take a configuration for the present one."""
        self._row = row
        self.state = self.compiled.machine.states[row.state] if row.state >= 0 else "none"

    def _go(self, count: int) -> list[Told]:
        told: list[Told] = []
        last = self.steps + count
        while self.steps < last and self.outcome is None and self.trouble is None:
            room = ROOM // self._model.start.numel()
            wanted = min(last - self.steps, max(FIRST, self.steps), MOST, room)
            made, before = self._make(max(1, wanted)), self.steps
            notable = np.flatnonzero(made.notable)
            if len(notable):
                leaves = self._conclude(made, int(notable[0]))
            else:
                leaves = False
                self._take(made, len(made.emitted))
            told.append(made.first(self.steps - before))
            if leaves:
                self._widen()
        return told

    def _make(self, count: int) -> _Passes:
        """Make so many passes; the model then stands behind them, the follower does not."""
        starts, held, emitted = [self._model.start], [], []
        with few_threads(self._cost()):
            for _ in range(count):
                self._model.turn()
                starts.append(self._model.start)
                held.append(self._model.stream[self._reader.depth])
                emitted.append(self._model.emitted()[0, 1:-1])
        rows = self._reader.rows([*held, self._model.ahead(self._reader.depth)])
        at = np.array([row.heads[0] for row in rows[:-1]])
        cells = torch.stack(emitted).cpu().numpy()
        tokens = np.where(at >= 0, cells[np.arange(count), np.maximum(at, 0)], DISCORD)
        if self._reader.alike:
            tokens[(cells != tokens[:, None]).any(axis=1)] = DISCORD
        passes = np.arange(self.steps, self.steps + count)
        told = self._says.agreed(told_between(rows, self.begin.origins, passes), tokens)
        gone = np.array([row.heads.min() < 0 for row in rows[1:]])
        return _Passes(starts, rows, tokens, told, gone | self._says.notable(tokens, told))

    def _cost(self) -> int:
        """Return about how many multiplications a pass has, as dense matrices."""
        return self.peak * self.compiled.weights.parameters

    def _take(self, made: _Passes, count: int) -> None:
        """Take the first of some passes as steps; those after them are forgotten."""
        self.steps += count
        self.passes = self.steps
        self._model.start = made.starts[count]
        self._hold(made.rows[count])

    def _conclude(self, made: _Passes, number: int) -> bool:
        """Take passes up to a notable one, and note what it is; return whether a head leaves."""
        token = made.emitted[number]
        what = f"pass {self.steps + number + 1:,}"
        after = made.rows[number + 1].heads
        if not self._says.steps(token):
            self._take(made, number)
            if token == DISCORD:
                self.trouble = f"in {what} cells differ on where the head is, or on the token"
            elif self._says.ends(token):
                self.passes += 1
                self.outcome = self._says.outcome(token)
            else:
                self.trouble = f"{what} emitted {self._says.name(token)}, which is no step"
            return False
        off = made.rows[number].heads + self._says.moves[token]
        outside = (off < 0) | (off >= self.window)
        if outside.any() and np.array_equal(after, np.where(outside, -1, off)):
            self._take(made, number)
            return True
        self._take(made, number + 1)
        if self._says.unclear(made.told)[number] or after.min() < 0:
            self.trouble = (
                f"{what} emitted {self._says.name(token)}, and the cells changed otherwise"
            )
        else:
            self.outcome = self._says.outcome(token)
        return False

    def _widen(self) -> None:
        """Double the window and take the same steps again.

        Raises:
            BoundError: the window may not grow.
        """
        if not self._grow or 2 * self.window > self._widest:
            raise BoundError(
                f"in step {self.steps + 1:,} a head leaves the window of {self.window:,} cells; "
                f"{self._advice()}",
                bound="tape",
            )
        narrow = self.end()
        self.window *= 2
        self.widened += 1
        self._open()
        with few_threads(self._cost()):
            for _ in range(self.steps):
                self._model.turn()
        self._hold(self._ahead())
        if self.end() != narrow:
            self.trouble = f"{self.window:,} cells differ from half as many at step {self.steps:,}"

    def _advice(self) -> str:
        """Return what to do where a head leaves the window."""
        chosen, wider = self.compiled.construction, 2 * self.window
        most = next(o.most for o in chosen.options if o.name == WINDOW.name)
        if self.window >= most:
            return f"construction {chosen.name!r} has none wider; take another, such as 'looped'"
        advice = f"compile with --window {min(wider, most)}"
        return f"{advice}, or let the window grow" if wider <= self._widest else advice


DISCORD = -1
"""What stands for a token where no cell has the head, or cells differ that have to agree."""


@dataclass(frozen=True, slots=True, eq=False)
class _Passes:
    """Passes made: the streams and the cells before each and after the last, what each emitted.

    `notable` is whether a pass is not simply a step after which the run goes on.
    """

    starts: list[Tensor]
    rows: list[Row]
    emitted: Int64[np.ndarray, " passes"]
    told: Told
    notable: Flags

    def first(self, count: int) -> Told:
        """Return what the first of them told."""
        return Told(*(getattr(self.told, name)[:count] for name in Told.__slots__))


class _Steps:
    """What tokens of the vocabulary say of steps; by number, the last for `DISCORD`."""

    def __init__(self, compiled: Compiled) -> None:
        self._tokens = compiled.weights.tokens
        words, k = Words(compiled), compiled.machine.tapes
        count = len(self._tokens) + 1
        self._roles = np.array([*(token.role for token in self._tokens), "none"])
        self._over = np.array([*(token.outcome is not None for token in self._tokens), True])
        self._next = np.full(count, NOTHING, dtype=np.int64)
        self._writes = np.full((count, k), NOTHING, dtype=np.int64)
        self.moves = np.full((count, k), NO_MOVE, dtype=np.int64)
        for number, token in enumerate(self._tokens):
            if token.role == "step":
                self._next[number] = words.state(token.values.get("state"))
                for t in range(k):
                    self._writes[number, t] = words.symbol(token.values.get(f"tape{t}.write"))
                    self.moves[number, t] = token.values.get(f"tape{t}.move", 0)

    def steps(self, token: int) -> bool:
        """Return whether a token is a step."""
        return bool(self._roles[token] == "step")

    def ends(self, token: int) -> bool:
        """Return whether a token is none and ends the run."""
        return bool(self._roles[token] == "end")

    def outcome(self, token: int) -> str | None:
        """Return how a run is over that emits a token."""
        return self._tokens[token].outcome

    def name(self, token: int) -> str:
        """Return what a token is called."""
        return repr(self._tokens[token].name)

    def agreed(self, told: Told, emitted: Int64[np.ndarray, " passes"]) -> Told:
        """Return what cells told, unclear where what was emitted says otherwise."""
        says = (self._next[emitted], self._writes[emitted], self.moves[emitted])
        return Told(
            told.states,
            told.reads,
            told.heads,
            np.where(told.next_states == says[0], says[0], UNCLEAR),
            np.where(told.writes == says[1], says[1], UNCLEAR),
            np.where(told.moves == says[2], says[2], NO_MOVE),
            told.passes,
        )

    def unclear(self, told: Told) -> Flags:
        """Return for each step whether some of it is no word of the machine."""
        words = np.column_stack([told.states, told.reads, told.next_states, told.writes])
        found: Flags = (words < 0).any(axis=1) | (told.moves == NO_MOVE).any(axis=1)
        return found

    def notable(self, emitted: Int64[np.ndarray, " passes"], told: Told) -> Flags:
        """Return for each pass whether it is no step, ends the run, or is unclear."""
        other = self._roles[emitted] != "step"
        found: Flags = other | self._over[emitted] | self.unclear(told)
        return found


class _Reader:
    """Reads configurations off residual streams.

    Attributes:
        alike: whether all cells have to hold the same state and emit the same token.
        depth: after how many layers the stream holds a configuration.
    """

    def __init__(self, compiled: Compiled) -> None:
        weights, k, words = compiled.weights, range(compiled.machine.tapes), Words(compiled)
        state, *symbols = probed(weights, ["state", *(f"tape{t}.symbol" for t in k)])
        self._numbers = [words.of_probe(state, "state")]
        self._numbers += [words.of_probe(readout, "symbol") for readout in symbols]
        self.alike = any(readout.feature.name == "tape0.here" for readout in weights.readouts)
        ways = probed(weights, [f"tape{t}.here" for t in k]) if self.alike else []
        # 0: the head is here, -1: elsewhere, -2: unclear, or nothing at all
        self._numbers += [np.array([*(-(w != "yes") for w, _ in r.values), -2, -2]) for r in ways]
        self.depth = 1 + max(readout.layer for readout in (state, *symbols, *ways))
        columns = [[direction for _, direction in r.values] for r in (state, *symbols, *ways)]
        self._ends = np.cumsum([len(part) for part in columns])[:-1]
        self._columns = torch.tensor([direction for part in columns for direction in part])

    def rows(self, streams: Sequence[Tensor]) -> list[Row]:
        """Return what cells hold in each of some streams after `depth` layers; one sequence."""
        columns = self._columns.to(streams[0].device)
        cells = torch.stack([x[0, 1:-1].index_select(1, columns) for x in streams])
        held = np.split(cells.to("cpu", torch.float64).numpy(), self._ends, axis=2)
        read = [n[_values(x)] for n, x in zip(self._numbers, held, strict=True)]
        states, tapes = read[0], (len(read) - 1) // (2 if self.alike else 1)
        symbols = np.stack(read[1 : 1 + tapes], axis=1)
        if self.alike:
            places = np.stack([_place(way) for way in read[1 + tapes :]], axis=1)
            same = (states == states[:, :1]).all(axis=1)
            state = np.where(same, states[:, 0], UNCLEAR)
        else:
            way = np.where(states >= 0, 0, np.where(states == UNCLEAR, -2, -1))
            places = _place(way)[:, None]
            at = np.maximum(places, 0)
            state = np.where(places >= 0, np.take_along_axis(states, at, axis=1), places)[:, 0]
        return [Row(int(q), h, s) for q, h, s in zip(state, places, symbols, strict=True)]


def _values(held: Float64[np.ndarray, "rows cells words"]) -> Cells:
    """Return which value each cell holds, as `Readout.read` does: -1 for none, -2 unclear."""
    some = held != 0
    count, first = some.sum(axis=2), some.argmax(axis=2)
    one = np.take_along_axis(held, first[:, :, None], axis=2)[:, :, 0] == 1
    found: Cells = np.where(count == 0, -1, np.where((count == 1) & one, first, -2))
    return found


def _place(way: Cells) -> Int64[np.ndarray, " rows"]:
    """Return the cell of a head: the one with 0; -1 if there is none, -2 if it is not clear."""
    here = way == 0
    count = here.sum(axis=1)
    found = np.where(count == 1, here.argmax(axis=1), -1)
    found[(count > 1) | (way == -2).any(axis=1)] = -2
    return found
