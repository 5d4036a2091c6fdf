"""`tm2tf bench`: every figure of speed and growth, measured in one run. Exit code 1 if wrong."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import console, json_option, page, print_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tm2tf.bench.grids import Grid
    from tm2tf.bench.registry import Measured


CLEARED = "\r\x1b[2K"
"""What empties a line of a terminal."""


@click.command(name="bench")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--list", "listing", is_flag=True, help="List the benchmarks, and measure nothing.")
@click.option("--quick", is_flag=True, help="Smaller sizes and fewer rounds: a minute, not many.")
@click.option("--repeat", type=int, metavar="N", help="Rounds of what is compared (7; quick: 3).")
@click.option(
    "--check",
    is_flag=True,
    help="Also exit with 1 if a ratio or a slope is worse than its goal by a factor of 3.",
)
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    metavar="FILE.md",
    help="Also write all of it as a document, with plots in images/ beside it.",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    names: tuple[str, ...],
    listing: bool,
    quick: bool,
    repeat: int | None,
    check: bool,
    write: Path | None,
    as_json: bool,
) -> None:
    """Measure how fast things are and how they grow: all benchmarks, or those called NAME.

    What is compared takes turns within one run; a ratio is the time for one unit as a multiple of
    the baseline's, the median of some rounds with its quartiles. Results are checked; a wrong one
    exits with 1. NAME stands for all benchmarks that begin with it: growth, growth-rules. All of
    them take some minutes.

    \b
    Examples:
      tm2tf bench --list
      tm2tf bench verify growth-space --quick
    """  # noqa: D301
    from tm2tf.bench import document, registry
    from tm2tf.bench.benchmark import Settings
    from tm2tf.bench.host import host
    from tm2tf.bench.report import judged, to_json

    benchmarks = registry.chosen(names)
    if listing:
        _list(benchmarks, as_json)
        return
    if write is not None:
        if names:
            raise click.UsageError("--write writes the whole document: name no benchmarks with it")
        document.check_writable(write)
    settings = Settings(quick, repeat, _reporter())
    where, found = host(), []
    for measured in registry.measure(benchmarks, settings):
        found.append(measured)
        settings.tell("")
        if not as_json:
            _show(measured)
    written = [] if write is None else document.write(write, where, settings, found)
    far = [(name, verdict) for name, verdict in judged(found) if verdict.fails]
    if as_json:
        print_json({**to_json(where, settings, found), "written": [str(path) for path in written]})
    else:
        _show_end(where, found)
        for path in written:
            click.echo(f"wrote {path}")
    for name, verdict in far if check else ():
        click.echo(f"far from its goal: {name}, {verdict.of}: {verdict.value:.3g}", err=True)
    ctx.exit(1 if any(it.wrong for it in found) or (check and far) else 0)


def _list(benchmarks: Sequence[Any], as_json: bool) -> None:
    if as_json:
        print_json([{"name": it.name, "about": it.about} for it in benchmarks])
        return
    from tm2tf.bench.grids import Grid

    rows = tuple((it.name, it.about) for it in benchmarks)
    with page() as out:
        out.print(_table(Grid(("", ""), (False, False), rows)))


def _reporter() -> Callable[[str], None] | None:
    """Return what shows on stderr what is being measured: one line that is written over.

    No spinner: what it takes to draw one would be in the figures.
    """
    out = console(stderr=True)
    if not out.is_terminal or out.is_dumb_terminal:
        return None
    return lambda what: click.echo(f"{CLEARED}{what[: out.width - 1]}", err=True, nl=False)


def _show(measured: Measured) -> None:
    """Print one benchmark."""
    from tm2tf.bench import grids

    with page() as out:
        name, about = measured.benchmark.name, measured.benchmark.about
        out.print(f"{name}: {about} (took {measured.seconds:,.0f} s)", style="bold")
        if measured.absent:
            out.print(f"left out: {measured.absent}", soft_wrap=True)
        for race in measured.outcome.races:
            out.print(f"\n{race.title}: {race.about}", soft_wrap=True)
            out.print(_table(grids.of_race(race)))
            for left in race.left:
                out.print(f"left out: {left.name}: {left.reason}", soft_wrap=True)
        for growth in measured.outcome.growths:
            out.print(f"\n{growth.title} ({growth.y}): {growth.about}", soft_wrap=True)
            out.print(_table(grids.of_growth(growth)))
        for line in (*measured.outcome.notes, *(f"WRONG: {it}" for it in measured.wrong)):
            out.print(line, soft_wrap=True)
        out.print()


def _show_end(where: Mapping[str, object], found: Sequence[Measured]) -> None:
    """Print the figures with goals once more, and the machine."""
    from tm2tf.bench import grids
    from tm2tf.bench.report import judged

    with page() as out:
        goals = [*judged(found)]
        if goals:
            out.print(_table(grids.of_verdicts(goals)))
            out.print()
        known = {name: value for name, value in where.items() if value is not None}
        out.print(", ".join(f"{name} {value}" for name, value in known.items()), soft_wrap=True)


def _table(grid: Grid) -> Any:
    from rich.table import Table

    table = Table(
        box=None, padding=(0, 2, 0, 0), header_style="bold", show_header=any(grid.headings)
    )
    for heading, right in zip(grid.headings, grid.right, strict=True):
        table.add_column(heading, justify="right" if right else "left")
    for row in grid.rows:
        table.add_row(*row)
    return table
