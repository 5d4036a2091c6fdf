"""`tm2tf inspect`: the weights, with a name for everything in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.block import Blocks, block_options, inner_model
from tm2tf.cli.common import (
    Asked,
    compile_options,
    console,
    json_option,
    page,
    print_json,
    progress,
    start_of,
    starts,
)

if TYPE_CHECKING:
    from tm2tf.api import Model
    from tm2tf.blocked.model import BlockModel
    from tm2tf.inspect.sections import Section

PIPED_WIDTH = 100
"""Characters a line of a tensor has where stdout is no terminal."""

LABEL_WIDTH = 28
"""Characters of a neuron's label in a terminal, so that room is left for what the neuron does."""

AT_ONCE = 64
"""Tokens that are read between two looks of the progress bar."""

VIEWS = ("layer", "token", "direction", "dense", "step", "program")


def view_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that choose what to show."""
    options = (
        click.option("--layer", type=int, metavar="L", help="A layer: its heads and neurons."),
        click.option("--head", metavar="H", help="A head of --layer, by number or name."),
        click.option(
            "--neuron", metavar="N", help="A neuron of --layer, by number or part of its label."
        ),
        click.option("--token", metavar="NAME", help="A token, by name or id (#3: the id 3)."),
        click.option(
            "--direction", metavar="NAME", help="A residual direction: who writes and reads it."
        ),
        click.option(
            "--dense",
            metavar="TENSOR",
            help="A tensor as it is, such as W_E, or a circuit, blocks.2.attn.0.QK (or .OV).",
        ),
        click.option(
            "--step",
            type=int,
            metavar="T",
            help="The forward pass that emits step T (from 1) of the run on --input.",
        ),
        click.option("--program", is_flag=True, help="The program that the weights carry out."),
        click.option(
            "--input", "inputs", multiple=True, metavar="WORD", help="For --step: once a tape."
        ),
        click.option(
            "--origin",
            "origins",
            multiple=True,
            type=int,
            help="For --step: address of the first cell of --input, once a tape.",
        ),
        click.option(
            "--head-at",
            "begins",
            multiple=True,
            type=int,
            help="For --step: address where the head begins, once a tape.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(name="inspect")
@click.argument("machine")
@view_options
@compile_options
@block_options("closure")
@json_option
def command(
    machine: str, asked: Asked, blocks: Blocks | None, as_json: bool, **options: Any
) -> None:
    """Show the weights of MACHINE, with a name for everything in them.

    Without options: an overview. MACHINE may be a folder that `tm2tf compile` wrote. With --block
    the weights are those of the machine in blocks, and --step counts its macro steps.

    \b
    Examples:
      tm2tf inspect bb2
      tm2tf inspect bb2 --layer 2 --head 0
      tm2tf inspect bb2 --dense blocks.2.attn.0.QK
      tm2tf inspect binary-increment --step 3 --input 1011
      tm2tf inspect bb4 --block 3 --step 5
    """  # noqa: D301
    _check(options)
    start = (options["inputs"], options["origins"], options["begins"])
    model, blocked = inner_model(machine, blocks, asked, start)
    name, view = _view(model, options, blocked)
    if as_json:
        from tm2tf.inspect.forms import to_json

        found = to_json(view)
        assert isinstance(found, dict)
        more = {"read_by": _read_by(model)} if name == "step" else {}
        print_json({"machine": model.machine.name, "view": name, **found, **more})
    else:
        _print(name, view, model)


def _check(options: dict[str, Any]) -> None:
    """Refuse options that do not go together."""
    chosen = [f"--{name}" for name in VIEWS if _given(options[name])]
    if len(chosen) > 1:
        raise click.UsageError(f"{chosen[0]} and {chosen[1]} show different things: give one")
    for name in ("head", "neuron"):
        if options[name] is not None and options["layer"] is None:
            raise click.UsageError(f"--{name} needs --layer: which layer's?")
    if options["head"] is not None and options["neuron"] is not None:
        raise click.UsageError("--head and --neuron show different things: give one")
    for option, key in (("--input", "inputs"), ("--origin", "origins"), ("--head-at", "begins")):
        if options[key] and options["step"] is None:
            raise click.UsageError(f"{option} goes with --step: the weights depend on no input")


def _given(value: object) -> bool:
    """Return whether an option was given; 0 counts."""
    return value is not None and value is not False


def _view(model: Model, options: dict[str, Any], blocked: BlockModel | None) -> tuple[str, Any]:
    """Return the view that the options ask for, and its name."""
    from tm2tf.inspect import directions, tables, tensors

    weights, layer = model.weights, options["layer"]
    makers: dict[str, Callable[[Any], object]] = {
        "head": lambda which: tables.head(weights, layer, which),
        "neuron": lambda which: tables.neuron(weights, layer, which),
        "layer": lambda number: tables.layer(weights, number),
        "token": lambda which: tables.token(weights, which),
        "direction": lambda which: directions.direction(weights, which),
        "dense": lambda tensor: tensors.tensor(weights, tensor),
        "step": lambda number: _step(model, number, options, blocked),
        "program": lambda _: _program(model),
    }
    for name, make in makers.items():
        if _given(options[name]):
            return name, make(options[name])
    return "overview", tables.overview(weights)


def _program(model: Model) -> object:
    from tm2tf.program.printer import dump

    return {"program": dump(model.compiled.program)}


def _step(model: Model, number: int, options: dict[str, Any], blocked: BlockModel | None) -> object:
    from tm2tf.inspect.recording import Recording

    given = (options["inputs"], options["origins"], options["begins"])
    if blocked is None:
        start = start_of(model, *given)
    else:
        start = blocked.found.start(blocked.start(*starts(blocked.base, *given)))
    recording = Recording(model.compiled, start)
    with progress(model.machine.name, number) as update:
        while not recording.reach(number, AT_ONCE):
            if update is not None:
                update(recording.known)
        return recording.view(number)


def _read_by(model: Model) -> dict[str, tuple[str, ...]]:
    """Return what reads each feature."""
    from tm2tf.inspect import directions

    return directions.read_by(model.weights)


def _print(name: str, view: Any, model: Model) -> None:
    """Print a view for people."""
    from tm2tf.inspect import sections, tensors

    if name == "program":
        click.echo(view["program"], nl=False)
    elif name == "dense":
        out = console()
        click.echo(tensors.text(view, out.width if out.is_terminal else PIPED_WIDTH))
    elif name == "overview":
        _print_sections(sections.overview(view, model.machine.name))
    elif name == "step":
        _print_sections(sections.step(view, _read_by(model)))
    else:
        known = {
            "layer": sections.layer,
            "head": sections.head,
            "neuron": sections.neuron,
            "token": sections.token,
            "direction": sections.direction,
        }
        _print_sections(known[name](view))  # type: ignore[operator]


def _print_sections(found: Sequence[Section]) -> None:
    """Print tables, wrapped to the width of a terminal; elsewhere each row is one line."""
    from rich.table import Table
    from rich.text import Text

    from tm2tf.inspect.forms import printable
    from tm2tf.inspect.sections import NUMBERS

    with page() as out:
        for number, section in enumerate(section for section in found if section.rows):
            if number:
                out.print()
            if section.title:
                out.print(Text(printable(section.title), style="bold"))
            table = Table(
                box=None,
                padding=(0, 2, 0, 0),
                show_header=bool(section.headings),
                header_style="dim",
            )
            for i in range(len(section.rows[0])):
                heading = section.headings[i] if section.headings else ""
                right = heading in NUMBERS
                table.add_column(
                    Text(heading),
                    justify="right" if right else "left",
                    no_wrap=right,
                    max_width=LABEL_WIDTH if heading == "label" and out.is_terminal else None,
                    overflow="fold",
                )
            for row in section.rows:
                table.add_row(*(Text(printable(cell)) for cell in row))
            out.print(table)
