"""Whether figures are what is wanted of them, and whether one is so far off that CI must say so.

A goal is missed when its figure is worse at all; figures are of one machine under some load, so a
check complains only of what is worse by `FACTOR`. It never looks at times, only at ratios that
were measured within one run, and at how something grows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tm2tf.bench.results import Entry, Goal, Outcome, Series

FACTOR = 3.0
"""How much worse than its goal a figure may be before a check fails."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A figure beside its goal.

    `met`: whether it is what is wanted. `fails`: whether it is worse by more than `FACTOR`.
    """

    of: str
    value: float
    goal: Goal
    met: bool
    fails: bool


def verdicts(outcome: Outcome) -> Iterator[Verdict]:
    """Yield every figure of a benchmark that has a goal; not those whose results were wrong."""
    for race in outcome.races:
        for entry in race.entries:
            if entry.goal is not None and not entry.wrong:
                yield _of_entry(f"{race.title}: {entry.name}", entry, entry.goal)
    for growth in outcome.growths:
        for series in growth.series:
            if series.goal is not None and not series.wrong:
                yield _of_series(f"{growth.title}: {series.name}", series, series.goal)


def _of_entry(name: str, entry: Entry, goal: Goal) -> Verdict:
    value = entry.seconds.median if goal.of == "seconds" else entry.ratio.median
    loose = goal.of == "seconds" or holds(goal, value, FACTOR)
    return Verdict(name, value, goal, holds(goal, value), not loose)


def _of_series(name: str, series: Series, goal: Goal) -> Verdict:
    """Return the verdict on a slope.

    From the least size to the greatest, of a ratio r, a value may be `FACTOR` times what it would
    be with the slope that is wanted: r^slope <= FACTOR r^most.
    """
    value, room = series.slope, 0.0
    if len(sizes := series.counted) > 1:
        room = math.log(FACTOR) / math.log(max(sizes) / min(sizes))
    return Verdict(name, value, goal, _within(goal, value, 0.0), not _within(goal, value, room))


def _within(goal: Goal, value: float, room: float) -> bool:
    """Return whether a slope is what is wanted, or off by no more than `room`."""
    most = math.inf if goal.most is None else goal.most
    least = -math.inf if goal.least is None else goal.least
    return least - room <= value <= most + room


def holds(goal: Goal, value: float, factor: float = 1.0) -> bool:
    """Return whether a figure is what is wanted, or worse by no more than a factor.

    What is no number never is.
    """
    most = math.inf if goal.most is None else goal.most
    least = -math.inf if goal.least is None else goal.least
    return least / factor <= value <= most * factor
