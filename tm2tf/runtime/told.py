"""What weights say of machine steps, in the machine's numbers: what every view of a run yields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Int64

from tm2tf.compiler import Compiled, Start
from tm2tf.machine.spec import Tape
from tm2tf.runtime.runner import Record
from tm2tf.weights.model import Readout

NOTHING, UNCLEAR, FOREIGN = -1, -2, -3
"""What stands for a word where weights say none, say it unclearly, or one the machine lacks."""

NO_MOVE = -9
"""What stands for a move where weights say none."""


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """Steps as the weights tell them, one row a step.

    Words are their numbers in the machine's lists, heads machine addresses before the move, moves
    -1, 0 or 1. `passes` numbers (from 0) the pass that emitted the step, in all passes that emit.
    """

    states: Int64[np.ndarray, " count"]
    reads: Int64[np.ndarray, "count tapes"]
    heads: Int64[np.ndarray, "count tapes"]
    next_states: Int64[np.ndarray, " count"]
    writes: Int64[np.ndarray, "count tapes"]
    moves: Int64[np.ndarray, "count tapes"]
    passes: Int64[np.ndarray, " count"]

    @staticmethod
    def join(parts: Sequence[Told], tapes: int) -> Told:
        """Return several tellings as one; none at all as no rows."""
        none = np.zeros(0, dtype=np.int64)
        wide = np.zeros((0, tapes), dtype=np.int64)
        empty = Told(none, wide, wide, none, wide, wide, none)
        listed = [empty, *parts]
        return Told(*(np.concatenate([getattr(p, n) for p in listed]) for n in Told.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """What weights say of a step, by the tokens and values that a `Spoken` is made of.

    Numbers are as in `Told`. T lookups, k tapes.

    Attributes:
        states, heads_at: by the token that stands there: the state, and what is added to addresses.
        next_states, writes, moves: by the token that is emitted.
        reads: for each tape, by the class of what was found: the symbol.
        read_by, headed_by: for each tape the lookup that finds its symbol, and whose address is
            its head's.
    """

    states: Int64[np.ndarray, " d_vocab"]
    heads_at: Int64[np.ndarray, "d_vocab k"]
    next_states: Int64[np.ndarray, " d_vocab"]
    writes: Int64[np.ndarray, "d_vocab k"]
    moves: Int64[np.ndarray, "d_vocab k"]
    reads: tuple[Int64[np.ndarray, " classes"], ...]
    read_by: tuple[int, ...]
    headed_by: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """Steps as the weights tell them, one a pass, not yet in the machine's numbers.

    `key` says how these follow. It stands until the follower is asked again.
    """

    key: Key
    record: Record
    first: int

    def told(self, count: int) -> Told:
        """Return the first `count` of the steps in the machine's numbers."""
        key, tokens = self.key, self.record.tokens[:count].astype(np.int64)
        standing = np.concatenate([[self.record.standing], tokens])[:count]
        found, addresses = self.record.found[:count], self.record.addresses[:count]
        reads = [table[found[:, t]] for table, t in zip(key.reads, key.read_by, strict=True)]
        return Told(
            states=key.states[standing],
            reads=np.stack(reads, axis=1),
            heads=addresses[:, list(key.headed_by)] + key.heads_at[standing],
            next_states=key.next_states[tokens],
            writes=key.writes[tokens],
            moves=key.moves[tokens],
            passes=self.first + np.arange(len(tokens)),
        )


class Follower(Protocol):
    """A run of compiled weights, followed as a run of their machine.

    Attributes:
        compiled: the machine and its weights; `begin`: the prompt that it began from.
        runtime: the runner's name; `device`: where it evaluates.
        steps: machine steps taken so far; `passes`: passes that emitted something (a looped
            model: passes); the prompt's are not counted.
        outcome: how the run is over, once the weights have said so.
        state: the state after the last step, in the machine's words.
        widened: how often a looped model's window was doubled.
        trouble: what the weights emitted that no run may hold, if they did.
    """

    compiled: Compiled
    begin: Start
    runtime: str
    device: str
    steps: int
    passes: int
    outcome: str | None
    state: str
    trouble: str | None
    widened: int

    @property
    def kernel(self) -> str | None:
        """The kernel that runs, where there are several."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it is another one than was asked for."""
        ...

    @property
    def attention(self) -> str:
        """How lookups are evaluated."""
        ...

    @property
    def peak(self) -> int:
        """The longest context so far, in tokens (a looped model: positions)."""
        ...

    def advance(self, count: int) -> None:
        """Take up to `count` more steps, fewer if the run is over (or there is trouble)."""
        ...

    def tell(self, count: int) -> Told:
        """Take up to `count` more steps and return what the weights said of each."""
        ...

    def speak(self, count: int) -> Spoken | None:
        """Take up to `count` more steps, as `tell` does, and return them as the runner has them.

        None, having done nothing, where they can only be told.
        """
        ...

    def finish(self) -> bool:
        """Find out whether the run is over here, for want of a transition; return whether it is.

        Nothing can be asked but `end` afterwards.
        """
        ...

    def cases(self) -> dict[tuple[str, str], int] | None:
        """Return how often each symbol was met in each state.

        None unless that was counted: on one tape, by the fast kernels, where it was asked for. A
        state without any rule may be left out, or stand for another such state.
        """
        ...

    def end(self) -> tuple[str, tuple[Tape, ...]]:
        """Return the state and the trimmed tapes that the weights hold now.

        The state is "none" where they hold none. Nothing can be asked afterwards.
        """
        ...


class Words:
    """The machine's numbers for what the weights call its states and symbols."""

    def __init__(self, compiled: Compiled) -> None:
        machine, naming = compiled.machine, compiled.naming
        self._states = {word: number for number, word in enumerate(machine.states)}
        self._symbols = {word: number for number, word in enumerate(machine.symbols)}
        self._naming = naming

    def state(self, word: object) -> int:
        """Return the number of a state, given the weights' word for it (None: absent)."""
        if word is None:
            return NOTHING
        return self._states.get(self._naming.state(str(word)), FOREIGN)

    def symbol(self, word: object) -> int:
        """Return the number of a symbol, given the weights' word for it (None: absent)."""
        if word is None:
            return NOTHING
        return self._symbols.get(self._naming.symbol(str(word)), FOREIGN)

    def of_probe(self, readout: Readout, kind: str) -> Int64[np.ndarray, " values_and_two"]:
        """Return the machine's numbers by what a readout of states or symbols reads.

        The last two are for -2 (unclear) and -1 (absent): a read number is an index.
        """
        number = self.state if kind == "state" else self.symbol
        return np.array([*(number(word) for word, _ in readout.values), UNCLEAR, NOTHING])
