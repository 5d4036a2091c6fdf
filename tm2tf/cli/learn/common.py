"""What the experiments share: seeds, workers, a folder for results, and how they are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed of all that is random: the same seed, the same results.",
)

workers_option = click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes to spread trials over.",
)


def output_option(command: F) -> F:
    """Add `-o`, the folder for results and figures; trials found there are not done again."""
    return click.option(
        "-o",
        "--output",
        "folder",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="Write results (JSON, CSV) and figures (PNG, SVG) to this folder. Finished trials "
        "are kept there too: the same command goes on where it was interrupted.",
    )(command)
