"""A decoder's run followed by its step tokens (view "steps")."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from tm2tf.compiler import Compiled, Start
from tm2tf.machine.spec import Configuration, Tape
from tm2tf.runtime.memory import Memory
from tm2tf.runtime.runner import Emitted, Runner, probed
from tm2tf.runtime.told import NO_MOVE, Told, Words

STRAY = 4096
"""Tokens without a step, beyond four times the longest context, after which a run is given up: a
summary is no longer than the context that it sums up."""

PART, STEP, CUT, STRANGE = 0, 1, 2, 3
"""What an emitted token is; no run may emit a strange one."""

MakeRunner = Callable[[tuple[str, ...], Start], Runner]


class StepFollower:
    """A run read by its tokens with role "step" and, where told, by probed features."""

    widened = 0

    def __init__(self, compiled: Compiled, start: Configuration, make: MakeRunner) -> None:
        machine = compiled.machine
        self.compiled = compiled
        self._tokens = compiled.weights.tokens
        k = machine.tapes
        known = {readout.feature.name for readout in compiled.weights.readouts}
        # where the pass that emits a step stands at a token without a state, it is recalled
        self._state = "now.state" if "now.state" in known else "state"
        self._probes = (
            self._state,
            *(f"tape{t}.read" for t in range(k)),
            *(f"tape{t}.head" for t in range(k)),
        )
        self.begin = begin = compiled.start(start)
        self._runner = make(self._probes, begin)
        self.runtime, self.device = self._runner.name, self._runner.device
        self.steps = self.passes = 0
        self.state = start.state
        self.trouble: str | None = None
        self.outcome = self._tokens[begin.ids[-1]].outcome
        self._parts = compiled.construction.parts(machine)
        self._rebases = compiled.construction.rebases
        self._base = np.array(begin.origins, dtype=np.int64)
        self._head = np.array([tape.head for tape in start.tapes], dtype=np.int64)
        self._stray = 0
        self._order, said = _meanings(compiled, self._probes)
        self._kinds, self._next, self._writes, self._moves = said

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
        self._go(count, probe=False)

    def tell(self, count: int) -> Told:
        """Take up to `count` more steps and return what the weights said of each."""
        return Told.join(self._go(count, probe=True), len(self._head))

    def finish(self) -> bool:
        """Find out whether the run is over here; return whether it is."""
        while self.outcome is None and self.trouble is None:
            before = self.steps
            self._take(self._runner.advance(1, probe=False), probe=False)
            if self.steps > before:
                return False
        return self.outcome is not None

    def _go(self, count: int, probe: bool) -> list[Told]:
        told: list[Told] = []
        last = self.steps + count
        while self.steps < last and self.outcome is None and self.trouble is None:
            wanted = (last - self.steps) * (1 + self._parts)
            told += self._take(self._runner.advance(wanted, probe=probe), probe)
        return told

    def _take(self, emitted: Emitted, probe: bool) -> list[Told]:
        """Take note of emitted tokens; return what they tell, if probed, one part a context."""
        tokens = emitted.tokens
        kinds = self._kinds[tokens]
        if kinds.max(initial=0) == STRANGE:
            at = int(np.argmax(kinds == STRANGE))
            name = self._tokens[int(tokens[at])].name
            self.trouble = f"pass {self.passes + at + 1:,} emitted {name!r}, which is no step"
            tokens, kinds = tokens[:at], kinds[:at]
        rows = np.flatnonzero(kinds == STEP)
        told = []
        if probe or self._rebases:
            cuts = np.searchsorted(rows, np.flatnonzero(kinds == CUT))
            for number, segment in enumerate(np.split(rows, cuts)):
                if number and self._rebases:  # addresses count from the head again
                    self._base = self._head.copy()
                if probe:
                    told.append(self._told(tokens, emitted.probes, segment))
                self._head += self._moves[tokens[segment]].sum(axis=0)
        self._count(tokens, rows)
        return told

    def _count(
        self, tokens: Int64[np.ndarray, " count"], rows: Int64[np.ndarray, " steps"]
    ) -> None:
        """Count tokens, at `rows` steps, and see whether the run is over."""
        self.passes += len(tokens)
        self.steps += len(rows)
        after = len(tokens) - 1 - int(rows[-1]) if len(rows) else len(tokens)
        self._stray = after if len(rows) else self._stray + after
        if len(rows):
            last = self._tokens[int(tokens[rows[-1]])]
            self.state = self.compiled.naming.state(str(last.values.get("state")))
        if self._stray > STRAY + 4 * self.peak and self.trouble is None:
            self.trouble = f"{self._stray:,} tokens without a step up to pass {self.passes:,}"
        if not len(tokens):
            return
        self.outcome = self._tokens[int(tokens[-1])].outcome
        if self.outcome is None or not len(rows):
            return
        while after < self._parts:  # a token that ends the run may stand among them, too
            rest = len(self._runner.advance(self._parts - after, probe=False).tokens)
            self.passes, after = self.passes + rest, after + rest

    def _told(self, tokens: np.ndarray, probes: np.ndarray, rows: np.ndarray) -> Told:
        k, tokens, probes = len(self._head), tokens[rows], probes[rows]
        reads = [self._order[1 + t][probes[:, 1 + t]] for t in range(k)]
        return Told(
            states=self._order[0][probes[:, 0]],
            reads=np.stack(reads, axis=1),
            heads=probes[:, 1 + k :] + self._base,
            next_states=self._next[tokens],
            writes=self._writes[tokens],
            moves=self._moves[tokens],
            passes=self.passes + rows,
        )

    def end(self) -> tuple[str, tuple[Tape, ...]]:
        """Let the weights process their last token; return the state and tapes they then hold."""
        machine, naming = self.compiled.machine, self.compiled.naming
        after = self._runner.settle()
        tapes = []
        for t in range(machine.tapes):
            memory = {
                address + int(self._base[t]): naming.symbol(symbol)
                for address, symbol in self._runner.memory(f"tape{t}.read").items()
            }
            head = after[f"tape{t}.head"] + int(self._base[t])
            tapes.append(_tape(memory, head, machine.blank))
        number = self._order[0][after[self._state]]
        return machine.states[number] if number >= 0 else "none", tuple(tapes)


@lru_cache(maxsize=16)
def _meanings(
    compiled: Compiled, probes: tuple[str, ...]
) -> tuple[list[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    """Return the machine's numbers by what each probe reads, and what each token says.

    That is its kind, the next state, the symbols written `[d_vocab, tapes]`, the moves alike. Made
    once a model, as many short runs may follow.
    """
    words, tokens, k = Words(compiled), compiled.weights.tokens, compiled.machine.tapes
    order = ["state", *["symbol"] * k]
    readouts = probed(compiled.weights, probes)
    numbers = [words.of_probe(r, kind) for r, kind in zip(readouts, order, strict=False)]
    of_role = {"step": STEP, "cut": CUT, "part": PART, "summary": PART, "end": PART}
    kinds = np.array([of_role.get(token.role, STRANGE) for token in tokens], dtype=np.int8)
    following = np.full(len(tokens), -1, dtype=np.int64)
    writes = np.full((len(tokens), k), -1, dtype=np.int64)
    moves = np.full((len(tokens), k), NO_MOVE, dtype=np.int64)
    for number, token in enumerate(tokens):
        if token.role != "step":
            continue
        following[number] = words.state(token.values.get("state"))
        for t in range(k):
            writes[number, t] = words.symbol(token.values.get(f"tape{t}.write"))
            moves[number, t] = token.values.get(f"tape{t}.move", 0)
    return numbers, (kinds, following, writes, moves)


def _tape(memory: Memory, head: int, blank: str) -> Tape:
    held = {address: symbol for address, symbol in memory.items() if symbol != blank}
    if not held:
        return Tape((), 0, head)
    cells = range(min(held), max(held) + 1)
    return Tape(tuple(held.get(a, blank) for a in cells), cells[0], head)
