"""Block machines: BB(5) found, compiled and run in blocks of cells, against the plain simulator.

Of each size all is timed that it takes from the machine's rules to the end of its run: finding the
table, compiling it to weights, running these, with all that has to be made ready for that. The
block simulator, which runs the same table without weights, shows where the speed comes from: from
the block machine, not from the transformer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import End, by_plain, end_of, finished, other_kernel
from tm2tf.bench.results import Fact, Goal, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race
from tm2tf.blocked import model as blocked
from tm2tf.machine.blocks.finder import first_run
from tm2tf.machine.blocks.lifted import Found
from tm2tf.machine.blocks.simulator import simulate
from tm2tf.machine.spec import Machine

MACHINE = "bb5"
SIZES, QUICK_SIZES = (4, 8, 12, 24, 36, 48, 96), (24,)
CLOSED = 8
"""Cells of the blocks whose table is found without a run: by closure it grows as 2^cells."""

ALONE = 24
"""Cells of the blocks whose run is also timed alone, and without weights."""

GOAL = Goal(most=0.1)
KERNEL, OTHER = "folded", "evaluated"


def measure(settings: Settings) -> Outcome:
    """Time block machines of several sizes from beginning to end."""
    machine = api.load(MACHINE)
    end = end_of(machine)
    found = [
        Contender("plain", "the table simulator in numba, no weights", by_plain(machine, (), end))
    ]
    for size in settings.pick(SIZES, QUICK_SIZES):
        about = f"{size} cells, table by a first run: find, compile, run"
        found.append(Contender(f"{size}", about, _whole(machine, size, "run", end)))
    found += [
        Contender(
            "auto",
            "the size chosen by the beginning of the run: choose, find, compile, run",
            _whole(machine, "auto", "run", end),
            GOAL,
        ),
        Contender(
            f"{CLOSED}, closure",
            f"{CLOSED} cells, table without a run: find, compile, run",
            _whole(machine, CLOSED, "closure", end),
            rounds=3,
        ),
        Contender(
            f"{ALONE}, {OTHER}",
            f"{ALONE} cells, kernel {OTHER} in place of {KERNEL}: find, compile, run",
            _whole(machine, ALONE, "run", end, OTHER),
        ),
        *(
            Contender(
                f"{ALONE}, run alone, {kernel}",
                f"through the weights by kernel {kernel}, found and compiled before",
                _alone(machine, end, kernel),
            )
            for kernel in (KERNEL, OTHER)
        ),
        Contender(
            f"{ALONE}, block simulator",
            "the same table without weights, found before",
            _simulator(machine, end),
        ),
    ]
    return Outcome(
        races=(
            Race(
                title="Block machines",
                about="BB(5) from a blank tape in blocks of cells: time for one step of BB(5)",
                unit="steps",
                entries=race(found, settings.rounds, settings.report),
            ),
        )
    )


def _whole(
    machine: Machine, size: int | Literal["auto"], table: Found, end: End, kernel: str = KERNEL
) -> Callable[[], Run]:
    """Return what finds, compiles and runs blocks of a size."""

    def run() -> Run:
        began = time.perf_counter()
        model = blocked.compile(machine, size, table=table)
        compiled = time.perf_counter()
        result = model.run(kernel=kernel)
        ended = time.perf_counter()
        facts: dict[str, Fact] = {
            "cells": model.found.block,
            "rules": len(model.found.steps),
            "macro steps": result.macro.steps,
            "find": _ms(model.finding),
            "compile": _ms(model.compiling),
            "run": f"{_ms(ended - compiled)}, the passes {_ms(result.macro.seconds)} of it",
        }
        if model.choice is not None:
            facts["choose"] = f"{_ms(model.choice.seconds)} of find"
        return Run(result.steps, ended - began, _wrong(result, end, kernel), facts)

    return run


def _alone(machine: Machine, end: End, kernel: str) -> Callable[[], Run]:
    """Return what runs the weights of a block machine, and nothing else."""
    model = blocked.compile(machine, ALONE)

    def run() -> Run:
        result = model.run(kernel=kernel)
        return Run(result.steps, result.macro.seconds, _wrong(result, end, kernel))

    return run


def _simulator(machine: Machine, end: End) -> Callable[[], Run]:
    """Return what runs the table of a block machine without weights."""
    start = machine.initial()
    found = first_run(machine, ALONE, start)

    def run() -> Run:
        made = simulate(found, start)
        nonblank = made.configuration.tapes[0].nonblank(machine.blank)
        return Run(
            made.base_steps, made.seconds, end.differs(made.outcome, made.base_steps, nonblank)
        )

    return run


def _wrong(result: blocked.BlockResult, end: End, kernel: str) -> str:
    """Return what is wrong with a run of a block machine."""
    finished(result.macro)
    wrong = end.differs(result.outcome, result.steps, result.nonblank)
    if not wrong and result.counted != "weights":
        return "its steps were counted by the table, not by what the weights did"
    return wrong or other_kernel(result.macro, kernel)


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms"


BENCHMARK = Benchmark(
    "blocks",
    "BB(5) in blocks of cells, from its rules to its end, against the plain simulator",
    measure,
)
