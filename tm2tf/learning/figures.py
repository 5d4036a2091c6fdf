"""Figures: one look for all, saved as PNG and SVG, the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tm2tf.errors import ExtraError, InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "figure.constrained_layout.use": True,
    "font.size": 9.0,
    "grid.alpha": 0.3,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tm2tf",  # the same ids in every run
}

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""Okabe and Ito's colours, which readers who are colour-blind can tell apart."""

FINE_TUNED, IN_CONTEXT, THEORY = COLOURS[1], COLOURS[0], COLOURS[6]
"""What stands for the fine-tuned model, the prompt, and a formula in every figure."""


def require_matplotlib() -> None:
    """Raise an `ExtraError` that names the extra unless matplotlib is there."""
    try:
        import matplotlib as mpl  # noqa: F401 - asked whether it is there
    except ImportError:
        raise ExtraError("drawing figures", "matplotlib", "learn") from None


def new_figure(columns: int = 1, rows: int = 1) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row. It belongs to no window and needs no closing.

    Raises:
        ExtraError: matplotlib is not installed.
    """
    require_matplotlib()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.2 * columns, 3.1 * rows), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [ax for row in axes for ax in row]


def band(
    ax: Axes,
    x: Sequence[float],
    middle: Sequence[float],
    low: Sequence[float],
    high: Sequence[float],
    *,
    label: str,
    colour: str,
    line: str = "-",
) -> None:
    """Draw a curve with its intervals."""
    ax.plot(x, middle, line, marker="o", markersize=3, color=colour, label=label)
    ax.fill_between(x, low, high, color=colour, alpha=0.2, linewidth=0)


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write `NAME.png` and `NAME.svg`; return their paths.

    Raises:
        InputError: they cannot be written.
    """
    import matplotlib as mpl

    paths = [folder / f"{name}.{suffix}" for suffix in ("png", "svg")]
    for legend in filter(None, (ax.get_legend() for ax in figure.axes)):
        legend.set_frame_on(False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with mpl.rc_context(STYLE):
            figure.savefig(paths[0], dpi=150, metadata={"Software": None})
            figure.savefig(paths[1], metadata={"Date": None, "Creator": None})
    except OSError as error:
        raise InputError(f"cannot write {error.filename}: {error.strerror}") from None
    return paths
