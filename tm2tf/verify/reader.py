"""What weights told of steps, compared with the machine's steps: the first difference in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tm2tf.machine.spec import Configuration, Machine
from tm2tf.runtime.configurations import NOWHERE
from tm2tf.runtime.told import FOREIGN, NO_MOVE, NOTHING, UNCLEAR, Told
from tm2tf.verify.table_simulator import Steps

_MOVES = {-1: "L", 0: "S", 1: "R", NO_MOVE: "none"}
_WORDS = {NOTHING: "none", UNCLEAR: "unclear", FOREIGN: "unknown"}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first difference in a chunk: its row, and a feature with both values, in words.

    `at` is the number of the pass that emitted the step (from 0).
    """

    row: int
    at: int
    feature: str
    expected: str
    got: str


def furthest(steps: Steps, start: Configuration) -> int:
    """Return how far a head was from where it began, at the most, in these steps."""
    begun = np.array([tape.head for tape in start.tapes], dtype=np.int64)
    return int(np.abs(steps.heads - begun).max(initial=0))


def compare(machine: Machine, steps: Steps, told: Told) -> Mismatch | None:
    """Return the first difference between steps and what weights told of as many, or fewer."""
    found: list[Mismatch] = []
    rows = min(len(told.states), len(steps.states))
    for name, kind, want, got in _columns(machine, steps, told, rows):
        differ = np.flatnonzero(want != got)
        if len(differ):
            row = int(differ[0])
            words = (_word(machine, kind, int(want[row])), _word(machine, kind, int(got[row])))
            found.append(Mismatch(row, int(told.passes[row]), name, *words))
    return min(found, key=lambda mismatch: mismatch.row) if found else None


def _columns(
    machine: Machine, steps: Steps, told: Told, rows: int
) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Return (feature, kind of value, expected, got) in the order in which they are made."""
    k = range(machine.tapes)
    kinds = (
        *((f"tape{t}.head", "integer", "heads", t) for t in k),
        ("state", "state", "states", None),
        *((f"tape{t}.read", "symbol", "reads", t) for t in k),
        ("next.state", "state", "next_states", None),
        *((f"next.tape{t}.write", "symbol", "writes", t) for t in k),
        *((f"next.tape{t}.move", "move", "moves", t) for t in k),
    )
    columns = []
    for name, kind, field, t in kinds:
        want, got = getattr(steps, field)[:rows], getattr(told, field)[:rows]
        columns.append(
            (name, kind, want, got) if t is None else (name, kind, want[:, t], got[:, t])
        )
    return columns


def _word(machine: Machine, kind: str, number: int) -> str:
    if kind == "integer":
        return "none" if number == NOWHERE else str(number)
    if kind == "move":
        return _MOVES.get(number, str(number))
    names = machine.states if kind == "state" else machine.symbols
    return names[number] if number >= 0 else _WORDS[number]
