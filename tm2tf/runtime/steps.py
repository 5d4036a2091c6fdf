"""A decoder's run followed by its step tokens (view "steps")."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from jaxtyping import Int64

from tm2tf.compiler import Compiled, Start
from tm2tf.machine.spec import Configuration, Tape
from tm2tf.runtime.memory import Memory
from tm2tf.runtime.runner import Emitted, Probe, Runner, probed
from tm2tf.runtime.told import NO_MOVE, Key, Spoken, Told, Words

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
        # where every token is a step, runners need not list them, or can do so in their own way
        self._skipping = not self._parts and not self._rebases
        self._plain = self._kinds == STEP
        self._key: Key | None = None

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
        last = self.steps + count
        while self._skipping and self.steps < last and self.outcome is None and not self.trouble:
            skipped = self._runner.skip(last - self.steps, self._plain)
            if skipped is None:
                break
            listed = np.array([skipped.stood, skipped.last][-min(skipped.count, 2) :])
            self._leave_out(skipped.count - len(listed))
            self._take(Emitted(listed, np.zeros((len(listed), 0), dtype=np.int64)), probe=False)
        self._go(last - self.steps, probe=False)

    def tell(self, count: int) -> Told:
        """Take up to `count` more steps and return what the weights said of each."""
        return Told.join(self._go(count, probe=True), len(self._head))

    def speak(self, count: int) -> Spoken | None:
        """Take up to `count` more steps and return them as the runner has them, if it can."""
        if self._key is None and self._skipping:
            recorded = self._runner.record(0, self._plain)
            self._key = None if recorded is None else self._key_of(recorded[1])
        recorded = None if self._key is None else self._runner.record(count, self._plain)
        if recorded is None or self._key is None:
            return None
        key, (record, _) = self._key, recorded
        first, tokens = self.passes, record.tokens
        steps = len(tokens)
        if record.odd:
            plain = self._plain[tokens]
            steps = steps if plain[:-1].all() else int(np.argmin(plain)) + 1
        listed = tokens[max(0, steps - 2) : steps].astype(np.int64)
        self._leave_out(steps - len(listed))
        self._take(Emitted(listed, np.zeros((len(listed), 0), dtype=np.int64)), probe=False)
        return Spoken(key, record, first)

    def _key_of(self, probes: tuple[Probe, ...]) -> Key | None:
        """Return how steps follow from records; None if a feature does in another way."""
        k = len(self._head)
        state, reads, heads = probes[0], probes[1 : 1 + k], probes[1 + k :]
        if state.lookup >= 0 or any(probe.lookup < 0 for probe in reads):
            return None
        units = [[t for t, ratio in enumerate(probe.ratios) if ratio] for probe in heads]
        pairs = zip(units, heads, strict=True)
        if any(len(unit) != 1 or probe.ratios[unit[0]] != 1 for unit, probe in pairs):
            return None
        return Key(
            states=self._order[0][state.table],
            heads_at=np.stack([probe.table for probe in heads], axis=1) + self._base,
            next_states=self._next,
            writes=self._writes,
            moves=self._moves,
            reads=tuple(o[p.table] for o, p in zip(self._order[1:], reads, strict=True)),
            read_by=tuple(probe.lookup for probe in reads),
            headed_by=tuple(unit[0] for unit in units),
        )

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

    def _leave_out(self, steps: int) -> None:
        """Count steps, one a pass, behind which there are others to take note of."""
        self.passes, self.steps = self.passes + steps, self.steps + steps

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

    def cases(self) -> dict[tuple[str, str], int] | None:
        """Return how often each symbol was met in each state, if that was counted."""
        counted = self._runner.cases()
        key = None if counted is None else self._key_of(self._runner.read_by)
        if counted is None or key is None:
            return None
        states, symbols = self.compiled.machine.states, self.compiled.machine.symbols
        met: dict[tuple[str, str], int] = {}
        for (token, value), times in counted.items():
            state, symbol = int(key.states[token]), int(key.reads[0][value])
            if state < 0 or symbol < 0:  # states without rules, which nothing tells apart
                continue
            pair = states[state], symbols[symbol]
            met[pair] = met.get(pair, 0) + times
        return met

    def end(self) -> tuple[str, tuple[Tape, ...]]:
        """Let the weights process their last token; return the state and tapes they then hold."""
        machine, naming = self.compiled.machine, self.compiled.naming
        after = self._runner.settle()
        tapes = []
        for t in range(machine.tapes):
            found, base = self._runner.memory(f"tape{t}.read"), int(self._base[t])
            names = {symbol: naming.symbol(symbol) for symbol in set(found.values())}
            memory = {address + base: names[symbol] for address, symbol in found.items()}
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
    steps = np.flatnonzero(kinds == STEP)
    said = [tokens[number].values for number in steps.tolist()]
    following = np.full(len(tokens), -1, dtype=np.int64)
    writes = np.full((len(tokens), k), -1, dtype=np.int64)
    moves = np.full((len(tokens), k), NO_MOVE, dtype=np.int64)
    following[steps] = [words.state(values.get("state")) for values in said]
    for t, (write, move) in enumerate((f"tape{t}.write", f"tape{t}.move") for t in range(k)):
        writes[steps, t] = [words.symbol(values.get(write)) for values in said]
        moves[steps, t] = [values.get(move, 0) for values in said]
    return numbers, (kinds, following, writes, moves)


def _tape(memory: Memory, head: int, blank: str) -> Tape:
    held = {address: symbol for address, symbol in memory.items() if symbol != blank}
    if not held:
        return Tape((), 0, head)
    cells = range(min(held), max(held) + 1)
    return Tape(tuple(held.get(a, blank) for a in cells), cells[0], head)
