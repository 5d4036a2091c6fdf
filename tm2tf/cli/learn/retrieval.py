"""`tm2tf learn retrieval`: a part of the data in the prompt, drawn evenly or by nearness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import json_option, page, print_json, progress
from tm2tf.cli.learn.common import output_option, seed_option, workers_option

if TYPE_CHECKING:
    from rich.console import Console

    from tm2tf.learning.retrieval.report import Report

COLUMNS = {
    "machine": ("choice", "examples", "tokens", "right", "predicted_low", "from_data"),
    "points": ("choice", "examples", "tokens", "bias", "bias_theory", "variance",
               "variance_theory", "distance", "distance_theory"),
    "contexts": ("choice", "examples", "tokens", "own", "distance"),
    "reviews": ("choice", "examples", "tokens", "accuracy", "positive_query", "negative_query"),
}  # fmt: skip
"""Columns that are shown; `-o` and `--json` have the others too."""

HEADINGS = {
    "predicted_low": "predicted",
    "from_data": "from data",
    "bias_theory": "theory",
    "variance_theory": "theory",
    "distance": "distance",
    "distance_theory": "theory",
    "positive_query": "positive for +",
    "negative_query": "positive for -",
}
"""What columns are called where their name is not it."""

MISSED = 3
"""Missed rules that are shown."""


@click.command(name="retrieval")
@click.option(
    "--setting",
    "settings",
    multiple=True,
    type=click.Choice(["machine", "distributions", "reviews"]),
    help="Take this setting only; may be given several times.",
)
@click.option(
    "--machine",
    default="palindrome",
    show_default=True,
    help="Whose steps are the data of setting machine; of one tape.",
)
@click.option(
    "--trials",
    type=click.IntRange(min=2),
    default=8,
    show_default=True,
    help="Trials of each part; reviews take twice as many.",
)
@seed_option
@workers_option
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    settings: tuple[str, ...],
    machine: str,
    trials: int,
    seed: int,
    workers: int,
    folder: Path | None,
    as_json: bool,
) -> None:
    """Put a part of the data into the prompt: drawn evenly, or nearest to the query.

    machine: steps of training runs, and the universal weights follow a held-out input.
    distributions: words whose law changes from place to place, or from context to context, and
    weights that bring their shares. reviews: the labels of the reviews nearest to a query. How good
    the answers are is set against the tokens of the prompt, and what is retrieved against the data.
    Some prompts go through the compiled weights; exits with 1 if one is answered otherwise than by
    counting.

    \b
    Example:
      tm2tf learn retrieval --setting distributions
    """  # noqa: D301
    from tm2tf.learning.retrieval import every

    if folder is not None:
        from tm2tf.learning.figures import require_matplotlib

        require_matplotlib()
    asked = every.sizes(settings or tuple(every.SETTINGS), name=machine, trials=trials, seed=seed)
    total = sum(len(tasks) for tasks in every.tasks_of(asked).values())
    with progress("retrieval", total, "trials") as update:
        reports = every.run(asked, folder=folder, workers=workers, on_progress=update)
    result = every.as_json(reports)
    if folder is not None:
        from tm2tf.learning.retrieval.pictures import draw

        paths = [*every.save(reports, folder), *draw(reports, folder)]
        result["files"] = [str(path) for path in paths]
    if as_json:
        print_json(result)
    else:
        _show(reports, result)
    ctx.exit(0 if result["good"] else 1)


def _show(reports: Sequence[Report], result: Mapping[str, Any]) -> None:
    with page() as out:
        for report in reports:
            out.print(f"{report.part}: {report.title}", style="bold")
            for name, rows in report.tables.items():
                if name != "machine-missed":
                    _table(out, name, rows, COLUMNS[report.part])
            if report.part == "machine":
                _missed(out, report)
            for reading in report.readings:
                out.print(f"  {reading.verdict}: {reading.sense}", soft_wrap=True)
                out.print(f"      {reading.because}", soft_wrap=True)
            out.print()
        through = result["through_weights"]
        out.print(
            f"through weights: {through['prompts']:,} prompts of {through['tokens']:,} tokens; "
            f"{through['unequal']:,} answered otherwise than by counting, by which there are "
            f"{through['counted']:,} answers in all",
            soft_wrap=True,
        )
        for path in result.get("files", []):
            out.print(f"wrote {path}", soft_wrap=True)


def _table(
    out: Console, name: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str]
) -> None:
    """Print a table in which every other number of examples is left out."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    for place, column in enumerate(columns):
        heading = HEADINGS.get(column, column)
        table.add_column(heading if place else name, justify="right" if place else "left")
    for choice in dict.fromkeys(row["choice"] for row in rows):
        chosen = [row for row in rows if row["choice"] == choice]
        for row in [*chosen[:-1:2], chosen[-1]]:
            table.add_row(*(_cell(column, row[column]) for column in columns))
    out.print(table)


def _missed(out: Console, report: Report) -> None:
    """Print the rules most often missed among the nearest, where half of the runs are right."""
    rows = report.tables["machine"]
    enough = [row["examples"] for row in rows if row["choice"] == "nearest" and row["right"] >= 0.5]
    table = {
        (row["choice"], row["rule"]): row
        for row in report.tables["machine-missed"]
        if enough and row["examples"] == enough[0]
    }
    listed = [row for (choice, _), row in table.items() if choice == "nearest"][:MISSED]
    for row in listed:
        even = table.get(("uniform", row["rule"]), {"missed": 0})
        out.print(
            f"  with {row['examples']} examples {row['rule']}, {row['share_of_data']:.1%} of the "
            f"data, is missed by {row['missed']} of {row['runs']} runs, by {even['missed']} with "
            "even draws",
            soft_wrap=True,
        )


def _cell(column: str, value: Any) -> str:
    """Return a value as the table has it: nothing for what does not apply."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if column in ("examples", "tokens") else f"{value:.4f}"
