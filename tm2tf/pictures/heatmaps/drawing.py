"""Heatmaps: panels on a sheet, every row and column labelled where the labels fit.

All sizes are in inches. Labels, numbers and titles are measured before they are placed, so that
nothing overlaps: where labels do not fit, every so many are left out, and a note says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tm2tf.errors import ExtraError, InputError
from tm2tf.pictures import paths
from tm2tf.pictures.heatmaps.panels import Panel, Scale, scale_of, short
from tm2tf.pictures.heatmaps.sheet import LABEL, LINE, NOTE, TITLE, Placed, Sheet, lay_out
from tm2tf.pictures.letters import legible, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".pdf", ".png", ".svg")
"""The formats of pictures, by the suffix of the file."""

DPI = 150
"""Dots an inch of a PNG file: labels of 6.5 points can be read."""

LONGEST_SHEET = 400
"""Inches: matplotlib draws no picture of more than 2^16 dots a side."""

STRENGTHS = (-1.0, -0.75, -0.5, -0.28, 0.0, 0.28, 0.5, 0.75, 1.0)
COLOURS = (
    (0x7A, 0x33, 0x00), (0xD5, 0x5E, 0x00), (0xE6, 0x9F, 0x00), (0xF9, 0xDD, 0xA6),
    (0xFF, 0xFF, 0xFF),
    (0xC2, 0xE0, 0xF5), (0x56, 0xB4, 0xE9), (0x00, 0x72, 0xB2), (0x00, 0x2F, 0x52),
)  # fmt: skip
"""The colour of each of `STRENGTHS`: Okabe and Ito's oranges below 0 and blues above, from white.
Where colours cannot be told apart, a number or a minus sign in the cell gives the sign."""

NOTHING = "#e4e4e4"
"""The ground of cells that cannot hold anything."""

MOST_NUMBERS = 6_000
"""Numbers written into cells, at most: matplotlib takes some seconds for these."""

MOST_SQUARES = 40_000
"""Cells of a panel that are drawn one by one, and so sharp at any size; more are one image."""


def save(figure: Figure, path: Path) -> None:
    """Write a picture in the format that its suffix names.

    Raises:
        InputError: there is no such format, or the file cannot be written.
    """
    suffix = paths.check(path, SUFFIXES)
    metadata = {".png": {"Software": None}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
    try:
        with styled():
            figure.savefig(path, format=suffix[1:], dpi=DPI, metadata=metadata[suffix])
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None


def draw(panels: Sequence[Panel], title: str, subtitle: str, what: str) -> Figure:
    """Return a sheet of panels with one legend; `what` says in a word what the colours are.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: the sheet would be longer than `LONGEST_SHEET`.
    """
    try:
        import matplotlib as mpl  # noqa: F401 - asked whether it is there
    except ImportError:
        raise ExtraError("drawing heatmaps", "matplotlib", "draw") from None
    from matplotlib.figure import Figure

    scale = scale_of(panels)
    sheet = lay_out(panels, title, subtitle)
    if sheet.height > LONGEST_SHEET:
        raise InputError(
            f"the picture would be {sheet.height:,.0f} inches long, and {LONGEST_SHEET} are the "
            "most: ask for a part, such as one --layer"
        )
    with styled():
        figure = Figure(figsize=(sheet.width, sheet.height), facecolor="white")
        _text(figure, sheet, sheet.margin, sheet.margin, title, TITLE, weight="bold")
        for i, line in enumerate(sheet.subtitle):
            y = sheet.margin + 0.26 + 0.16 * i
            _text(figure, sheet, sheet.margin, y, line, NOTE + 1.5, color="#444444")
        _legend(figure, sheet, scale, what)
        left = MOST_NUMBERS
        for placed in sheet.placed:
            left -= _panel(figure, sheet, placed, scale, left)
    return figure


def colours(strengths: np.ndarray) -> np.ndarray:
    """Return the colour of each strength, as red, green and blue from 0 to 1."""
    channels = np.array(COLOURS, dtype=float).T / 255
    return np.stack([np.interp(strengths, STRENGTHS, channel) for channel in channels], axis=-1)


def _text(
    figure: Figure, sheet: Sheet, x: float, y: float, text: str, size: float, **style: Any
) -> None:
    """Write text with its upper left corner so far from the sheet's upper left corner."""
    figure.text(
        x / sheet.width, 1 - y / sheet.height, legible(text), fontsize=size, va="top", ha="left",
        parse_math=False, **style,
    )  # fmt: skip


def _axes(figure: Figure, sheet: Sheet, x: float, y: float, width: float, height: float) -> Axes:
    """Return axes by their upper left corner."""
    w, h = sheet.width, sheet.height
    return figure.add_axes((x / w, 1 - (y + height) / h, width / w, height / h))


