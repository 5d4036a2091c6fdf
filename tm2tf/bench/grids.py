"""Races and growths as tables of words, for the terminal and for the document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tm2tf.bench import wording
from tm2tf.bench.goals import Verdict
from tm2tf.bench.results import Entry, Growth, Race

RIGHT = True


@dataclass(frozen=True, slots=True)
class Grid:
    """A table: headings, for each column whether it stands on the right, and rows of words."""

    headings: tuple[str, ...]
    right: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]


def of_race(race: Race) -> Grid:
    """Return a row for each contender, the baseline first."""
    base = race.entries[0].name if race.entries else ""
    columns = (
        ("", not RIGHT),
        ("what it is", not RIGHT),
        (race.unit, RIGHT),
        ("time", RIGHT),
        (f"{race.unit} a second", RIGHT),
        (f"times {base}", RIGHT),
        ("goal", not RIGHT),
        ("", not RIGHT),
    )
    rows = [_entry(entry) for entry in race.entries]
    return _without_empty(columns, rows)


def _entry(entry: Entry) -> tuple[str, ...]:
    facts = "; ".join(
        f"{name} {value:,}" if isinstance(value, int) else f"{name} {value}"
        for name, value in entry.facts.items()
    )
    return (
        entry.name,
        entry.about,
        f"{entry.amount:,}",
        wording.seconds(entry.seconds.median),
        wording.rate(entry.rate),
        wording.spread(entry.ratio),
        wording.goal(entry.goal),
        f"WRONG: {entry.wrong}" if entry.wrong else facts,
    )


def of_growth(growth: Growth) -> Grid:
    """Return a row for each size, a column for each series; below them the slopes."""
    sizes = sorted({size for series in growth.series for size in series.sizes})
    rows = []
    for size in sizes:
        cells = [f"{size:,.0f}"]
        for series in growth.series:
            found = dict(zip(series.sizes, series.values, strict=True)).get(size)
            cells.append(wording.measured(found.median, growth.y) if found else "")
        rows.append(tuple(cells))
    rows.append(("slope", *(_slope(series.slope) for series in growth.series)))
    for what, words in (
        ("expected", [series.expected for series in growth.series]),
        ("goal", [wording.goal(series.goal) for series in growth.series]),
        ("wrong", [series.wrong for series in growth.series]),
    ):
        if any(words):
            rows.append((what, *words))
    columns = [(growth.x, RIGHT), *((series.name, RIGHT) for series in growth.series)]
    headings, right = zip(*columns, strict=True)
    return Grid(headings, right, tuple(rows))


def _slope(value: float) -> str:
    return wording.NOTHING if value != value else f"{value:.2f}"  # nan differs from itself


def of_verdicts(found: Sequence[tuple[str, Verdict]]) -> Grid:
    """Return a row for each figure that has a goal, with the benchmark that it is of."""
    headings = ("benchmark", "figure", "measured", "goal", "met")
    rows = [
        (
            name,
            verdict.of,
            wording.seconds(verdict.value)
            if verdict.goal.of == "seconds"
            else wording.significant(verdict.value)
            if verdict.goal.of == "ratio"
            else f"slope {_slope(verdict.value)}",
            wording.goal(verdict.goal),
            "yes" if verdict.met else "NO, far from it" if verdict.fails else "no",
        )
        for name, verdict in found
    ]
    return Grid(headings, (False, False, RIGHT, False, False), tuple(rows))


def _without_empty(columns: Sequence[tuple[str, bool]], rows: Sequence[tuple[str, ...]]) -> Grid:
    """Return a table without the columns that nothing stands in."""
    kept = [i for i in range(len(columns)) if any(row[i] for row in rows)]
    return Grid(
        tuple(columns[i][0] for i in kept),
        tuple(columns[i][1] for i in kept),
        tuple(tuple(row[i] for i in kept) for row in rows),
    )
