"""What a Turing machine is: states, symbols, tapes, transitions, configurations.

A machine has k tapes, infinite both ways (or one way: see `Machine.first`), over one alphabet with
one blank. In a step it reads the k symbols under its heads; the transition for (state, reads)
writes a symbol on each tape, moves each head L, S or R, and enters the next state. Steps are
counted as bbchallenge.org counts them: a transition into a halting state is a step, and meeting an
undefined transition is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, get_args

from tm2tf.errors import ConfigurationError, MachineError, did_you_mean

Move = Literal["L", "S", "R"]
Outcome = Literal["halted", "accepted", "rejected", "step-limit", "unknown", "tape-full"]
"""How a run is over. Machines halt, accept, reject, or are stopped ("step-limit"); weights may
also say that they lack a rule ("unknown") or a place on the tape ("tape-full")."""

Undefined = Literal["halt", "accept", "reject"]
Reads = tuple[str, ...]

OFFSET: Mapping[str, int] = MappingProxyType({"L": -1, "S": 0, "R": 1})
UNDEFINED_OUTCOME: Mapping[str, Outcome] = MappingProxyType(
    {"halt": "halted", "accept": "accepted", "reject": "rejected"}
)


@dataclass(frozen=True, slots=True)
class Transition:
    """What a machine does in one step: the state it enters, what it writes, how it moves."""

    state: str
    writes: tuple[str, ...]
    moves: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tape:
    """One tape at one moment: `contents[i]` stands at address `origin + i`, blank elsewhere."""

    contents: tuple[str, ...] = ()
    origin: int = 0
    head: int = 0

    def trimmed(self, blank: str) -> Tape:
        """Return the same tape without blanks at either end; an all-blank one has origin 0."""
        cells, first, last = self.contents, 0, len(self.contents)
        while first < last and cells[first] == blank:
            first += 1
        while last > first and cells[last - 1] == blank:
            last -= 1
        if first == last:
            return Tape((), 0, self.head)
        return Tape(cells[first:last], self.origin + first, self.head)

    def nonblank(self, blank: str) -> int:
        """Return how many cells hold something other than the blank."""
        return len(self.contents) - self.contents.count(blank)


@dataclass(frozen=True, slots=True)
class Configuration:
    """A machine's whole situation: its state and its tapes."""

    state: str
    tapes: tuple[Tape, ...]


@dataclass(frozen=True, slots=True)
class Expected:
    """What a run should end with. None means: not stated. Tapes are compared by contents."""

    outcome: Outcome | None = None
    state: str | None = None
    steps: int | None = None
    nonblank: int | None = None
    tapes: tuple[tuple[str, ...] | None, ...] | None = None


