"""The words of weights that take any machine: how states and symbols are renamed to fit them.

Such weights (`universal`, `empirical`) have room for so many running states, symbols, and halting
states of each outcome (`OPTIONS`), and words of their own for all of these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from tm2tf.constructions.construction import Naming, Option, Options, one_tape_only
from tm2tf.constructions.tokens import require_start
from tm2tf.errors import ConstructionError
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Configuration, Machine, Tape, Transition

OPTIONS = (
    Option("states", 16, 1, "running states that there is room for", most=500),
    Option("symbols", 8, 1, "symbols that there is room for", most=100),
    Option("halting", 3, 1, "halting states of each outcome that there is room for", most=100),
)

NO_WORD = ""
"""What a word of the weights means where the machine has none for it; no machine uses it."""


def canonical(machine: Machine, options: Options) -> Machine:
    """Return a machine with the weights' words for its states and symbols, and no examples.

    Running states are A, B, ..., Z, AA, ... from the start state on, symbols 0, 1, ... from the
    blank on, both then in the machine's order; halting states are halt, halt2, ..., accept, ...,
    reject, ... If these already are its words, they stay the same.

    Raises:
        ConstructionError: the machine does not fit the options.
    """
    reason = refusal(machine, options)
    if reason is not None:
        raise ConstructionError(
            f"weights of this size cannot take machine {machine.name!r}: {reason}"
        )
    states, symbols = _renamed_states(machine), _renamed(machine.symbols, machine.blank, str)
    transitions: dict[tuple[str, tuple[str, ...]], Transition] = {}
    for (state, (read,)), to in machine.transitions.items():
        renamed = Transition(states[to.state], (symbols[to.writes[0]],), to.moves)
        transitions[states[state], (symbols[read],)] = renamed
    return replace(
        machine,
        symbols=tuple(symbols.values()),
        blank=symbols[machine.blank],
        states=tuple(states.values()),
        start=states[machine.start],
        transitions=transitions,
        accept=tuple(states[state] for state in machine.accept),
        reject=tuple(states[state] for state in machine.reject),
        halt=tuple(states[state] for state in machine.halt),
        examples=(),
    )


def canonical_start(machine: Machine, configuration: Configuration) -> Configuration:
    """Return a start configuration of a machine as one of its canonical form.

    Raises:
        ConfigurationError: its state is not the machine's start state.
    """
    require_start(machine, configuration)
    symbols = _renamed(machine.symbols, machine.blank, str)
    tapes = (
        Tape(tuple(symbols[symbol] for symbol in tape.contents), tape.origin, tape.head)
        for tape in configuration.tapes
    )
    return Configuration(_renamed_states(machine)[configuration.state], tuple(tapes))


def naming(machine: Machine, options: Options) -> Naming:
    """Return what all words of the weights are called in the machine; `NO_WORD` for the others."""
    every = largest(options)
    states, symbols = _renamed_states(machine), _renamed(machine.symbols, machine.blank, str)
    return Naming(
        dict.fromkeys(every.states, NO_WORD) | {new: old for old, new in states.items()},
        dict.fromkeys(every.symbols, NO_WORD) | {new: old for old, new in symbols.items()},
    )


def refusal(machine: Machine, options: Options) -> str | None:
    """Return why a machine is too large, and which options to raise; None if it fits."""
    tapes = one_tape_only(machine, options)
    if tapes is not None:
        return tapes
    running = sum(machine.outcome_of(state) is None for state in machine.states)
    halting = max(len(getattr(machine, kind)) for kind in UNDEFINED_OUTCOME)
    asked = (
        ("states", running, "running states"),
        ("symbols", len(machine.symbols), "symbols"),
        ("halting", halting, "halting states of one outcome"),
    )
    over = [(name, has, what) for name, has, what in asked if has > options[name]]
    listed = " and ".join(f"{has} {what} (room for {options[name]})" for name, has, what in over)
    raised = " ".join(f"--{name} {has}" for name, has, _ in over)
    return f"it has {listed}; take {raised}" if over else None


def largest(options: Options) -> Machine:
    """Return a machine, without rules, that has all states and symbols of the weights."""
    running = tuple(map(letters, range(options["states"])))
    halt, accept, reject = (
        tuple(_halting(kind, number) for number in range(options["halting"]))
        for kind in ("halt", "accept", "reject")
    )
    return Machine(
        name="universal",
        symbols=tuple(map(str, range(options["symbols"]))),
        blank="0",
        states=(*running, *halt, *accept, *reject),
        start=running[0],
        transitions={},
        accept=accept,
        reject=reject,
        halt=halt,
    )


def _renamed_states(machine: Machine) -> dict[str, str]:
    """Return the weights' word for each state, in canonical order."""
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    states = _renamed(running, machine.start, letters)
    for kind in UNDEFINED_OUTCOME:
        states |= _renamed(getattr(machine, kind), machine.start, partial(_halting, kind))
    return states


def _renamed(words: Sequence[str], first: str, name: Callable[[int], str]) -> dict[str, str]:
    """Return a name for each word, `first` before all others; names that fit already stay."""
    names = [name(number) for number in range(len(words))]
    ordered = sorted(words, key=lambda word: word != first)
    if ordered[:1] == names[:1] and set(ordered) == set(names):
        ordered = names
    return dict(zip(ordered, names, strict=True))


def letters(number: int) -> str:
    """Return the weights' word for a running state: A, B, ..., Z, AA, ..."""
    rest, last = divmod(number, 26)
    return (letters(rest - 1) if rest else "") + chr(ord("A") + last)


def _halting(kind: str, number: int) -> str:
    return kind if number == 0 else f"{kind}{number + 1}"
