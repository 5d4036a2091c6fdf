"""`tm2tf machines`: the bundled library."""

from __future__ import annotations

from typing import Any

import click

from tm2tf.cli.block import Blocks, block_facts, block_options, blocked_model
from tm2tf.cli.common import Asked, json_option, page, print_json


@click.command(name="machines")
@click.argument("name", required=False)
@block_options("closure", inputs=True)
@json_option
def command(name: str | None, blocks: Blocks | None, as_json: bool) -> None:
    """List the bundled machines, or show the file of the one called NAME.

    With --block NAME is any MACHINE, and what is shown is the machine over blocks of its cells.

    \b
    Examples:
      tm2tf machines binary-increment
      tm2tf machines bb4 --block 2
    """  # noqa: D301
    if blocks is not None:
        _show_blocks(name, blocks, as_json)
        return
    from tm2tf import api
    from tm2tf.machine import library

    entries = [library.find(name)] if name else list(library.entries())
    if name and not as_json:
        click.echo(entries[0].path.read_text(encoding="utf-8"), nl=False)
        return
    rows = []
    for entry in entries:
        machine = api.load(entry.path)
        rows.append(
            {
                "name": entry.name,
                "topic": entry.topic,
                "description": machine.description,
                "source": machine.source,
                "tapes": machine.tapes,
                "states": len(machine.states),
                "symbols": len(machine.symbols),
                "transitions": len(machine.transitions),
                "examples": len(machine.examples),
                "path": str(entry.path),
            }
        )
    if as_json:
        print_json(rows[0] if name else rows)
        return
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("topic", "name", "tapes", "states", "symbols", "rules", "what it does"):
        side: Any = "right" if heading in COUNTS else "left"
        table.add_column(heading, justify=side, no_wrap=heading != "what it does")
    topic = None
    for row in rows:
        shown = "" if row["topic"] == topic else str(row["topic"])
        topic = row["topic"]
        numbers = [str(row[key]) for key in ("tapes", "states", "symbols", "transitions")]
        table.add_row(shown, str(row["name"]), *numbers, str(row["description"]))
    with page() as out:
        out.print(table)


def _show_blocks(name: str | None, blocks: Blocks, as_json: bool) -> None:
    """Show a machine over blocks."""
    from tm2tf.formats import native_writer

    if name is None:
        raise click.UsageError("--block goes with a machine: NAME which one")
    made, _ = blocked_model(name, blocks, Asked("trace", None, {}))
    assert made is not None  # blocks are given
    text = native_writer.dump(made.found.machine)
    if as_json:
        print_json({"name": made.found.machine.name, **block_facts(made), "file": text})
    else:
        click.echo(text, nl=False)


COUNTS = ("tapes", "states", "symbols", "rules")
