"""Tapes as lines of text, the head's cell marked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tm2tf.inspect.forms import printable
from tm2tf.machine.spec import Machine
from tm2tf.player.styles import DIM, HEAD, STATE

WIDEST = 12
"""Columns of a cell; a symbol that needs more is cut."""

ASIDE = 4
"""A head stays a fourth of the tape that is seen away from its edges: it is the tape that moves
then, and otherwise the head."""

STRIDES = (1, 2, 5, 10, 20, 50, 100)
"""Cells between two addresses that are written above a tape: the first of these with room."""


@dataclass(frozen=True, slots=True)
class Frame:
    """How tapes fit a screen: columns of a cell, cells that are seen, columns before the first."""

    wide: int
    count: int
    gutter: int


def frame(machine: Machine, width: int) -> Frame:
    """Return how a machine's tapes fit a screen of so many columns."""
    wide = min(WIDEST, max(cell_len(printable(symbol)) for symbol in machine.symbols) + 2)
    gutter = 0 if machine.tapes == 1 else len(f"tape {machine.tapes - 1} ")
    return Frame(wide, max(1, (width - gutter) // wide), gutter)


def follow(first: int | None, head: int, count: int) -> int:
    """Return the first address to be seen, given that of before, so that the head is in sight.

    At first, and after a jump, the head is in the middle.
    """
    if first is None or not first <= head < first + count:
        return head - count // 2
    aside = count // ASIDE
    return min(max(first, head + aside - count + 1), head - aside)


def tape_text(
    number: int,
    symbols: Sequence[str],
    first: int,
    head: int,
    fit: Frame,
    *,
    state: str | None,
    lines: int,
) -> Text:
    """Return a tape in one line, two (with the head's mark) or three (with addresses).

    Args:
        number: which tape it is.
        symbols: what is seen of it, from the address `first` on.
        first: that address.
        head: the head's address, which is among them.
        fit: how it fits the screen.
        state: the machine's state, written beside the head's mark.
        lines: how many.
    """
    label = f"tape {number} " if fit.gutter else ""
    found = [_cells(label, symbols, head - first, fit)]
    if lines == 3:
        found.insert(0, _addresses(first, len(symbols), fit))
    if lines >= 2:
        found.append(_mark(head, head - first, fit, state))
    return Text("\n").join(found)


def _cells(label: str, symbols: Sequence[str], head: int, fit: Frame) -> Text:
    line = Text().append(label, style=DIM)
    for i, symbol in enumerate(symbols):
        word = printable(symbol)
        inside = fit.wide - 2
        if cell_len(word) > inside:
            word = set_cell_size(word, inside - 1) + "…"
        before = (inside - cell_len(word)) // 2
        word = set_cell_size(" " * before + word, inside)
        line.append(f"[{word}]" if i == head else f" {word} ", style=HEAD if i == head else "none")
    return line


def _addresses(first: int, count: int, fit: Frame) -> Text:
    longest = max(len(str(first)), len(str(first + count))) + 1
    stride = next((n for n in STRIDES if n * fit.wide > longest), STRIDES[-1])
    line, width = " " * fit.gutter, fit.gutter + count * fit.wide
    for i in range(count):
        if (first + i) % stride:
            continue
        word = str(first + i)
        column = fit.gutter + i * fit.wide + fit.wide // 2 - len(word.lstrip("-")) // 2
        column -= word.startswith("-")
        if column > len(line) - (not fit.gutter and not line) and column + len(word) <= width:
            line = line.ljust(column) + word
    return Text(line, style=DIM, no_wrap=True)


def _mark(head: int, place: int, fit: Frame, state: str | None) -> Text:
    column = fit.gutter + place * fit.wide + fit.wide // 2
    width = fit.gutter + fit.count * fit.wide
    at = f"at {head}"
    named = "" if state is None else f"state {printable(state)}"
    said = ", ".join(filter(None, [named, at]))
    right = column + 2 + cell_len(said) <= width
    line = Text(no_wrap=True)
    if right or cell_len(said) >= column:
        line.append(" " * column).append("▲", style=STATE)
        line.append(f" {named}", style=STATE) if named else None
    else:
        line.append(" " * (column - cell_len(said) - 1))
        line.append(named, style=STATE)
    line.append(f"{', ' if named else ' ' if right else ''}{at}", style=DIM)
    if not (right or cell_len(said) >= column):
        line.append(" ▲", style=STATE)
    return line
