"""`tm2tf convert`: a machine in another format."""

from __future__ import annotations

from pathlib import Path

import click

from tm2tf.cli.common import json_option, print_json
from tm2tf.errors import InputError


@click.command(name="convert")
@click.argument("machine")
@click.option("--to", "to", required=True, metavar="FORMAT", help="native or bbchallenge.")
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File to write.")
@json_option
def command(machine: str, to: str, output: str | None, as_json: bool) -> None:
    """Write MACHINE in another format, to stdout or a file.

    What the format cannot say is an error that names it.

    \b
    Example:
      tm2tf convert bb4 --to bbchallenge
    """  # noqa: D301
    from tm2tf import api, formats

    text = formats.by_name(to).dump(api.load(machine))
    if output is not None:
        try:
            Path(output).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {output}: {error.strerror}") from None
    if as_json:
        print_json({"machine": machine, "format": to, "path": output, "text": text})
    elif output is None:
        click.echo(text, nl=not text.endswith("\n"))
