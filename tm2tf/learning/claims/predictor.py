"""Claim D: a fixed predictor. So many examples evaluate it; they do not train one."""

from __future__ import annotations

from collections.abc import Iterator

from tm2tf.learning import bounds
from tm2tf.learning.monte_carlo import (
    CHEAP,
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

ERRORS = (0.5, 0.3, 0.1, 0.01)
"""The true errors of the predictors that are evaluated; 1/2 has the greatest variance."""


def evaluated(size: Size, error: float, eps: float) -> Experiment:
    """Return the experiment that counts a fixed predictor's errors."""
    sizes = grid(bounds.fixed_predictor(eps, size.delta))
    return {"kind": "fixed", "error": error, "eps": eps, "examples": sizes}


def in_context(size: Size) -> Experiment:
    """Return the experiment that counts right and wrong answers in a prompt: two words."""
    n = bounds.fixed_predictor(size.eps, size.delta)
    return {"kind": "in_context", "law": "two-point", "contexts": 1, "words": 2,
            "eps": size.eps, "examples": n}  # fmt: skip


def trained(size: Size, dimensions: int) -> Experiment:
    """Return the experiment that trains separators on as many examples."""
    n = max(2, bounds.fixed_predictor(size.eps, size.delta))
    return {"kind": "halfspaces", "dimensions": dimensions, "eps": size.eps, "examples": [n],
            "learners": ["max_margin"]}  # fmt: skip


def plan(size: Size) -> Iterator[tuple[Experiment, int]]:
    """Yield the experiments, each with its trials."""
    for error in ERRORS:
        for eps in size.epsilons():
            yield evaluated(size, error, eps), CHEAP * size.trials
    yield in_context(size), size.through_weights
    for d in size.far_dimensions:
        yield trained(size, d), size.trials // 2 + 1


def report(size: Size, results: Results) -> Report:
    """Return what was found."""
    rates = list(_rates(size, results))
    growth = [
        Growth(
            claim="D",
            by=f"error {error}",
            enough_for="|share of errors - error| <= eps with probability 1 - delta",
            varies="1/eps^2",
            value=1 / eps**2,
            measured=_enough(size, results, error, eps),
            formula=bounds.fixed_predictor(eps, size.delta),
            paper=bounds.paper_predictor(eps, size.delta),
        )
        for error in ERRORS
        for eps in size.epsilons()
    ]
    return Report(
        claim="D",
        title="a fixed predictor",
        paper=bounds.PAPER["D"],
        readings=(
            _learning(size, rates),
            guaranteed(rates, "as many are enough to evaluate a predictor that is fixed before"),
        ),
        rates=tuple(rates),
        growth=tuple(growth),
        slopes={
            f"n against 1/eps^2, error {error}": slope(
                selected(growth, f"error {error}", "1/eps^2")
            )
            for error in ERRORS
        },
        agreement=(),
    )


def _enough(size: Size, results: Results, error: float, eps: float) -> float | None:
    experiment = evaluated(size, error, eps)
    sums = results[experiment]
    shares = (sums["gap_failures"] / sums["trials"]).tolist()
    return crossing(experiment["examples"], shares, size.delta)


def _rates(size: Size, results: Results) -> Iterator[Rate]:
    n, failure = bounds.fixed_predictor(size.eps, size.delta), "|share of errors - error| > eps"
    for error in ERRORS:
        experiment = evaluated(size, error, size.eps)
        for place, seen in enumerate(experiment["examples"]):
            yield rate(
                results[experiment], "gap", place, limit=size.delta if seen == n else None,
                claim="D", by="counting", failure=failure, setting=f"error {error}",
                size="fixed_predictor" if seen == n else "", examples=seen,
            )  # fmt: skip
    # a few trials say nothing of a rate: what is checked is that weights and counting are equal
    yield rate(
        results[in_context(size)], "tv", claim="D",
        by="in context, through weights", failure=failure, setting="error 0.5",
        size="fixed_predictor", examples=n,
    )  # fmt: skip
    for d in size.far_dimensions:
        # on its own examples a separator never errs: its error is what the share is off by
        experiment = trained(size, d)
        yield rate(
            results[experiment], "max_margin", claim="D", by="max_margin trained on them",
            failure=failure, setting=f"d={d}", size="fixed_predictor",
            examples=experiment["examples"][0],
        )  # fmt: skip


def _learning(size: Size, rates: list[Rate]) -> Reading:
    """Return whether as many examples train a separator to eps in every dimension tried."""
    rows = [row for row in rates if row.by == "max_margin trained on them"]
    shown = ", ".join(f"{row.mean:.3f} for {row.setting}" for row in rows)
    false = any(row.low > size.delta for row in rows)
    return Reading(
        "ln(2/delta) / (2 eps^2) examples, of the paper's order, are enough to learn",
        FALSE if false else HOLDS,
        f"mean error of separators trained on {rows[0].examples}: {shown}",
    )
