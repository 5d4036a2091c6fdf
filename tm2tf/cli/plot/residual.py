"""`tm2tf plot residual`: what the residual stream held at each position of a run."""

from __future__ import annotations

from pathlib import Path

import click

from tm2tf.cli.common import (
    Asked,
    compile_options,
    json_option,
    model_of,
    progress,
    start_of,
)
from tm2tf.cli.plot.common import (
    all_option,
    check_output,
    finish,
    output_option,
    run_options,
    unit_of,
)
from tm2tf.errors import InputError

EVERY = "all"
"""What asks for every layer."""


@click.command(name="residual")
@click.argument("machine")
@run_options
@click.option(
    "--layer",
    metavar="L",
    help="After which layer: a number, `embedding`, or `all`. Without it, after the last.",
)
@all_option
@output_option
@compile_options
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    begins: tuple[int, ...],
    steps: int | None,
    layer: str | None,
    everything: bool,
    path: Path | None,
    asked: Asked,
    as_json: bool,
) -> None:
    """Draw the residual stream of MACHINE over its run: directions down, positions across.

    A feature's directions stand together, between lines. Those that are 0 all the time are left
    out.

    \b
    Examples:
      tm2tf plot residual binary-increment --input 1011 -o residual.png
      tm2tf plot residual bb4 --steps 40 --layer embedding -o embedding.svg
    """  # noqa: D301
    check_output(path, as_json=as_json)
    from tm2tf.pictures.heatmaps import attention, residual
    from tm2tf.pictures.heatmaps.forward import forward

    model = model_of(machine, asked)
    count = len(model.weights.layers)
    start = start_of(model, inputs, origins, begins)
    numbers = _layers(layer, count)
    with progress(model.machine.name, None, unit_of(model)) as update:
        found = forward(model.compiled, start, steps, attention=False, on_progress=update)
    panels = [
        residual.residual(model.weights, found, number, everything=everything) for number in numbers
    ]
    finish(
        path,
        as_json=as_json,
        facts={
            "machine": model.machine.name,
            "picture": "residual",
            "steps": found.steps,
            "over": found.over,
            "prompt": found.prompt,
            "tokens": list(found.tokens),
        },
        data=panels,
        drawn=panels,
        words=(f"{model.machine.name}: residual stream", attention.subtitle(found), "value"),
    )


def _layers(word: str | None, count: int) -> list[int]:
    """Return the layers that `--layer` asks for; -1 is the embedding.

    Raises:
        InputError: it asks for none that there is.
    """
    if word is None:
        return [count - 1]
    if word in (EVERY, "embedding"):
        return [-1, *range(count)] if word == EVERY else [-1]
    if not word.isdecimal() or int(word) >= count:
        known = ", ".join(map(str, range(count)))
        raise InputError(f"no layer {word!r}; there are: {known}, embedding, {EVERY}")
    return [int(word)]
