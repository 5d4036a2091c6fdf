"""What commands share: options, output, progress, and turning words into machines."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tm2tf.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from tm2tf.api import Model
    from tm2tf.machine.spec import Machine, Tape

F = TypeVar("F", bound=Callable[..., Any])

WIDEST = 64
"""Cells of a tape shown in a table; `--json` has them all."""

PLAIN_WIDTH = 1_000_000
"""Columns of a table that goes to a pipe or a file: wide enough that no row is wrapped."""


def json_option(command: F) -> F:
    """Add `--json`."""
    text = "Print one JSON value on stdout and nothing else."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def input_options(command: F) -> F:
    """Add `--input`, `--origin` and `--head`, each once a tape."""
    options = (
        click.option(
            "--input",
            "inputs",
            multiple=True,
            metavar="WORD",
            help="What a tape holds; once a tape, in order. Symbols longer than one character "
            "are separated by spaces.",
        ),
        click.option(
            "--origin",
            "origins",
            multiple=True,
            type=int,
            help="Address of the first cell of --input, once a tape (default 0).",
        ),
        click.option(
            "--head-at",
            "--head",
            "heads",
            multiple=True,
            type=int,
            help="Address where the head begins, once a tape (default 0).",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def compile_options(command: F) -> F:
    """Add `--construction` and `--target`."""
    options = (
        click.option("--construction", default="trace", show_default=True, help="How it is built."),
        click.option("--target", default="hard", show_default=True, help="What it is built for."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def runtime_options(command: F) -> F:
    """Add `--runtime`, `--device` and `--max-steps`."""
    options = (
        click.option(
            "--runtime",
            default="kernel",
            show_default=True,
            help="kernel (compiled, CPU) or torch (the plain model, CPU or CUDA).",
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            type=click.Choice(["auto", "cpu", "cuda"]),
            help="Where the torch runtime runs.",
        ),
        click.option("--max-steps", type=click.IntRange(min=0), help="Stop after so many steps."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def starts(
    machine: Machine, inputs: Sequence[str], origins: Sequence[int], heads: Sequence[int]
) -> list[Tape]:
    """Return the start tapes that `--input`, `--origin` and `--head` describe."""
    from tm2tf.machine.spec import Tape

    count = max(len(inputs), len(origins), len(heads))
    for option, values in (("--input", inputs), ("--origin", origins), ("--head", heads)):
        if len(values) > machine.tapes:
            raise InputError(
                f"{option} is given {len(values)} times, but machine {machine.name!r} has "
                f"{machine.tapes} tape{'s' if machine.tapes > 1 else ''}"
            )
    return [
        Tape(
            machine.split(inputs[t]) if t < len(inputs) else (),
            origins[t] if t < len(origins) else 0,
            heads[t] if t < len(heads) else 0,
        )
        for t in range(count)
    ]


def model_of(what: str, construction: str = "trace", target: str = "hard") -> Model:
    """Return the model of an artifact folder, or compile what else names a machine."""
    from tm2tf import api

    if api.is_folder(what):
        model = api.open_model(what)
        for option, asked, default, has in (
            ("construction", construction, "trace", model.weights.construction),
            ("target", target, "hard", model.weights.target),
        ):
            if asked not in (default, has):
                raise InputError(
                    f"{what} was compiled with --{option} {has}, not {asked!r}: "
                    "compile its machine again for that"
                )
        return model
    return api.compile(api.load(what), construction, target)


def print_json(value: object) -> None:
    """Print one JSON value on stdout, in ASCII where stdout may lack other characters."""
    plain = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") != "utf8"
    click.echo(json.dumps(value, indent=2, ensure_ascii=plain))


def tape_json(machine: Machine, tape: Tape) -> dict[str, object]:
    """Return a tape as the JSON contract has it."""
    return {
        "contents": machine.join(tape.contents),
        "origin": tape.origin,
        "head": tape.head,
    }


def tape_text(machine: Machine, tape: Tape) -> str:
    """Return a tape in one line, long ones cut in the middle, with its head's address."""
    cells = tape.contents
    if len(cells) > WIDEST:
        left, right = cells[: WIDEST // 2], cells[-WIDEST // 2 :]
        word = f"{machine.join(left)} ... {machine.join(right)}  ({len(cells):,} cells)"
    else:
        word = machine.join(cells) or "(blank)"
    return f"{word}  from {tape.origin}, head at {tape.head}"


def console(stderr: bool = False) -> Console:
    """Return a rich console that takes what it prints for text: a tape may hold [a] or :x:."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


@contextmanager
def page() -> Iterator[Console]:
    """Yield a console; what is printed on it goes to stdout, without blanks at the ends of lines.

    Where stdout is no terminal it is plain text, and a row of a table is one line.
    """
    out = console()
    if not out.is_terminal:
        out.width = PLAIN_WIDTH
    with out.capture() as captured:
        yield out
    for line in captured.get().splitlines():
        click.echo(line.rstrip())


@contextmanager
def progress(
    label: str, total: int | None, unit: str = "steps"
) -> Iterator[Callable[[int], None] | None]:
    """Show a bar with rate and time left on stderr; nothing where that is no terminal.

    Yields what takes the number of `unit` done so far.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} " + unit + "{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rate="")

        def update(done: int) -> None:
            speed = bar.tasks[task].speed
            rate = f", {speed:,.0f}/s" if speed else ""
            bar.update(task, completed=done, rate=rate)

        yield update
