"""`tm2tf run`: a machine as a transformer, from its prompt to its last token."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tm2tf.cli import INTERRUPTED
from tm2tf.cli.block import Blocks, block_options, blocked_model, result_json, result_rows
from tm2tf.cli.common import (
    Asked,
    How,
    compile_options,
    input_options,
    json_option,
    model_of,
    page,
    print_json,
    progress,
    runtime_options,
    starts,
    steps_option,
    tape_json,
    tape_text,
)

if TYPE_CHECKING:
    from tm2tf.api import Model
    from tm2tf.blocked.model import BlockModel
    from tm2tf.machine.spec import Tape
    from tm2tf.runtime.run import Result


@click.command(name="run")
@click.argument("machine")
@input_options
@compile_options
@runtime_options
@steps_option
@block_options("run")
@click.option("--show-prompt", is_flag=True, help="Show the tokens of the prompt.")
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    asked: Asked,
    how: How,
    max_steps: int | None,
    blocks: Blocks | None,
    show_prompt: bool,
    as_json: bool,
) -> None:
    """Run MACHINE as a transformer.

    The machine is compiled (or its compiled folder loaded), the input becomes the prompt, and the
    weights emit one token a step until one of them ends the run. Ctrl-C stops it and shows how
    far it came.

    With --block the machine is run in blocks of cells, whose macro steps stand for many steps each;
    what is shown, and --max-steps, is in the cells and steps of the machine itself.

    \b
    Examples:
      tm2tf run binary-increment --input 1011
      tm2tf run bb5 --block 24
    """  # noqa: D301
    blocked, tapes = blocked_model(machine, blocks, asked, (inputs, origins, heads), max_steps)
    if blocked is not None:
        _run_blocks(blocked, tapes, how, max_steps, show_prompt, as_json)
        return
    model = model_of(machine, asked)
    tapes = starts(model.machine, inputs, origins, heads)
    known = [
        example.expected.steps
        for example in model.machine.examples
        if example.tapes == model.machine.initial(tapes).tapes
    ]
    total = max_steps if max_steps is not None else next(iter(known), None)
    with progress(model.machine.name, total) as update:
        result = model.run(*tapes, max_steps=max_steps, on_progress=update, **how.keywords())
    prompt = model.prompt(*tapes) if show_prompt else None
    if as_json:
        shown = {} if prompt is None else {"prompt": prompt}
        print_json(_json(result, model) | shown)
    else:
        if prompt is not None:
            click.echo(f"{' '.join(prompt)}\n")
        _print_rows(_rows(result, model, how))
    if result.interrupted:
        sys.exit(INTERRUPTED)


def _run_blocks(
    blocked: BlockModel,
    tapes: list[Tape],
    how: How,
    max_steps: int | None,
    show_prompt: bool,
    as_json: bool,
) -> None:
    """Run a machine in blocks, and show it."""
    model, first = blocked.model, blocked.found.first_run
    begin = blocked.found.start(blocked.start(*tapes)).tapes
    total = None if first is None else first.macro_steps
    with progress(model.machine.name, total, "macro steps") as update:
        result = blocked.run(*tapes, max_steps=max_steps, on_progress=update, **how.keywords())
    prompt = model.prompt(*begin) if show_prompt else None
    if as_json:
        shown = {} if prompt is None else {"prompt": prompt}
        print_json(result_json(_json(result.macro, model), result, blocked) | shown)
    else:
        if prompt is not None:
            click.echo(f"{' '.join(prompt)}\n")
        _print_rows(result_rows(_rows(result.macro, model, how), result, blocked))
    if result.macro.interrupted:
        sys.exit(INTERRUPTED)


def _json(result: Result, model: Model) -> dict[str, object]:
    return {
        "machine": result.machine,
        "construction": result.construction,
        "target": result.target,
        "runtime": result.runtime,
        "device": result.device,
        "dtype": result.dtype,
        "kernel": result.kernel,
        "reason": result.reason,
        "attention": result.attention,
        "outcome": result.outcome,
        "state": result.state,
        "steps": result.steps,
        "forward_passes": result.forward_passes,
        "tokens_per_step": _tokens_per_step(result),
        "peak_context": result.peak_context,
        "widened": result.widened,
        "nonblank": result.nonblank,
        "tapes": [tape_json(model.machine, tape) for tape in result.tapes],
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 6),
        "weights_sha256": model.weights_sha256,
    }


def _tokens_per_step(result: Result) -> float | None:
    return round(result.forward_passes / result.steps, 6) if result.steps else None


def _rows(result: Result, model: Model, asked: How) -> list[tuple[str, str]]:
    machine = model.machine
    rate = result.forward_passes / result.seconds if result.seconds else 0.0
    passes = f"{result.forward_passes:,} in {result.seconds:.3f} s ({rate:,.0f} a second)"
    ended = "interrupted" if result.interrupted else result.outcome
    how = result.runtime if result.kernel is None else f"{result.kernel} kernel"
    where = f"{how} on {result.device}, lookups by {result.attention}"
    exact = "" if result.dtype == "float64" else f", {result.dtype}"
    each = _tokens_per_step(result)
    unit = "tokens" if model.weights.W_loop is None else "cells and edges"
    context = f"{result.peak_context:,} {unit} at most"
    if each is not None:
        context += f", {each:,.4g} pass{'' if each == 1 else 'es'} a step"
    if result.widened:
        times = "once" if result.widened == 1 else f"{result.widened} times"
        context += f"; a head left the window, which was doubled {times}"
    return [
        ("outcome", f"{ended} in state {result.state}"),
        ("steps", f"{result.steps:,}"),
        ("forward passes", passes),
        ("context", context),
        ("nonblank", f"{result.nonblank:,}"),
        *((f"tape {t}", tape_text(machine, tape)) for t, tape in enumerate(result.tapes)),
        ("run by", f"{result.construction}/{result.target} weights, {where}{exact}"),
        *([(f"not {asked.kernel}", result.reason)] if asked.kernel and result.reason else []),
        ("weights", f"sha256 {model.weights_sha256}"),
    ]


def _print_rows(rows: list[tuple[str, str]]) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    with page() as out:
        out.print(table)
