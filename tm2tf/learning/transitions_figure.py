"""The figures of `tm2tf learn transitions`, with and without noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tm2tf.learning.figures import (
    COLOURS,
    FINE_TUNED,
    IN_CONTEXT,
    THEORY,
    band,
    new_figure,
    save_figure,
)


def draw_curve(rows: Sequence[Mapping[str, float]], machine: str, folder: Path) -> list[Path]:
    """Draw what `transitions.curve` returned; return the paths of PNG and SVG."""
    figure, (ax,) = new_figure()
    x = [row["examples"] for row in rows]
    for name, label, colour, line in (
        ("in_context", "in context", IN_CONTEXT, "-"),
        ("fine_tuned", "fine-tuned", FINE_TUNED, ":"),
    ):
        columns = ([row[f"{name}{end}"] for row in rows] for end in ("", "_low", "_high"))
        band(ax, x, *columns, label=label, colour=colour, line=line)
    for end in ("low", "high"):
        y = [row[f"predicted_{end}"] for row in rows]
        label = "all rules shown, predicted" if end == "low" else "_nolegend_"
        ax.plot(x, y, color=THEORY, linestyle="--", linewidth=1, label=label)
    ax.set(
        xscale="log",
        xlabel="examples",
        ylabel="held-out runs right to the end",
        title=f"{machine}, {rows[0]['seeds']} seeds",
        ylim=(-0.03, 1.03),
    )
    ax.legend(loc="lower right")
    return save_figure(figure, folder, "transitions")


def draw_distances(rows: Sequence[Mapping[str, float]], machine: str, folder: Path) -> list[Path]:
    """Draw what `noise.curve` returned; return the paths of PNG and SVG."""
    figure, (ax,) = new_figure()
    x = [row["examples"] for row in rows]
    for name, label, colour in (
        ("in_context", "in context to truth", IN_CONTEXT),
        ("fine_tuned", "fine-tuned to truth", FINE_TUNED),
        ("between", "fine-tuned to in context", COLOURS[2]),
    ):
        columns = ([row[f"{name}{end}"] for row in rows] for end in ("", "_low", "_high"))
        band(ax, x, *columns, label=label, colour=colour)
    y = [row["expected"] for row in rows]
    ax.plot(x, y, color=THEORY, linestyle="--", linewidth=1, label="in context, expected")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="examples",
        ylabel="total variation",
        title=f"{machine} with noise, {rows[0]['seeds']} seeds",
    )
    ax.legend(loc="lower left")
    return save_figure(figure, folder, "noise")