def _legend(figure: Figure, sheet: Sheet, scale: Scale, what: str) -> None:
    """Draw the colours with the magnitudes that they stand for."""
    x, y, width, height = *sheet.legend, 0.13
    kind = f"{what} (logarithmic colours; white is 0)" if scale.logarithmic else f"{what}"
    _text(figure, sheet, x, y, kind, NOTE, color="#444444")
    strong = scale.strength(np.array(scale.named))
    first = -float(strong[-1]) if scale.signed else 0.0
    ax = _axes(figure, sheet, x + 0.1, y + 0.16, width - 0.2, height)
    steps = np.linspace(first, float(strong[-1]), 241)
    ax.imshow(
        colours(steps)[None], extent=(first, float(strong[-1]), 0, 1), aspect="auto",
        interpolation="nearest",
    )  # fmt: skip
    ticks = [(0.0, "0")]
    room = (steps[-1] - first) / (width - 0.2)  # strength in an inch
    pairs = list(zip(strong.tolist(), map(short, scale.named), strict=True))
    for at, label in (pairs[-1], *pairs[:-1]):  # the greatest always
        if all(abs(at - other) > 0.36 * room for other, _ in ticks):
            ticks.append((at, label))
    if scale.signed:
        ticks += [(-at, f"-{label}") for at, label in ticks if at]
    ax.set_xticks([at for at, _ in ticks], [label for _, label in ticks], fontsize=LABEL)
    ax.set_yticks([])
    ax.tick_params(length=2, pad=1.5, width=0.4)
    _thin(ax)


def _thin(ax: Axes) -> None:
    for spine in ax.spines.values():
        spine.set_linewidth(0.4)
        spine.set_color("#888888")


def _panel(figure: Figure, sheet: Sheet, placed: Placed, scale: Scale, numbers: int) -> int:
    """Draw a panel; return how many numbers were written into cells, at most `numbers`."""
    panel = placed.panel
    for i, line in enumerate(placed.title):
        _text(figure, sheet, placed.x, placed.y + i * LINE * 1.3, line, LABEL + 1, weight="bold")
    below = placed.y + len(placed.title) * LINE * 1.3
    for i, line in enumerate(placed.notes):
        _text(figure, sheet, placed.x, below + i * LINE, line, NOTE, color="#555555")
    x, y, width, height = placed.cells
    ax = _axes(figure, sheet, x, y, width, height)
    ax.set_label(panel.name)
    strengths = scale.strength(panel.values)
    _cells(ax, panel, strengths)
    rows, across = panel.values.shape
    ax.set_xlim(0, across)
    ax.set_ylim(rows, 0)
    _lines(ax, placed)
    _labels(ax, placed)
    _thin(ax)
    if not len(placed.numbers):
        _minus(ax, placed, strengths)
        return 0
    return _numbers(ax, placed, strengths, numbers)


def _cells(ax: Axes, panel: Panel, strengths: np.ndarray) -> None:
    """Fill the cells."""
    found = colours(strengths)
    if panel.absent is not None:
        found[panel.absent] = [int(NOTHING[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    rows, across = strengths.shape
    if strengths.size <= MOST_SQUARES:
        x, y = np.arange(across + 1), np.arange(rows + 1)
        ax.pcolormesh(x, y, found, linewidth=0, antialiased=False)
    else:
        ax.imshow(found, extent=(0, across, rows, 0), aspect="auto", interpolation="nearest")


def _lines(ax: Axes, placed: Placed) -> None:
    """Draw thin lines between cells that are large enough, and stronger ones at breaks."""
    panel, (width, height) = placed.panel, placed.cell
    rows, across = panel.values.shape
    if min(width, height) >= 0.07:
        style = {"colors": "#d5d5d5", "linewidths": 0.3}
        ax.vlines(range(1, across), 0, rows, **style)  # type: ignore[arg-type]
        ax.hlines(range(1, rows), 0, across, **style)  # type: ignore[arg-type]
    strong = {"colors": "#555555", "linewidths": 0.7}
    ax.vlines(panel.column_breaks, 0, rows, **strong)  # type: ignore[arg-type]
    ax.hlines(panel.row_breaks, 0, across, **strong)  # type: ignore[arg-type]


def _labels(ax: Axes, placed: Placed) -> None:
    """Write the labels of rows to the left, those of columns above."""
    down, across = placed.every
    rows, columns = placed.labels
    ax.set_yticks(np.arange(0, len(rows), down) + 0.5, rows[::down], fontsize=LABEL)
    ax.set_xticks(
        np.arange(0, len(columns), across) + 0.5,
        columns[::across],
        fontsize=LABEL,
        rotation=90 if placed.turned else 0,
    )
    ax.xaxis.tick_top()
    ax.tick_params(length=1.5, pad=1.5, width=0.4, color="#888888")
    for label in (*ax.get_xticklabels(), *ax.get_yticklabels()):
        label.set_parse_math(False)


def _numbers(ax: Axes, placed: Placed, strengths: np.ndarray, most: int) -> int:
    """Write the numbers that fit into their cells; return how many."""
    found = list(zip(*np.nonzero(strengths), strict=True))
    if len(found) > most:
        _minus(ax, placed, strengths)
        return 0
    for row, column in found:
        text = placed.numbers[row][column]
        if text:
            dark = colours(strengths[row, column]) @ (0.299, 0.587, 0.114) < 0.5
            ax.text(
                column + 0.5, row + 0.52, text, fontsize=LABEL - 0.5, ha="center", va="center",
                color="white" if dark else "black", parse_math=False,
            )  # fmt: skip
    return len(found)


def _minus(ax: Axes, placed: Placed, strengths: np.ndarray) -> None:
    """Mark values below 0, in cells that are large enough."""
    if min(placed.cell) < 0.05:
        return
    rows, columns = np.nonzero(strengths < 0)
    if len(rows):
        ax.scatter(columns + 0.5, rows + 0.5, s=6, marker="_", color="black", linewidths=0.6)
