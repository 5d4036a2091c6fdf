"""What the experiments share: seeds, workers, a folder for results, and how they are reported."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from tm2tf.errors import InputError

F = TypeVar("F", bound=Callable[..., Any])

GREATEST_SEED = 2**63 - 1
"""What torch takes."""


class Share(click.FloatRange):
    """A range of numbers that "nan" is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or refuse it."""
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail("nan is no number", param, ctx)
        return number


def writable(ctx: click.Context, param: click.Parameter, folder: Path | None) -> Path | None:
    """Make the folder before hours are spent on what it is to hold."""
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
        if not os.access(folder, os.W_OK):
            raise InputError(f"cannot write to the folder {folder}; take another one with -o")
    return folder


seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0, max=GREATEST_SEED),
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
        callback=writable,
        help="Write results (JSON, CSV) and figures (PNG, SVG) to this folder. Finished trials "
        "are kept there too: the same command goes on where it was interrupted.",
    )(command)
