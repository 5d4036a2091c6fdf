"""How growths are measured: a value at each of some sizes, as long as it does not take too long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tm2tf.bench.benchmark import Settings
from tm2tf.bench.results import Goal, Series
from tm2tf.bench.statistics import Spread, spread
from tm2tf.bench.timing import Run

ENOUGH = 0.5
"""Seconds that the runs of one size take together, at least, unless there are `MOST_RUNS`."""

MOST_RUNS = 7

STEEPEST = 12.0
"""Times as long as the size before, at most, that the next one is supposed to take for ten times
the size: what is linear takes ten times as long."""


def curve(
    name: str,
    sizes: Sequence[int],
    run: Callable[[int], Run],
    settings: Settings,
    *,
    limit: float,
    goal: Goal | None = None,
    expected: str = "",
    since: float = 0.0,
) -> Series:
    """Return seconds for one unit at each size, of several runs.

    Ends before the first size whose run would take more than `limit` seconds, as far as the last
    one tells. `run` is called once before the first size, so that nothing is compiled in what is
    timed.
    """
    kept: list[float] = []
    values: list[Spread] = []
    wrong = run(sizes[0]).wrong
    last = 0.0
    for number, size in enumerate(sizes):
        if wrong or (number and last * size / sizes[number - 1] > limit):
            break
        settings.tell(f"{name}, {size:,}")
        runs = [run(size)]
        while len(runs) < MOST_RUNS and sum(it.seconds for it in runs) < ENOUGH:
            runs.append(run(size))
        wrong = next((it.wrong for it in runs if it.wrong), "")
        kept.append(size)
        values.append(spread([it.seconds / it.amount for it in runs]))
        last = max(it.seconds for it in runs)
    return Series(name, tuple(kept), tuple(values), expected, goal, wrong, since)
