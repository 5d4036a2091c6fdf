"""What was measured as one JSON value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from tm2tf.bench.benchmark import Settings
from tm2tf.bench.goals import Verdict, verdicts
from tm2tf.bench.registry import Measured
from tm2tf.bench.results import Entry, Goal, Growth, Race, Series
from tm2tf.bench.statistics import Spread


def to_json(
    host: Mapping[str, object], settings: Settings, found: Sequence[Measured]
) -> dict[str, Any]:
    """Return a report: machine, settings, every benchmark. What is no number is null."""
    return {
        "host": dict(host),
        "settings": {"quick": settings.quick, "rounds": settings.rounds},
        "benchmarks": [_measured(it) for it in found],
        "goals": [
            {
                "benchmark": name,
                "figure": verdict.of,
                "value": _number(verdict.value),
                "goal": _goal(verdict.goal),
                "met": verdict.met,
                "fails": verdict.fails,
            }
            for name, verdict in judged(found)
        ],
        "wrong": [line for it in found for line in it.wrong],
    }


def judged(found: Sequence[Measured]) -> Iterator[tuple[str, Verdict]]:
    """Yield every figure with a goal, and the name of the benchmark that it is of."""
    for it in found:
        for verdict in verdicts(it.outcome):
            yield it.benchmark.name, verdict


def _measured(found: Measured) -> dict[str, Any]:
    outcome = found.outcome
    return {
        "name": found.benchmark.name,
        "about": found.benchmark.about,
        "seconds": found.seconds,
        "failed": found.failed or None,
        "absent": found.absent or None,
        "races": [_race(race) for race in outcome.races],
        "growths": [_growth(growth) for growth in outcome.growths],
        "notes": list(outcome.notes),
    }


def _race(race: Race) -> dict[str, Any]:
    return {
        "title": race.title,
        "about": race.about,
        "unit": race.unit,
        "baseline": race.entries[0].name if race.entries else None,
        "entries": [_entry(entry) for entry in race.entries],
        "left_out": [asdict(left) for left in race.left],
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        "about": entry.about,
        "amount": entry.amount,
        "seconds": _spread(entry.seconds),
        "rate": entry.rate,
        "ratio": _spread(entry.ratio),
        "goal": _goal(entry.goal),
        "facts": dict(entry.facts),
        "wrong": entry.wrong or None,
    }


def _growth(growth: Growth) -> dict[str, Any]:
    return {
        "title": growth.title,
        "about": growth.about,
        "x": growth.x,
        "y": growth.y,
        "series": [_series(series) for series in growth.series],
        "left_out": [asdict(left) for left in growth.left],
    }


def _series(series: Series) -> dict[str, Any]:
    points = zip(series.sizes, series.values, strict=True)
    return {
        "name": series.name,
        "points": [{"size": size, "value": _spread(value)} for size, value in points],
        "slope": _number(series.slope),
        "slope_since": series.since,
        "expected": series.expected or None,
        "goal": _goal(series.goal),
        "wrong": series.wrong or None,
    }


def _goal(goal: Goal | None) -> dict[str, Any] | None:
    return None if goal is None else asdict(goal)


def _spread(value: Spread) -> dict[str, Any] | None:
    return asdict(value) if value.count else None


def _number(value: float) -> float | None:
    """Return a number; null where there is none, which JSON cannot say otherwise."""
    return None if math.isnan(value) else value
