"""Where things stand on a sheet of heatmaps: sizes of cells, labels that fit, panels in columns.

All sizes are in inches, and places count from the upper left corner.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from tm2tf.pictures.heatmaps.panels import LOOKS, Panel, binned, notes, short
from tm2tf.pictures.letters import FAMILY, legible

if TYPE_CHECKING:
    from matplotlib.backends.backend_agg import RendererAgg

LABEL, NOTE, TITLE = 6.5, 6.5, 12.0
"""Sizes of text, in points of 1/72 inch: of labels, of notes, and of the sheet's title."""

LINE = 1.3 * LABEL / 72
"""From one line of labels to the next; fonts ask for 1.2 of their size."""

CELL = 0.15
"""The side of a cell, where there is room."""

WIDEST_CELL = 0.45
"""The widest cell, for a number of seven characters."""

NUMBERED = 48
"""The most columns that are made wider for the numbers in them."""

SMALLEST = 0.012
"""The smallest side of a cell: about two dots of a PNG file. Further cells are put together."""

ALONE, TOGETHER, SQUARE = 26.0, 12.0, 7.4
"""The longest side of a panel's cells: of one that stands alone, of one of several, and of one of
several that compare positions with positions."""

NARROWEST_SHEET = 4.6
"""How wide a sheet is without its margins, at least: the legend, and lines of some words."""

WIDEST_SHEET = 17.0
"""How wide a sheet of several panels is, at most, unless one panel needs more."""

STRIP = 3.0
"""How much taller than wide a sheet of large panels may be; beyond that two stand side by side."""

TALLEST, STEP = 1.5, 0.25
"""How much taller than wide a sheet may be, if there is a choice; and between widths tried."""

NARROWEST = 1.7
"""The least width of a panel, for its notes."""

PER_SHELF = 12
"""Panels whose heights are tried for a shelf."""

LONGEST = 60
"""Characters of a label; longer ones are cut in the middle. `--json` has them all."""

GAP = 0.3
"""Between panels, and around them."""

LEGEND = (3.4, 0.62)
"""Width and height of the legend with its labels."""

DOTS = 300
"""Dots an inch at which text is measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """A panel (binned if it must be) with its place and the sizes of its parts.

    Attributes:
        x, y: its upper left corner; width, height: its size with labels, title and notes.
        left, top: from its corner to its cells.
        cell: the size of a cell.
        every: of how many rows, and columns, one is labelled.
        turned: whether the labels of columns stand upright.
        labels: those of rows and of columns, cut where they are too long.
        numbers: what to write into each cell, "" where it does not fit; empty if nothing fits.
    """

    panel: Panel
    x: float
    y: float
    width: float
    height: float
    left: float
    top: float
    cell: tuple[float, float]
    every: tuple[int, int]
    turned: bool
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    title: tuple[str, ...]
    notes: tuple[str, ...]
    numbers: tuple[tuple[str, ...], ...]

    @property
    def cells(self) -> tuple[float, float, float, float]:
        """Left, upper end, width and height of the cells on the sheet."""
        rows, columns = self.panel.values.shape
        return (
            self.x + self.left, self.y + self.top, columns * self.cell[0], rows * self.cell[1]
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A sheet with its panels. `legend` is the legend's left, upper end and width."""

    width: float
    height: float
    margin: float
    subtitle: tuple[str, ...]
    legend: tuple[float, float, float]
    placed: tuple[Placed, ...]


def lay_out(panels: Sequence[Panel], title: str, subtitle: str) -> Sheet:
    """Return where everything stands."""
    side = ALONE if len(panels) == 1 else TOGETHER
    wide: dict[tuple[str, ...], float] = {}
    for panel in panels:  # the same columns are equally wide everywhere
        wide[panel.columns] = max(_wide(panel), wide.get(panel.columns, 0.0))
    sized = [
        _sized(
            panel,
            min(side, SQUARE) if _is_square(panel) and len(panels) > 1 else side,
            wide[panel.columns],
        )
        for panel in panels
    ]
    placed, width, height = _tightest(sized)
    width = max(width, measure(title, TITLE, bold=True), NARROWEST_SHEET) + 2 * GAP
    lines = wrapped(subtitle, width - 2 * GAP, NOTE + 1.5)
    head = GAP + 0.3 + 0.16 * len(lines)
    beside = width - GAP - LEGEND[0]
    texts = max([measure(title, TITLE, bold=True), *(measure(t, NOTE + 1.5) for t in lines)])
    if beside > GAP + texts + GAP:  # the legend stands beside the title
        legend = (beside, GAP, LEGEND[0])
        head = max(head, GAP + LEGEND[1])
    else:
        legend = (GAP, head, LEGEND[0])
        head += LEGEND[1]
    moved = tuple(replace(one, x=one.x + GAP, y=one.y + head + 0.1) for one in placed)
    return Sheet(width, height + head + 0.1 + GAP, GAP, tuple(lines), legend, moved)


def _tightest(sized: Sequence[Placed]) -> tuple[list[Placed], float, float]:
    """Return panels packed into the width that leaves the least empty, not too tall for a page."""
    least = max((one.width for one in sized), default=0.0)
    rooms = [least + i * STEP for i in range(int(max(0.0, WIDEST_SHEET - least) / STEP) + 1)]
    packed = [_packed(sized, room) for room in rooms]
    pages = [one for one in packed if one[2] <= TALLEST * one[1]]
    if not pages and packed[-1][2] > STRIP * packed[-1][1]:  # large panels below each other
        packed.append(_packed(sized, 2 * least + GAP))
    return min(pages or packed[-1:], key=lambda one: one[1] * one[2])


