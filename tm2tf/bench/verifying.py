"""Verification: every step of BB(5) compared, against the plain simulator's bare run."""

from __future__ import annotations

from collections.abc import Callable

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import End, by_plain, end_of
from tm2tf.bench.results import Goal, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race, timed

MACHINE = "bb5"
QUICK_STEPS = 10_000_000
"""Enough that the reference simulator's first steps, whose number is fixed, do not outweigh it."""

GOAL = Goal(most=4.0)
ROUNDS = 3


def measure(settings: Settings) -> Outcome:
    """Time `verify` on all steps, and the plain simulator on the same."""
    machine = api.load(MACHINE)
    end = end_of(machine, (), settings.pick(None, QUICK_STEPS))
    entries = race(
        [
            Contender(
                "plain", "the table simulator in numba, no weights", by_plain(machine, (), end)
            ),
            Contender(
                "verify",
                "state, symbols, move, head of every step compared, and the tape at the end",
                _verify(api.compile(machine), end),
                GOAL,
                rounds=ROUNDS,
            ),
        ],
        settings.rounds,
        settings.report,
    )
    return Outcome(
        races=(
            Race(
                title="Verification",
                about="`tm2tf verify bb5`: simulator, interpreter and weights in lockstep",
                unit="steps",
                entries=entries,
            ),
        )
    )


def _verify(model: api.Model, end: End) -> Callable[[], Run]:
    def run() -> Run:
        seconds, check = timed(lambda: model.verify(max_steps=end.limit))
        wrong = "" if check.divergence is None else f"the weights part at {check.divergence}"
        if (check.outcome, check.steps) != (end.outcome, end.steps):
            wrong = wrong or f"{check.outcome} after {check.steps:,} steps, not {end.steps:,}"
        return Run(check.steps, seconds, wrong)

    return run


BENCHMARK = Benchmark(
    "verify", "`tm2tf verify bb5`, all steps, against the plain simulator's time", measure
)
