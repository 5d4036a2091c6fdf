"""`tm2tf verify`: every step of the weights against the machine. Exit code 1 if they part."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import (
    compile_options,
    input_options,
    json_option,
    page,
    print_json,
    progress,
    runtime_options,
    starts,
    tape_text,
)

if TYPE_CHECKING:
    from tm2tf.verify.cases import Case
    from tm2tf.verify.lockstep import Check

MANY = 40
"""More cases than this are shown as one line, and one bar counts them all."""


@click.command(name="verify")
@click.argument("machines", nargs=-1, metavar="MACHINE...")
@input_options
@click.option(
    "--random",
    "count",
    type=click.IntRange(min=0),
    default=0,
    help="Also verify so many random machines of 1-3 tapes on random tapes.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of --random.")
@click.option(
    "--corpus",
    type=click.Path(dir_okay=False),
    metavar="FILE.tsv",
    help="Also verify the machines of a file: code, steps, nonblank, with tabs.",
)
@compile_options
@runtime_options
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    machines: tuple[str, ...],
    inputs: tuple[str, ...],
    origins: tuple[int, ...],
    heads: tuple[int, ...],
    count: int,
    seed: int,
    corpus: str | None,
    construction: str,
    target: str,
    runtime: str,
    device: str,
    max_steps: int | None,
    as_json: bool,
) -> None:
    """Check every step of the weights of each MACHINE against the machine.

    State, symbols read and written, move, head and tape are compared at every step with the
    machine's rules as a compiled table; for the first 10,000 steps the reference simulator and
    the interpreter of the transformer's program take part too. Each machine runs on the examples
    in its file, or on --input. A difference is shown with its step, layer and feature, and exits
    with 1. --construction all takes each construction in turn.

    \b
    Example:
      tm2tf verify bb4 binary-increment
    """  # noqa: D301
    if not machines and not count and corpus is None:
        raise click.UsageError("name a MACHINE, or give --random N or --corpus FILE.tsv")
    given = bool(inputs or origins or heads)
    if given and len(machines) != 1:
        raise click.UsageError("--input goes with one MACHINE")
    cases = [
        *_named(machines, (inputs, origins, heads), max_steps, construction, target),
        *_unnamed(count, seed, corpus, max_steps, construction, target),
    ]
    options = {"runtime": runtime, "device": device}
    began = time.perf_counter()
    checks = list(_run(cases, options))
    chosen = {"construction": construction, "target": target, **options}
    report = _report(cases, checks, time.perf_counter() - began, _said(ctx, chosen))
    if as_json:
        print_json(report)
    else:
        _show(cases, checks, report)
    ctx.exit(1 if report["diverged"] else 0)


def _constructions(name: str) -> list[str]:
    from tm2tf.constructions import CONSTRUCTIONS

    return [known.name for known in CONSTRUCTIONS] if name == "all" else [name]


def _named(
    machines: tuple[str, ...],
    start: tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]],
    max_steps: int | None,
    construction: str,
    target: str,
) -> Iterator[tuple[Any, Case]]:
    """Yield (model, case) for each machine named, an artifact folder with its own weights."""
    from tm2tf import api
    from tm2tf.verify.cases import of_machine

    for what in machines:
        if api.is_folder(what):
            models = [api.open_model(what)]
        else:
            found = api.load(what)
            models = [api.compile(found, name, target) for name in _constructions(construction)]
        for model in models:
            tapes = starts(model.machine, *start)
            for case in of_machine(what, model.machine, tapes, max_steps, any(start)):
                yield model, case


def _unnamed(
    count: int, seed: int, corpus: str | None, max_steps: int | None, construction: str, target: str
) -> Iterator[tuple[Any, Case]]:
    """Yield (a function that compiles, case) for random machines and a corpus: one at a time."""
    from tm2tf import api
    from tm2tf.verify.cases import of_corpus, sampled

    found = list(sampled(count, seed, max_steps))
    found += [] if corpus is None else of_corpus(Path(corpus), max_steps)
    for case in found:
        for name in _constructions(construction):
            yield (lambda case=case, name=name: api.compile(case.machine, name, target)), case


def _run(cases: list[tuple[Any, Case]], options: dict[str, str]) -> Iterator[Check]:
    """Yield the check of each case; a bar counts cases if they are many, else a case's steps."""
    if len(cases) > MANY:
        with progress("verify", len(cases), "runs") as update:
            for number, (model, case) in enumerate(cases):
                yield _check(model, case, options, None)
                if update is not None:
                    update(number + 1)
        return
    for model, case in cases:
        with progress(case.machine.name, case.expected.steps or case.max_steps) as update:
            yield _check(model, case, options, update)


