"""What the Monte Carlo of all four claims share: sizes, experiments in blocks, and their rows.

An experiment is a mapping of plain values. It is split into blocks of trials, so that a run can be
killed and go on, and blocks spread over workers (`trials`). A block's random numbers come from all
of its values, the seed and its own number among them, so they do not depend on what else is run.
A block returns sums over its trials, and sums of blocks are added.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64

from tm2tf.learning.bounds import binomial_below
from tm2tf.learning.results import CONFIDENCE, Z, wilson
from tm2tf.learning.trials import Outcome, Task
from tm2tf.learning.verdicts import FALSE, HOLDS, Reading

BLOCK = 50
"""Trials in a block: seconds of work at most, so that little is lost when a run is killed."""

Experiment: TypeAlias = Mapping[str, Any]
Numbers: TypeAlias = Float64[np.ndarray, " values"]


@dataclass(frozen=True, slots=True)
class Size:
    """How large the Monte Carlo is.

    Attributes:
        eps: the error allowed.
        delta: the probability with which it may be exceeded.
        contexts: m of claim A.
        vocabulary: V of claims A and B.
        length: l of claim B.
        dimensions: d of claim C.
        trials: of each experiment that trains something; those that only count take `CHEAP` times
            as many.
        through_weights: trials of each such experiment that go through compiled weights.
        seed: of everything random.
        scales: eps is also multiplied by these, to see how sizes grow with 1/eps.
        vocabularies: other V that are tried.
        context_counts: other m.
        other_dimensions: other d.
        taped_dimensions: the d of separators that are trained on the tape.
        far_dimensions: the d of separators that are trained on as many examples as suffice to
            evaluate a fixed one.
    """

    eps: float = 0.1
    delta: float = 0.05
    contexts: int = 4
    vocabulary: int = 10
    length: int = 3
    dimensions: int = 10
    trials: int = 150
    through_weights: int = 2
    seed: int = 0
    scales: tuple[float, ...] = (2.0, 1.5, 1.0, 0.75, 0.5)
    vocabularies: tuple[int, ...] = (2, 5, 10, 20, 50, 100)
    context_counts: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    other_dimensions: tuple[int, ...] = (2, 5, 10, 20)
    taped_dimensions: tuple[int, ...] = (2, 3)
    far_dimensions: tuple[int, ...] = (2, 10, 100, 1000)

    def epsilons(self) -> list[float]:
        """Return the eps to try: scaled, and below 1."""
        scaled = (round(self.eps * scale, 12) for scale in self.scales)
        return [eps for eps in scaled if eps < 1]


NORMAL = 30
"""Trials from which on the interval of a mean is the normal one: the customary number."""

LUCK = 1e-6
"""A theorem counts as contradicted where what was seen has a smaller chance than this, given that
the theorem holds. A report has some hundred rows with a limit, so it has a false alarm with a
chance of some 1 in 10,000. The intervals of 95% that rows show would give several in each report,
if rates were at their limits."""

LUCKY = 4.753424308822899
"""The normal distribution's quantile at 1 - `LUCK`."""

CHEAP = 5
"""How many times more trials an experiment has that trains nothing."""


def blocks(experiment: Experiment, trials: int, seed: int) -> Iterator[Task]:
    """Yield the tasks of an experiment: `BLOCK` trials each, fewer in the last."""
    for block, first in enumerate(range(0, trials, BLOCK)):
        part = {"block": block, "trials": min(BLOCK, trials - first), "seed": seed}
        yield {**experiment, **part}


def generator(task: Task) -> np.random.Generator:
    """Return the random numbers of a task: its own, from all its values."""
    return np.random.default_rng([*json.dumps(dict(task), sort_keys=True).encode()])