@dataclass(frozen=True, slots=True)
class Example:
    """A start (one tape each) and the result a run from it should have."""

    tapes: tuple[Tape, ...]
    expected: Expected = Expected()
    note: str = ""
    max_steps: int | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """A deterministic Turing machine with one or more tapes. Validated when made.

    `symbols` begins with no particular symbol; `blank` names the blank among them.
    `undefined` says what meeting a (state, reads) without a transition means.

    Where tapes are infinite one way only, `first` says what each symbol is called on their first
    cell, which has address 0, so that rules can tell it: no rule moves left from there, writes a
    plain symbol there, or such a symbol elsewhere. Words have plain symbols only: `initial`,
    `split` and `join` see to it, `plain` does so for tapes. It is empty for tapes without an end.

    `notes` are what the file that it was read from says, and a machine here cannot.
    """

    name: str
    symbols: tuple[str, ...]
    blank: str
    states: tuple[str, ...]
    start: str
    transitions: Mapping[tuple[str, Reads], Transition]
    tapes: int = 1
    accept: tuple[str, ...] = ()
    reject: tuple[str, ...] = ()
    halt: tuple[str, ...] = ()
    undefined: Undefined = "halt"
    description: str = ""
    source: str = ""
    first: Mapping[str, str] = field(default_factory=dict)
    examples: tuple[Example, ...] = field(default=(), compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "transitions", MappingProxyType(dict(self.transitions)))
        object.__setattr__(self, "first", MappingProxyType(dict(self.first)))
        _check_words(self)
        _check_states(self)
        _check_transitions(self)
        _check_first(self)

    def outcome_of(self, state: str) -> Outcome | None:
        """Return how a run that enters `state` ends, or None if it goes on."""
        if state in self.accept:
            return "accepted"
        if state in self.reject:
            return "rejected"
        return "halted" if state in self.halt else None

    def initial(self, inputs: Sequence[str | Tape] = ()) -> Configuration:
        """Return the start configuration for one word or `Tape` a tape; missing ones are blank.

        Raises:
            ConfigurationError: too many inputs, or a symbol outside the alphabet.
        """
        if len(inputs) > self.tapes:
            raise ConfigurationError(
                f"{len(inputs)} inputs given, but machine {self.name!r} has {self.tapes} "
                f"tape{'s' if self.tapes > 1 else ''}: give at most one input a tape"
            )
        tapes = [word if isinstance(word, Tape) else Tape(self.split(word)) for word in inputs]
        tapes += [Tape()] * (self.tapes - len(tapes))
        for number, tape in enumerate(tapes):
            for symbol in tape.contents:
                if symbol not in self.symbols:
                    raise ConfigurationError(
                        f"symbol {symbol!r} on tape {number} is not in the alphabet of machine "
                        f"{self.name!r}, which is {_listed(self.symbols)}"
                        + did_you_mean(symbol, self.symbols)
                    )
        if self.first:
            tapes = [self._from_first(tape, number) for number, tape in enumerate(tapes)]
        return Configuration(self.start, tuple(tapes))

    def plain(self, tape: Tape) -> Tape:
        """Return a tape in plain symbols, trimmed, where its first cell has another (`first`)."""
        if not self.first:
            return tape
        return replace(tape, contents=self._plain(tape.contents)).trimmed(self.blank)

    def _plain(self, contents: Sequence[str]) -> tuple[str, ...]:
        back = {marked: symbol for symbol, marked in self.first.items()}
        return tuple(back.get(symbol, symbol) for symbol in contents)

    def _from_first(self, tape: Tape, number: int) -> Tape:
        """Return a tape that holds its first cell, with the symbol that stands there."""
        if tape.origin < 0 or tape.head < 0:
            raise ConfigurationError(
                f"tape {number} of machine {self.name!r} begins at address 0: got contents from "
                f"{tape.origin} and the head at {tape.head}"
            )
        cells = (*[self.blank] * tape.origin, *self._plain(tape.contents)) or (self.blank,)
        return Tape((self.first[cells[0]], *cells[1:]), 0, tape.head)

    def split(self, word: str) -> tuple[str, ...]:
        """Return the symbols of a word: one a character, or separated by spaces.

        Spaces separate where some symbol has several characters, and wherever a word holds
        spaces and no symbol of the alphabet is one.
        """
        if self._one_character_each() and (" " in self.symbols or not any(map(str.isspace, word))):
            return tuple(word)
        return tuple(word.split())

    def join(self, contents: Sequence[str]) -> str:
        """Return the word that `split` turns into `contents`."""
        return ("" if self._one_character_each() else " ").join(self._plain(contents))

    def _one_character_each(self) -> bool:
        marked = self.first.values()
        return all(len(symbol) == 1 for symbol in self.symbols if symbol not in marked)


