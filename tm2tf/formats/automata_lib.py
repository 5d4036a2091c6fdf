"""automata-lib: its objects DTM, NTM and MNTM, and Python source that builds one.

These are objects of another program, so this is no entry of the table of formats: machines are
read with `from_automaton`, made with `to_automaton`, and written as a short script with `dump`.
There, final states accept as they are entered; where no rule matches, a run is rejected without a
step, so a state that rejects is one that has no rules; `N` is our `S`.
Source: https://github.com/caleb531/automata, the package automata-lib.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tm2tf.errors import ExtraError, InputError
from tm2tf.formats.limits import refuse
from tm2tf.machine.spec import Machine, Reads, Transition

if TYPE_CHECKING:
    from automata.tm.dtm import DTM
    from automata.tm.mntm import MNTM
    from automata.tm.ntm import NTM

OURS = {"L": "L", "N": "S", "R": "R"}
THEIRS = {ours: theirs for theirs, ours in OURS.items()}
_LONG_BLANK = "several tapes with a blank of several characters, which it takes for several cells"


def from_automaton(automaton: DTM | NTM | MNTM, name: str = "machine") -> Machine:
    """Return the machine that an object of automata-lib is.

    States are called what `str` makes of them, sets and tuples by what they hold.

    Raises:
        InputError: it is no deterministic Turing machine, or breaks a rule of the library's own.
        ExtraError: automata-lib is not installed.
    """
    tapes = _validated(automaton)
    states: dict[Any, str] = {
        state: _name(state)
        for state in (automaton.initial_state, *automaton.transitions, *automaton.states)
    }
    named: dict[str, Any] = {}
    for state, called in states.items():
        if called in named:
            raise InputError(
                f"two states are called {called!r} as text: {named[called]!r} and {state!r}; "
                "give one of them another name"
            )
        named[called] = state
    blank = automaton.blank_symbol
    for symbol in automaton.tape_symbols:
        if not isinstance(symbol, str):
            raise InputError(f"a symbol is a string, got {symbol!r}")
    if _long_blank(blank, tapes):
        raise InputError(f"automata-lib cannot run {_LONG_BLANK}")
    rules: dict[tuple[str, Reads], Transition] = {}
    never = []
    for state, reads, moves in _moves(automaton):
        if not isinstance(reads, tuple):
            never.append(reads)
            continue
        target, writes, directions = _only(states[state], reads, moves)
        rules[states[state], reads] = Transition(
            states[target], writes, tuple(OURS[move] for move in directions)
        )
    order = [states[state] for state in (automaton.initial_state, *automaton.transitions)]
    return Machine(
        name=name,
        symbols=(blank, *sorted(set(automaton.tape_symbols) - {blank})),
        blank=blank,
        states=tuple(dict.fromkeys((*order, *sorted(named)))),
        start=order[0],
        transitions=rules,
        tapes=tapes,
        accept=tuple(sorted(states[state] for state in automaton.final_states)),
        undefined="reject",
        notes=_notes(automaton, never),
    )


def _long_blank(blank: str, tapes: int) -> bool:
    """Return whether the library would begin with single characters for a blank on other tapes."""
    return tapes > 1 and len(blank) != 1


def _validated(automaton: DTM | NTM | MNTM) -> int:
    """Return the number of tapes of a sound automaton."""
    try:
        from automata.base.exceptions import AutomatonException
        from automata.tm.mntm import MNTM
        from automata.tm.tm import TM
    except ImportError:
        raise ExtraError("reading its objects", "automata-lib", "bench") from None
    if not isinstance(automaton, TM):
        raise InputError(f"expected a DTM, NTM or MNTM, got {type(automaton).__name__}")
    try:
        automaton.validate()  # the library can be told not to do so itself
    except (AutomatonException, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"automata-lib finds this machine unsound: {error}") from None
    return automaton.n_tapes if isinstance(automaton, MNTM) else 1


def _name(state: object) -> str:
    """Return the text of a state, the same in every process."""
    if isinstance(state, frozenset):
        return "{" + ", ".join(sorted(map(_name, state))) + "}"
    if isinstance(state, tuple):
        return "(" + ", ".join(map(_name, state)) + ")"
    return str(state)


def _moves(automaton: Any) -> Iterator[tuple[Any, Any, list[Any]]]:
    """Yield state, what is read and the moves of each key, all as those of an MNTM."""
    many = hasattr(automaton, "n_tapes")
    for state, paths in automaton.transitions.items():
        for read, found in paths.items():
            if many:
                yield state, read, list(found)
            else:
                several = [found] if isinstance(found, tuple | list) else list(found)
                if several:  # an NTM takes an empty set for no rule
                    yield state, (read,), [(to, ((write, move),)) for to, write, move in several]


def _only(
    state: str, reads: Reads, moves: list[Any]
) -> tuple[Any, tuple[str, ...], tuple[str, ...]]:
    """Return the next state, what is written and the moves of the only move there is."""
    found = {
        (target, tuple(write for write, _ in pairs), tuple(move for _, move in pairs))
        for target, pairs in moves
    }
    if len(found) != 1:
        raise InputError(
            f"state {state!r} has {len(found)} moves for {' '.join(map(repr, reads))}: "
            "tm2tf has deterministic machines only"
        )
    return found.pop()


def _notes(automaton: DTM | NTM | MNTM, never: list[Any]) -> tuple[str, ...]:
    notes = []
    inputs = sorted(automaton.input_symbols)
    if set(inputs) != set(automaton.tape_symbols) - {automaton.blank_symbol}:
        notes.append(f"input_symbols: {inputs}, which runs do not look at")
    if never:
        notes.append(f"rules that are never taken, as they read no tuple: {never}")
    return tuple(notes)


def to_automaton(machine: Machine) -> DTM | MNTM:
    """Return the DTM that a machine is, or the MNTM if it has several tapes.

    Words of symbols with several characters are given to it as lists.

    Raises:
        InputError: it has what automata-lib cannot say; the message names it.
        ExtraError: automata-lib is not installed.
    """
    parts = _parts(machine)
    try:
        from automata.tm.dtm import DTM
        from automata.tm.mntm import MNTM
    except ImportError:
        raise ExtraError("making its objects", "automata-lib", "bench") from None
    return DTM(**parts) if machine.tapes == 1 else MNTM(**parts)


def dump(machine: Machine) -> str:
    """Return Python source that leaves in `machine` what `to_automaton` returns.

    Raises:
        InputError: the machine has what automata-lib cannot say; the message names it.
    """
    parts = _parts(machine)
    kind = "DTM" if machine.tapes == 1 else "MNTM"
    lines = [
        f"# {machine.name!r}, for automata-lib",
        f"from automata.tm.{kind.lower()} import {kind}",
        "",
        f"machine = {kind}(",
    ]
    for key, value in parts.items():
        if isinstance(value, Mapping):
            lines.append(f"    {key}={{")
            for state, paths in value.items():
                lines.append(f"        {state!r}: {{")
                lines += [f"            {reads!r}: {move!r}," for reads, move in paths.items()]
                lines.append("        },")
            lines.append("    },")
        elif isinstance(value, set):
            order = (*machine.states, *machine.symbols)
            listed = ", ".join(repr(word) for word in dict.fromkeys(order) if word in value)
            lines.append(f"    {key}={{{listed}}}," if value else f"    {key}=set(),")
        else:
            lines.append(f"    {key}={value!r},")
    return "\n".join([*lines, ")"]) + "\n"


def _parts(machine: Machine) -> dict[str, Any]:
    """Return the arguments of the constructor."""
    running = set(machine.states) - {*machine.accept, *machine.reject, *machine.halt}
    complete = len(machine.transitions) == len(running) * len(machine.symbols) ** machine.tapes
    refuse(
        replace(machine, undefined="reject") if complete else machine,
        "automata-lib",
        most_tapes=machine.tapes,
        undefined=("reject",),
    )
    found = [
        (bool(machine.halt), "states that halt; it has only states that accept or reject"),
        (machine.start in machine.accept, "a start state that accepts"),
        (_long_blank(machine.blank, machine.tapes), _LONG_BLANK),
    ]
    for lacks, what in found:
        if lacks:
            raise InputError(
                f"the format automata-lib cannot say what {machine.name!r} has: {what}"
            )
    rules: dict[str, dict[Any, Any]] = {
        state: {} for state in machine.states if state not in machine.accept
    }
    for (state, reads), to in machine.transitions.items():
        pairs = tuple(
            (write, THEIRS[move]) for write, move in zip(to.writes, to.moves, strict=True)
        )
        if machine.tapes == 1:
            rules[state][reads[0]] = (to.state, *pairs[0])
        else:
            rules[state][reads] = [(to.state, pairs)]
    parts: dict[str, Any] = {
        "states": set(machine.states),
        "input_symbols": set(machine.symbols) - {machine.blank},
        "tape_symbols": set(machine.symbols),
        "transitions": rules,
        "initial_state": machine.start,
        "blank_symbol": machine.blank,
        "final_states": set(machine.accept),
    }
    if machine.tapes > 1:
        parts["n_tapes"] = machine.tapes
    return parts
