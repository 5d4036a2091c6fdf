"""The figures of the four claims, from their reports alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tm2tf.learning.claims.outputs import SUP, TV
from tm2tf.learning.claims.separators import ROUNDED, TAPED
from tm2tf.learning.figures import COLOURS, THEORY, band, new_figure, save_figure
from tm2tf.learning.monte_carlo import NORMAL, Growth, Rate, Report, selected

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LEGEND: dict[str, Any] = {"fontsize": 7, "frameon": False}
"""How every legend looks."""


def draw(reports: Iterable[Report], delta: float, folder: Path) -> list[Path]:
    """Write a figure for each report, `bounds-A` and so on, as PNG and SVG; return the paths.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: a file cannot be written.
    """
    drawn: dict[str, Callable[[Report, float], Figure]] = {
        "A": next_word,
        "B": outputs,
        "C": separators,
        "D": predictor,
    }
    return [
        path
        for report in reports
        for path in save_figure(
            drawn[report.claim](report, delta), folder, f"bounds-{report.claim}"
        )
    ]


def next_word(report: Report, delta: float) -> Figure:
    """Return claim A's: failures against n, and n against 1/eps^2, V and m."""
    figure, axes = new_figure(2, 2)
    rows = [row for row in report.rates if row.by == "counting"]
    _failures(axes[0], [row for row in rows if row.size != "drawn_contexts"], delta)
    _marks(axes[0], rows, ("weissman", "mcdiarmid", "paper_text"))
    for ax, varies in zip(axes[1:], ("1/eps^2", "V", "m"), strict=True):
        _enough(ax, report.growth, varies)
    return figure


def outputs(report: Report, delta: float) -> Figure:
    """Return claim B's: what is off at each size, and n against l in both senses."""
    figure, axes = new_figure(3)
    counted = [row for row in report.rates if row.by == "counting"]
    for colour, failure in zip(
        COLOURS, dict.fromkeys(row.failure for row in counted), strict=False
    ):
        rows = [row for row in counted if row.failure == failure and "uniform" in row.setting]
        _line(axes[0], sorted(rows, key=lambda row: row.examples), failure, colour, mean=True)
    _marks(axes[0], counted, ("sup_norm", "paper_outputs", "whole_outputs"))
    axes[0].set(xscale="log", xlabel="examples n", ylabel="mean of what is off, uniform")
    axes[0].legend(**LEGEND)
    for ax, sense, name in zip(axes[1:], (TV, SUP), ("TV", "sup-norm"), strict=True):
        _enough(ax, [row for row in report.growth if row.enough_for == sense], "l")
        ax.set(title=f"enough for {name} at most eps")
    return figure


def separators(report: Report, delta: float) -> Figure:
    """Return claim C's: mean error and failures against n, and n against d and 1/eps."""
    figure, axes = new_figure(2, 2)
    own = report.agreement[0]["setting"]
    learners = list(dict.fromkeys(row.by for row in report.growth))
    for colour, learner in zip(COLOURS, learners, strict=False):
        rows = [row for row in report.rates if (row.by, row.setting) == (learner, own)]
        _line(axes[0], rows, learner, colour, mean=True)
        _line(axes[1], rows, learner, colour, mean=False)
        if learner == "max_margin":
            limits = [row.mean_limit or 0.0 for row in rows]
            axes[0].plot([row.examples for row in rows], limits, "--", color=THEORY,
                         label="(d+1)/(n+1)")  # fmt: skip
    _points(axes[0], report.rates)
    axes[0].set_ylim(top=5)  # room for the legend
    axes[1].axhline(delta, color=THEORY, linestyle=":", label="delta")
    named = [row for row in report.rates if row.setting == own]
    _marks(axes[1], named, ("halfspace_mean", "halfspace_scenario", "halfspace_compression"))
    axes[0].set(xscale="log", yscale="log", xlabel="examples n", ylabel="mean error")
    axes[1].set(xscale="log", xlabel="examples n", ylabel="share of errors > eps")
    for ax in axes[:2]:
        _ticks(ax, sorted({row.examples for row in named if row.by in learners}))
        ax.legend(**LEGEND)
    for ax, varies in zip(axes[2:], ("d", "1/eps"), strict=True):
        _enough(ax, report.growth, varies)
    return figure


