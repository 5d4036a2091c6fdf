"""`tm2tf sweep`: many machines, inputs and constructions. Exit code 1 if something is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import json_option, page, print_json, progress, steps_option

if TYPE_CHECKING:
    from tm2tf.sweep.engine import Engine
    from tm2tf.sweep.sweep import Summary
    from tm2tf.sweep.tasks import Asked

MOST_SHOWN = 20
"""Rows shown that do not agree; all of them are in the results."""


@click.command(name="sweep")
@click.argument("machines", nargs=-1, metavar="[MACHINE]...")
@click.option("--folder", "folders", multiple=True, metavar="DIR", help="Machines, a file each.")
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    metavar="FILE.tsv",
    help="Codes with what is known of them, as `tm2tf verify --corpus` has it.",
)
@click.option("--states", type=click.IntRange(min=1), help="All machines of so many states and")
@click.option("--symbols", type=click.IntRange(min=2), help="so many symbols, in tree normal form.")
@click.option("--random", type=click.IntRange(min=0), default=0, help="So many random machines.")
@click.option("--seed", default=0, show_default=True, help="Seed of --random.")
@click.option(
    "--construction",
    "constructions",
    multiple=True,
    default=("trace",),
    show_default=True,
    help="How they are built; several times: by each.",
)
@click.option(
    "--set",
    "given",
    multiple=True,
    metavar="NAME=NUMBER",
    help="An option of the constructions, such as tape=64.",
)
@steps_option
@click.option(
    "--compare",
    type=click.Choice(["steps", "ends"]),
    default="steps",
    show_default=True,
    help="Every step in lockstep; or how runs end, a whole batch running at once.",
)
@click.option(
    "-o",
    "--output",
    default="sweep",
    show_default=True,
    metavar="DIR",
    help="Folder of the results. With the same folder a sweep goes on where it was.",
)
@click.option(
    "--format",
    "kind",
    type=click.Choice(["jsonl", "parquet"]),
    default="jsonl",
    show_default=True,
    help="Of the results.",
)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Processes of this computer, or a Ray cluster (extra `cluster`).",
)
@click.option(
    "--address",
    help="Of the Ray cluster: auto, HOST:PORT or ray://... (default: one that is begun here).",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Processes (default: one for each core, or for each CPU of the cluster).",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.1),
    default=300.0,
    show_default=True,
    help="Time limit of a run; a process that takes longer is ended.",
)
@json_option
@click.pass_context
def command(ctx: click.Context, /, **asked: Any) -> None:
    """Check the weights of many machines, and keep a row for each run.

    MACHINEs, the files of a --folder, a --corpus, all machines of a size (--states and --symbols)
    and --random ones, each by each --construction. Rows are kept as they come: a sweep that was
    stopped, in whatever way, goes on where it was when the same command is given again. A process
    that dies or hangs costs its run a second try, and then a row that says so.

    \b
    Examples:
      tm2tf sweep --states 2 --symbols 2 --max-steps 200
      tm2tf sweep --random 20 --construction trace --construction queue -o out --format parquet
    """  # noqa: D301
    from tm2tf.sweep import sweep
    from tm2tf.sweep.tasks import how_many

    as_json, what = asked.pop("as_json"), _asked(asked)
    total = how_many(what) if sys.stderr.isatty() else None  # only a bar needs it
    with progress("sweep", total, "runs") as update:
        made = sweep.sweep(
            what,
            Path(asked["output"]),
            _engine(asked),
            compare=asked["compare"],
            kind=asked["kind"],
            seconds=asked["seconds"],
            on_progress=update,
        )
    if as_json:
        print_json(sweep.as_json(made))
    else:
        _show(made)
    ctx.exit(1 if made.troubles else 0)


def _asked(asked: dict[str, Any]) -> Asked:
    """Return what is to be swept over."""
    from tm2tf.sweep.tasks import Asked

    if (asked["states"] is None) != (asked["symbols"] is None):
        raise click.UsageError("--states and --symbols go together")
    options = {}
    for word in asked["given"]:
        name, equals, number = word.partition("=")
        if not equals or not re.fullmatch("[0-9]{1,18}", number):
            raise click.UsageError(f"--set takes NAME=NUMBER, such as tape=64; got {word!r}")
        options[name] = int(number)
    return Asked(
        machines=asked["machines"],
        folders=asked["folders"],
        corpora=asked["corpora"],
        sizes=() if asked["states"] is None else ((asked["states"], asked["symbols"]),),
        random=asked["random"],
        seed=asked["seed"],
        constructions=asked["constructions"],
        options=options,
        max_steps=asked["max_steps"],
    )


def _engine(asked: dict[str, Any]) -> Engine:
    from tm2tf.runtime.streams import cores
    from tm2tf.sweep import local, ray_engine

    if asked["engine"] == "ray":
        return ray_engine.engine(asked["address"], asked["workers"])
    if asked["address"] is not None:
        raise click.UsageError("--address goes with --engine ray")
    return local.engine(asked["workers"] or cores())


def _show(made: Summary) -> None:
    """Print a table of what came of a sweep."""
    with page() as out:
        for row in made.troubles[:MOST_SHOWN]:
            where = f"{row['machine']} by {row['construction']} on {row['input'] or '(blank)'}"
            out.print(f"{where}: {row['status']}", soft_wrap=True, markup=False)
            out.print(f"  {row['message']}", soft_wrap=True, markup=False)
        if len(made.troubles) > MOST_SHOWN:
            out.print(f"... and {len(made.troubles) - MOST_SHOWN:,} more")
        lines = [
            ("runs", f"{made.rows:,}" + (f", {made.before:,} from before" if made.before else "")),
            ("", ", ".join(f"{count:,} {word}" for word, count in made.statuses.items())),
            ("ends", ", ".join(f"{count:,} {word}" for word, count in made.outcomes.items())),
            ("steps", f"{made.steps:,}, in {made.forward_passes:,} forward passes"),
        ]
        champions = ((made.most_steps, "steps"), (made.most_nonblank, "nonblank"))
        lines += [
            (f"most {of}", f"{best[of]:,} by {best['machine']}")
            for best, of in champions
            if best is not None
        ]
        lines += [("time", f"{made.seconds:.1f} s"), ("results", str(made.path))]
        for name, text in lines:
            out.print(f"{name:<16}{text}", soft_wrap=True, markup=False)
