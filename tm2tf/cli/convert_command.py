"""`tm2tf convert`: a machine in another format."""

from __future__ import annotations

from pathlib import Path

import click

from tm2tf.cli.common import json_option, print_json
from tm2tf.errors import InputError


@click.command(name="convert")
@click.argument("machine")
@click.option("--to", "to", required=True, metavar="FORMAT", help="See docs/formats.md for all.")
@click.option(
    "--one-way",
    is_flag=True,
    help="Take the tapes to begin at address 0, where a head that should go on to the left stays: "
    "for files that do not say so themselves.",
)
@click.option("-o", "--output", type=click.Path(dir_okay=False), help="File to write.")
@json_option
def command(machine: str, to: str, one_way: bool, output: str | None, as_json: bool) -> None:
    """Write MACHINE in another format, to stdout or a file.

    FORMAT is native, bbchallenge, turingmachine.io, morphett, turingmachinesimulator.com, jflap,
    doty or automata-lib. What it cannot say is an error that names it. What the file that is read
    says, and a machine here cannot, goes to stderr.

    \b
    Examples:
      tm2tf convert bb4 --to bbchallenge
      tm2tf convert palindrome --to jflap
    """  # noqa: D301
    from tm2tf import api, formats
    from tm2tf.machine.one_way import one_way as begun

    loaded = api.load(machine)
    for note in loaded.notes:
        click.echo(f"note: {note}", err=True)
    text = formats.by_name(to).dump(begun(loaded) if one_way and not loaded.first else loaded)
    if output is not None:
        try:
            Path(output).write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {output}: {error.strerror}") from None
    if as_json:
        facts = {"machine": machine, "format": to, "path": output, "text": text}
        print_json({**facts, "notes": list(loaded.notes)})
    elif output is None:
        click.echo(text, nl=not text.endswith("\n"))
