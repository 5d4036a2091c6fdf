"""Claim A: the next word in each of m contexts, over V words, in total variation."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from tm2tf.learning import bounds
from tm2tf.learning.claims.gradient import NEAR
from tm2tf.learning.claims.laws import LAWS
from tm2tf.learning.monte_carlo import (
    CHEAP,
    LOOSE,
    Experiment,
    Growth,
    Numbers,
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
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY, Reading

SIZES = ("weissman", "mcdiarmid", "paper_text")
"""The sizes per context at which failures are counted; all three are guaranteed."""

SQUARE = 0.15
"""How far from 1 the slope in 1/eps^2 may be: sizes are rounded, and a rate of delta is measured
from about delta * trials failures, which puts each measured size off by some percent."""


def curve(size: Size, law: str, *, eps: float, contexts: int, words: int) -> Experiment:
    """Return the experiment that draws ever more words, up to the guaranteed sizes and beyond."""
    known = (eps, size.delta, contexts, words)
    named = [getattr(bounds, name)(*known) for name in SIZES]
    sizes = grid(bounds.per_context(*known), *named)
    return {"kind": "text", "law": law, "contexts": contexts, "words": words, "eps": eps,
            "examples": sizes}  # fmt: skip


def base(size: Size, law: str, eps: float) -> Experiment:
    """Return the curve of a law at the size's own m and V."""
    return curve(size, law, eps=eps, contexts=size.contexts, words=size.vocabulary)


def drawn(size: Size, law: str) -> Experiment:
    """Return the experiment in which contexts too are drawn."""
    n = bounds.drawn_contexts(size.eps, size.delta, size.contexts, size.vocabulary)
    return {"kind": "drawn_text", "law": law, "contexts": size.contexts,
            "words": size.vocabulary, "eps": size.eps, "examples": n}  # fmt: skip


def sides(size: Size, kind: str, law: str) -> Experiment:
    """Return the experiment that fine-tunes ("tables") or puts into a prompt ("in_context")."""
    n = bounds.per_context(size.eps, size.delta, size.contexts, size.vocabulary)
    return {"kind": kind, "law": law, "contexts": size.contexts, "words": size.vocabulary,
            "eps": size.eps, "examples": n}  # fmt: skip


def plan(size: Size) -> Iterator[tuple[Experiment, int]]:
    """Yield the experiments, each with its trials."""
    for law in LAWS:
        for eps in size.epsilons():
            yield base(size, law, eps), CHEAP * size.trials
        yield drawn(size, law), CHEAP * size.trials
        yield sides(size, "tables", law), size.trials
        yield sides(size, "in_context", law), size.through_weights
        for words in size.vocabularies:
            grown = curve(size, law, eps=size.eps, contexts=size.contexts, words=words)
            yield grown, CHEAP * size.trials
        for contexts in size.context_counts:
            grown = curve(size, law, eps=size.eps, contexts=contexts, words=size.vocabulary)
            yield grown, CHEAP * size.trials


def report(size: Size, results: Results) -> Report:
    """Return what was found."""
    rates = [row for law in LAWS for row in _rates(size, results, law)]
    growth = [row for law in LAWS for row in _growth(size, results, law)]
    slopes = {
        f"n against {varies}, {law}": slope(selected(growth, law, varies))
        for varies in ("1/eps^2", "V")
        for law in LAWS
    }
    slopes |= {f"n against ln(m/delta), {law}": _in_contexts(size, growth, law) for law in LAWS}
    return Report(
        claim="A",
        title="the next word in m contexts",
        paper=bounds.PAPER["A"],
        readings=(
            _paper(size, rates, growth),
            guaranteed(
                [row for row in rates if row.size in ("weissman", "mcdiarmid")],
                "as many as Weissman's or McDiarmid's bound says suffice",
            ),
            _square(growth),
        ),
        rates=tuple(rates),
        growth=tuple(growth),
        slopes=slopes,
        agreement=tuple(agreement(results, sides(size, "tables", law), law) for law in LAWS),
    )


def agreement(results: Results, experiment: Experiment, law: str) -> dict[str, object]:
    """Return how near fine-tuned tables came to the shares of their examples."""
    sums = results[experiment]
    return {
        "law": law,
        "compared": "tables of AdamW with the shares of the same examples",
        "examples": experiment["examples"],
        "trials": int(sums["trials"][0]),
        "largest_tv_between": float(sums["largest_apart"][0]),
        "allowed_tv_between": NEAR,
        "most_steps": int(sums["largest_steps"][0]),
    }


