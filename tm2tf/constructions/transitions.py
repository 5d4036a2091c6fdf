"""The transition function as a table, the step tokens that its rows name, and what comes next."""

from __future__ import annotations

from collections.abc import Mapping

from tm2tf.constructions.tokens import STUCK, step_token
from tm2tf.machine.spec import Machine, Transition
from tm2tf.program.features import Categorical
from tm2tf.program.operations import Row, Table
from tm2tf.program.program import Unembed

MOVES = ("L", "S", "R")


def results(machine: Machine) -> dict[str, Transition]:
    """Return what steps can do, without repetitions, by the name of the step token."""
    return {step_token(machine, to): to for to in dict.fromkeys(machine.transitions.values())}


def running(machine: Machine) -> list[str]:
    """Return the states that do not end a run."""
    return [state for state in machine.states if machine.outcome_of(state) is None]


def each(machine: Machine, pattern: str) -> tuple[str, ...]:
    """Return the name of a feature of every tape, such as `tape{}.read`."""
    return tuple(pattern.format(t) for t in range(machine.tapes))


def outputs(machine: Machine) -> tuple[str, ...]:
    """Return the names of the features that say what the next step does."""
    return (
        "next.state",
        *each(machine, "next.tape{}.write"),
        *each(machine, "next.tape{}.move"),
    )


def cells(to: Transition) -> tuple[str, ...]:
    """Return the values of `outputs` for a transition."""
    return (to.state, *to.writes, *to.moves)


def asked(machine: Machine, to: Transition) -> dict[str, str]:
    """Return what `outputs` are where a transition comes next."""
    return dict(zip(outputs(machine), cells(to), strict=True))


def table(machine: Machine, state: str = "state") -> Table:
    """Return the transition function: from the feature `state` and what is read to `outputs`."""
    inputs = (state, *each(machine, "tape{}.read"))
    rows = (Row((q, *reads), cells(to)) for (q, reads), to in machine.transitions.items())
    return Table("transitions", inputs, outputs(machine), tuple(rows))


def features(machine: Machine) -> tuple[Categorical, ...]:
    """Return the features of `outputs`."""
    kinds = (machine.states, *(machine.symbols,) * machine.tapes, *(MOVES,) * machine.tapes)
    return tuple(map(Categorical, outputs(machine), kinds))


def unembed(tokens: Mapping[str, Mapping[str, str]]) -> Unembed:
    """Return which token comes next, given what the features must be for each; else `STUCK`."""
    names = tuple(dict.fromkeys(name for asked in tokens.values() for name in asked))
    rows = {token: tuple(map(asked.get, names)) for token, asked in tokens.items()}
    return Unembed(names, rows, STUCK)
