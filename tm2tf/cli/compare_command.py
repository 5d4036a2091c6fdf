"""`tm2tf compare`: every construction of a machine side by side."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from tm2tf.cli.common import (
    construction_options,
    input_options,
    json_option,
    page,
    print_json,
    progress,
    starts,
    tape_text,
)

if TYPE_CHECKING:
    from tm2tf.bench.compare import Left, Row
    from tm2tf.machine.spec import Machine, Tape


@click.command(name="compare")
@click.argument("machine")
@input_options
@click.option(
    "--max-steps",
    type=click.IntRange(min=1),
    default=10_000,
    show_default=True,
    help="Compare on so many steps at most.",
)
@construction_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    max_steps: int,
    as_json: bool,
    **asked: int | None,
) -> None:
    """Set every construction of MACHINE side by side, on one run of it.

    Sizes stand twice, as counted in the weights and as the construction's own formula predicts
    them: 3/3. Speed is measured in this run. Without an input the machine's first example is
    taken, and a bounded tape is as wide as the run needs. Exits with 1 if a construction does not
    agree with the machine.

    \b
    Example:
      tm2tf compare bb4
    """  # noqa: D301
    from tm2tf import api
    from tm2tf.bench.compare import Row, compare
    from tm2tf.constructions import CONSTRUCTIONS

    found = api.load(machine)
    tapes: list[Tape] = starts(found, inputs, origins, heads)
    if not (inputs or origins or heads) and found.examples:
        tapes = list(found.examples[0].tapes)
    options = {name: value for name, value in asked.items() if value is not None}
    lines: list[Row | Left] = []
    with progress("compare", len(CONSTRUCTIONS), "constructions") as update:
        for line in compare(found, tapes, max_steps=max_steps, options=options):
            lines.append(line)
            if update is not None:
                update(len(lines))
    rows = [line for line in lines if isinstance(line, Row)]
    left = [line for line in lines if not isinstance(line, Row)]
    if as_json:
        print_json(
            {
                "machine": found.name,
                "input": [found.join(tape.contents) for tape in tapes],
                "rows": [_json(row) for row in rows],
                "not_applicable": [asdict(line) for line in left],
            }
        )
    else:
        _show(found, tapes, rows, left)
    ctx.exit(0 if all(row.agreed for row in rows) else 1)


def _json(row: Row) -> dict[str, object]:
    return {**asdict(row), "sizes": dict(row.sizes), "predicted": dict(row.predicted)}


def _show(machine: Machine, tapes: list[Tape], rows: list[Row], left: list[Left]) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    headings = (
        *("construction", "target", "passes/step", "layers", "heads", "d_model", "d_mlp"),
        *("vocab", "parameters", "nonzeros", "bits", "window", "tape", "passes/s", "agreed"),
    )
    for heading in headings:
        words = ("construction", "target", "agreed")
        table.add_column(heading, justify="left" if heading in words else "right")
    for row in rows:
        table.add_row(
            row.construction,
            row.target,
            f"{row.passes_per_step:,.4g}",
            *(_size(row, name) for name in ("layers", "heads", "d_model", "d_mlp", "vocab")),
            f"{row.parameters:,}",
            f"{row.nonzeros:,}",
            str(row.bits),
            f"{row.window:,}",
            "unbounded" if row.tape is None else f"{row.tape:,}",
            f"{row.passes_per_second:,.0f}",
            "yes" if row.agreed else "NO",
        )
    start = "; ".join(tape_text(machine, tape) for tape in tapes) or "(blank)"
    steps = max((row.steps for row in rows), default=0)
    with page() as out:
        out.print(f"{machine.name} on {start}: {steps:,} steps")
        out.print(table)
        out.print("\nafter")
        for row in rows:
            out.print(f"  {row.construction}: {row.source}", soft_wrap=True)
        for line in left:
            out.print(f"not {line.construction}/{line.target}: {line.reason}", soft_wrap=True)


def _size(row: Row, name: str) -> str:
    return f"{row.sizes[name]:,}/{row.predicted[name]:,}"