def _listed(words: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(repr(word) for word in words[:most])
    return shown + (f", ... ({len(words)} in all)" if len(words) > most else "")


def _require(holds: bool, rule: str, message: str, *path: str) -> None:
    if not holds:
        raise MachineError(message, rule=rule, path=path)


def _require_known(word: str, known: Iterable[str], rule: str, *path: str) -> None:
    """Require that a state is known, looking for the nearest one only if it is not."""
    if word not in known:
        raise MachineError(
            f"unknown state {word!r}" + did_you_mean(word, known), rule=rule, path=path
        )


def _check_words(machine: Machine) -> None:
    _require(machine.tapes >= 1, "at least one tape", f"tapes is {machine.tapes}", "tapes")
    for kind, words in (("symbols", machine.symbols), ("states", machine.states)):
        _require(len(words) > 0, f"at least one of {kind}", f"no {kind}", kind)
        for word in words:
            _require(
                len(word) > 0 and word.isprintable(),
                f"{kind} are printable, non-empty words",
                f"{word!r} cannot be one of the {kind}",
                kind,
            )
        twice = [word for word, times in Counter(words).items() if times > 1]
        _require(not twice, f"{kind} are distinct", f"listed twice: {_listed(twice)}", kind)
    _require(
        machine.blank in machine.symbols,
        "the blank is a symbol",
        f"blank {machine.blank!r} is not among the symbols {_listed(machine.symbols)}",
        "blank",
    )
    _require(
        machine.undefined in get_args(Undefined),
        "undefined is halt, accept or reject",
        f"undefined is {machine.undefined!r}",
        "undefined",
    )


def _check_states(machine: Machine) -> None:
    _require_known(machine.start, machine.states, "the start state is a state", "start")
    seen: dict[str, str] = {}
    for kind in ("accept", "reject", "halt"):
        for state in getattr(machine, kind):
            _require_known(state, machine.states, "halting states are states", kind)
            _require(
                state not in seen,
                "a halting state accepts, rejects or halts, one of them and once",
                f"{state!r} is under {seen.get(state)} and under {kind}",
                kind,
            )
            seen[state] = kind


def _check_transitions(machine: Machine) -> None:
    states, symbols, tapes = set(machine.states), set(machine.symbols), machine.tapes
    running = states - {*machine.accept, *machine.reject, *machine.halt}
    moves = set(OFFSET)
    for (state, reads), to in machine.transitions.items():
        fine = (
            state in running
            and to.state in states
            and len(reads) == len(to.writes) == len(to.moves) == tapes
            and symbols.issuperset(reads)
            and symbols.issuperset(to.writes)
            and moves.issuperset(to.moves)
        )
        if not fine:
            _explain_transition(machine, state, reads, to)


def _check_first(machine: Machine) -> None:
    """Require that symbols of first cells stand there, and nowhere else."""
    plain, marked = set(machine.first), set(machine.first.values())
    if not machine.first:
        return
    _require(
        len(marked) == len(plain) and not plain & marked and plain | marked == set(machine.symbols),
        "every symbol has another one for the first cell of a tape, or is one",
        f"first is {dict(machine.first)}, and the alphabet {_listed(machine.symbols)}",
        "first",
    )
    for (state, reads), to in machine.transitions.items():
        for read, write, move in zip(reads, to.writes, to.moves, strict=True):
            there = read in marked
            if there != (write in marked) or (there and move == "L"):
                _require(
                    False,
                    "a symbol of the first cell stays there, and the head does not go beyond",
                    f"reading {read!r}, the rule writes {write!r} and moves {move}",
                    *("rules", state, " ".join(reads)),
                )


def _explain_transition(machine: Machine, state: str, reads: Reads, to: Transition) -> None:
    where = ("rules", state, " ".join(reads))
    _require_known(state, machine.states, "a rule's state is a state", "rules", state)
    _require(
        machine.outcome_of(state) is None,
        "a halting state has no rules",
        f"{state!r} halts, yet it has a rule",
        *where,
    )
    for kind, words in (("reads", reads), ("writes", to.writes), ("moves", to.moves)):
        _require(
            len(words) == machine.tapes,
            f"a rule has one of its {kind} a tape",
            f"expected {machine.tapes} {kind}, got {len(words)}: {_listed(words)}",
            *where,
        )
    for kind, words in (("reads", reads), ("writes", to.writes)):
        for symbol in words:
            _require(
                symbol in machine.symbols,
                f"a rule's {kind} are symbols",
                f"unknown symbol {symbol!r}; the alphabet is {_listed(machine.symbols)}",
                *where,
            )
    for move in to.moves:
        _require(move in OFFSET, "moves are L, S or R", f"unknown move {move!r}", *where)
    _require_known(to.state, machine.states, "a rule's next state is a state", *where)
