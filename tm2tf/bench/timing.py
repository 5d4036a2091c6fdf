"""Timing: contenders take turns, round after round, so that other load on the machine hits all."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from tm2tf.bench.results import Entry, Fact, Goal
from tm2tf.bench.statistics import Spread, spread

T = TypeVar("T")
Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a contender: how many units it had, its seconds, and what was wrong, if any."""

    amount: int
    seconds: float
    wrong: str = ""
    facts: Mapping[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to be timed.

    `run` makes one run and times it itself, so that what is not of interest is not timed. `rounds`
    is in how many rounds it takes part, for one that is slow; None for all.
    """

    name: str
    about: str
    run: Callable[[], Run]
    goal: Goal | None = None
    rounds: int | None = None


def timed(function: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds that a call took, and what it returned."""
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def race(
    contenders: Sequence[Contender], rounds: int, report: Report | None = None
) -> tuple[Entry, ...]:
    """Return an entry for each contender; the first one is the baseline.

    Each runs once before anything counts, to compile and to fill caches. Then come the rounds, one
    at least, each in another order. A ratio is of two runs of one round. A contender whose first
    result is wrong takes no further part.
    """
    tell = report or (lambda _: None)
    first, made = [], []
    for contender in contenders:
        tell(contender.name)
        first.append(contender.run())
    for number in range(rounds):
        turn: list[Run | None] = [None] * len(contenders)
        for place in range(len(contenders)):
            index = (number + place) % len(contenders)
            contender = contenders[index]
            most = rounds if contender.rounds is None else contender.rounds
            if number < most and not first[index].wrong:
                tell(f"{contender.name}, round {number + 1} of {min(most, rounds)}")
                turn[index] = contender.run()
        made.append(turn)
    return tuple(
        _entry(contender, first[index], [(turn[index], turn[0]) for turn in made])
        for index, contender in enumerate(contenders)
    )


def _entry(
    contender: Contender, first: Run, pairs: Sequence[tuple[Run | None, Run | None]]
) -> Entry:
    """Return what a contender's runs come to, each paired with the baseline's in that round."""
    runs = [run for run, _ in pairs if run is not None] or [first]
    wrong = [run.wrong for run in (first, *runs) if run.wrong]
    return Entry(
        name=contender.name,
        about=contender.about,
        amount=runs[0].amount,
        seconds=spread([run.seconds for run in runs]),
        ratio=_ratio([(run, base) for run, base in pairs if run is not None and base is not None]),
        facts=runs[-1].facts,
        goal=contender.goal,
        wrong=wrong[0] if wrong else "",
    )


def _ratio(pairs: Sequence[tuple[Run, Run]]) -> Spread:
    """Return time for one unit over the baseline's, of each pair; of none it is no number."""
    found = [
        (run.seconds / run.amount) / (base.seconds / base.amount)
        for run, base in pairs
        if run.amount and base.amount and base.seconds
    ]
    return spread(found) if found else Spread(math.nan, math.nan, math.nan, 0)
