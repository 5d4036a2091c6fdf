"""Panels: matrices with a name for every row and column, and how they become colours.

No matplotlib here: what is drawn can be had as data too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64

from tm2tf.inspect.forms import number

Values = Float64[np.ndarray, "rows columns"]
Kept = Bool[np.ndarray, " labels"]


LOOKS = "the position that looks"
"""What a row of attention is: such a panel compares positions with positions."""


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A matrix that is drawn.

    Attributes:
        name: what it is called, such as `blocks.2.attn.0.QK`.
        title: the same in words.
        down: what a row is; `across`: what a column is.
        row_breaks: rows before which a line stands; `column_breaks`: columns.
        left_out: how many rows, and columns, are not shown because they hold nothing but 0.
        absent: cells that cannot hold anything, if there are any.
        bins: how many rows, and columns, a cell stands for, with their greatest magnitude.
    """

    name: str
    title: str
    down: str
    across: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Values
    row_breaks: tuple[int, ...] = ()
    column_breaks: tuple[int, ...] = ()
    left_out: tuple[int, int] = (0, 0)
    absent: Bool[np.ndarray, "rows columns"] | None = None
    bins: tuple[int, int] = (1, 1)


def trimmed(panel: Panel, *, columns_too: bool = True) -> Panel:
    """Return a panel without rows (and columns) of nothing but 0; all of it if all are."""
    held = panel.values != 0
    rows: Kept = np.asarray(held.any(axis=1))
    columns: Kept = np.asarray(held.any(axis=0))
    if not columns_too:
        columns = np.ones_like(columns)
    if not rows.any() or (rows.all() and columns.all()):
        return panel
    return replace(
        panel,
        rows=tuple(label for label, kept in zip(panel.rows, rows, strict=True) if kept),
        columns=tuple(label for label, kept in zip(panel.columns, columns, strict=True) if kept),
        values=panel.values[rows][:, columns],
        row_breaks=_moved(panel.row_breaks, rows),
        column_breaks=_moved(panel.column_breaks, columns),
        absent=None if panel.absent is None else panel.absent[rows][:, columns],
        left_out=(int((~rows).sum()), int((~columns).sum())),
    )


def _moved(breaks: Sequence[int], kept: Kept) -> tuple[int, ...]:
    """Return where breaks are when only some rows are kept; none at the ends."""
    found = {int(kept[:at].sum()) for at in breaks}
    return tuple(sorted(found - {0, int(kept.sum())}))


