"""`tm2tf kat make`: write the suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tm2tf.cli.common import json_option, page, print_json, progress

if TYPE_CHECKING:
    from tm2tf.kat.suite import Made


@click.command(name="make")
@click.option(
    "-o",
    "--output",
    "folder",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder to write; an earlier suite in it is replaced, with all its cases.",
)
@click.option(
    "--formats",
    metavar="LIST",
    help="Of hf,gguf,onnx (default: all that the installed packages can write). hf always comes.",
)
@click.option(
    "--case",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only cases whose names begin so; may be given several times.",
)
@json_option
def command(folder: Path, formats: str | None, names: tuple[str, ...], as_json: bool) -> None:
    """Write a suite of checkpoints with prompts and the tokens that must follow.

    DIR has suite.json, and a folder for each case: a checkpoint for transformers, answers.json,
    and for Llamas in float32 model.gguf and model.onnx. The answers are the simulator's; the same
    machine compiled for another target has to agree.

    \b
    Example:
      tm2tf kat make -o build/kat --case recency
    """  # noqa: D301
    from tm2tf.kat import suite
    from tm2tf.kat.cases import named

    chosen = named(names)
    wanted = None
    if formats is not None:
        wanted = [word.strip() for word in formats.split(",") if word.strip()]
    with progress("kat make", len(chosen), "cases") as update:
        made = suite.make(folder, chosen, wanted, update)
    for name, why in made.left_out.items():
        click.echo(f"left out {name}: {why}", err=True)
    if as_json:
        print_json(
            {
                "path": str(folder),
                "cases": [
                    {
                        "name": case.name,
                        "stresses": case.stresses,
                        "architecture": case.architecture,
                        "dtype": case.dtype,
                        "positions": case.positions,
                        "files": list(case.files),
                    }
                    for case in made.suite.cases
                ],
                "left_out": made.left_out,
                "tokens": made.tokens,
                "bytes": made.bytes,
            }
        )
        return
    _show(made, folder)


def _show(made: Made, folder: Path) -> None:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("context", justify="right")
    table.add_column("weights for", no_wrap=True)
    table.add_column("stresses")
    engines = {
        "model.safetensors": "transformers",
        "model.gguf": "llama.cpp",
        "model.onnx": "onnxruntime",
    }
    for case in made.suite.cases:
        files = ", ".join(engines[name] for name in case.files if name in engines)
        table.add_row(case.name, f"{case.positions:,}", files, case.stresses)
    with page() as out:
        out.print(table)
        out.print(
            f"{len(made.suite.cases)} cases, {made.tokens:,} known tokens, "
            f"{made.bytes / 1e6:,.1f} MB in {folder}",
            soft_wrap=True,
        )
