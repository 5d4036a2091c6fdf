"""Claim C: halfspaces in d dimensions, labels without noise."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tm2tf.learning import bounds
from tm2tf.learning.claims.rounded import EPOCHS, SCALE
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
    guaranteed,
    rate,
    selected,
    slope,
)
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY, Reading

LEARNERS = ("max_margin", "perceptron")
RARE = "max_margin, one rare input"
ROUNDED, TAPED = "perceptron, rounded inputs", "in context, on the tape"
MOST_TAPED = 60
"""Examples on the tape at most: a run has some 300 steps for each of them in each epoch, and in 20
epochs so some hundred thousand. A smaller eps is not tried there."""

SHARES = (1 / 8, 1 / 4, 1 / 2, 1)
"""Of the size for the mean: what else is tried, since less may be enough."""

HALVINGS = (1, 1 / 2, 1 / 4)
"""What eps is multiplied by, to see how sizes grow with 1/eps: the same curves of the mean error
are read at other heights. Larger eps take so few examples that the error is far from c/n."""

LEAST = 2.0**-53
"""What a mean error of 0 counts as where logarithms are taken: float64 tells no less from 0."""

LINEAR = 0.25
"""How far from 1 the slopes in d and 1/eps may be: d + 1 is no power of d (from 2 to 20 its slope
is 0.85), and the mean error is c/n only for many examples."""


def base(size: Size, dimensions: int, *, high: bool) -> Experiment:
    """Return the experiment that trains both learners; with `high` up to the greatest size."""
    mean = bounds.halfspace_mean(size.eps, dimensions)
    sizes = {max(2, round(mean * share)) for share in SHARES}
    if high:
        known = (size.eps, size.delta, dimensions)
        sizes |= {bounds.halfspace_scenario(*known), bounds.halfspace_compression(*known)}
    return {"kind": "halfspaces", "dimensions": dimensions, "eps": size.eps,
            "examples": sorted(sizes), "learners": list(LEARNERS)}  # fmt: skip


def tuned(size: Size) -> Experiment:
    """Return the experiment that trains logistic regression by gradient descent."""
    n = bounds.halfspace_mean(size.eps, size.dimensions)
    return {"kind": "logistic", "dimensions": size.dimensions, "eps": size.eps, "examples": n}


def rare(size: Size) -> Experiment:
    """Return the experiment with one rare input on a line, at the sizes for d = 1."""
    known = {
        bounds.halfspace_mean(size.eps, 1),
        bounds.halfspace_scenario(size.eps, size.delta, 1),
    }
    return {"kind": "rare", "eps": size.eps, "examples": sorted(known)}


def taped(size: Size, dimensions: int, kind: str) -> Experiment:
    """Return the experiment with rounded inputs: "rounded" by numpy, "on_tape" through weights."""
    n = min(MOST_TAPED, bounds.halfspace_mean(size.eps, dimensions))
    return {"kind": kind, "dimensions": dimensions, "eps": size.eps, "examples": n,
            "scale": SCALE, "epochs": EPOCHS}  # fmt: skip


def _dimensions(size: Size) -> list[int]:
    return sorted({*size.other_dimensions, size.dimensions})


def plan(size: Size) -> Iterator[tuple[Experiment, int]]:
    """Yield the experiments, each with its trials."""
    for d in _dimensions(size):
        yield base(size, d, high=d == size.dimensions), size.trials
    yield tuned(size), (size.trials + 1) // 2
    yield rare(size), CHEAP * size.trials
    for d in size.taped_dimensions:
        yield taped(size, d, "rounded"), size.trials
        yield taped(size, d, "on_tape"), size.through_weights


def report(size: Size, results: Results) -> Report:
    """Return what was found."""
    rates = list(_rates(size, results))
    growth = [row for learner in LEARNERS for row in _growth(size, results, learner)]
    return Report(
        claim="C",
        title="halfspaces",
        paper=bounds.PAPER["C"],
        readings=(_mean(size, rates, growth), _likely(size, rates), _more(rates)),
        rates=tuple(rates),
        growth=tuple(growth),
        slopes={
            f"n against {varies}, {learner}": slope(selected(growth, learner, varies))
            for varies in ("1/eps", "d")
            for learner in LEARNERS
        },
        agreement=tuple(_agreement(size, results)),
    )


def _agreement(size: Size, results: Results) -> Iterator[dict[str, object]]:
    """Yield how near gradient descent came to the max-margin separator, and what did not fit."""
    sums, setting = results[tuned(size)], f"d={size.dimensions}"
    yield {
        "compared": "logistic regression by gradient descent with the max-margin separator",
        "setting": setting,
        "examples": tuned(size)["examples"],
        "trials": int(sums["trials"][0]),
        "mean_cosine": float(sums["cosine"][0] / sums["trials"][0]),
        "unfitted": int(sums["unfitted"][0]),
    }
    for d in _dimensions(size):
        experiment = base(size, d, high=d == size.dimensions)
        found = results[experiment]
        for learner in LEARNERS:
            yield {
                "compared": f"{learner} with the examples that it has seen",
                "setting": f"d={d}",
                "examples": experiment["examples"],
                "trials": int(found["trials"][0]) * len(experiment["examples"]),
                "unfitted": int(found[f"{learner}_unfitted"][0]),
            }
    for d in size.taped_dimensions:
        yield _tape_agreement(size, results, d)


def _tape_agreement(size: Size, results: Results, d: int) -> dict[str, object]:
    """Return how the weights that train on the tape did beside torch and numpy."""
    experiment = taped(size, d, "on_tape")
    found, n = results[experiment], experiment["examples"]
    by_numpy = results[taped(size, d, "rounded")]
    trials = {name: int(sums["trials"][0]) for name, sums in (("w", found), ("n", by_numpy))}
    counted = ("unequal", "updates", "steps", "tokens", "passed_over")
    return {
        "compared": "the perceptron on the tape with torch's SGD and numpy's, update by update",
        "setting": _rounded_setting(d),
        "examples": n,
        "trials": trials["w"],
        **{name: int(found[name][0]) for name in counted},
        "mean_error": float(found["perceptron"][0]) / trials["w"],
        "trials_by_numpy": trials["n"],
        "passed_over_by_numpy": int(by_numpy["passed_over"][0]),
        "mean_error_by_numpy": float(by_numpy["perceptron"][0]) / trials["n"],
        "max_margin_mean_limit": min(1.0, (d + 1) / (n + 1)),
    }


def _rounded_setting(d: int) -> str:
    return f"d={d}, rounded to 1/{SCALE}"


def _rates(size: Size, results: Results) -> Iterator[Rate]:
    for d in _dimensions(size):
        experiment = base(size, d, high=d == size.dimensions)
        sums = results[experiment]
        for learner in LEARNERS:
            for place, n in enumerate(experiment["examples"]):
                yield _row(size, sums, learner, learner, place, d, n)
    for place, n in enumerate(rare(size)["examples"]):
        found = results[rare(size)]
        yield _row(size, found, "max_margin", RARE, place, 1, n)
    n, trained = tuned(size)["examples"], results[tuned(size)]
    for name, by in (("tuned", "fine-tuned"), ("max_margin", "max_margin, same examples")):
        yield _row(size, trained, name, by, 0, size.dimensions, n)
    for d in size.taped_dimensions:
        for kind, by in (("rounded", ROUNDED), ("on_tape", TAPED)):
            experiment = taped(size, d, kind)
            n, setting = experiment["examples"], _rounded_setting(d)
            yield _row(size, results[experiment], "perceptron", by, 0, d, n, setting)


def _row(
    size: Size,
    sums: Mapping[str, Numbers],
    name: str,
    by: str,
    place: int,
    d: int,
    n: int,
    setting: str = "",
) -> Rate:
    """Return a row with the limits that hold for a max-margin separator of n examples."""
    known = (size.eps, size.delta, d)
    named = {
        bounds.halfspace_mean(size.eps, d): "halfspace_mean",
        bounds.halfspace_compression(*known): "halfspace_compression",
        bounds.halfspace_scenario(*known): "halfspace_scenario",
    }
    limits: dict[str, Any] = {}
    if name == "max_margin":
        limits["mean_limit"] = min(1.0, (d + 1) / (n + 1))
        if n >= bounds.halfspace_scenario(*known):
            limits["limit"] = size.delta
    return rate(
        sums, name, place, by=by, claim="C", failure="error > eps",
        setting=setting or f"d={d}", size=named.get(n, ""), examples=n, **limits,
    )  # fmt: skip


def _growth(size: Size, results: Results, learner: str) -> Iterator[Growth]:
    def enough(varies: str, value: float, d: int, eps: float) -> Growth:
        experiment = base(size, d, high=d == size.dimensions)
        sums = results[experiment]
        heights = np.log(np.maximum(sums[learner] / sums["trials"], LEAST)).tolist()
        return Growth(
            claim="C",
            by=learner,
            enough_for="mean error <= eps",
            varies=varies,
            value=value,
            measured=crossing(experiment["examples"], heights, math.log(eps)),
            formula=bounds.halfspace_mean(eps, d),
            paper=bounds.paper_halfspace(eps, d),
        )

    for halving in HALVINGS:
        eps = size.eps * halving
        yield enough("1/eps", 1 / eps, size.dimensions, eps)
    for d in _dimensions(size):
        yield enough("d", d, d, size.eps)


def _own(size: Size, rates: list[Rate]) -> Rate:
    """Return the row of the max-margin separator at the size for the mean."""
    asked = ("max_margin", f"d={size.dimensions}", bounds.halfspace_mean(size.eps, size.dimensions))
    return next(row for row in rates if (row.by, row.setting, row.examples) == asked)


def _mean(size: Size, rates: list[Rate], growth: list[Growth]) -> Reading:
    """Return whether (d + 1)/eps - 1 is enough in the mean, and grows as what is enough does."""
    sense = "(d + 1)/eps - 1 examples are enough for a mean error of eps: O(d/eps)"
    over = [row for row in rates if row.over_mean_limit]
    own = over[0] if over else _own(size, rates)
    shown = f"mean error {own.mean:.3f} at n = {own.examples} ({own.setting}), "
    shown += f"limit {own.mean_limit:.3f}"
    if over:
        return Reading(sense, FALSE, shown)
    slopes = [slope(selected(growth, "max_margin", varies)) for varies in ("d", "1/eps")]
    known = [value for value in slopes if value is not None]
    shown += "; slopes in d and 1/eps: " + ", ".join(f"{value:.2f}" for value in known)
    in_d = selected(growth, "max_margin", "d")
    needed = next(row.measured for row in in_d if row.value == size.dimensions)
    loose = needed is not None and own.examples > LOOSE * needed
    linear = all(abs(value - 1) <= LINEAR for value in known)
    return Reading(sense, LOOSELY if loose or not linear else HOLDS, shown)


def _likely(size: Size, rates: list[Rate]) -> Reading:
    """Return whether the size for the mean is enough with probability 1 - delta too.

    With Gaussian inputs, and with one input of probability just above eps that has a label of its
    own: as long as it is not drawn, which for n examples has probability (1 - eps)^n, no learner
    can know it. So ln(1/delta) / eps examples are needed besides, whatever d is.
    """
    rows = [_own(size, rates), next(row for row in rates if row.by == RARE)]
    shown = "; ".join(
        f"{row.failures} of {row.trials} err by more than eps at n = {row.examples} "
        f"({row.setting}, {name})"
        for row, name in zip(rows, ("Gaussian inputs", "one rare input"), strict=True)
    )
    false = any(row.low > size.delta for row in rows)
    sense = "as many are enough with probability 1 - delta, for every d and inputs of any kind"
    return Reading(sense, FALSE if false else HOLDS, shown)


def _more(rates: list[Rate]) -> Reading:
    return guaranteed(
        rates,
        "the sizes of convex programs and of compression are enough with probability 1 - delta",
    )