def _check(model: Any, case: Case, options: dict[str, str], update: Any) -> Check:
    ready = model() if callable(model) else model
    check: Check = ready.verify(
        *case.tapes,
        expected=case.expected,
        max_steps=case.max_steps,
        on_progress=update,
        **options,
    )
    return check


def _said(ctx: click.Context, options: dict[str, str]) -> str:
    """Return the options that are not the defaults, as words of a command line."""
    defaults = {parameter.name: parameter.default for parameter in ctx.command.params}
    said = (f" --{name} {value}" for name, value in options.items() if value != defaults[name])
    return "".join(said)


def _report(
    cases: list[tuple[Any, Case]], checks: list[Check], seconds: float, options: str
) -> dict[str, Any]:
    diverged = [
        {
            "machine": check.machine,
            "input": [case.machine.join(tape.contents) for tape in case.tapes],
            "step": check.divergence.step,
            "layer": check.divergence.layer,
            "feature": check.divergence.feature,
            "expected": check.divergence.expected,
            "got": check.divergence.got,
            "command": case.command + options,
        }
        for (_, case), check in zip(cases, checks, strict=True)
        if check.divergence is not None
    ]
    return {
        "checked": len(checks),
        "agreed": len(checks) - len(diverged),
        "diverged": diverged,
        "steps_checked": sum(check.steps for check in checks),
        "forward_passes": sum(check.forward_passes for check in checks),
        "evaluators": {
            "weights": sum(check.steps for check in checks),
            "compiled_simulator": sum(check.steps for check in checks),
            "reference_simulator": sum(check.interpreted for check in checks),
            "interpreter": sum(check.interpreted for check in checks),
        },
        "seconds": round(seconds, 6),
    }


def _show(cases: list[tuple[Any, Case]], checks: list[Check], report: dict[str, Any]) -> None:
    from rich.table import Table

    with page() as out:
        if len(cases) <= MANY:
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
            for heading in ("machine", "start", "ends", "steps", "agreed"):
                table.add_column(heading, justify="right" if heading == "steps" else "left")
            for (_, case), check in zip(cases, checks, strict=True):
                start = "; ".join(tape_text(case.machine, tape) for tape in case.tapes)
                agreed = "yes" if check.divergence is None else "NO"
                table.add_row(check.machine, start, check.outcome, f"{check.steps:,}", agreed)
            out.print(table)
        for part in report["diverged"]:
            place = f"step {part['step']:,}" + (f", {part['layer']}" if part["layer"] else "")
            out.print(f"\n{part['machine']}: {place}, feature {part['feature']}", soft_wrap=True)
            out.print(f"  expected {part['expected']}\n  got      {part['got']}", soft_wrap=True)
            out.print(f"  again:   {part['command']}", soft_wrap=True)
        steps, took = report["steps_checked"], report["evaluators"]
        out.print(
            f"{report['agreed']} of {report['checked']} runs agree; {steps:,} steps checked in "
            f"{report['seconds']:.2f} s\nweights and compiled simulator took part in every step, "
            f"reference simulator and interpreter in {took['interpreter']:,}",
            markup=False,
        )
