"""What the pictures share: the run they show, where they go, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tm2tf.cli.common import print_json

if TYPE_CHECKING:
    from tm2tf.api import Model
    from tm2tf.pictures.heatmaps.panels import Panel

F = TypeVar("F", bound=Callable[..., Any])

output_option = click.option(
    "-o",
    "--output",
    "path",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The picture to write: .png, .svg or .pdf.",
)

all_option = click.option(
    "--all", "everything", is_flag=True, help="Keep rows and columns of nothing but 0."
)


def run_options(command: F) -> F:
    """Add `--input`, `--origin`, `--head-at` (`--head` is an attention head) and `--steps`."""
    options = (
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="WORD",
            help="What a tape holds; once a tape, in order.",
        ),
        click.option(
            "--origin",
            "origins",
            multiple=True,
            type=int,
            help="Address of the first cell of --input, once a tape (default 0).",
        ),
        click.option(
            "--head-at",
            "begins",
            multiple=True,
            type=int,
            help="Address where the machine's head begins, once a tape (default 0).",
        ),
        click.option(
            "--steps",
            type=click.IntRange(min=1),
            metavar="N",
            help="Draw what there is after N steps of the run: the whole context, or a looped "
            "model's pass N. Without it, as many steps as have room for their labels.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def unit_of(model: Model) -> str:
    """Return what a progress bar counts while a run is read."""
    return "passes" if model.compiled.construction.view == "cells" else "positions"


def check_output(path: Path | None, *, as_json: bool) -> None:
    """Refuse, before anything is computed, a call whose result has nowhere to go."""
    from tm2tf.pictures import paths
    from tm2tf.pictures.heatmaps.drawing import SUFFIXES

    if path is None and not as_json:
        raise click.UsageError(
            "where should the picture go? give -o FILE.png (or .svg, .pdf), or --json for its data"
        )
    if path is not None:
        paths.check(path, SUFFIXES)


def finish(
    path: Path | None,
    *,
    as_json: bool,
    facts: dict[str, object],
    data: Sequence[Panel],
    drawn: Sequence[Panel],
    words: tuple[str, str, str],
) -> None:
    """Draw panels if there is a path, and print their data, or where they went.

    `words` are the picture's title, the line below it, and what its colours stand for.
    """
    if path is not None:
        from tm2tf.pictures.heatmaps import drawing

        drawing.save(drawing.draw(drawn, *words), path)
    if as_json:
        from tm2tf.pictures.heatmaps.panels import to_json

        where = None if path is None else str(path)
        print_json({**facts, "path": where, "panels": [to_json(panel) for panel in data]})
    else:
        number = f"{len(drawn)} panel{'' if len(drawn) == 1 else 's'}"
        click.echo(f"{path}: {number}, {words[1]}")
