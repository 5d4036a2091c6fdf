"""`tm2tf learn bounds`: how many examples it takes, by formula and by Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tm2tf.cli.common import json_option, page, print_json, progress
from tm2tf.cli.learn.common import output_option, seed_option, workers_option

if TYPE_CHECKING:
    from rich.console import Console

    from tm2tf.learning.bounds import Bound
    from tm2tf.learning.claims.every import Found
    from tm2tf.learning.monte_carlo import Rate, Report, Size

F = TypeVar("F", bound=Callable[..., Any])


def _count(name: str, default: int, text: str) -> Callable[[F], F]:
    kind = click.IntRange(min=1)
    return click.option(f"--{name}", type=kind, default=default, show_default=True, help=text)


@click.command(name="bounds")
@click.option("--eps", type=float, default=0.1, show_default=True, help="Error allowed.")
@click.option(
    "--delta", type=float, default=0.05, show_default=True, help="Probability of a larger one."
)
@_count("contexts", 4, "Contexts m of claim A.")
@_count("vocabulary", 10, "Words V of claims A and B.")
@_count("length", 3, "Length l of claim B's outputs.")
@_count("dimensions", 10, "Dimensions d of claim C.")
@_count("trials", 150, "Trials of each experiment; those that only count take 5 times as many.")
@_count("through-weights", 2, "Trials of each such experiment that go through compiled weights.")
@click.option(
    "--claim",
    "claims",
    multiple=True,
    metavar="A|B|C|D",
    help="Take this claim only; may be given several times.",
)
@seed_option
@workers_option
@output_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    claims: tuple[str, ...],
    workers: int,
    folder: Path | None,
    as_json: bool,
    **numbers: Any,
) -> None:
    """Say how many examples four claims take, and try them out.

    A: the next word in m contexts. B: outputs of length l. C: halfspaces in d dimensions. D: a
    predictor that is fixed beforehand. Fine-tuned models are trained by gradient descent; in
    context, compiled weights read the examples from a prompt, which is compared bit by bit with
    counting them; for C they train a perceptron on them, which is compared with torch's after
    every update. Exits with 1 if an experiment contradicts a theorem, or the weights err.

    \b
    Example:
      tm2tf learn bounds --trials 40 --claim D
    """  # noqa: D301
    from tm2tf.learning import bounds
    from tm2tf.learning.claims import every
    from tm2tf.learning.monte_carlo import Size

    size, chosen = Size(**numbers), every.by_names(claims)
    if folder is not None:
        from tm2tf.learning.figures import require_matplotlib

        require_matplotlib()
    total = len(every.tasks_of(size, chosen))
    sizes = bounds.table(
        size.eps, size.delta, size.contexts, size.vocabulary, size.length, size.dimensions
    )
    sizes = [row for row in sizes if row.claim in {claim.name for claim in chosen}]
    with progress("bounds", total, "blocks of trials") as update:
        found = every.run(size, chosen, folder=folder, workers=workers, on_progress=update)
    result: dict[str, Any] = {
        "settings": asdict(size),
        "sizes": [asdict(row) for row in sizes],
        **every.as_json(found),
    }
    if folder is not None:
        result["files"] = [str(path) for path in _write(folder, size, sizes, found, result)]
    if as_json:
        print_json(result)
    else:
        _show(size, sizes, found, result.get("files", []))
    ctx.exit(0 if found.good else 1)


def _write(
    folder: Path, size: Size, sizes: list[Bound], found: Found, result: dict[str, Any]
) -> list[Path]:
    from tm2tf.learning.claims.pictures import draw
    from tm2tf.learning.results import save_csv, save_json

    reports = found.reports
    tables: dict[str, list[dict[str, Any]]] = {
        "bounds-sizes": [asdict(row) for row in sizes],
        "bounds-rates": [asdict(row) for report in reports for row in report.rates],
        "bounds-growth": [asdict(row) for report in reports for row in report.growth],
        "bounds-verdicts": [
            {"claim": report.claim, **asdict(reading)}
            for report in reports
            for reading in report.readings
        ],
    }
    return [
        save_json(folder, "bounds", result),
        *(save_csv(folder, name, rows) for name, rows in tables.items()),
        *draw(reports, size.delta, folder),
    ]


def _show(size: Size, sizes: list[Bound], found: Found, files: list[str]) -> None:
    with page() as out:
        for report in found.reports:
            out.print(f"{report.claim}  {report.title}; the paper: {report.paper}", style="bold")
            _sizes(out, [row for row in sizes if row.claim == report.claim])
            _rates(out, report)
            for reading in report.readings:
                out.print(f"  {reading.verdict}: {reading.sense}", soft_wrap=True)
                out.print(f"      {reading.because}", soft_wrap=True)
            out.print()
        for line in _through_weights(found):
            out.print(line, soft_wrap=True)
        for row in found.exceeded:
            out.print(f"EXCEEDED: {_named(row)}: {_limits(row)}", soft_wrap=True)
        for path in files:
            out.print(f"wrote {path}", soft_wrap=True)


def _through_weights(found: Found) -> Iterator[str]:
    """Yield what went through compiled weights."""
    yield (
        f"through weights: {found.trials_through_weights:,} trials, "
        f"{found.tokens_through_weights:,} tokens"
    )
    if found.distributions_through_weights:
        yield (
            f"  of {found.distributions_through_weights:,} distributions, "
            f"{found.unequal_distributions:,} differ from counting"
        )
    if found.runs_on_tape:
        yield (
            f"  of {found.runs_on_tape:,} training runs ({found.updates_on_tape:,} updates, "
            f"{found.steps_on_tape:,} steps verified), {found.unequal_runs:,} differ from torch "
            "and numpy"
        )


def _sizes(out: Console, rows: list[Bound]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    table.add_column("size")
    table.add_column("examples", justify="right")
    table.add_column("each", justify="right")
    table.add_column("formula")
    for row in rows:
        each = "" if row.each is None else f"{row.each:,}"
        table.add_row(row.name, f"{row.examples:,}", each, row.formula)
    out.print(table)


def _rates(out: Console, report: Report) -> None:
    """Print the rates at sizes that have a name; `-o` and `--json` have the others too."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 2), header_style="bold")
    for heading in ("by", "setting", "failure", "size"):
        table.add_column(heading)
    for heading in ("n", "failed", "of", "rate at most", "mean"):
        table.add_column(heading, justify="right")
    for row in report.rates:
        if row.size:
            table.add_row(
                *(row.by, row.setting, row.failure, row.size),
                *(f"{row.examples:,}", f"{row.failures:,}", f"{row.trials:,}"),
                *(f"{row.high:.3f}", f"{row.mean:.4f}"),
            )
    out.print(table)


def _named(row: Rate) -> str:
    return f"claim {row.claim}, {row.by}, {row.setting}, n = {row.examples:,} ({row.size})"


def _limits(row: Rate) -> str:
    """Say what was guaranteed, and what was seen."""
    said = []
    if row.over_limit:
        said.append(
            f"{row.failure} in {row.failures:,} of {row.trials:,} trials, so a rate of "
            f"{row.low:.3f} at least; guaranteed: {row.limit} at most"
        )
    if row.over_mean_limit:
        said.append(
            f"mean {row.mean:.4f}, {row.mean_floor:.4f} at least; guaranteed: "
            f"{row.mean_limit:.4f} at most"
        )
    return "; ".join(said)