class Results:
    """The sums of each experiment over all its blocks.

    Numbers whose name begins with "largest" are not added: the largest one is kept.
    """

    def __init__(self, tasks: Iterable[Task], outcomes: Iterable[Outcome]) -> None:
        self._sums: dict[str, dict[str, Numbers]] = {}
        for task, outcome in zip(tasks, outcomes, strict=True):
            sums = self._sums.setdefault(_name(task), {})
            for name, values in {**outcome, "trials": task["trials"]}.items():
                new = np.atleast_1d(np.array(values, dtype=np.float64))
                join = np.maximum if name.startswith("largest") else np.add
                sums[name] = join(sums[name], new) if name in sums else new

    def __getitem__(self, experiment: Experiment) -> dict[str, Numbers]:
        """Return the sums of an experiment by name; `trials` is one of them."""
        return self._sums[_name(experiment)]


def _name(task: Task) -> str:
    """Return what all blocks of an experiment have in common."""
    left_out = ("block", "trials", "seed")
    return json.dumps({k: v for k, v in task.items() if k not in left_out}, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Rate:
    """How often something failed in an experiment.

    Attributes:
        claim: "A", "B", "C" or "D".
        by: whose distribution or separator it is.
        failure: what counts as a failure.
        setting: of the experiment.
        size: the bound that `examples` is, by its function's name; "" for other numbers.
        examples: of each context, if there are contexts.
        trials: how many.
        failures: how many of them failed.
        rate: the share that failed.
        low: lower end of the share's interval (95%).
        high: upper end.
        limit: what the rate stays below by a theorem; None if none says so.
        mean: of the error that is compared with eps.
        mean_low: lower end of the mean's interval (95%).
        mean_high: upper end.
        mean_floor: what the mean is above, but for a chance of `LUCK`.
        mean_limit: what the mean stays below by a theorem; None if none says so.
    """

    claim: str
    by: str
    failure: str
    setting: str
    size: str
    examples: int
    trials: int
    failures: int
    rate: float
    low: float
    high: float
    limit: float | None
    mean: float
    mean_low: float
    mean_high: float
    mean_floor: float
    mean_limit: float | None = None

    @property
    def over_limit(self) -> bool:
        """Whether so many failures have a chance below `LUCK` at a rate of `limit`.

        P(Binomial(trials, limit) >= failures), exactly: that at most trials - failures succeed.
        """
        if self.limit is None:
            return False
        succeeded = self.trials - self.failures
        return binomial_below(succeeded + 1, self.trials, 1 - self.limit) < LUCK

    @property
    def over_mean_limit(self) -> bool:
        """Whether the mean is above `mean_limit`, but for a chance of `LUCK`."""
        return self.mean_limit is not None and self.mean_floor > self.mean_limit

    @property
    def exceeded(self) -> bool:
        """Whether the experiment contradicts a theorem."""
        return self.over_limit or self.over_mean_limit


def rate(
    sums: Mapping[str, Numbers],
    name: str,
    place: int = 0,
    *,
    limit: float | None = None,
    mean_limit: float | None = None,
    **described: Any,
) -> Rate:
    """Return the row of `NAME_failures`, `NAME` and `NAME_squares` at one place of their lists."""
    trials, failures = int(sums["trials"][0]), int(sums[f"{name}_failures"][place])
    low, high = wilson(failures, trials)
    mean = float(sums[name][place]) / trials
    variance = max(0.0, float(sums[f"{name}_squares"][place]) / trials - mean**2)
    if trials >= NORMAL:
        deviation = math.sqrt(variance / (trials - 1))
        half, far = Z * deviation, LUCKY * deviation
    else:
        half, far = _hoeffding(trials, (1 - CONFIDENCE) / 2), _hoeffding(trials, LUCK)
    return Rate(
        **described,
        trials=trials,
        failures=failures,
        rate=failures / trials,
        low=low,
        high=high,
        limit=limit,
        mean=mean,
        mean_low=max(0.0, mean - half),
        mean_high=min(1.0, mean + half),
        mean_floor=max(0.0, mean - far),
        mean_limit=mean_limit,
    )


def _hoeffding(trials: int, chance: float) -> float:
    """Return what the mean of numbers between 0 and 1 is off by to one side, but for a chance."""
    return math.sqrt(math.log(1 / chance) / (2 * trials))


@dataclass(frozen=True, slots=True)
class Growth:
    """How many examples were enough as one number varies.

    Attributes:
        claim: "A", "B", "C" or "D".
        by: the law or the learner.
        enough_for: what was reached.
        varies: "1/eps^2", "1/eps", "V", "m", "l" or "d".
        value: of what varies.
        measured: the examples with which it was reached in the Monte Carlo, between two sizes
            that were tried; None if it was not reached, or by the smallest size already.
        formula: what the sharpest bound says.
        paper: what the paper's form says, with the constant of `bounds`.
    """

    claim: str
    by: str
    enough_for: str
    varies: str
    value: float
    measured: float | None
    formula: int
    paper: int


def grid(top: int, *others: int, span: int = 64, points: int = 25) -> list[int]:
    """Return sizes from top / span to top, evenly spaced by ratio, and the others, in order."""
    ratios = np.geomspace(1 / span, 1, points)
    return sorted({*(max(1, round(top * ratio)) for ratio in ratios), *others})


def crossing(sizes: Sequence[int], values: Sequence[float], level: float) -> float | None:
    """Return the size from which on values stay at or below a level, between two that were tried.

    Between two sizes the value is taken as a line over the logarithm of the size. None where the
    last value is above the level, or all are at or below it.
    """
    above = [i for i, value in enumerate(values) if value > level]
    if not above or above[-1] == len(values) - 1:
        return None
    i = above[-1]
    share = (values[i] - level) / (values[i] - values[i + 1])
    return float(sizes[i] * (sizes[i + 1] / sizes[i]) ** share)


def slope(rows: Iterable[Growth]) -> float | None:
    """Return the slope of ln(measured) in ln(value) by least squares; None with fewer than two."""
    points = [(row.value, row.measured) for row in rows if row.measured is not None]
    if len(points) < 2:
        return None
    x, y = np.log(np.array(points)).T
    return float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())


