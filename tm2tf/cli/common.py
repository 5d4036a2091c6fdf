"""What commands share: options, output, progress, and turning words into machines."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from tm2tf.errors import InputError

if TYPE_CHECKING:
    from rich.console import Console

    from tm2tf.api import Model
    from tm2tf.machine.spec import Configuration, Machine, Tape

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
    return _with(options, command)


OPTIONS = {
    "tape": "Cells of a bounded tape.",
    "window": "Cells of a looped model's window, to begin with.",
    "states": "Running states that weights for all machines have room for.",
    "symbols": "Symbols that weights for all machines have room for.",
    "halting": "Halting states of each outcome that such weights have room for.",
    "period": "Steps between two summaries, at the least.",
    "context": "Longest context of weights that sum up a bounded tape.",
}
"""What constructions may be asked for, each by an option of its own name."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What to compile to: `--construction`, `--target` and the options of constructions."""

    construction: str
    target: str | None
    options: dict[str, int]

    def words(self) -> str:
        """Return the command line that asks for the same, with a blank before each word."""
        named = {"construction": self.construction, "target": self.target, **self.options}
        default = {"construction": "trace", "target": None}
        return "".join(
            f" --{name} {value}"
            for name, value in named.items()
            if name not in default or value != default[name]
        )


@dataclass(frozen=True, slots=True)
class How:
    """How to run: `--runtime`, `--kernel`, `--device`, `--dtype` and `--fixed-window`."""

    runtime: str
    device: str
    dtype: str
    grow: bool
    kernel: str | None = None

    def keywords(self) -> dict[str, Any]:
        """Return the keyword arguments of `Model.run` and `Model.verify`."""
        return asdict(self)

    def words(self) -> str:
        """Return the command line that asks for the same, with a blank before each word."""
        default = {"runtime": "kernel", "kernel": None, "device": "auto", "dtype": "float64"}
        words = "".join(
            f" --{name} {getattr(self, name)}"
            for name, value in default.items()
            if getattr(self, name) != value
        )
        return words + ("" if self.grow else " --fixed-window")


def compile_options(command: F) -> F:
    """Add `--construction`, `--target` and the options of constructions, as one `asked`."""

    @functools.wraps(command)
    def gathered(*args: Any, construction: str, target: str | None, **others: Any) -> Any:
        options = {name: others.pop(name) for name in OPTIONS}
        given = {name: value for name, value in options.items() if value is not None}
        return command(*args, asked=Asked(construction, target, given), **others)

    options = (
        click.option("--construction", default="trace", show_default=True, help="How it is built."),
        click.option("--target", help="What it is built for (default: the construction's own)."),
        *(click.option(f"--{name}", type=int, help=text) for name, text in OPTIONS.items()),
    )
    return cast(F, _with(options, gathered))


def construction_options(command: F) -> F:
    """Add the options of constructions, each by itself."""
    return _with(
        [click.option(f"--{n}", type=int, help=text) for n, text in OPTIONS.items()], command
    )


def runtime_options(command: F) -> F:
    """Add `--runtime`, `--kernel`, `--device`, `--dtype` and `--fixed-window`, as one `how`."""

    @functools.wraps(command)
    def gathered(
        *args: Any,
        runtime: str,
        kernel: str | None,
        device: str,
        dtype: str,
        fixed_window: bool,
        **others: Any,
    ) -> Any:
        grow = not fixed_window
        how = How(_runtime(runtime, dtype), device, dtype, grow=grow, kernel=kernel)
        return command(*args, how=how, **others)

    options = (
        click.option(
            "--runtime",
            default="kernel",
            show_default=True,
            help="kernel (compiled, CPU) or torch (the plain model, CPU or CUDA).",
        ),
        click.option(
            "--kernel",
            help="dense, sparse, evaluated or folded: how far the kernel runtime evaluates weights "
            "beforehand, where they are fit for it (default: evaluated).",
        ),
        click.option(
            "--device",
            default="auto",
            show_default=True,
            type=click.Choice(["auto", "cpu", "cuda"]),
            help="Where the torch runtime runs.",
        ),
        click.option(
            "--dtype",
            default="float64",
            show_default=True,
            help="float64, or with the torch runtime float32, bfloat16 or float16 for weights "
            "that are exact in it.",
        ),
        click.option(
            "--fixed-window",
            is_flag=True,
            help="Stop where a head leaves a looped model's window, instead of widening it.",
        ),
    )
    return cast(F, _with(options, gathered))


def _runtime(runtime: str, dtype: str) -> str:
    """Return the runtime to use: only the torch runtime computes in other dtypes than float64."""
    return "torch" if runtime == "kernel" and dtype != "float64" else runtime


def steps_option(command: F) -> F:
    """Add `--max-steps`."""
    text = "Stop after so many steps."
    return click.option("--max-steps", type=click.IntRange(min=0), help=text)(command)


def _with(options: Sequence[Callable[[F], F]], command: F) -> F:
    """Return a command with options added, which then stand in this order."""
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


def start_of(
    model: Model, inputs: Sequence[str], origins: Sequence[int], begins: Sequence[int]
) -> Configuration:
    """Return the start that `--input`, `--origin` and `--head-at` describe.

    For commands in which `--head` is an attention head.
    """
    machine = model.machine
    if len(begins) > machine.tapes:
        raise InputError(
            f"--head-at is given {len(begins)} times, but machine {machine.name!r} has "
            f"{machine.tapes} tape{'s' if machine.tapes > 1 else ''}"
        )
    return model.start(*starts(machine, inputs, origins, begins))


def model_of(what: str, asked: Asked) -> Model:
    """Return the model of an artifact folder, or compile what else names a machine."""
    from tm2tf import api

    if not api.is_folder(what):
        return api.compile(api.load(what), asked.construction, asked.target, **asked.options)
    model = api.open_model(what)
    model.compiled.construction.resolve(asked.options)
    has = {
        "construction": model.weights.construction,
        "target": model.weights.target,
        **model.weights.options,
    }
    wanted: dict[str, object] = {"target": asked.target, **asked.options}
    if asked.construction != "trace":
        wanted["construction"] = asked.construction
    for name, value in wanted.items():
        if value is not None and value != has.get(name):
            raise InputError(
                f"{what} was compiled with --{name} {has[name]}, not {value!r}: "
                "compile its machine again for that"
            )
    return model


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
        # what the console took for a terminal (FORCE_COLOR) keeps the colours that it was given
        click.echo(line.rstrip(), color=out.is_terminal or None)


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
