"""The figures of retrieval, from the reports alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tm2tf.learning.figures import COLOURS, THEORY, band, new_figure, save_figure
from tm2tf.learning.retrieval.report import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Rows = Sequence[Mapping[str, Any]]

LEGEND: dict[str, Any] = {"fontsize": 7}

TOKENS = "tokens of the prompt"


def draw(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write a figure for each report, `retrieval-machine` and so on; return PNG and SVG paths.

    Raises:
        ExtraError: matplotlib is not installed.
        InputError: a file cannot be written.
    """
    drawn: dict[str, Callable[[Report], Figure]] = {
        "machine": machine,
        "points": points,
        "contexts": contexts,
        "reviews": reviews,
    }
    return [
        path
        for report in reports
        for path in save_figure(drawn[report.part](report), folder, f"retrieval-{report.part}")
    ]


def machine(report: Report) -> Figure:
    """Return right runs, and how far the rules shown are from the data's, against tokens."""
    figure, axes = new_figure(2)
    rows = report.tables["machine"]
    for ax, column, label in zip(
        axes,
        ("right", "from_data"),
        ("held-out runs right to the end", "total variation from the data's rules"),
        strict=True,
    ):
        _choices(ax, rows, column)
        ax.set(xscale="log", xlabel=TOKENS, ylabel=label, ylim=(-0.03, 1.03))
    known = [row for row in rows if row["predicted_low"] is not None]
    for end in ("low", "high"):
        label = "uniform, predicted by coverage" if end == "low" else "_nolegend_"
        _theory(axes[0], known, "tokens", f"predicted_{end}", label)
    axes[0].set(title=report.settings["machine"])
    for ax in axes:
        ax.legend(**LEGEND)
    return figure


def points(report: Report) -> Figure:
    """Return bias, variance and total variation against k, a row for each number of dimensions."""
    figure, axes = new_figure(3, len(report.tables))
    for place, (name, rows) in enumerate(report.tables.items()):
        bias, variance, distance = axes[3 * place : 3 * place + 3]
        for ax, column in ((bias, "bias"), (variance, "variance")):
            for colour, listed in zip(COLOURS, _by_choice(rows).values(), strict=False):
                x, y = ([row[key] for row in listed] for key in ("examples", column))
                ax.plot(x, y, "o", markersize=3, color=colour, label=listed[0]["choice"])
        _choices(distance, rows, "distance", "examples")
        for ax, column in ((bias, "bias"), (variance, "variance"), (distance, "distance")):
            for number, listed in enumerate(_by_choice(rows).values()):
                known = [row for row in listed if row[f"{column}_theory"] is not None]
                label = "_nolegend_" if number else "theory"
                _theory(ax, known, "examples", f"{column}_theory", label)
            said = "total variation" if column == "distance" else column
            ax.set(xscale="log", yscale="log", xlabel="examples k in the prompt", ylabel=said)
            ax.set(title=name.removeprefix("points-"))
            ax.legend(**LEGEND)
    return figure


def contexts(report: Report) -> Figure:
    """Return the total variation against tokens."""
    figure, (ax,) = new_figure()
    _choices(ax, report.tables["contexts"], "distance")
    m = report.settings["contexts"]
    ax.set(xscale="log", yscale="log", xlabel=TOKENS, ylabel="total variation",
           title=f"{m} contexts")  # fmt: skip
    ax.legend(**LEGEND)
    return figure


def reviews(report: Report) -> Figure:
    """Return accuracy, and the share of positive labels for either kind of query."""
    figure, axes = new_figure(3)
    rows = report.tables["reviews"]
    data = report.figures["share of positive labels in the data"]
    for ax, column, label, level in zip(
        axes,
        ("accuracy", "positive_query", "negative_query"),
        ("right answers", "positive labels, positive queries", "positive labels, negative queries"),
        (0.5, data or 0.0, data or 0.0),
        strict=True,
    ):
        _choices(ax, rows, column)
        ax.axhline(level, color=THEORY, linestyle=":", linewidth=1,
                   label="guessing" if column == "accuracy" else "the data")  # fmt: skip
        ax.set(xscale="log", xlabel=TOKENS, ylabel=label, ylim=(0.0, 1.0))
        ax.legend(**LEGEND)
    return figure


def _by_choice(rows: Rows) -> dict[str, Rows]:
    return {
        choice: [row for row in rows if row["choice"] == choice]
        for choice in dict.fromkeys(row["choice"] for row in rows)
    }


def _choices(ax: Axes, rows: Rows, column: str, against: str = "tokens") -> None:
    """Draw a column and its intervals, a curve for each choice."""
    for colour, (choice, listed) in zip(COLOURS, _by_choice(rows).items(), strict=False):
        values = ([row[f"{column}{end}"] for row in listed] for end in ("", "_low", "_high"))
        band(ax, [row[against] for row in listed], *values, label=choice, colour=colour)


def _theory(ax: Axes, rows: Rows, against: str, column: str, label: str) -> None:
    x, y = ([row[key] for row in rows] for key in (against, column))
    ax.plot(x, y, color=THEORY, linestyle="--", linewidth=1, label=label)
