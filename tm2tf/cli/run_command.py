"""`tm2tf run`: a machine as a transformer, from its prompt to its last token."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from tm2tf.cli import INTERRUPTED
from tm2tf.cli.common import (
    compile_options,
    input_options,
    json_option,
    model_of,
    page,
    print_json,
    progress,
    runtime_options,
    starts,
    tape_json,
    tape_text,
)

if TYPE_CHECKING:
    from tm2tf.machine.spec import Machine
    from tm2tf.runtime.run import Result


@click.command(name="run")
@click.argument("machine")
@input_options
@compile_options
@runtime_options
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    construction: str,
    target: str,
    runtime: str,
    device: str,
    max_steps: int | None,
    as_json: bool,
) -> None:
    """Run MACHINE as a transformer.

    The machine is compiled (or its compiled folder loaded), the input becomes the prompt, and the
    weights emit one token a step until one of them ends the run. Ctrl-C stops it and shows how
    far it came.

    \b
    Example:
      tm2tf run binary-increment --input 1011
    """  # noqa: D301
    model = model_of(machine, construction, target)
    tapes = starts(model.machine, inputs, origins, heads)
    known = [
        example.expected.steps
        for example in model.machine.examples
        if example.tapes == model.machine.initial(tapes).tapes
    ]
    total = max_steps if max_steps is not None else next(iter(known), None)
    with progress(model.machine.name, total) as update:
        result = model.run(
            *tapes, max_steps=max_steps, runtime=runtime, device=device, on_progress=update
        )
    if as_json:
        print_json(_json(result, model.machine))
    else:
        _show(result, model.machine)
    if result.interrupted:
        sys.exit(INTERRUPTED)


def _json(result: Result, machine: Machine) -> dict[str, object]:
    return {
        "machine": result.machine,
        "construction": result.construction,
        "target": result.target,
        "runtime": result.runtime,
        "device": result.device,
        "attention": result.attention,
        "outcome": result.outcome,
        "state": result.state,
        "steps": result.steps,
        "forward_passes": result.forward_passes,
        "nonblank": result.nonblank,
        "tapes": [tape_json(machine, tape) for tape in result.tapes],
        "interrupted": result.interrupted,
        "seconds": round(result.seconds, 6),
    }


def _show(result: Result, machine: Machine) -> None:
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    rate = result.forward_passes / result.seconds if result.seconds else 0.0
    passes = f"{result.forward_passes:,} in {result.seconds:.3f} s ({rate:,.0f} a second)"
    ended = "interrupted" if result.interrupted else result.outcome
    where = f"{result.runtime} on {result.device}, lookups by {result.attention}"
    rows = [
        ("outcome", f"{ended} in state {result.state}"),
        ("steps", f"{result.steps:,}"),
        ("forward passes", passes),
        ("nonblank", f"{result.nonblank:,}"),
        *((f"tape {t}", tape_text(machine, tape)) for t, tape in enumerate(result.tapes)),
        ("run by", f"{result.construction}/{result.target} weights, {where}"),
    ]
    for row in rows:
        table.add_row(*row)
    with page() as out:
        out.print(table)
