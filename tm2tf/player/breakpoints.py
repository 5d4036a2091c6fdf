"""Breakpoints: on a state, on a symbol that is read, on a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from tm2tf.errors import InputError, did_you_mean
from tm2tf.machine.spec import Machine
from tm2tf.player.history import History

FORMS = "`state B`, `read 1`, `tape 1 read a` (tapes count from 0) or `step 100`"
"""What a breakpoint may look like."""


@dataclass(frozen=True, slots=True)
class Breakpoint:
    """Where a run is to stop.

    `word` is the state, or the symbol that is read: on `tape`, or on any if that is None. `step` is
    how many steps were taken.
    """

    kind: Literal["state", "read", "step"]
    word: str = ""
    tape: int | None = None
    step: int = 0

    @property
    def text(self) -> str:
        """What `parse` makes the same of."""
        if self.kind == "step":
            return f"step {self.step:,}"
        word = f'"{self.word}"' if self.word.strip() != self.word else self.word
        return f"{'' if self.tape is None else f'tape {self.tape} '}{self.kind} {word}"

    def meets(self, step: int, state: str, reads: Sequence[str]) -> bool:
        """Return whether a run stops here: after so many steps, in a state, before symbols."""
        if self.kind == "step":
            return step == self.step
        if self.kind == "state":
            return state == self.word
        return self.word in (reads if self.tape is None else reads[self.tape : self.tape + 1])


def parse(text: str, machine: Machine) -> Breakpoint:
    """Return the breakpoint that a text such as `state B` describes.

    Raises:
        InputError: it is none, or names what the machine does not have.
    """
    kind, rest = _first(text)
    kind = kind.lower()
    tape = None
    if kind == "tape":
        number, rest = _first(rest)
        kind, rest = _first(rest)
        if not number.isdecimal() or kind.lower() != "read":
            raise _unknown(text)
        tape, kind = int(number), "read"
        if tape >= machine.tapes:
            raise InputError(
                f"there is no tape {tape}: machine {machine.name!r} has {machine.tapes} "
                f"tape{'s' if machine.tapes > 1 else ''}, which count from 0"
            )
    if kind == "step" or (kind.isdecimal() and not rest):
        return Breakpoint("step", step=number_of(rest or kind))
    known = {"state": machine.states, "read": machine.symbols}
    if kind not in known or not rest:
        raise _unknown(text)
    word = rest[1:-1] if len(rest) > 2 and rest[0] == rest[-1] == '"' else rest
    if word not in known[kind]:
        what = "state" if kind == "state" else "symbol"
        raise InputError(
            f"machine {machine.name!r} has no {what} {word!r}; it has "
            f"{_listed(known[kind])}" + did_you_mean(word, known[kind])
        )
    return Breakpoint("state" if kind == "state" else "read", word, tape)


def number_of(text: str) -> int:
    """Return the number of a step, commas allowed.

    Raises:
        InputError: it is none.
    """
    plain = text.replace(",", "").replace("_", "").strip()
    if not plain.isdecimal() or len(plain) > 18:
        raise InputError(f"{text!r} is no number of a step; write one such as 100")
    return int(plain)


def find(
    breakpoints: Sequence[Breakpoint], history: History, first: int, last: int, backward: bool
) -> int | None:
    """Return where a run stops, nearest to its beginning or (`backward`) to its end.

    Args:
        breakpoints: where to stop.
        history: the run; what it does not know is not looked at.
        first: the first number of steps that counts.
        last: the last one.
        backward: whether the last place is wanted.
    """
    first, last = max(0, first), min(last, history.steps)
    if first > last or not breakpoints:
        return None
    found = [b.step for b in breakpoints if b.kind == "step" and first <= b.step <= last]
    met = _meets_rules(breakpoints, history)
    if met.any():
        places = range(first, min(last, history.steps - 1) + 1, BLOCK)
        for begin in reversed(places) if backward else places:
            codes = history.codes(begin, min(begin + BLOCK, last + 1, history.steps))
            hits = np.flatnonzero(met[codes])
            if len(hits):
                found.append(begin + int(hits[-1 if backward else 0]))
                break
    if last == history.steps:
        end = (last, history.state(last), history.under())
        found += [last for b in breakpoints if b.meets(*end)]
    if not found:
        return None
    return max(found) if backward else min(found)


BLOCK = 2**20
"""Steps that are looked through at once."""


def _meets_rules(breakpoints: Sequence[Breakpoint], history: History) -> Bool[np.ndarray, " rules"]:
    """Return which of the things that happened begin where a run stops, whatever the step."""
    others = [b for b in breakpoints if b.kind != "step"]
    return np.array(
        [any(b.meets(0, rule.state, rule.reads) for b in others) for rule in history.rules],
        dtype=np.bool_,
    )


def _first(text: str) -> tuple[str, str]:
    """Return the first word of a text, and the rest."""
    first, rest, *_ = [*text.strip().split(None, 1), "", ""]
    return first, rest


def _unknown(text: str) -> InputError:
    return InputError(f"{text.strip()!r} is no breakpoint; it is one of {FORMS}")


def _listed(words: Sequence[str], most: int = 12) -> str:
    more = f", ... ({len(words)} in all)" if len(words) > most else ""
    return ", ".join(repr(word) for word in words[:most]) + more
