"""Space-time diagrams as PNG or SVG: space goes across, time goes down, one panel a tape.

Cells and rows are whole numbers of pixels, so nothing is blurred or uneven; the picture is made as
small as that leaves it. What a row and a column of a long run show is said under the picture, in
the words of `caption`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from tm2tf.errors import ExtraError
from tm2tf.pictures import palette
from tm2tf.pictures.letters import legible, styled
from tm2tf.pictures.spacetime.history import History
from tm2tf.pictures.spacetime.layout import (
    DPI,
    GAP,
    LEGIBLE,
    LETTER,
    LINE,
    LINED,
    MARGIN,
    OUTLINED,
    SLIVER,
    SMALL,
    TITLE,
    Plan,
    head_label,
    label_width,
    laid_out,
    points,
    symbol_labels,
    width_of,
)
from tm2tf.pictures.spacetime.words import Words, clipped, nice_step

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXTS = 4000
"""Most symbols drawn as text; matplotlib draws some thousand a second."""

INVISIBLE = ("_", " ")
"""Symbols that are left out in cells: an outline would hide the first, the other is nothing."""

INK, QUIET, LIGHT = "#000000", "#666666", "#aaaaaa"


def colours(symbols: Sequence[str], blank: str) -> UInt8[np.ndarray, "symbols rgb"]:
    """Return the colours of symbols, by their numbers: what a `Recorder` measures for a picture."""
    found = palette.of_symbols(symbols, blank)
    return np.array([found[symbol] for symbol in symbols], dtype=np.uint8)


def image(history: History, tape: int) -> UInt8[np.ndarray, "rows columns rgb"]:
    """Return the mean colours of a tape's columns; the history must have measured colours first."""
    blank = np.array(palette.BLANK, dtype=np.float64)
    found = np.rint(history.means(tape)[:, :, :3] + blank)
    return np.clip(found, 0, 255).astype(np.uint8)


def require_matplotlib() -> None:
    """Raise an `ExtraError` that names the extra unless matplotlib is there."""
    try:
        import matplotlib as mpl  # noqa: F401 - asked whether it is there
    except ImportError:
        raise ExtraError("drawing diagrams", "matplotlib", "draw") from None


def draw(history: History, words: Words, width: int, height: int) -> Figure:
    """Return the picture of a run, at most so many pixels wide and high.

    Raises:
        ExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    with styled():
        plan = laid_out(history, words, width, height)
        figure = Figure(figsize=((plan.width + 1e-6) / DPI, (plan.height + 1e-6) / DPI), dpi=DPI)
        page = figure.add_axes((0, 0, 1, 1), xlim=(0, plan.width), ylim=(plan.height, 0))
        page.set_axis_off()
        _write_header(page, history, words, plan)
        for tape in range(history.machine.tapes):
            _draw_panel(figure, page, history, tape, plan)
        for number, line in enumerate(plan.caption):
            _text(page, MARGIN, plan.caption_top + number * LINE, line, SMALL, QUIET)
    return figure


def pixels(figure: Figure) -> tuple[int, int]:
    """Return a picture's width and height."""
    width, height = figure.get_size_inches() * DPI
    return int(width), int(height)


def save(figure: Figure, path: Path) -> None:
    """Write a picture as PNG or SVG, by the path's suffix; the same bytes for the same run.

    Raises:
        OSError: it cannot be written.
    """
    svg = path.suffix.lower() == ".svg"
    metadata = {"Date": None, "Creator": None} if svg else {"Software": None}
    with styled():
        figure.savefig(path, dpi=DPI, format=path.suffix[1:].lower(), metadata=metadata)


def _write_header(page: Axes, history: History, words: Words, plan: Plan) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Rectangle

    y = MARGIN
    for line in plan.title:
        _text(page, MARGIN, y, line, TITLE, INK, weight="bold")
        y += 24
    for line in plan.subtitle:
        _text(page, MARGIN, y, line, LETTER, QUIET)
        y += LINE
    machine = history.machine
    found = palette.of_symbols(machine.symbols, machine.blank)
    labels = [*symbol_labels(machine), head_label(history)]
    for (x, top), label, symbol in zip(plan.legend, labels, [*machine.symbols, None], strict=True):
        outlined = symbol is None and plan.cell_height >= OUTLINED <= min(plan.cell_widths)
        if symbol is None and not outlined:
            page.add_line(Line2D([x, x + 13], [top + 7, top + 7], color=INK, linewidth=points(2)))
        else:
            face = "none" if symbol is None else palette.hexadecimal(found[symbol])
            edge = (INK, 2) if symbol is None else (LIGHT, 1)
            page.add_patch(
                Rectangle((x, top), 13, 13, facecolor=face, edgecolor=edge[0], lw=points(edge[1]))
            )
        _text(page, x + 18, top + 7, label, LETTER, INK, va="center_baseline")


