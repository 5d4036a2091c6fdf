"""bbchallenge codes: `1RB1LB_1LA1RZ`, one tape, rows joined by `_`, three characters a cell.

Rows are states A, B, C, ...; within a row, cells are symbols 0, 1, 2, ... (0 is the blank).
A cell is what is written, the move, the next state; `---` is an undefined transition, which
halts without a step. A next state that has no row is a halting state.
Source: https://bbchallenge.org (the "TM standard text format").
"""

from __future__ import annotations

import re
import string

from tm2tf.errors import FormatError
from tm2tf.machine.spec import Machine, Transition

LETTERS = string.ascii_uppercase
_SHAPE = re.compile(r"[0-9A-Z_-]{3,}")


def looks_like(text: str) -> bool:
    """Return whether a text may be a code: one word of digits, capitals, `-` and `_`, with a cell."""
    word = text.strip()
    return bool(_SHAPE.fullmatch(word)) and bool(re.match(r"\d[LR][A-Z]|---", word))


def parse(text: str, source: str = "<code>", name: str | None = None) -> Machine:
    """Return the machine of a code, named after the code unless `name` is given.

    Raises:
        FormatError: with the column at which the code goes wrong.
    """
    code = text.strip()
    rows = code.split("_")
    width = len(rows[0])

    def error(message: str, column: int, hint: str | None = None) -> FormatError:
        return FormatError(message, source=source, text=code, line=1, column=column, hint=hint)

    starts = [1 + sum(len(row) + 1 for row in rows[:i]) for i in range(len(rows))]
    for i, row in enumerate(rows):
        if len(row) == 0 or len(row) % 3 or len(row) != width:
            expected = f"{width}, like the first" if i and width % 3 == 0 else "a multiple of 3"
            raise error(
                f"row {LETTERS[i % 26]} has {len(row)} characters; expected {expected}",
                starts[i],
                "a cell is three characters, such as 1RB or ---, and all rows are equally long",
            )
    symbols = string.digits[: width // 3]
    if width // 3 > 10:
        raise error(f"{width // 3} symbols; the format has digits for 10", starts[0] + 30)
    if len(rows) > 25:
        raise error(f"{len(rows)} states; the format has letters for 25 and a halt", starts[25])
    states = LETTERS[: len(rows)]
    transitions: dict[tuple[str, tuple[str, ...]], Transition] = {}
    halting: list[str] = []
    for i, row in enumerate(rows):
        for j, symbol in enumerate(symbols):
            cell, column = row[3 * j : 3 * j + 3], starts[i] + 3 * j
            if cell == "---":
                continue
            write, move, target = cell
            if write not in symbols:
                raise error(
                    f"unknown symbol {write!r}: expected one of {', '.join(symbols)}", column
                )
            if move not in "LR":
                raise error(f"unknown move {move!r}: expected L or R", column + 1)
            if target not in LETTERS:
                raise error(f"unknown state {target!r}: expected a letter A to Z", column + 2)
            if target not in states and target not in halting:
                halting.append(target)
            transitions[states[i], (symbol,)] = Transition(target, (write,), (move,))
    return Machine(
        name=name or code,
        symbols=tuple(symbols),
        blank="0",
        states=(*states, *halting),
        start="A",
        transitions=transitions,
        halt=tuple(halting),
    )


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
