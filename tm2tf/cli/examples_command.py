"""`tm2tf examples`: the worked examples, listed or run."""

from __future__ import annotations

import contextlib
import io
import runpy
from pathlib import Path

import click

from tm2tf.cli.common import json_option, page, print_json
from tm2tf.errors import NotFoundError, did_you_mean


@click.command(name="examples")
@click.argument("name", required=False)
@click.option("--show", is_flag=True, help="Print the example's source instead of running it.")
@json_option
def command(name: str | None, show: bool, as_json: bool) -> None:
    """List the worked examples, or run the one called NAME (its number is enough).

    \b
    Example:
      tm2tf examples 01
    """  # noqa: D301
    from tm2tf.machine.library import data_folder

    found = {path.stem: path for path in sorted(data_folder("examples").glob("[0-9]*.py"))}
    if name is None:
        rows = [{"name": stem, "about": _about(path)} for stem, path in found.items()]
        if as_json:
            print_json(rows)
            return
        from rich.table import Table

        table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
        for row in rows:
            table.add_row(row["name"], row["about"])
        with page() as out:
            out.print(table)
        return
    matches = [path for stem, path in found.items() if stem == name or stem.startswith(f"{name}-")]
    if len(matches) != 1:
        raise NotFoundError(
            f"no example {name!r}; there are {', '.join(found)}" + did_you_mean(name, found)
        )
    path = matches[0]
    made = io.StringIO()
    with contextlib.redirect_stdout(made) if as_json else contextlib.nullcontext():
        if show:
            click.echo(path.read_text(encoding="utf-8"), nl=False)
        else:
            runpy.run_path(str(path), run_name="__main__")
    if as_json:
        shown = {"source" if show else "output": made.getvalue()}
        print_json({"name": path.stem, "about": _about(path), **shown})


def _about(path: Path) -> str:
    """Return the first line of an example's docstring."""
    import ast

    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0] if docstring else ""