def _draw_panel(figure: Figure, page: Axes, history: History, tape: int, plan: Plan) -> None:
    """Draw one tape: its cells, its head, its axes."""
    pixels = image(history, tape)
    rows, columns = pixels.shape[:2]
    left, wide, high = plan.lefts[tape], plan.cell_widths[tape], plan.cell_height
    bottom = plan.height - plan.top - rows * high
    box = (left, bottom, columns * wide, rows * high)
    scale = (plan.width, plan.height, plan.width, plan.height)
    axes = figure.add_axes(tuple(a / b for a, b in zip(box, scale, strict=True)))
    axes.imshow(pixels, interpolation="none", aspect="auto", extent=(0, columns, rows, 0), zorder=0)
    for spine in axes.spines.values():
        spine.set(color=LIGHT, linewidth=points(1))
    _draw_heads(axes, history, tape, wide, high)
    texts = wide >= LEGIBLE <= high and rows * columns <= TEXTS and history.bin == 1
    if texts:
        _write_symbols(axes, history, tape, pixels, wide, high)
    _scale_across(axes, history, tape, columns * wide)
    if tape == 0:
        _scale_down(axes, history, rows * high, plan.stated)
        y = plan.top + min(rows * high / 2, 300)
        name = "step, state" if plan.stated else "step"
        tall = rows * high >= width_of(name, SMALL)
        if tall:
            x = left - 12 - LINE - label_width(history, plan.stated)
            _text(page, x, y, name, SMALL, QUIET, rotation=90, va="center")
    else:
        axes.set_yticks([])
    middle = left + columns * wide / 2
    if history.machine.tapes > 1:
        _text(page, middle, plan.top - 20, f"tape {tape}", LETTER, INK, ha="center")
    if tape == 0 or columns * wide > SLIVER + GAP:
        under = plan.top + rows * high + 24
        name = "address" if columns * wide + 60 > width_of("address", SMALL) else ""
        _text(page, middle, under, name, SMALL, QUIET, ha="center")


def _draw_heads(axes: Axes, history: History, tape: int, wide: int, high: int) -> None:
    """Outline the head's cell in each row, or draw its path, or where it was at the farthest."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    first, count = history.reach[tape][0], len(history.rows)
    lows = np.array([history.column(row.lows[tape]) - first for row in history.rows])
    highs = np.array([history.column(row.highs[tape]) - first for row in history.rows])
    if history.stride == 1 and wide >= OUTLINED <= high:
        for number, low in enumerate(lows):
            corner = (low + 1 / wide, number + 1 / high)
            size = (1 - 2 / wide, 1 - 2 / high)
            axes.add_patch(Rectangle(corner, *size, fill=False, ec=INK, lw=points(2)))
        return
    if high >= LINED and history.stride == 1:
        halo = [patheffects.withStroke(linewidth=points(3), foreground="white", alpha=0.7)]
        down = np.arange(count) + 0.5
        axes.plot(lows + 0.5, down, color=INK, linewidth=points(1.4), path_effects=halo)
    else:
        broken = np.full(count, np.nan)  # between a row's mark and the next
        down = np.column_stack([np.arange(count), np.arange(1, count + 1), broken]).ravel()
        for ends in (lows, highs):
            across = np.column_stack([ends, ends, broken]).ravel() + 0.5
            mark = max(1, wide // (2 if history.stride == 1 else 4))
            axes.plot(
                across, down, color=INK, lw=points(mark), solid_capstyle="butt", antialiased=False
            )
    axes.set(xlim=(0, history.reach[tape][1] - first + 1), ylim=(count, 0))


def _write_symbols(
    axes: Axes, history: History, tape: int, pixels: np.ndarray, wide: int, high: int
) -> None:
    """Write each cell's symbol into it, if it fits."""
    machine = history.machine
    blank = machine.symbols.index(machine.blank)
    size = min(LETTER, 0.58 * min(wide, high) + 2)
    fits = [width_of(symbol, size) <= wide - 4 for symbol in machine.symbols]
    for (row, column), number in np.ndenumerate(history.symbols(tape)):
        if not fits[number] or machine.symbols[number] in INVISIBLE:
            continue
        dark = np.dot(pixels[row, column], (0.299, 0.587, 0.114)) < 128
        colour = LIGHT if number == blank else ("#ffffff" if dark else INK)
        _text(
            axes, column + 0.5, row + 0.5, machine.symbols[number], size, colour,
            ha="center", va="center_baseline",
        )  # fmt: skip


def _scale_across(axes: Axes, history: History, tape: int, pixels: int) -> None:
    first, last = history.reach[tape]
    low, high = first * history.bin, (last + 1) * history.bin - 1
    widest = max(width_of(f"{address:,}", SMALL) for address in (low, high))
    step = nice_step((high - low + 1) / max(1, pixels // (widest + 14)))
    at = list(range(-(-low // step) * step, high + 1, step))
    middle = 0.5 if history.bin == 1 else 0.0
    axes.set_xticks([address / history.bin - first + middle for address in at])
    axes.set_xticklabels([f"{address:,}" for address in at])
    axes.tick_params(axis="x", length=4, color=LIGHT, labelsize=points(SMALL), pad=2)


def _scale_down(axes: Axes, history: History, pixels: int, stated: bool) -> None:
    if stated:
        labels = [
            (i + 0.5, f"{row.step:,}  {legible(clipped(history.machine.states[row.state]))}")
            for i, row in enumerate(history.rows)
        ]
    else:
        step = nice_step((history.steps + 1) / max(1, pixels // 32))
        middle = 0.5 if history.stride == 1 else 0.0
        labels = [
            (at / history.stride + middle, f"{at:,}") for at in range(0, history.steps + 1, step)
        ]
    axes.set_yticks([at for at, _ in labels])
    found = axes.set_yticklabels([label for _, label in labels])
    for text in found:
        text.set_parse_math(False)
    axes.tick_params(axis="y", length=4, color=LIGHT, labelsize=points(SMALL), pad=2)


def _text(axes: Axes, x: float, y: float, text: str, size: float, colour: str, **more: Any) -> None:
    """Write text; `x` and `y` are its top left, unless `more` says otherwise."""
    keywords = {"va": "top", "parse_math": False, **more}
    axes.text(x, y, legible(text), fontsize=points(size), color=colour, **keywords)
