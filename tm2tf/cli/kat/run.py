"""`tm2tf kat run`: hold an engine's tokens against the known ones."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tm2tf.cli.common import json_option, page, print_json, progress

if TYPE_CHECKING:
    from rich.console import Console

    from tm2tf.kat.checking import Report, Result
    from tm2tf.kat.diagnosis import Fault

SHOWN = 12
"""Failed items that are listed; `--json` has them all."""


@click.command(name="run")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--engine",
    "called",
    required=True,
    metavar="ENGINE",
    help="transformers, torch-compile, onnxruntime, llama.cpp, or a URL; see above.",
)
@click.option(
    "--case",
    "names",
    multiple=True,
    metavar="NAME",
    help="Only cases whose names begin so; may be given several times.",
)
@click.option(
    "--device",
    default="cpu",
    show_default=True,
    type=click.Choice(["cpu", "cuda"]),
    help="Where transformers and torch-compile run.",
)
@click.option("--model", help="What a server calls its model (default: as the case).")
@click.option("--as-text", is_flag=True, help="Send prompts to a server as text, not as ids.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    folder: Path | None,
    called: str,
    names: tuple[str, ...],
    as_json: bool,
    **how: Any,
) -> None:
    """Run the suite in DIR, which `tm2tf kat make` wrote, through an inference engine.

    \b
    ENGINE is one of
      transformers              generate() of transformers
      torch-compile             the same, compiled
      onnxruntime               on the CPU
      llama.cpp                 by llama-cpp-python
      http://127.0.0.1:8080/v1  a server with OpenAI's completions endpoint

    Reports the first wrong token, where it stands, what it should have recalled, and which fault
    of an engine would explain all that failed. Without DIR a suite is made for this run alone. A
    server has to be given what it serves: --case, and --model if it goes by another name.

    Exits with 0 if all that was asked is right, 1 if something is wrong or nothing was generated.

    \b
    Example:
      tm2tf kat run --engine transformers --case padding-llama-float32
    """  # noqa: D301
    from tm2tf.kat import checking, diagnosis, suite
    from tm2tf.kat.cases import named
    from tm2tf.kat.engines import engine_called, weights_for

    engine = engine_called(called, **how)
    with tempfile.TemporaryDirectory(prefix="tm2tf-kat-") as temporary:
        if folder is None:
            suite.make(Path(temporary), named(names), [weights_for(called)])
        found = suite.load(folder or Path(temporary))
        with progress("kat run", len(suite.chosen(found, names)), "cases") as update:
            report = checking.run(found, engine, names, update)
    fault = diagnosis.suspected(report)
    if as_json:
        print_json(_json(report, fault))
    else:
        with page() as out:
            _show(out, report, fault)
    ctx.exit(0 if report.good else 1)


def _json(report: Report, fault: Fault | None) -> dict[str, Any]:
    first = report.first_wrong
    return {
        "engine": report.engine,
        "good": report.good,
        "passed": len(report.of("passed")),
        "failed": len(report.of("failed")),
        "skipped": len(report.of("skipped")),
        "tokens_checked": report.tokens,
        "first_wrong": None if first is None else _result(first),
        "suspected_faults": [] if fault is None else [{"name": fault.name, "why": fault.because}],
        "sampling": {"temperature": 1, "greatest_1_minus_p": report.doubt},
        "seconds": report.seconds,
        "items": [_result(result) for result in report.results],
    }


def _result(result: Result) -> dict[str, Any]:
    found: dict[str, Any] = {
        "case": result.entry.name,
        "item": result.item,
        "kind": result.kind,
        "status": result.status,
        "tokens": result.tokens,
    }
    if result.reason:
        found["reason"] = result.reason
    if result.wrong is not None:
        wrong = result.wrong
        found |= {
            "row": wrong.row,
            "position": wrong.position,
            "after_prompt": wrong.index,
            "expected": wrong.expected,
            "got": wrong.got,
            "recalls": wrong.recalls,
            "recalled_from_tokens_before": wrong.distance,
        }
    return found


def _show(out: Console, report: Report, fault: Fault | None) -> None:
    failed, skipped = report.of("failed"), report.of("skipped")

    def say(text: str, style: str = "") -> None:
        out.print(text, style=style, soft_wrap=True)

    say(report.engine, "bold")
    for result in failed[:SHOWN]:
        say(f"wrong    {result.entry.name}, {result.item} ({result.kind}): {_what(result)}")
    if len(failed) > SHOWN:
        say(f"         and {len(failed) - SHOWN} more")
    reasons: dict[str, list[str]] = {}
    for result in skipped:
        reasons.setdefault(result.reason, []).append(f"{result.entry.name}, {result.item}")
    for reason, items in reasons.items():
        more = f" and {len(items) - 1} more" if len(items) > 1 else ""
        say(f"skipped  {items[0]}{more}: {reason}")
    first = report.first_wrong
    if first is not None and first.wrong is not None:
        wrong = first.wrong
        say(f"\nfirst wrong token, in {first.entry.name}, {first.item}, row {wrong.row}", "bold")
        say(f"position  {wrong.position:,}, {wrong.index:,} after the prompt's end")
        say(f"expected  `{wrong.expected}`")
        say(f"got       `{wrong.got}`")
        say(f"recalls   {wrong.recalls}")
    if first is not None:
        say(f"stresses  {first.entry.stresses}")
    if fault is not None:
        say(f"\nsuspected: {fault.name}", "bold")
        say(f"  {fault.because}")
    if report.doubt is not None:
        say(f"sampling at temperature 1: each token drawn has 1 - p <= {report.doubt:.1e}")
    kinds = ", ".join(dict.fromkeys(result.kind for result in skipped))
    which = f" ({kinds})" if kinds else ""
    say(
        f"{len(report.of('passed'))} passed, {len(failed)} wrong, {len(skipped)} skipped{which}; "
        f"{report.tokens:,} tokens right in {report.seconds:.1f} s"
    )
    if not report.of("passed") and not failed:
        say("nothing was checked: this is no pass")
    elif not report.good and not failed:
        say("no tokens were generated: this is no pass")


def _what(result: Result) -> str:
    if result.wrong is None:
        return result.reason
    wrong = result.wrong
    return f"`{wrong.got}` at position {wrong.position:,}, not `{wrong.expected}`"
