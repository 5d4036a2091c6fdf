"""`tm2tf learn report`: every experiment on one page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from tm2tf.cli.common import json_option, page, print_json, progress
from tm2tf.cli.learn.common import seed_option, writable

CHAPTERS = ("transitions", "noise", "sft-on-tape", "bounds", "retrieval")
"""As in `tm2tf.learning.sections`, which is imported only when the command runs."""


@click.command(name="report")
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    metavar="DIR",
    callback=writable,
    help="Folder to write. Finished trials are kept there: the same command goes on where it was "
    "interrupted.",
)
@click.option("--full", is_flag=True, help="The large size: hours on two cores, not minutes.")
@click.option(
    "--chapter",
    "chapters",
    multiple=True,
    type=click.Choice(CHAPTERS),
    help="Take this chapter only; may be given several times.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Processes to spread trials over.",
)
@seed_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path,
    full: bool,
    chapters: tuple[str, ...],
    workers: int,
    seed: int,
    as_json: bool,
) -> None:
    """Redo all experiments, and write one page with each claim, its verdict and its figures.

    DIR then holds report.html, report.json, and a folder with the results of each chapter. Exits
    with 1 if something that must agree does not; a claim that is false is no fault.

    \b
    Example:
      tm2tf learn report -o out
    """  # noqa: D301
    from tm2tf.learning.report import make_report
    from tm2tf.learning.sections import FULL, SMALL

    chosen = [name for name in CHAPTERS if not chapters or name in chapters]
    with progress("report", len(chosen), "chapters") as update:
        result = make_report(
            folder,
            FULL if full else SMALL,
            seed=seed,
            workers=workers,
            names=chosen,
            on_progress=update,
        )
    if as_json:
        print_json(result)
    else:
        _show(result, folder)
    ctx.exit(0 if result["good"] else 1)


def _show(result: Mapping[str, Any], folder: Path) -> None:
    with page() as out:
        section = ""
        for found in result["verdicts"]:
            if found["section"] != section:
                section = found["section"]
                out.print(section, style="bold", soft_wrap=True)
            out.print(f"  {found['verdict']}: {found['sense']}", soft_wrap=True)
            out.print(f"      {found['because']}", soft_wrap=True)
        total = sum(result["seconds"].values())
        out.print(
            f"wrote {folder / 'report.html'} and report.json in {total:.0f} s", soft_wrap=True
        )
