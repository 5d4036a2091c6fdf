"""Growths as plots on log-log axes, a picture for each benchmark, a panel for each growth."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tm2tf.bench.registry import Measured
from tm2tf.bench.results import Growth
from tm2tf.errors import ExtraError, InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 2
"""Panels side by side."""

DOTS_PER_INCH = 110


def require() -> None:
    """Raise an `ExtraError` unless plots can be drawn."""
    try:
        import matplotlib  # noqa: F401, ICN001 - asked whether it is there
    except ImportError:
        raise ExtraError("plots of benchmarks", "matplotlib", "draw") from None


def name(found: Measured) -> str:
    """Return what the picture of a benchmark's growths is called."""
    return f"bench-{found.benchmark.name}.png"


def draw(found: Sequence[Measured], folder: Path) -> Iterator[Path]:
    """Write a picture for each benchmark that has growths; yield their paths.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: they cannot be written.
    """
    require()
    import matplotlib as mpl

    from tm2tf.learning.figures import STYLE, new_figure

    for it in found:
        growths = it.outcome.growths
        if not growths:
            continue
        columns = min(COLUMNS, len(growths))
        figure, axes = new_figure(columns, -(-len(growths) // columns))
        for ax, growth in zip(axes, growths, strict=False):
            _panel(ax, growth)
        for ax in axes[len(growths) :]:
            ax.set_visible(False)
        path = folder / name(it)
        try:
            with mpl.rc_context(STYLE):
                figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None
        yield path


def _panel(ax: Axes, growth: Growth) -> None:
    """Draw one growth: medians with quartiles, the slope of each series in the legend."""
    from tm2tf.learning.figures import COLOURS

    ax.set_xscale("log")
    ax.set_yscale("log")
    markers = "osD^vP*X"
    for number, series in enumerate(growth.series):
        slope = "" if math.isnan(series.slope) else f", slope {series.slope:.2f}"
        medians = [value.median for value in series.values]
        below = [value.median - value.low for value in series.values]
        above = [value.high - value.median for value in series.values]
        ax.errorbar(
            series.sizes,
            medians,
            yerr=[below, above],
            color=COLOURS[number % len(COLOURS)],
            linestyle=("-", "--")[number % 2],  # one that lies on another shows through
            marker=markers[number % len(markers)],
            markersize=4,
            linewidth=1.2,
            capsize=2,
            label=f"{series.name}{slope}",
        )
    ax.set_xlabel(growth.x)
    ax.set_ylabel(growth.y)
    ax.set_title(growth.title, fontsize=9.0)
    _give_room(ax, growth)
    if growth.series:
        ax.legend(fontsize=7.5, frameon=False)


def _give_room(ax: Axes, growth: Growth) -> None:
    """Let the y axis span at least a decade, so that what is flat looks flat."""
    values = [value.median for series in growth.series for value in series.values]
    if values and max(values) < 10 * min(values):
        middle = math.sqrt(max(values) * min(values))
        ax.set_ylim(middle / math.sqrt(10) / 1.5, middle * math.sqrt(10) * 1.5)
