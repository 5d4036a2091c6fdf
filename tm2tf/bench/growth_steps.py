"""What a step costs as runs get longer: nothing more, whether in place or on a growing tape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from tm2tf import api
from tm2tf.bench import plain
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.growth import curve
from tm2tf.bench.kernels import FAST, End, by_weights, end_of
from tm2tf.bench.machines import shuttle, shuttle_tape, spreader
from tm2tf.bench.results import Goal, Growth, Outcome
from tm2tf.bench.timing import Run
from tm2tf.machine.spec import Machine, Tape

SIZES = tuple(10**power for power in range(3, 10))
QUICK_SIZES = tuple(10**power for power in range(4, 8))
LIMIT, QUICK_LIMIT = 10.0, 0.5
"""Seconds of the longest run of each kind."""

SETTLED = 1_000_000
"""Steps from which on the slope is taken: there a run's own cost, some 0.1 ms, is lost."""

GOAL = Goal(most=0.1, of="slope")
"""Flat. From 10^6 to 10^9 steps a slope of 0.1 is a factor of two."""


def measure(settings: Settings) -> Outcome:
    """Time runs of more and more steps."""
    series = []
    kinds = ((shuttle(), (shuttle_tape(),)), (spreader(), ()))
    for machine, tapes in kinds:
        for name, make in _ways(machine, tapes):
            series.append(
                curve(
                    f"{name}, {machine.name}",
                    settings.pick(SIZES, QUICK_SIZES),
                    make,
                    settings,
                    limit=settings.pick(LIMIT, QUICK_LIMIT),
                    goal=None if name == "plain" else GOAL,
                    expected="0",
                    since=SETTLED,
                )
            )
    return Outcome(
        growths=(
            Growth(
                title="Time for a step as runs get longer",
                about="the shuttle stays on 10 cells, the spreader visits sqrt(2 n) in n steps; "
                "short runs show what a run costs before its first step, so slopes are from "
                f"{SETTLED:,} steps on",
                x="steps",
                y="seconds a step",
                series=tuple(series),
            ),
        )
    )


def _ways(machine: Machine, tapes: tuple[Tape, ...]) -> list[tuple[str, Callable[[int], Run]]]:
    """Return by name what makes a run of so many steps."""
    model, made = api.compile(machine), plain.table(machine)
    start = machine.initial(tapes)

    @cache
    def end(steps: int) -> End:
        return end_of(machine, tapes, steps)

    def by_kernel(kernel: str) -> Callable[[int], Run]:
        return lambda steps: by_weights(model, tapes, end(steps), kernel)()

    def by_table(steps: int) -> Run:
        ran = plain.run(machine, start, steps, made)
        return Run(ran.steps, ran.seconds)

    named = [(kernel, by_kernel(kernel)) for kernel in FAST]
    return [("plain", by_table), *named]


BENCHMARK = Benchmark(
    "growth-steps", "time for a step in runs of 10^3 to 10^9 steps, in place and spreading", measure
)