def _packed(sized: Sequence[Placed], room: float) -> tuple[list[Placed], float, float]:
    """Return panels on shelves, with the width and the height of all."""
    found: list[Placed] = []
    top = width = 0.0
    while len(found) < len(sized):
        shelf = max(_shelves(sized[len(found) :], room), key=lambda one: one[0])
        _, placed = shelf
        found += [replace(one, y=one.y + top) for one in placed]
        width = max(width, *(one.x + one.width for one in placed))
        top = max(one.y + one.height for one in found) + GAP
    return found, width, top - GAP


def _shelves(sized: Sequence[Placed], room: float) -> Iterator[tuple[float, list[Placed]]]:
    """Yield ways to fill a shelf with the first of these panels, and how full each makes it.

    Panels stand below each other in columns, as high as one of them, and the columns side by side.
    """
    for height in dict.fromkeys(one.height for one in sized[:PER_SHELF]):
        placed: list[Placed] = []
        x = y = column = area = 0.0
        for one in sized:
            if y + one.height > height + 1e-9:
                x, y, column = x + column + GAP * bool(column), 0.0, 0.0
            if one.height > height + 1e-9 or (x + one.width > room + 1e-9 and placed):
                break
            placed.append(replace(one, x=x, y=y))
            y, column = y + one.height + GAP, max(column, one.width)
            area += one.width * one.height
        if placed:
            last = len(placed) == len(sized)
            wide = max(one.x + one.width for one in placed) if last else room
            yield area / (wide * height), placed


def _sized(panel: Panel, side: float, wide: float) -> Placed:
    """Return a panel at the sheet's corner with the sizes of its parts."""
    most = int(side / SMALLEST)
    panel = binned(panel, most, most)
    rows, columns = panel.values.shape
    numbers = _numbers(panel)
    cell = min(wide, side / max(1, columns)), min(CELL, side / max(1, rows))
    every = (_every(cell[1]), _every(cell[0]))
    labels = tuple(map(_label, panel.rows)), tuple(map(_label, panel.columns))
    widest = max([measure(label, LABEL) for label in labels[1]], default=0.0)
    turned = every[1] > 1 or widest > cell[0] - 0.03
    left = max([measure(label, LABEL) for label in labels[0][:: every[0]]], default=0.0) + 0.06
    width = left + columns * cell[0] + 0.05
    ideal = max(width, NARROWEST, min(3.0, measure(panel.title, LABEL + 1, bold=True) + 0.1))
    title = wrapped(panel.title, ideal, LABEL + 1, bold=True)
    said = list(notes(panel))
    for n, what in zip(every, ("row", "column"), strict=True):
        said += [f"1 {what} in {n} is labelled"] if n > 1 else []
    note = wrapped(" · ".join(said), ideal, NOTE)
    over = (widest if turned else LINE) + 0.11
    top = len(title) * LINE * 1.3 + len(note) * LINE + over
    fits = [
        [text if text and measure(text, LABEL - 0.5) <= cell[0] - 0.02 else "" for text in row]
        for row in numbers
    ]
    if cell[1] < 0.11:
        fits = []
    return Placed(
        panel=panel, x=0.0, y=0.0, width=ideal, height=top + rows * cell[1] + 0.03,
        left=left, top=top, cell=cell, every=every, turned=turned, labels=labels,
        title=tuple(title), notes=tuple(note), numbers=tuple(map(tuple, fits)),
    )  # fmt: skip


def _numbers(panel: Panel) -> list[list[str]]:
    """Return what could be written into each cell; nothing where that would only disturb."""
    rows, columns = panel.values.shape
    if panel.bins != (1, 1) or _is_square(panel) or max(rows, columns) > 2 * NUMBERED:
        return []
    return [[short(x) if x else "" for x in row] for row in panel.values.tolist()]


def _wide(panel: Panel) -> float:
    """Return how wide a panel's cells are to be, for the numbers in them."""
    if panel.values.shape[1] > NUMBERED:
        return CELL
    widths = [measure(text, LABEL - 0.5) for row in _numbers(panel) for text in row if text]
    return min(WIDEST_CELL, max([CELL, *(width + 0.04 for width in widths)]))


def _is_square(panel: Panel) -> bool:
    """Return whether a panel compares positions with positions: its cells are squares."""
    return panel.down == LOOKS


def _every(cell: float) -> int:
    """Return of how many lines one can be labelled."""
    return max(1, math.ceil(LINE / cell - 1e-9))


def _label(text: str) -> str:
    """Return a label that can be drawn and is not too long."""
    found = legible(text)
    if len(found) <= LONGEST:
        return found
    return f"{found[: LONGEST // 2]}…{found[-LONGEST // 2 + 1 :]}"


@lru_cache(maxsize=1)
def _renderer() -> RendererAgg:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, DOTS)  # type: ignore[no-untyped-call]


@lru_cache(maxsize=100_000)
def measure(text: str, size: float, *, bold: bool = False) -> float:
    """Return how wide a text is, in inches."""
    from matplotlib.font_manager import FontProperties

    font = FontProperties(family=FAMILY, size=size, weight="bold" if bold else "normal")
    renderer = _renderer()
    wide, _, _ = renderer.get_text_width_height_descent(  # type: ignore[no-untyped-call]
        legible(text), font, ismath=False
    )
    return float(wide) / DOTS


def wrapped(text: str, width: float, size: float, *, bold: bool = False) -> list[str]:
    """Return the lines that a text takes in a width; words are not cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and measure(longer, size, bold=bold) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
