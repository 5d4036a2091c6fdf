"""`tm2tf view`: a page that shows a machine and runs its weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import (
    Asked,
    compile_options,
    input_options,
    json_option,
    model_of,
    print_json,
    progress,
    starts,
)
from tm2tf.errors import InputError

if TYPE_CHECKING:
    from tm2tf.api import Model


@click.command(name="view")
@click.argument("machine", required=False)
@click.option(
    "--output", "-o", required=True, metavar="PATH", help="The page, or with --library a folder."
)
@click.option("--open", "opens", is_flag=True, help="Open it in a browser.")
@click.option("--library", is_flag=True, help="A page for each bundled machine, and an index.")
@input_options
@compile_options
@json_option
def command(
    machine: str | None,
    output: str,
    opens: bool,
    library: bool,
    asked: Asked,
    as_json: bool,
    **given: Any,
) -> None:
    """Write a page that shows MACHINE and runs its weights, in one file without any network.

    It opens with --input, or else with an example of the machine, and takes new inputs. MACHINE may
    be a folder that `tm2tf compile` wrote.

    \b
    Examples:
      tm2tf view bb4 -o bb4.html
      tm2tf view binary-increment --input 1011 -o increment.html --open
      tm2tf view --library -o site/
    """  # noqa: D301
    if library:
        _refuse_one(machine, asked, given)
        facts = _library(Path(output))
    elif machine is None:
        raise click.UsageError("which machine? Give MACHINE, or --library for all bundled ones")
    else:
        facts = _page(model_of(machine, asked), given, Path(output))
    if opens:
        import webbrowser

        webbrowser.open(Path(str(facts["opens"])).absolute().as_uri())
    if as_json:
        print_json(facts)
    else:
        size = f"{facts['bytes']:,} bytes"
        pages = f", {facts['pages']} pages" if library else ""
        click.echo(f"wrote {facts['path']}  {size}{pages}")


def _refuse_one(machine: str | None, asked: Asked, given: dict[str, Any]) -> None:
    """Refuse what goes with one machine only."""
    named = {"MACHINE": machine, "--input": given["inputs"], "--origin": given["origins"]}
    named |= {"--head-at": given["heads"], asked.words().strip(): asked.words()}
    for name, value in named.items():
        if value:
            raise click.UsageError(f"--library shows all bundled machines: leave {name} out")


def _page(model: Model, given: dict[str, Any], path: Path) -> dict[str, object]:
    """Write the page of a model; return facts about it."""
    tapes = starts(model.machine, given["inputs"], given["origins"], given["heads"])
    text = model.page(*tapes)
    _write(path, text)
    return {
        "machine": model.machine.name,
        "construction": model.weights.construction,
        "path": str(path),
        "opens": str(path),
        "bytes": len(text.encode()),
    }


def _library(folder: Path) -> dict[str, object]:
    """Write a page for each bundled machine and an index; return facts about them."""
    from tm2tf import api
    from tm2tf.machine.library import entries
    from tm2tf.page.library import INDEX, Listed, site

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from None
    listed = [Listed(entry.topic, api.load(entry.name)) for entry in entries()]
    size = 0
    with progress("pages", len(listed), "pages") as update:
        for name, text in site(listed, update):
            _write(folder / name, text)
            size += len(text.encode())
    return {
        "path": str(folder),
        "opens": str(folder / INDEX),
        "pages": len(listed) + 1,
        "bytes": size,
    }


def _write(path: Path, text: str) -> None:
    """Write a file whose folder exists."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
