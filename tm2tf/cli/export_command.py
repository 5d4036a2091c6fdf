"""`tm2tf export`: a machine as a checkpoint that others' programs run."""

from __future__ import annotations

from typing import Any

import click

from tm2tf.cli.common import json_option, page, print_json


@click.command(name="export")
@click.argument("machine")
@click.option("--to", "to", required=True, metavar="FORMAT", help="What to write; see above.")
@click.option(
    "--construction",
    help="addressed (so many steps), or summarised-addressed (a context of fixed length).  "
    "[default: addressed]",
)
@click.option(
    "--tape",
    type=int,
    help="Cells of each tape; to tracr, of the window.  [default: 256; to tracr 24]",
)
@click.option("--steps", type=int, help="Steps it has to be exact for (addressed).")
@click.option("--context", type=int, help="Longest context (summarised-addressed).")
@click.option(
    "--dtype",
    help="float32, bfloat16 or float16: of weights, activations and cached keys.  "
    "[default: float32]",
)
@click.option(
    "--origin",
    type=int,
    help="Cell at which plain input begins, and the head (default: half the tape).",
)
@click.option(
    "-o",
    "--output",
    "output",
    required=True,
    type=click.Path(file_okay=False),
    help="Folder to write.",
)
@json_option
def command(machine: str, to: str, output: str, as_json: bool, **asked: Any) -> None:
    """Write MACHINE as a checkpoint of an architecture that others run.

    \b
    FORMAT is one of
      gpt2              a GPT2LMHeadModel of transformers
      llama             a LlamaForCausalLM of transformers
      gguf              a Llama for llama.cpp
      onnx              a Llama with a key-value cache, for onnxruntime
      transformer-lens  a Llama for TransformerLens
      tracr             what tracr compiles, one step of the machine

    The longest context in which it is exact is derived; more is refused. The folder has the
    weights, a tokenizer, a model card, the bounds, names for everything, and the circuit (from
    tracr, weights, card, bound and names).

    \b
    Example:
      tm2tf export bb4 --to gpt2 --tape 32 --steps 107 -o build/bb4-gpt2
    """  # noqa: D301
    from tm2tf import api

    # what is not asked for is the format's to choose: formats have different options
    given = {name: value for name, value in asked.items() if value is not None}
    done = api.export(machine, to, output, **given)
    facts: dict[str, object] = {
        "machine": done.machine.name,
        "format": to,
        **done.facts,
        "path": output,
        "files": done.sizes,
    }
    if as_json:
        print_json(facts)
        return
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, value in facts.items():
        if isinstance(value, dict):
            shown = ", ".join(f"{file} ({size:,} bytes)" for file, size in value.items())
        elif value is None:
            shown = "no end"
        else:
            shown = f"{value:,}" if isinstance(value, int) else str(value)
        table.add_row(name.replace("_", " "), shown)
    with page() as out:
        out.print(table)
