"""`tm2tf graph`: the states of a machine, or the layers of a program, as a graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

import click

from tm2tf.cli.common import Asked, compile_options, json_option, model_of, page, print_json

if TYPE_CHECKING:
    from tm2tf.inspect.sections import Section


@click.command(name="graph")
@click.argument("machine")
@click.option("--program", is_flag=True, help="The program's layers, and what flows where.")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw it there: .svg, .png, .dot, .gv, .mmd or .mermaid.",
)
@click.option(
    "--to",
    type=click.Choice(["svg", "dot", "mermaid", "text", "json"]),
    help="Print it on stdout in this format (default: text).",
)
@click.option(
    "--lines",
    type=click.IntRange(min=0),
    metavar="N",
    help="Lines of a label at most; 0: no labels (default: fewer, the more rules there are).",
)
@click.option(
    "--undefined", is_flag=True, help="Draw reads without a rule as edges, not as a note."
)
@compile_options
@json_option
def command(
    machine: str,
    program: bool,
    output: Path | None,
    to: str | None,
    lines: int | None,
    undefined: bool,
    asked: Asked,
    as_json: bool,
) -> None:
    """Draw the states of MACHINE as a graph, or with --program what its weights compute.

    Without -o and --to: a summary. Unreachable states, dead ones (no path leads to the end of a
    run) and strongly connected parts are marked. --construction and its options go with --program.

    \b
    Examples:
      tm2tf graph bb5
      tm2tf graph binary-addition -o addition.svg
      tm2tf graph palindrome-2tape --to mermaid
      tm2tf graph bb4 --program -o bb4-program.png
    """  # noqa: D301
    _check(program, output, to, lines, undefined, asked, as_json)
    as_json = as_json or to == "json"
    if program:
        _program(machine, asked, output, to, as_json)
    else:
        _states(machine, lines, undefined, output, to, as_json)


def _check(
    program: bool,
    output: Path | None,
    to: str | None,
    lines: int | None,
    undefined: bool,
    asked: Asked,
    as_json: bool,
) -> None:
    """Refuse options that do not go together."""
    if program and (lines is not None or undefined):
        option = "--undefined" if undefined else "--lines"
        raise click.UsageError(f"{option} is for the graph of states: leave out --program")
    if not program and asked.words():
        first = asked.words().split()[0]
        raise click.UsageError(f"{first} goes with --program: a machine's states need no weights")
    if output is not None and to not in (None, "json"):
        raise click.UsageError("-o draws what the file's suffix says: leave out --to")


def _states(
    what: str,
    lines: int | None,
    undefined: bool,
    output: Path | None,
    to: str | None,
    as_json: bool,
) -> None:
    from tm2tf import api
    from tm2tf.pictures.graphs import files, report, states

    kind = files.format_of(output) if output else to
    shown = states.view(api.load(what), lines=lines, undefined=undefined)
    drawn = _put(files.draw_states(shown, kind), output, as_json) if _draws(kind) else {}
    if as_json:
        print_json(report.states_json(shown) | drawn)
    elif kind in (None, "text"):
        _print(report.states_sections(shown))


def _program(what: str, asked: Asked, output: Path | None, to: str | None, as_json: bool) -> None:
    from tm2tf.pictures.graphs import files, flow, report

    kind = files.format_of(output) if output else to
    compiled = model_of(what, asked).compiled
    drawn = {}
    if _draws(kind):
        drawn = _put(files.draw_program(compiled.program, kind), output, as_json)
    found = flow.flow(compiled.program)
    if as_json:
        name = compiled.construction.name
        facts = report.flow_json(compiled.machine.name, name, flow.graph(found))
        print_json(facts | drawn)
    elif kind in (None, "text"):
        _print(report.flow_sections(found))


def _draws(kind: str | None) -> TypeGuard[str]:
    """Return whether a format is a drawing, and not the summary or its data."""
    return kind not in (None, "text", "json")


def _put(content: str | bytes, output: Path | None, as_json: bool) -> dict[str, object]:
    """Write a drawing into the file and say so, or print it; return what JSON says of it."""
    from tm2tf.pictures.graphs import files

    if output is not None:
        files.write(output, content)
        if not as_json:
            click.echo(f"wrote {output}")
        return {"output": str(output)}
    if not as_json:
        click.echo(content, nl=False)
    return {"drawing": content}


def _print(found: Sequence[Section]) -> None:
    """Print tables for people."""
    from rich.table import Table
    from rich.text import Text

    from tm2tf.inspect.forms import printable

    with page() as out:
        for number, section in enumerate(found):
            if number:
                out.print()
            table = Table(
                box=None,
                padding=(0, 2, 0, 0),
                show_header=bool(section.headings),
                header_style="dim",
            )
            for i in range(len(section.rows[0]) if section.rows else 0):
                heading = section.headings[i] if section.headings else ""
                table.add_column(Text(heading), overflow="fold")
            for row in section.rows:
                table.add_row(*(Text(printable(cell)) for cell in row))
            out.print(table)