def _rates(size: Size, results: Results, law: str) -> Iterator[Rate]:
    described: dict[str, Any] = {
        "claim": "A",
        "failure": "TV > eps in some context",
        "setting": f"{law}, m={size.contexts}, V={size.vocabulary}",
    }
    experiment = base(size, law, size.eps)
    sums = results[experiment]
    known = (size.eps, size.delta, size.contexts, size.vocabulary)

    def row(sums: Mapping[str, Numbers], name: str, place: int = 0, **more: Any) -> Rate:
        return rate(sums, name, place, **described, **more)

    limit = size.delta
    named = {getattr(bounds, name)(*known): name for name in SIZES}
    least = bounds.per_context(*known)
    for place, n in enumerate(experiment["examples"]):
        # what is guaranteed at a size is guaranteed at all greater ones
        kept = limit if n >= least else None
        at: dict[str, Any] = {"size": named.get(n, ""), "examples": n, "limit": kept}
        yield row(sums, "tv", place, by="counting", **at)
    experiment = drawn(size, law)
    each = experiment["examples"] // size.contexts
    counted: dict[str, Any] = {"size": "drawn_contexts", "examples": each, "limit": limit}
    yield row(results[experiment], "tv", by="counting", **counted)
    trained = sides(size, "tables", law)
    tables: dict[str, Any] = {"size": named[least], "examples": least}
    # fine-tuning adds `NEAR` to TV at most, so its own rate has no limit by theorem
    yield row(results[trained], "tuned", by="fine-tuned", **tables)
    yield row(results[trained], "counted", by="counting, same examples", limit=limit, **tables)
    prompted = results[sides(size, "in_context", law)]
    # a few trials say nothing of a rate: what is checked is that weights and counting are equal
    yield row(prompted, "tv", by="in context, through weights", **tables)


def _growth(size: Size, results: Results, law: str) -> Iterator[Growth]:
    def enough(varies: str, value: float, eps: float, contexts: int, words: int) -> Growth:
        experiment = curve(size, law, eps=eps, contexts=contexts, words=words)
        sums = results[experiment]
        shares = (sums["tv_failures"] / sums["trials"]).tolist()
        known = (eps, size.delta, contexts, words)
        return Growth(
            claim="A",
            by=law,
            enough_for="TV <= eps in every context with probability 1 - delta",
            varies=varies,
            value=value,
            measured=crossing(experiment["examples"], shares, size.delta),
            formula=bounds.per_context(*known),
            paper=bounds.paper_text(*known),
        )

    for eps in size.epsilons():
        yield enough("1/eps^2", 1 / eps**2, eps, size.contexts, size.vocabulary)
    for words in size.vocabularies:
        yield enough("V", words, size.eps, size.contexts, words)
    for contexts in size.context_counts:
        yield enough("m", contexts, size.eps, contexts, size.vocabulary)


def _in_contexts(size: Size, growth: list[Growth], law: str) -> float | None:
    """Return the slope of ln(n) in ln(ln(m/delta)): 1 if n grew as the paper's ln(m/delta)."""
    rows = selected(growth, law, "m")
    return slope(replace(row, value=math.log(row.value / size.delta)) for row in rows)


def _paper(size: Size, rates: list[Rate], growth: list[Growth]) -> Reading:
    """Return whether the paper's form suffices, and how far above the least number it is."""
    sense = "m V ln(2m/delta) / (2 eps^2), the paper's form, suffices"
    checked = guaranteed([row for row in rates if row.size == "paper_text"], sense)
    own = [row for row in growth if row.varies == "1/eps^2" and row.value == 1 / size.eps**2]
    needed = max((row.measured for row in own if row.measured is not None), default=None)
    if checked.verdict == FALSE or needed is None:
        return checked
    factor = own[0].paper / needed
    verdict = LOOSELY if factor > LOOSE else HOLDS
    shown = (
        f"{own[0].paper:,} for each context, where {needed:,.0f} were enough for the worst of "
        f"{len(own)} laws: {factor:.1f} times as many"
    )
    return Reading(sense, verdict, shown)


def _square(growth: list[Growth]) -> Reading:
    """Return whether sizes grow with 1/eps^2 for every law."""
    slopes = {law: slope(selected(growth, law, "1/eps^2")) for law in LAWS}
    known = {law: value for law, value in slopes.items() if value is not None}
    right = bool(known) and all(abs(value - 1) <= SQUARE for value in known.values())
    shown = ", ".join(f"{law} {value:.2f}" for law, value in known.items()) or "none measured"
    return Reading(
        "what is enough grows with 1/eps^2",
        HOLDS if right else FALSE,
        f"slopes of ln n in ln(1/eps^2): {shown}",
    )
