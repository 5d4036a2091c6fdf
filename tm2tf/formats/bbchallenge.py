"""bbchallenge codes: `1RB1LB_1LA1RZ`, one tape, rows joined by `_`, three characters a cell.

Rows are states A, B, C, ...; within a row, cells are symbols 0, 1, 2, ... (0 is the blank).
A cell is what is written, the move, the next state; `---` is an undefined transition, which
halts without a step. A next state that has no row is a halting state.
Source: https://bbchallenge.org (the "TM standard text format").
"""

from __future__ import annotations

import re
import string
from dataclasses import dataclass
from itertools import accumulate

from tm2tf.errors import FormatError
from tm2tf.machine.spec import Machine, Transition

LETTERS = string.ascii_uppercase
_SHAPE = re.compile(r"[0-9A-Z_-]{3,}")


def looks_like(text: str) -> bool:
    """Return whether a text may be a code: one word of digits, capitals, `-`, `_`, with a cell."""
    word = text.strip()
    return bool(_SHAPE.fullmatch(word)) and bool(re.match(r"\d[LR][A-Z]|---", word))


def parse(text: str, source: str = "<code>", name: str | None = None) -> Machine:
    """Return the machine of a code, named after the code unless `name` is given.

    Raises:
        FormatError: with the column at which the code goes wrong.
    """
    code = _Code(text.strip(), source)
    rows = code.rows()
    width = len(rows[0][1]) // 3
    symbols, states = string.digits[:width], LETTERS[: len(rows)]
    transitions: dict[tuple[str, tuple[str, ...]], Transition] = {}
    for state, (start, row) in zip(states, rows, strict=True):
        for j, symbol in enumerate(symbols):
            cell = row[3 * j : 3 * j + 3]
            if cell != "---":
                transitions[state, (symbol,)] = code.transition(cell, start + 3 * j, symbols)
    targets = dict.fromkeys(to.state for to in transitions.values())
    halting = tuple(state for state in targets if state not in states)
    return Machine(
        name=name or code.text,
        symbols=tuple(symbols),
        blank="0",
        states=(*states, *halting),
        start="A",
        transitions=transitions,
        halt=halting,
    )


@dataclass(frozen=True, slots=True)
class _Code:
    """A code and the name it goes by in messages. Columns count from 1."""

    text: str
    source: str

    def error(self, message: str, column: int, hint: str | None = None) -> FormatError:
        return FormatError(
            message, source=self.source, text=self.text, line=1, column=column, hint=hint
        )

    def rows(self) -> list[tuple[int, str]]:
        """Return the rows, each with its first column; all are equally long, in whole cells."""
        rows = self.text.split("_")
        starts = list(accumulate((len(row) + 1 for row in rows[:-1]), initial=1))
        width = len(rows[0])
        for i, (start, row) in enumerate(zip(starts, rows, strict=True)):
            if len(row) == 0 or len(row) % 3 or len(row) != width:
                expected = f"{width}, like the first" if i else "a multiple of 3"
                raise self.error(
                    f"row {i + 1} has {len(row)} characters; expected {expected}",
                    start,
                    "a cell is three characters, such as 1RB or ---, and all rows are equally long",
                )
        if width > 30:
            raise self.error(f"{width // 3} symbols; the format has digits for 10", 31)
        if len(rows) > 25:
            raise self.error(
                f"{len(rows)} states; the format has letters for 25 and a halt", starts[25]
            )
        return list(zip(starts, rows, strict=True))

    def transition(self, cell: str, column: int, symbols: str) -> Transition:
        write, move, target = list(cell)
        if write not in symbols:
            raise self.error(
                f"unknown symbol {write!r}: expected one of {', '.join(symbols)}", column
            )
        if move not in "LR":
            raise self.error(f"unknown move {move!r}: expected L or R", column + 1)
        if target not in LETTERS:
            raise self.error(f"unknown state {target!r}: expected a letter A to Z", column + 2)
        return Transition(target, (write,), (move,))


def dump(machine: Machine) -> str:
    """Return the code of a machine; states and symbols are renamed in order where they must be.

    Raises:
        FormatError: the machine has something that a code cannot say; the message names it.
    """
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    halting = [state for state in machine.states if machine.outcome_of(state) is not None]
    symbols = [machine.blank, *(s for s in machine.symbols if s != machine.blank)]
    limits = (
        (machine.tapes == 1, f"{machine.tapes} tapes (a code has one)"),
        (not machine.first, "tapes that are infinite one way"),
        (bool(running), "no state that runs"),
        (len(running) <= 25, f"{len(running)} states (a code has at most 25)"),
        (len(symbols) <= 10, f"{len(symbols)} symbols (a code has at most 10)"),
        (not machine.accept and not machine.reject, "accepting or rejecting states"),
        (machine.undefined == "halt", f"undefined transitions that {machine.undefined}"),
        (len(running) + len(halting) <= 26, "more states and halting states than letters"),
    )
    for holds, feature in limits:
        if not holds:
            raise FormatError(f"a bbchallenge code cannot say: {feature}", source=machine.name)
    order = [machine.start, *(state for state in running if state != machine.start)]
    letters = dict(zip(order, LETTERS, strict=False))
    if machine.start not in running:
        raise FormatError(
            "a bbchallenge code cannot say: a start state that halts", source=machine.name
        )
    letters |= dict(zip(halting, reversed(LETTERS), strict=False))
    digits = dict(zip(symbols, string.digits, strict=False))
    rows = []
    for state in order:
        row = ""
        for symbol in symbols:
            to = machine.transitions.get((state, (symbol,)))
            if to is None:
                row += "---"
            elif to.moves[0] == "S":
                raise FormatError(
                    f"a bbchallenge code cannot say: a head that stays (state {state!r}, "
                    f"symbol {symbol!r})",
                    source=machine.name,
                )
            else:
                row += digits[to.writes[0]] + to.moves[0] + letters[to.state]
        rows.append(row)
    return "_".join(rows)
