"""`tm2tf plot attention`: which position looked at which, for each head over a run."""

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
    check_output,
    finish,
    output_option,
    run_options,
    unit_of,
)


@click.command(name="attention")
@click.argument("machine")
@run_options
@click.option("--layer", type=int, metavar="L", help="The heads of one layer.")
@click.option("--head", metavar="H", help="One head of --layer, by number or name.")
@output_option
@compile_options
@json_option
def command(
    machine: str,
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    begins: tuple[int, ...],
    steps: int | None,
    layer: int | None,
    head: str | None,
    path: Path | None,
    asked: Asked,
    as_json: bool,
) -> None:
    """Draw the attention of MACHINE's heads over its run: a row looks, a column is looked at.

    A head that attends to one position has one dark cell in each row; one that attends to several
    has a share in each. What a position cannot see is grey. A line stands where the prompt ends.

    \b
    Examples:
      tm2tf plot attention binary-increment --input 1011 -o attention.png
      tm2tf plot attention bb4 --steps 107 --layer 2 --head 0 -o read.svg
    """  # noqa: D301
    check_output(path, as_json=as_json)
    if head is not None and layer is None:
        raise click.UsageError("--head needs --layer: which layer's?")
    from tm2tf.pictures.heatmaps import attention
    from tm2tf.pictures.heatmaps.forward import forward

    model = model_of(machine, asked)
    start = start_of(model, inputs, origins, begins)
    attention.check(model.weights, layer, head)
    with progress(model.machine.name, None, unit_of(model)) as update:
        found = forward(model.compiled, start, steps, on_progress=update)
    panels = attention.attention(model.weights, found, layer, head)
    finish(
        path,
        as_json=as_json,
        facts={
            "machine": model.machine.name,
            "picture": "attention",
            "steps": found.steps,
            "over": found.over,
            "prompt": found.prompt,
            "tokens": list(found.tokens),
        },
        data=panels,
        drawn=attention.merged(model.weights, panels),
        words=(
            f"{model.machine.name}: attention",
            attention.subtitle(found),
            "share of attention",
        ),
    )
