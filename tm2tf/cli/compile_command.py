"""`tm2tf compile`: weights in a folder, with their sizes."""

from __future__ import annotations

import re
from pathlib import Path

import click

from tm2tf.cli.block import Blocks, block_facts, block_options, inner_model, table_text
from tm2tf.cli.common import Asked, compile_options, json_option, page, print_json


@click.command(name="compile")
@click.argument("machine")
@compile_options
@block_options("closure", inputs=True)
@click.option(
    "-o",
    "--output",
    "output",
    type=click.Path(file_okay=False),
    help="Folder to write (default: MACHINE.tm2tf here).",
)
@json_option
def command(
    machine: str, asked: Asked, blocks: Blocks | None, output: str | None, as_json: bool
) -> None:
    """Turn MACHINE into the weights of a transformer.

    Writes a folder: model.safetensors, and manifest.json with a name for every residual
    direction, head, neuron and token. `run`, `verify` and `inspect` take the folder as a MACHINE.

    With --block the weights are those of the machine in blocks, whose rules hold for the blocks of
    the machine's examples, or of --input; block.json says what the blocks are.

    \b
    Examples:
      tm2tf compile bb4 -o build/bb4
      tm2tf compile bb4 --block 4 -o build/bb4-blocks
    """  # noqa: D301
    from tm2tf import lowering

    model, blocked = inner_model(machine, blocks, asked)
    found = model.machine
    path = Path(output or re.sub(r"[^\w.-]+", "-", found.name) + ".tm2tf")
    digest = model.save(path) if blocked is None else blocked.save(path)
    weights = model.weights
    facts: dict[str, object] = {
        "machine": found.name,
        "construction": model.weights.construction,
        "target": model.weights.target,
        "options": dict(weights.options),
        "dtype": lowering.by_name(model.weights.target).dtype,
        "layers": len(weights.layers),
        "heads": weights.heads,
        "d_model": weights.d_model,
        "d_mlp": weights.d_mlp,
        "vocab": weights.d_vocab,
        "parameters": weights.parameters,
        "nonzeros": weights.nonzeros,
        "tokens_per_step": model.tokens_per_step,
        "path": str(path),
        "weights_sha256": digest,
    }
    if as_json:
        print_json(facts if blocked is None else facts | {"blocks": block_facts(blocked)})
        return
    if blocked is not None:
        facts["blocks"] = table_text(blocked)
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if value is None:
            shown = "depends on the run"
        elif isinstance(value, dict):
            shown = ", ".join(f"{option} {number:,}" for option, number in value.items()) or "none"
        else:
            shown = f"{value:,}" if isinstance(value, int | float) else str(value)
        table.add_row(name.replace("_", " "), shown)
    with page() as out:
        out.print(table)