def predictor(report: Report, delta: float) -> Figure:
    """Return claim D's: failures against n, n against 1/eps^2, and what as many train."""
    figure, axes = new_figure(3)
    counted = [row for row in report.rates if row.by == "counting"]
    _failures(axes[0], counted, delta)
    _marks(axes[0], counted, ("fixed_predictor",))
    _enough(axes[1], report.growth, "1/eps^2")
    trained = [row for row in report.rates if row.by == "max_margin trained on them"]
    names = [row.setting for row in trained]
    means = [row.mean for row in trained]
    spread = [[row.mean - row.mean_low for row in trained],
              [row.mean_high - row.mean for row in trained]]  # fmt: skip
    axes[2].bar(names, means, yerr=spread, color=COLOURS[0])
    title = f"separators trained on {trained[0].examples}" if trained else ""
    axes[2].set(ylabel="mean error", title=title)
    return figure


def _failures(ax: Axes, rows: Sequence[Rate], delta: float) -> None:
    """Draw the share of failures against n, a curve for each setting, with its intervals."""
    settings = list(dict.fromkeys(row.setting for row in rows))
    for colour, setting in zip(COLOURS, settings, strict=False):
        _line(ax, [row for row in rows if row.setting == setting], setting, colour, mean=False)
    ax.axhline(delta, color=THEORY, linestyle=":", label="delta")
    ax.set(xscale="log", xlabel="examples n", ylabel="share of failures")
    ax.legend(**LEGEND)


def _line(ax: Axes, rows: Sequence[Rate], label: str, colour: str, *, mean: bool) -> None:
    columns = ("mean", "mean_low", "mean_high") if mean else ("rate", "low", "high")
    middle, low, high = ([float(getattr(row, name)) for row in rows] for name in columns)
    band(ax, [row.examples for row in rows], middle, low, high, label=label, colour=colour)


def _points(ax: Axes, rows: Sequence[Rate]) -> None:
    """Draw the mean error of rows by itself, with its interval; few trials have none."""
    for colour, (by, marker) in zip(COLOURS[2:], ((ROUNDED, "o"), (TAPED, "x")), strict=False):
        for number, row in enumerate(row for row in rows if row.by == by):
            spread = [[row.mean - row.mean_low], [row.mean_high - row.mean]]
            ax.errorbar([row.examples], [row.mean], yerr=spread if row.trials >= NORMAL else None,
                        fmt=marker, markersize=4, capsize=2, color=colour,
                        label="" if number else f"{by}, smaller d")  # fmt: skip
            ax.annotate(row.setting.split(",")[0], (row.examples, row.mean), fontsize=6,
                        xytext=(4, 4), textcoords="offset points")  # fmt: skip


def _marks(ax: Axes, rows: Sequence[Rate], names: Sequence[str]) -> None:
    """Draw a vertical line at each of the named sizes."""
    for name in names:
        size = next((row.examples for row in rows if row.size == name), None)
        if size is not None:
            ax.axvline(size, color=THEORY, linewidth=0.8, linestyle="--")
            ax.text(size, 0.2, f"{name} {size:,}", rotation=90, fontsize=6, ha="right", va="bottom",
                    transform=ax.get_xaxis_transform())  # fmt: skip


def _enough(ax: Axes, growth: Sequence[Growth], varies: str) -> None:
    """Draw what was enough for each law or learner, beside the bound and the paper's form."""
    varied = [row for row in growth if row.varies == varies]
    names = list(dict.fromkeys(row.by for row in varied))
    for colour, name in zip(COLOURS, names, strict=False):
        rows = [row for row in selected(varied, name, varies) if row.measured is not None]
        ax.plot([row.value for row in rows], [row.measured or 0.0 for row in rows], "o-",
                markersize=3, color=colour, label=name)  # fmt: skip
    first = selected(varied, names[0], varies) if names else []
    for style, column, label in (("--", "formula", "bound"), (":", "paper", "paper's form")):
        ax.plot([row.value for row in first], [float(getattr(row, column)) for row in first],
                style, color=THEORY, label=label)  # fmt: skip
    ax.set(xscale="log", yscale="log", xlabel=varies, ylabel="examples that are enough")
    _ticks(ax, sorted({row.value for row in varied}))
    ax.legend(**LEGEND)


def _ticks(ax: Axes, values: Sequence[float]) -> None:
    """Have ticks at these values of x alone."""
    ax.set_xticks(values, [f"{value:,.4g}" for value in values])
    ax.set_xticks([], minor=True)
