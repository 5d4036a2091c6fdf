"""`tm2tf plot weights`: tensors, circuits, layers, or the whole model on one sheet."""

from __future__ import annotations

from pathlib import Path

import click

from tm2tf.cli.common import Asked, compile_options, json_option, model_of
from tm2tf.cli.plot.common import all_option, check_output, finish, output_option


@click.command(name="weights")
@click.argument("machine")
@click.option(
    "--tensor",
    "names",
    multiple=True,
    metavar="NAME",
    help="W_E, blocks.2.mlp.W_gate, ...; a head's circuits, blocks.2.attn.0, or one of them, "
    "blocks.2.attn.0.QK (or .OV); may be given several times.",
)
@click.option("--layer", type=int, metavar="L", help="A layer: its heads' circuits, its neurons.")
@click.option("--head", metavar="H", help="A head of --layer, by number or name.")
@all_option
@output_option
@compile_options
@json_option
def command(
    machine: str,
    names: tuple[str, ...],
    layer: int | None,
    head: str | None,
    everything: bool,
    path: Path | None,
    asked: Asked,
    as_json: bool,
) -> None:
    """Draw the weights of MACHINE as heatmaps.

    Without --tensor or --layer, the whole model in processing order: what tokens write, each
    head's circuits (QK: which direction here it compares with which one there; OV: what it brings
    from there), what neurons read and write, and the logits. Colours are logarithmic where weights
    differ much: blue is above 0, orange below.

    \b
    Examples:
      tm2tf plot weights bb4 -o bb4.png
      tm2tf plot weights bb4 --layer 2 --head 0 -o head.svg
      tm2tf plot weights binary-increment --tensor W_E -o embedding.png
    """  # noqa: D301
    check_output(path, as_json=as_json)
    if head is not None and layer is None:
        raise click.UsageError("--head needs --layer: which layer's?")
    if names and layer is not None:
        raise click.UsageError("--tensor and --layer show different things: give one")
    from tm2tf.pictures.heatmaps import circuits

    model = model_of(machine, asked)
    weights = model.weights
    if layer is not None:
        one = None if head is None else circuits.head_index(weights, layer, head)
        names = (f"blocks.{layer}" + ("" if one is None else f".attn.{one}"),)
    if names:
        panels = [
            panel for name in names for panel in circuits.part(weights, name, everything=everything)
        ]
    else:
        panels = circuits.overview(weights, everything=everything)
    size = f"{weights.nonzeros:,} of {weights.parameters:,} weights are not 0"
    subtitle = f"construction {weights.construction}, target {weights.target}; {size}"
    finish(
        path,
        as_json=as_json,
        facts={"machine": model.machine.name, "picture": "weights"},
        data=panels,
        drawn=panels,
        words=(f"{model.machine.name}: {', '.join(names) or 'all weights'}", subtitle, "weight"),
    )
