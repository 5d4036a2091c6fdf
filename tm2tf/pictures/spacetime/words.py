"""What is written around a space-time diagram, in a picture or in the terminal."""

from __future__ import annotations

from dataclasses import dataclass

from tm2tf.machine.spec import Configuration, Machine
from tm2tf.pictures.spacetime.history import History
from tm2tf.pictures.spacetime.recording import Recorded

LONGEST_WORD = 32
"""Characters of an input shown in a title."""

LONGEST_NAME = 14
"""Characters of a state's or symbol's name shown in a label."""


@dataclass(frozen=True, slots=True)
class Words:
    """A title, and what is said under it."""

    title: str
    subtitle: str


def words_of(start: Configuration, history: History, recorded: Recorded) -> Words:
    """Return what to write above the diagram of a run."""
    machine = history.machine
    state = machine.states[history.state]
    steps = f"{history.steps:,} step{'' if history.steps == 1 else 's'}"
    ended = "interrupted" if recorded.interrupted else (recorded.outcome or "stopped")
    return Words(
        f"{machine.name} on {_inputs(machine, start)}",
        f"{ended} after {steps} in state {clipped(state)}; run by {recorded.by}",
    )


def _inputs(machine: Machine, start: Configuration) -> str:
    words = []
    for tape in start.tapes:
        trimmed = tape.trimmed(machine.blank)
        word = machine.join(trimmed.contents)
        if len(word) > LONGEST_WORD:
            word = f"{word[:LONGEST_WORD]}... ({len(trimmed.contents):,} cells)"
        words.append(word)
    while words and not words[-1]:
        words.pop()
    if not words:
        return "blank tapes" if machine.tapes > 1 else "a blank tape"
    return ", ".join(word or "(blank)" for word in words)


def caption(history: History, column: str, spans: bool = True) -> str:
    """Return what a row and a column stand for; nothing where that is one step and one cell.

    `column` says what a column of several cells shows; `spans` is whether rows show how far heads
    went, rather than where they were.
    """
    heads = "heads" if history.machine.tapes > 1 else "head"
    said = []
    if history.stride > 1 and spans:
        said += [
            f"1 row = {history.stride:,} steps: the cells as they are before the first of them,",
            f"and how far left and right the {heads} went in all of them.",
        ]
    elif history.stride > 1:
        said.append(
            f"1 row = {history.stride:,} steps: cells and {heads} as they are before the first."
        )
    if history.bin > 1:
        said.append(f"1 column = {history.bin:,} cells: {column}.")
    return " ".join(said)


MEAN = "the mean of their colours"
"""What a column of several cells shows, in a caption."""


def clipped(name: str) -> str:
    """Return a name, or as much of a long one as a label has room for."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 2]}.."


def nice_step(least: float) -> int:
    """Return the least of 1, 2, 5, 10, 20, 50, ... that is at least `least`."""
    scale = 1
    while True:
        for digit in (1, 2, 5):
            if digit * scale >= least:
                return digit * scale
        scale *= 10
