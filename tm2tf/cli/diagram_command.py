"""`tm2tf diagram`: a run as a space-time diagram."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli import INTERRUPTED
from tm2tf.cli.common import (
    Asked,
    compile_options,
    input_options,
    json_option,
    model_of,
    page,
    print_json,
    progress,
    starts,
    tape_json,
)
from tm2tf.errors import InputError

if TYPE_CHECKING:
    import numpy as np
    from rich.console import Console

    from tm2tf.api import Model
    from tm2tf.machine.spec import Configuration
    from tm2tf.pictures.spacetime.history import History, Recorder
    from tm2tf.pictures.spacetime.recording import Recorded

SUFFIXES = (".png", ".svg")

SIZE = (1000, 1200)
"""Most pixels of a picture: it fits a page and a screen."""

PIPED_WIDTH = 100
"""Characters a line has where stdout is no terminal."""

WHOLE = 120
"""Rows up to which a run is shown step by step; a longer one is binned."""

BINNED = 60
"""Rows of a binned run where stdout is no terminal."""

LETTERED = 24
"""Rows up to which each cell has its symbol even on a screen with fewer lines."""

ALL = 1000
"""Rows and columns of `--json`."""

AROUND = 9
"""Lines of a terminal for what stands above and below the rows, and for the prompt."""


def _size(_: click.Context, __: click.Parameter, given: str | None) -> tuple[int, int] | None:
    """Return width and height of a size in pixels, such as 1000x1200."""
    from tm2tf.pictures.spacetime.layout import LARGEST, SMALLEST

    if given is None:
        return None
    parts = given.lower().split("x")
    if len(parts) == 2 and all(part.isascii() and part.isdigit() for part in parts):
        width, height = map(int, parts)
        if all(SMALLEST <= side <= LARGEST for side in (width, height)):
            return width, height
    sides = f"{SMALLEST} to {LARGEST:,} pixels each"
    raise click.BadParameter(f"{given!r} is not a size such as 1000x1200, {sides}")


@click.command(name="diagram")
@click.argument("machine")
@input_options
@click.option(
    "--steps",
    "--max-steps",
    "max_steps",
    type=click.IntRange(min=0),
    help="Stop after so many steps.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draw a picture instead: FILE.png or FILE.svg.",
)
@click.option(
    "--size",
    metavar="WxH",
    callback=_size,
    help=f"For -o: most pixels (default {SIZE[0]}x{SIZE[1]}).",
)
@click.option("--rows", type=click.IntRange(min=2), help="Without -o: most rows.")
@click.option("--width", type=click.IntRange(min=20), help="Without -o: most characters a line.")
@click.option("--simulate", is_flag=True, help="Run the machine's rules instead of the weights.")
@compile_options
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    max_steps: int | None,
    asked: Asked,
    as_json: bool,
    **options: Any,
) -> None:
    """Draw a run of MACHINE as a space-time diagram: space goes across, time goes down.

    The machine is compiled (or its compiled folder loaded) and its weights run. A run that is too
    long or too wide is binned: what a row and a column then stand for is said under the diagram.
    Ctrl-C stops the run and draws how far it came.

    \b
    Examples:
      tm2tf diagram bb4
      tm2tf diagram palindrome-2tape --input 0110
      tm2tf diagram bb5 -o bb5.png
      tm2tf diagram counter --steps 2000 -o counter.svg --size 800x800
    """  # noqa: D301
    _check(options, asked)
    model = model_of(machine, asked)
    start = model.start(*starts(model.machine, inputs, origins, heads))
    run = _Run(model, start, max_steps, options["simulate"])
    if options["output"] is not None:
        recorded = _picture(run, options["output"], options["size"] or SIZE, as_json)
    elif as_json:
        recorded = _json(run, options["rows"] or ALL, options["width"] or ALL)
    else:
        recorded = _text(run, options["rows"], options["width"])
    if recorded.interrupted:
        click.echo("interrupted", err=True)
        sys.exit(INTERRUPTED)
    if recorded.error is not None:  # what there was before is drawn
        raise recorded.error


def _check(options: dict[str, Any], asked: Asked) -> None:
    """Refuse options that do not go together, and files that cannot be written."""
    path: Path | None = options["output"]
    if options["simulate"] and asked.words():
        raise click.UsageError(f"--simulate runs no weights: leave{asked.words()} out")
    if path is None:
        if options["size"] is not None:
            raise click.UsageError("--size goes with -o: for the terminal give --rows and --width")
        return
    for name in ("rows", "width"):
        if options[name] is not None:
            raise click.UsageError(f"--{name} is for the terminal: with -o give --size")
    from tm2tf.pictures import paths

    paths.check(path, SUFFIXES)


@dataclass(frozen=True, slots=True, eq=False)
class _Run:
    """What is to be run."""

    model: Model
    start: Configuration
    max_steps: int | None
    simulate: bool

    def record(
        self, rows: int, cells: int, measures: np.ndarray | None = None
    ) -> tuple[Recorder, Recorded]:
        """Run; return what was taken of it, for so many rows and columns, and how it went."""
        from tm2tf.pictures.spacetime.halfblocks import measures as of_text
        from tm2tf.pictures.spacetime.history import Recorder
        from tm2tf.pictures.spacetime.recording import record, record_rules

        machine, limit = self.model.machine, self.max_steps
        recorder = Recorder(
            machine, self.start, rows, cells, of_text(machine) if measures is None else measures
        )
        known = [e.expected.steps for e in machine.examples if e.tapes == self.start.tapes]
        total = limit if limit is not None else next(iter(known), None)
        with progress(machine.name, total) as update:
            if self.simulate:
                return recorder, record_rules(machine, self.start, recorder, limit, update)
            return recorder, record(self.model.compiled, self.start, recorder, limit, update)


def _json(run: _Run, rows: int, cells: int) -> Recorded:
    """Run, and print the rows as JSON."""
    recorder, recorded = run.record(rows, cells)
    history = recorder.history()
    shown = _rows_json(history)
    print_json(_facts(run.start, history, recorded) | {"rows": shown})
    return recorded


def _picture(run: _Run, path: Path, size: tuple[int, int], as_json: bool) -> Recorded:
    """Run, and write a picture."""
    from tm2tf.pictures.spacetime import drawing, layout
    from tm2tf.pictures.spacetime.words import words_of

    drawing.require_matplotlib()
    machine = run.model.machine
    rows, cells = layout.room(machine, *size)
    colours = drawing.colours(machine.symbols, machine.blank)
    recorder, recorded = run.record(rows, cells, colours)
    history = recorder.history()
    figure = drawing.draw(history, words_of(run.start, history, recorded), *size)
    try:
        drawing.save(figure, path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    if as_json:
        width, height = drawing.pixels(figure)
        columns = [last - first + 1 for first, last in history.reach]
        drawn = {
            "path": str(path),
            "width": width,
            "height": height,
            "rows": len(history.rows),
            "columns": columns,
        }
        print_json(_facts(run.start, history, recorded) | {"picture": drawn})
    else:
        click.echo(f"wrote {path}")
    return recorded


def _text(run: _Run, rows: int | None, most_width: int | None) -> Recorded:
    """Run, and print a diagram: in colour if the terminal has it, else as plain text."""
    from tm2tf.pictures.spacetime import halfblocks
    from tm2tf.pictures.spacetime.words import words_of

    with page() as out:
        coloured = _coloured(out)
        width = most_width or (out.width if out.is_terminal else PIPED_WIDTH)
        screen = max(2, out.height - AROUND) if out.is_terminal else BINNED
        most = rows or WHOLE
        recorder, recorded = run.record(max(most, 2 * screen), width)
        if recorder.steps >= most:
            most = rows or (2 * screen if coloured else screen)
        machine = run.model.machine
        cells = halfblocks.room(machine, recorder.steps, width, stated=not coloured)
        history = recorder.history(most, cells)
        words = words_of(run.start, history, recorded)
        letters = halfblocks.fits_lettered(history, width)
        if letters and (not coloured or len(history.rows) <= max(screen, LETTERED)):
            lines = halfblocks.lettered(history, words, width)
        elif coloured:
            lines = halfblocks.blocks(history, words, width)
        else:
            lines = halfblocks.dense(history, words, width)
        for line in lines:
            out.print(line, soft_wrap=True)
    return recorded


def _coloured(out: Console) -> bool:
    """Return whether stdout shows colours and half blocks."""
    utf8 = out.encoding.lower().replace("-", "") == "utf8"
    return out.is_terminal and out.color_system is not None and not out.no_color and utf8


def _facts(start: Configuration, history: History, recorded: Recorded) -> dict[str, object]:
    machine = history.machine
    return {
        "machine": machine.name,
        "input": [tape_json(machine, tape) for tape in start.tapes],
        "run_by": recorded.by,
        "outcome": recorded.outcome or "step-limit",
        "state": machine.states[history.state],
        "steps": history.steps,
        "interrupted": recorded.interrupted,
        "steps_per_row": history.stride,
        "cells_per_column": history.bin,
    }


def _rows_json(history: History) -> list[dict[str, object]]:
    """Return rows: the tapes before the first step of each, and what was binned of the others.

    Of wide bins it is how many of their cells are not blank, from the cell `origin` on.
    """
    tapes = range(history.machine.tapes)
    other = [] if history.bin == 1 else [history.means(t)[:, :, 3] * history.bin for t in tapes]
    found = []
    for number, row in enumerate(history.rows):
        shown = []
        for t in tapes:
            if history.bin == 1:
                tape = tape_json(history.machine, history.tape(row, t))
            else:
                origin = history.reach[t][0] * history.bin
                counts = [round(float(count)) for count in other[t][number]]
                tape = {"origin": origin, "nonblank": counts, "head": row.heads[t]}
            if history.stride > 1:
                tape |= {"leftmost": row.lows[t], "rightmost": row.highs[t]}
            shown.append(tape)
        state = history.machine.states[row.state]
        found.append({"step": row.step, "state": state, "tapes": shown})
    return found
