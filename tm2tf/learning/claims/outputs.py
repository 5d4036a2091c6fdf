"""Claim B: outputs of a fixed length l, as one distribution over V^l sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from tm2tf.learning import bounds
from tm2tf.learning.claims.laws import LAWS
from tm2tf.learning.claims.next_word import agreement
from tm2tf.learning.monte_carlo import (
    CHEAP,
    LOOSE,
    Experiment,
    Growth,
    Rate,
    Report,
    Results,
    Size,
    crossing,
    grid,
    guaranteed,
    rate,
    selected,
    slope,
)
from tm2tf.learning.verdicts import FALSE, HOLDS, Reading

SUP = "no sequence off by more than eps with probability 1 - delta"
TV = "TV <= eps with probability 1 - delta"
GROWN = ("uniform", "two-point")
"""The laws with which the length grows: the hardest for total variation, and for one sequence."""


def known_sizes(size: Size, length: int) -> dict[str, int]:
    """Return the sizes of a length by their functions' names."""
    text = (size.eps, size.delta, size.vocabulary, length)
    return {
        "sup_norm": bounds.sup_norm(*text),
        "sup_norm_any": bounds.sup_norm_any(size.eps, size.delta),
        "whole_outputs": bounds.whole_outputs(*text),
        "paper_outputs": bounds.paper_outputs(*text),
    }


def outputs(size: Size, law: str, length: int, kind: str, examples: Any) -> Experiment:
    """Return an experiment on sequences of a length: each is a word of one context."""
    return {"kind": kind, "law": law, "contexts": 1, "words": size.vocabulary**length,
            "eps": size.eps, "examples": examples}  # fmt: skip


def base(size: Size, law: str) -> Experiment:
    """Return the experiment at the known sizes."""
    named = sorted(set(known_sizes(size, size.length).values()))
    return outputs(size, law, size.length, "text", named)


def grown(size: Size, law: str, length: int) -> Experiment:
    """Return the experiment that looks for what is enough, in both senses."""
    known = known_sizes(size, length)
    some = grid(min(known["sup_norm"], known["sup_norm_any"]))
    return outputs(size, law, length, "text", grid(known["whole_outputs"], *some))


def sides(size: Size, kind: str, law: str) -> Experiment:
    """Return the experiment that fine-tunes ("tables") or puts into a prompt ("in_context")."""
    examples = known_sizes(size, size.length)["sup_norm"]
    return outputs(size, law, size.length, kind, examples)


def plan(size: Size) -> Iterator[tuple[Experiment, int]]:
    """Yield the experiments, each with its trials; tables of V^l words are slow to train."""
    for law in LAWS:
        yield base(size, law), CHEAP * size.trials
        yield sides(size, "tables", law), size.trials // 10 + 1
        yield sides(size, "in_context", law), size.through_weights
    for law in GROWN:
        for length in range(1, size.length + 1):
            yield grown(size, law, length), CHEAP * size.trials


def report(size: Size, results: Results) -> Report:
    """Return what was found."""
    rates = [row for law in LAWS for row in _rates(size, results, law)]
    growth = [row for law in GROWN for row in _growth(size, results, law)]
    total = [row for row in rates if row.size == "whole_outputs"]
    return Report(
        claim="B",
        title="outputs of a fixed length",
        paper=bounds.PAPER["B"],
        readings=(
            _paper(size, rates, growth),
            _sup(rates, growth),
            guaranteed(total, "claim A's size for V^l words is enough for total variation"),
        ),
        rates=tuple(rates),
        growth=tuple(growth),
        slopes={
            f"n against l, {law}, {sense}": slope(selected(growth, law, "l", enough))
            for law in GROWN
            for sense, enough in (("sup-norm", SUP), ("TV", TV))
        },
        agreement=tuple(agreement(results, sides(size, "tables", law), law) for law in LAWS),
    )