def selected(rows: Iterable[Growth], by: str, varies: str, enough_for: str = "") -> list[Growth]:
    """Return the rows of one law or learner in which one number varies."""
    return [
        row
        for row in rows
        if (row.by, row.varies) == (by, varies) and enough_for in ("", row.enough_for)
    ]


LOOSE = 4.0
"""A form that asks for more than so many times the examples that were enough holds loosely. An
order of growth is meant, and where it is 1/eps^2, a factor of 4 is an eps that is off by 2."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found about a claim.

    Attributes:
        claim: "A", "B", "C" or "D".
        title: in a few words.
        paper: the paper's form.
        readings: the senses of the claim; the first is the paper's.
        rates: failures at given sizes.
        growth: sizes that were enough.
        slopes: of the sizes that were enough, by name.
        agreement: the two sides beside each other: what was compared, and how near they came.
    """

    claim: str
    title: str
    paper: str
    readings: tuple[Reading, ...]
    rates: tuple[Rate, ...]
    growth: tuple[Growth, ...]
    slopes: Mapping[str, float | None]
    agreement: tuple[Mapping[str, Any], ...]

    @property
    def verdict(self) -> str:
        """The verdict of the claim as the paper puts it."""
        return self.readings[0].verdict


def guaranteed(rows: Iterable[Rate], sense: str) -> Reading:
    """Return whether all guaranteed rates kept their limits."""
    limited = [row for row in rows if row.limit is not None]
    over = [row for row in limited if row.over_limit]
    worst = max(over or limited, key=lambda row: (row.rate, row.trials))
    shown = (
        f"{worst.failures} of {worst.trials} failed at n = {worst.examples:,} "
        f"({worst.setting}), limit {worst.limit}"
    )
    if over:
        return Reading(sense, FALSE, shown)
    return Reading(sense, HOLDS, f"in {len(limited)} experiments; most often {shown}")