def binned(panel: Panel, rows: int, columns: int) -> Panel:
    """Return a panel of so many rows and columns at most.

    A cell stands for a block, and holds the value in it that is farthest from 0; where it is
    labelled, then by its first row or column.
    """
    down, across = (
        max(1, math.ceil(have / most))
        for have, most in zip(panel.values.shape, (rows, columns), strict=True)
    )
    if (down, across) == (1, 1):
        return panel
    values = _greatest(_greatest(panel.values, down).T, across).T
    hidden = panel.absent
    if hidden is not None:  # a block is absent if all of it is
        there = _greatest(_greatest((~hidden).astype(float), down).T, across).T
        hidden = there == 0
    return replace(
        panel,
        rows=panel.rows[::down],
        columns=panel.columns[::across],
        values=values,
        row_breaks=tuple(sorted({at // down for at in panel.row_breaks} - {0})),
        column_breaks=tuple(sorted({at // across for at in panel.column_breaks} - {0})),
        absent=hidden,
        bins=(down, across),
    )


def _greatest(values: Values, size: int) -> Values:
    """Return the value farthest from 0 of each `size` rows, column by column."""
    if size == 1:
        return values
    blocks = -(-len(values) // size)
    filled = np.zeros((blocks * size, values.shape[1]))
    filled[: len(values)] = values
    found = filled.reshape(blocks, size, -1)
    which = np.abs(found).argmax(axis=1)
    picked: Values = np.take_along_axis(found, which[:, None], axis=1)[:, 0]
    return picked


def notes(panel: Panel) -> Iterator[str]:
    """Yield in words what one must know to read a panel."""
    yield f"{panel.down} down, {panel.across} across"
    if any(panel.left_out):
        kinds = zip(panel.left_out, ("row", "column"), strict=True)
        parts = [f"{n:,} {what}{'s' if n > 1 else ''}" for n, what in kinds if n]
        yield f"left out, all 0: {' and '.join(parts)}"
    if panel.bins != (1, 1):
        down, across = panel.bins
        yield f"a cell stands for {down} x {across}, by the value farthest from 0"


def to_json(panel: Panel) -> dict[str, object]:
    """Return a panel as JSON values; what is no number as a word (`nan`, `inf`)."""
    return {
        "name": panel.name,
        "title": panel.title,
        "down": panel.down,
        "across": panel.across,
        "left_out": {"rows": panel.left_out[0], "columns": panel.left_out[1]},
        "rows": list(panel.rows),
        "columns": list(panel.columns),
        "values": [[_plain(x) for x in row] for row in panel.values.tolist()],
    }


def _plain(value: float) -> float | int | str:
    if not math.isfinite(value):
        return str(value)
    return int(value) if value.is_integer() else value


FAINTEST = 0.28
"""How strong the colour of the smallest magnitude is on a logarithmic scale: seen beside white."""

MIDDLE = 0.65
"""How strong the greatest one is on a linear scale: dark is left for logarithmic ones."""

LINEAR = 3.0
"""The ratio of magnitudes up to which a scale is linear: the smallest is then as strong as that."""

TICKS = 6
"""The most magnitudes that a legend names."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How values become colours: magnitudes from `least` to `most` (0 is white), signs by hue.

    `named` are the magnitudes to name in a legend; `signed` is whether some values are below 0.
    """

    least: float
    most: float
    named: tuple[float, ...]
    signed: bool

    @property
    def logarithmic(self) -> bool:
        """Whether equal ratios, not equal differences, look equal."""
        return self.most > LINEAR * self.least

    def strength(self, values: np.ndarray) -> np.ndarray:
        """Return how strong the colour of each value is, from -1 to 1; 0 for 0 alone."""
        size = np.abs(np.nan_to_num(values, nan=self.most, posinf=self.most, neginf=-self.most))
        if self.logarithmic:
            above = np.log(np.maximum(size, self.least)) - math.log(self.least)
            reach = math.log(self.most) - math.log(self.least)
            found = FAINTEST + (1 - FAINTEST) * above / reach
        else:
            found = MIDDLE * size / self.most
        return np.where(size > 0, np.sign(values) * np.minimum(found, 1), 0.0)


def scale_of(panels: Sequence[Panel]) -> Scale:
    """Return the scale that all of these panels fit."""
    values = np.concatenate([np.zeros(0), *(panel.values.ravel() for panel in panels)])
    values = values[np.isfinite(values)]
    sizes = np.unique(np.abs(values[values != 0]))
    if not len(sizes):
        return Scale(1.0, 1.0, (1.0,), signed=False)
    least, most = float(sizes[0]), float(sizes[-1])
    if len(sizes) <= TICKS:
        named = tuple(sizes.tolist())
    elif most > LINEAR * least:
        first, last = math.ceil(math.log10(least)), math.floor(math.log10(most))
        by = max(1, math.ceil((last - first + 1) / TICKS))
        named = (least, *(10.0**e for e in range(first, last + 1, by)), most)
    else:
        named = (least, most)
    return Scale(least, most, named, bool((values < 0).any()))


def short(value: float) -> str:
    """Return a number in few characters, such as `0.33`, `2^27` or `-10^6`."""
    if not math.isfinite(value):
        return str(value)
    exact = number(value)
    if len(exact) <= 5 or "^" in exact:
        return exact
    power = math.log10(abs(value))
    if abs(value) == 10.0 ** round(power):
        return f"{'-' * (value < 0)}10^{round(power)}"
    return f"{value:.2g}".replace("e+0", "e").replace("e+", "e").replace("e-0", "e-")