def _rates(size: Size, results: Results, law: str) -> Iterator[Rate]:
    setting = f"{law}, V={size.vocabulary}, l={size.length}"
    total: dict[str, Any] = {"claim": "B", "setting": setting, "failure": "TV > eps"}
    sup: dict[str, Any] = {**total, "failure": "a sequence off by more than eps"}
    known, experiment = known_sizes(size, size.length), base(size, law)
    sums, limit = results[experiment], size.delta
    each, whole = min(known["sup_norm"], known["sup_norm_any"]), known["whole_outputs"]
    for name, n in known.items():
        place = experiment["examples"].index(n)
        row = partial(rate, sums, by="counting", size=name, examples=n)
        # what is guaranteed at a size is guaranteed at all greater ones
        kept = [limit if n >= least else None for least in (each, whole)]
        yield row("sup", place, limit=kept[0], **sup)
        yield row("tv", place, limit=kept[1], **total)
    trained = sides(size, "tables", law)
    at: dict[str, Any] = {"size": "sup_norm", "examples": trained["examples"]}
    found = results[trained]
    yield rate(found, "tuned_sup", by="fine-tuned", **sup, **at)
    yield rate(found, "counted_sup", by="counting, same examples", limit=limit, **sup, **at)
    yield rate(found, "tuned", by="fine-tuned", **total, **at)
    yield rate(found, "counted", by="counting, same examples", **total, **at)
    prompted = results[sides(size, "in_context", law)]
    # a few trials say nothing of a rate: what is checked is that weights and counting are equal
    yield rate(prompted, "sup", by="in context, through weights", **sup, **at)
    yield rate(prompted, "tv", by="in context, through weights", **total, **at)


def _growth(size: Size, results: Results, law: str) -> Iterator[Growth]:
    for length in range(1, size.length + 1):
        experiment, known = grown(size, law, length), known_sizes(size, length)
        sums = results[experiment]
        senses = (
            ("sup", SUP, min(known["sup_norm"], known["sup_norm_any"])),
            ("tv", TV, known["whole_outputs"]),
        )
        for name, enough_for, formula in senses:
            shares = (sums[f"{name}_failures"] / sums["trials"]).tolist()
            yield Growth(
                claim="B",
                by=law,
                enough_for=enough_for,
                varies="l",
                value=length,
                measured=crossing(experiment["examples"], shares, size.delta),
                formula=formula,
                paper=known["paper_outputs"],
            )


def _paper(size: Size, rates: list[Rate], growth: list[Growth]) -> Reading:
    """Return whether the paper's form is enough for TV: at the constant 1, and at any constant.

    It is not, at any constant, if what is enough grows more than `LOOSE` times as much with l.
    """
    sense = "l ln V ln(1/delta) / eps^2, the paper's form, is enough for total variation"
    at = [
        row
        for row in rates
        if (row.size, row.by, row.failure) == ("paper_outputs", "counting", "TV > eps")
    ]
    worst = max(at, key=lambda row: (row.rate, row.mean))
    shown = (
        f"{worst.failures} of {worst.trials} fail at n = {worst.examples:,} ({worst.setting}), "
        f"mean TV {worst.mean:.3f}"
    )
    rows = selected(growth, "uniform", "l", TV)
    measured = [row.measured for row in rows]
    first, last = measured[0], measured[-1]
    beyond = False
    if len(rows) > 1 and first is not None and last is not None:
        rose, paper = last / first, rows[-1].paper / rows[0].paper
        beyond = rose > LOOSE * paper
        shown += f"; from l = 1 to {size.length} what is enough grows {rose:.0f}-fold, the form "
        shown += f"{paper:.1f}-fold"
    return Reading(sense, FALSE if worst.low > size.delta or beyond else HOLDS, shown)


def _sup(rates: list[Rate], growth: list[Growth]) -> Reading:
    """Return whether the size for the greatest difference is enough, and what was."""
    sense = "(l ln V + ln(2/delta)) / (2 eps^2) is enough for each sequence (sup-norm)"
    checked = guaranteed([row for row in rates if row.size == "sup_norm"], sense)
    rows = [row for row in growth if row.enough_for == SUP]
    listed = "; ".join(
        f"{law}: " + ", ".join(_shown(row.measured) for row in selected(rows, law, "l"))
        for law in GROWN
    )
    return replace(checked, because=f"{checked.because}; enough from l = 1 on were, {listed}")


def _shown(measured: float | None) -> str:
    return "unknown" if measured is None else f"{measured:,.0f}"
