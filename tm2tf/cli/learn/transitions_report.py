"""What `tm2tf learn transitions` prints, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tm2tf.cli.common import page

if TYPE_CHECKING:
    from rich.table import Table


def show(report: Mapping[str, Any]) -> None:
    """Print a comparison without noise."""
    tuned, within = report["fine_tuned"], report["in_context"]
    table = _table(("", "right", "tokens agreed", "first difference", "weights sha256"), "left")
    for name, followed in (("fine-tuned", tuned), ("in context", within)):
        table.add_row(
            name,
            f"{followed['right']} of {followed['runs']}",
            f"{followed['tokens_agreed']:,} of {followed['tokens']:,}",
            _first(followed["first_divergence"]),
            f"{followed['weights_sha256'][:16]}...",
        )
    low, high = report["predicted_covered"]
    with page() as out:
        out.print(
            f"{report['machine']}: {report['examples']:,} examples, {report['distinct_examples']} "
            f"of them different, from {report['training_steps']:,} steps of "
            f"{report['training_runs']} runs; {report['held_out']} held-out inputs"
        )
        out.print(table)
        out.print(_training(tuned))
        out.print(f"prompt        {within['prompt_tokens']:,} tokens with the examples in it")
        out.print(
            f"rules shown   for {report['covered']} of {report['held_out']} held-out runs "
            f"(predicted share {_range(low, high)})"
        )
        for rule in report["rules_missing"]:
            out.print(f"not shown     {rule}")
        if report["curve"]:
            seeds = report["curve"][0]["seeds"]
            out.print(f"\nshare of held-out runs right to the end, mean of {seeds} seeds")
            out.print(_curve(report["curve"]))


def show_noisy(report: Mapping[str, Any]) -> None:
    """Print a comparison with noise."""
    tuned, found = report["fine_tuned"], report["total_variation"]
    table = _table(("total variation", "mean", "most"), "right")
    for name, label in (
        ("fine_tuned", "fine-tuned to truth"),
        ("in_context", "in context to truth"),
        ("between", "fine-tuned to in context"),
    ):
        table.add_row(label, *(f"{found[name][column]:.4f}" for column in ("mean", "most")))
    with page() as out:
        out.print(
            f"{report['machine']} with noise {report['noise']:g}: {report['examples']:,} examples "
            f"from {report['training_runs']} runs; {report['held_out_steps']:,} steps of "
            f"{report['held_out']} held-out runs"
        )
        out.print(table)
        out.print(f"expected      {report['expected_in_context']:.4f} in context to truth")
        out.print(_training(tuned))
        out.print(f"base weights  sha256 {report['base_sha256'][:16]}...")
        if report["curve"]:
            out.print(f"\nmean total variation, mean of {report['curve'][0]['seeds']} seeds")
            out.print(_distances(report["curve"]))


def _table(headings: Sequence[str], justify: Any) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for place, heading in enumerate(headings):
        table.add_column(heading, justify=justify if place else "left")
    return table


def _first(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "none"
    return (
        f"input {found['input'] or '(blank)'}, step {found['step']}, {found['feature']}: "
        f"expected {found['expected']}, got {found['got']}"
    )


def _training(tuned: Mapping[str, Any]) -> str:
    fitted = "fitted" if tuned["fitted"] else "NOT fitted"
    return (
        f"training      {fitted} in {tuned['training_steps']:,} steps of AdamW, loss "
        f"{tuned['loss']:.2g}, {tuned['neurons']} neurons"
    )


def _range(low: float, high: float) -> str:
    ends = dict.fromkeys((f"{low:.3f}", f"{high:.3f}"))
    return " to ".join(ends)


def _curve(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = _table(("examples", "fine-tuned", "in context", "rules shown", "predicted"), "right")
    for row in rows:
        shares = (_mean(row, name) for name in ("fine_tuned", "in_context"))
        chance = _range(row["predicted_low"], row["predicted_high"])
        table.add_row(f"{row['examples']:,}", *shares, f"{row['shown']:.3f}", chance)
    return table


def _distances(rows: Sequence[Mapping[str, Any]]) -> Table:
    headings = ("examples", "fine-tuned to truth", "in context to truth", "expected", "between")
    table = _table(headings, "right")
    for row in rows:
        first, second, between = (_mean(row, n) for n in ("fine_tuned", "in_context", "between"))
        table.add_row(f"{row['examples']:,}", first, second, f"{row['expected']:.3f}", between)
    return table


def _mean(row: Mapping[str, Any], name: str) -> str:
    return f"{row[name]:.3f} [{row[name + '_low']:.2f}, {row[name + '_high']:.2f}]"
