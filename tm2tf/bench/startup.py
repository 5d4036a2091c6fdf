"""Start-up: whole processes, from the command to its last character, compiled kernels cached."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence

from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.results import Goal, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race, timed

RUN_GOAL, HELP_GOAL = Goal(most=1.5, of="seconds"), Goal(most=0.3, of="seconds")
EXPECTED = {"outcome": "halted", "steps": 107, "nonblank": 13}
"""How bb4 ends, the 4-state busy beaver."""


def measure(settings: Settings) -> Outcome:
    """Time processes."""
    words = ("-m", "tm2tf")
    entries = race(
        [
            Contender("python", "a Python that does nothing", _process(("-c", ""))),
            Contender("--help", "`tm2tf --help`", _process((*words, "--help"), _helps), HELP_GOAL),
            Contender("machines", "`tm2tf machines`", _process((*words, "machines"), _lists)),
            Contender(
                "run", "`tm2tf run bb4`", _process((*words, "run", "bb4", "--json"), _ran), RUN_GOAL
            ),
        ],
        settings.rounds,
        settings.report,
    )
    return Outcome(
        races=(
            Race(
                title="Start-up",
                about="whole processes, each once before it is timed",
                unit="processes",
                entries=entries,
            ),
        )
    )


def _process(words: Sequence[str], check: Callable[[str], str] = lambda _: "") -> Callable[[], Run]:
    """Return what runs a Python process; `check` says what is wrong with its output."""

    def run() -> Run:
        seconds, ran = timed(
            lambda: subprocess.run(
                [sys.executable, *words], capture_output=True, text=True, check=False
            )
        )
        said = (ran.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        wrong = f"exit code {ran.returncode}: {said}" if ran.returncode else check(ran.stdout)
        return Run(1, seconds, wrong)

    return run


def _helps(told: str) -> str:
    return "" if "Usage: tm2tf" in told else "no help was printed"


def _lists(told: str) -> str:
    return "" if "bb5" in told else "bb5 is not listed"


def _ran(told: str) -> str:
    found = json.loads(told)
    run = {name: found.get(name) for name in EXPECTED}
    return "" if run == EXPECTED else f"bb4 ended {run}, expected {EXPECTED}"


BENCHMARK = Benchmark(
    "startup", "whole processes: `tm2tf --help` and `tm2tf run bb4`, against a bare Python", measure
)
