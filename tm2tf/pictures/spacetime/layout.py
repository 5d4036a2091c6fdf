"""Where everything in a space-time diagram is, in pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from tm2tf.machine.spec import Machine
from tm2tf.pictures.letters import FAMILY, legible
from tm2tf.pictures.spacetime.history import History
from tm2tf.pictures.spacetime.words import MEAN, Words, caption, clipped

DPI = 100
"""Pixels an inch: sizes are given in pixels, matplotlib wants inches and points."""

SMALLEST, LARGEST = 400, 10_000
"""The least and the greatest width and height of a picture, in pixels."""

MARGIN, GAP = 24, 40
"""Pixels around the picture and between panels."""

LETTER, SMALL, TITLE = 13, 12, 17
"""Heights of letters in pixels: of text, of tick labels, of the title."""

LINE = 20
"""Pixels from one line of text to the next."""

LARGEST_CELL = 36
"""A cell is at most so many pixels wide and high: a letter with room around it."""

LEGIBLE = 14
"""Cells so high show their symbol as text, and rows so high their step and state."""

OUTLINED = 10
"""Cells so wide and high have an outline where the head is."""

LINED = 4
"""Rows so high have a line from head to head; in lower ones the head's cells have a mark."""

STRETCH = 4
"""A cell is at most so many times as wide as high, or as high as wide, unless its panel would
then be narrower than `NARROWEST`."""

LONGEST = (520, 520, 1250)
"""Pixels that title, subtitle and caption take in one line, mostly at the most."""

LEAST_WIDTH = 540
"""Pixels that a picture is wide at least, unless it may not be: most titles then take one line."""

NARROWEST = 400
"""Pixels that all panels together are wide at least."""

SLIVER = 48
"""Pixels that one panel is wide at least: as many as its name takes."""


def room(machine: Machine, width: int, height: int) -> tuple[int, int]:
    """Return the rows and columns that a picture of at most so many pixels has room for."""
    inner = min(width, LEAST_WIDTH) - 2 * MARGIN
    words = sum(LINE * -(-each // inner) for each in LONGEST) + LINE // 5
    labels = (*symbol_labels(machine), "how far the heads went")
    legend = _legend(labels, 0, inner)[-1][1] + LINE
    rows = height - 2 * MARGIN - words - legend - 4 * LINE  # panels' names, addresses
    several = machine.tapes > 1
    cells = width - 2 * MARGIN - 110 - (machine.tapes - 1) * GAP - several * machine.tapes * SLIVER
    return max(rows, 16), max(cells, 16)


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Where everything is, in pixels from the top left.

    Attributes:
        title, subtitle, caption: their lines.
        legend: for each symbol, where its patch is; last the head's.
        lefts, cell_widths: of each panel; `top`: of all.
        cell_height: of all rows.
        stated: whether each row says its step and state.
    """

    width: int
    height: int
    title: list[str]
    subtitle: list[str]
    legend: list[tuple[int, int]]
    lefts: list[int]
    cell_widths: list[int]
    top: int
    cell_height: int
    stated: bool
    caption: list[str]
    caption_top: int


def laid_out(history: History, words: Words, width: int, height: int) -> Plan:
    """Return where to draw a run and the words around it, in at most so many pixels."""
    rows, tapes = len(history.rows), history.machine.tapes
    columns = [last - first + 1 for first, last in history.reach]
    most_rows, most_cells = room(history.machine, width, height)
    high = min(LARGEST_CELL, max(1, most_rows // rows))
    wide = min(LARGEST_CELL, max(1, most_cells // sum(columns)))
    wide = min(wide, max(STRETCH * high, -(-NARROWEST // sum(columns))))
    high = min(high, STRETCH * wide)
    widths = [max(wide, -(-SLIVER // count) if tapes > 1 else 0) for count in columns]
    stated = history.stride == 1 and high >= LEGIBLE
    left = MARGIN + LINE + 12 + label_width(history, stated)
    panels = sum(c * w for c, w in zip(columns, widths, strict=True)) + (tapes - 1) * GAP
    needed = left + panels + MARGIN
    full = max(needed, min(LEAST_WIDTH, width))
    left += (full - needed) // 2
    lefts = [
        left + sum(c * w + GAP for c, w in zip(columns[:t], widths[:t], strict=True))
        for t in range(tapes)
    ]
    inner = full - 2 * MARGIN
    title, subtitle = _wrap(words.title, TITLE, inner), _wrap(words.subtitle, LETTER, inner)
    legend_top = MARGIN + len(title) * 24 + len(subtitle) * LINE + 6
    labels = (*symbol_labels(history.machine), head_label(history))
    legend = _legend(labels, legend_top, inner)
    top = legend[-1][1] + LINE + 10 + (LINE if tapes > 1 else 0)
    caption_top = top + rows * high + 2 * LINE + 12
    lines = _wrap(caption(history, MEAN), SMALL, inner)
    bottom = caption_top + len(lines) * LINE if lines else caption_top - 8
    return Plan(
        full, bottom + MARGIN // 2, title, subtitle, legend, lefts, widths, top, high, stated,
        lines, caption_top,
    )  # fmt: skip


def _legend(labels: Sequence[str], top: int, inner: int) -> list[tuple[int, int]]:
    """Return where the patches of these labels are, in lines of `inner` pixels."""
    found, x, y = [], 0, top
    for label in labels:
        wide = 18 + width_of(label, LETTER) + 18
        if x + wide > inner and x:
            x, y = 0, y + LINE
        found.append((MARGIN + x, y))
        x += wide
    return found


def symbol_labels(machine: Machine) -> list[str]:
    """Return what the legend says of each symbol."""
    blank = machine.blank
    return [f"{clipped(s)} (blank)" if s == blank else clipped(s) for s in machine.symbols]


def head_label(history: History) -> str:
    """Return what the legend says of the heads' marks."""
    many = "heads" if history.machine.tapes > 1 else "head"
    return many if history.stride == 1 else f"how far the {many} went"


def label_width(history: History, stated: bool) -> int:
    """Return the width of the widest label of a row."""
    step = width_of(f"{history.steps:,}", SMALL)
    if not stated:
        return step
    names = {clipped(history.machine.states[row.state]) for row in history.rows}
    return step + 10 + max(width_of(name, SMALL) for name in names)


def points(pixels: float) -> float:
    """Return a length in pixels as one in points."""
    return pixels * 72 / DPI


def width_of(text: str, size: float) -> int:
    """Return how wide a text is, in pixels; one of the size of titles is bold."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    weight = "bold" if size == TITLE else "normal"
    prop = FontProperties(family=FAMILY, size=points(size), weight=weight)
    wide, _, _ = text_to_path.get_text_width_height_descent(legible(text), prop, ismath=False)
    return int(np.ceil(wide * DPI / 72))


def _pieces(word: str, size: float, width: int) -> list[str]:
    """Return a word in pieces of at most so many pixels."""
    if width_of(word, size) <= width or len(word) == 1:
        return [word]
    half = len(word) // 2
    return [*_pieces(word[:half], size, width), *_pieces(word[half:], size, width)]


def _wrap(text: str, size: float, width: int) -> list[str]:
    """Return text as lines of at most so many pixels."""
    lines: list[str] = []
    for word in chain.from_iterable(_pieces(word, size, width) for word in text.split()):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
