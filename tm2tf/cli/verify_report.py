"""What `tm2tf verify` says of the runs that it checked, as JSON and as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tm2tf.cli.common import page, tape_text

if TYPE_CHECKING:
    from rich.table import Table

    from tm2tf.api import Model
    from tm2tf.blocked.model import BlockModel
    from tm2tf.verify.cases import Case
    from tm2tf.verify.lockstep import Check

MANY = 40
"""More cases than this are shown as one line, and one bar counts them all."""


@dataclass(frozen=True, slots=True)
class Job:
    """A run to verify. `make` gives the model; `again` is the command that repeats the run.

    `several`: whether the case is verified by all constructions; `may_skip`: whether one that
    its default bounds are too narrow for is left out then.
    """

    case: Case
    make: Callable[[], Model | BlockModel]
    again: str
    may_skip: bool
    several: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """A machine that a construction does not take, or not so far, and why."""

    machine: str
    construction: str
    reason: str


def report_of(
    done: list[tuple[Job, Check]], skipped: list[Skipped], seconds: float
) -> dict[str, Any]:
    """Return the report that `--json` prints."""
    checks = [check for _, check in done]
    diverged = [
        {
            "machine": check.machine,
            "construction": check.construction,
            "input": [job.case.machine.join(tape.contents) for tape in job.case.tapes],
            "step": check.divergence.step,
            "layer": check.divergence.layer,
            "feature": check.divergence.feature,
            "expected": check.divergence.expected,
            "got": check.divergence.got,
            "command": job.again,
        }
        for job, check in done
        if check.divergence is not None
    ]
    constructions: dict[str, dict[str, int]] = {}
    for check in checks:
        row = constructions.setdefault(check.construction, {"checked": 0, "agreed": 0, "steps": 0})
        row["checked"] += 1
        row["agreed"] += check.divergence is None
        row["steps"] += check.steps
    shared = sorted({check.shared_sha256 for check in checks if check.shared_sha256 is not None})
    unfolded = _unfolded(checks)
    return {
        "checked": len(checks),
        "agreed": len(checks) - len(diverged),
        "diverged": diverged,
        "skipped": [asdict(each) for each in skipped],
        "stopped": [
            {"machine": check.machine, "steps": check.steps, "ends_after": job.case.ends}
            for job, check in done
            if job.case.ends is not None
        ],
        "constructions": constructions,
        "steps_checked": sum(check.steps for check in checks),
        "forward_passes": sum(check.forward_passes for check in checks),
        "evaluators": {
            "weights": sum(check.steps for check in checks),
            "compiled_simulator": sum(check.steps for check in checks),
            "reference_simulator": sum(check.interpreted for check in checks),
            "interpreter": sum(check.interpreted for check in checks),
        },
        "shared_weights_sha256": shared,
        **({"unfolded": unfolded} if unfolded else {}),
        "seconds": round(seconds, 6),
    }


def _unfolded(checks: list[Check]) -> list[dict[str, Any]]:
    """Return for each run in blocks what its macro steps were unfolded to."""
    from tm2tf.blocked.model import BlockCheck

    return [
        {
            "machine": check.base,
            "block": check.block,
            "rules": check.rules,
            "outcome": check.unfolded.outcome,
            "macro_steps": check.unfolded.macro_steps,
            "steps": check.unfolded.base_steps,
            "seconds": round(check.unfolded.seconds, 6),
        }
        for check in checks
        if isinstance(check, BlockCheck)
    ]


def show(done: list[tuple[Job, Check]], report: dict[str, Any]) -> None:
    """Print the report."""
    from rich.table import Table

    several = any(check.construction != "trace" for _, check in done)
    with page() as out:
        if len(done) <= MANY:
            table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
            headings = ["machine", "start", "ends", "steps", "agreed"]
            for heading in ["machine", "by", *headings[1:]] if several else headings:
                table.add_column(heading, justify="right" if heading == "steps" else "left")
            for job, check in done:
                start = "; ".join(tape_text(job.case.machine, tape) for tape in job.case.tapes)
                agreed = "yes" if check.divergence is None else "NO"
                cells = [start, check.outcome, f"{check.steps:,}", agreed]
                by = [check.construction] if several else []
                table.add_row(check.machine, *by, *cells)
            out.print(table)
        if len(report["constructions"]) > 1:
            out.print(_by_construction(report["constructions"]))
        for part in report["diverged"]:
            place = f"step {part['step']:,}" + (f", {part['layer']}" if part["layer"] else "")
            named = f"{part['machine']} by {part['construction']}" if several else part["machine"]
            out.print(f"\n{named}: {place}, feature {part['feature']}", soft_wrap=True)
            out.print(f"  expected {part['expected']}\n  got      {part['got']}", soft_wrap=True)
            out.print(f"  again:   {part['command']}", soft_wrap=True)
        for line in _skips(report["skipped"]):
            out.print(line, soft_wrap=True)
        if report["stopped"]:
            out.print(_stopped(report["stopped"]), soft_wrap=True)
        for digest in report["shared_weights_sha256"]:
            out.print(f"all by the same weights: sha256 {digest}")
        if "unfolded" in report:
            macro, base = (sum(x[k] for x in report["unfolded"]) for k in ("macro_steps", "steps"))
            out.print(
                f"{macro:,} macro steps unfolded to {base:,} steps of the machine itself: state, "
                "head and cells of the block compared after each macro step",
                soft_wrap=True,
            )
        steps, took = report["steps_checked"], report["evaluators"]
        out.print(
            f"{report['agreed']} of {report['checked']} runs agree; {steps:,} steps checked in "
            f"{report['seconds']:.2f} s\nweights and compiled simulator took part in every step, "
            f"reference simulator and interpreter in {took['interpreter']:,}",
            markup=False,
        )


def _stopped(stopped: list[dict[str, Any]]) -> str:
    """Return a line for the runs that are longer than the limit of steps."""
    ends = sorted(each["ends_after"] for each in stopped)
    return (
        f"{len(stopped):,} of the runs were stopped at the limit of steps, before their end, which "
        f"comes after {ends[0]:,}" + (f" to {ends[-1]:,} steps" if len(ends) > 1 else " steps")
    )


def _by_construction(found: dict[str, dict[str, int]]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("construction", "runs", "agreed", "steps"):
        table.add_column(heading, justify="left" if heading == "construction" else "right")
    for name, row in found.items():
        table.add_row(name, *(f"{row[key]:,}" for key in ("checked", "agreed", "steps")))
    return table


def _skips(skipped: list[dict[str, str]]) -> list[str]:
    """Return a line for each construction and reason, with the machines that it is about."""
    about: dict[tuple[str, str], dict[str, None]] = {}
    for each in skipped:
        about.setdefault((each["construction"], each["reason"]), {})[each["machine"]] = None
    return [
        f"not by {name}: {', '.join(machines) if len(machines) <= MANY else len(machines)} "
        f"({reason})"
        for (name, reason), machines in about.items()
    ]
