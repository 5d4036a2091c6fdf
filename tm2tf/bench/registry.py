"""The table of benchmarks, and how some or all of them are measured."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tm2tf.bench import (
    blocks,
    gpu,
    growth_constructions,
    growth_memory,
    growth_rules,
    growth_steps,
    looped,
    one_stream,
    peers,
    startup,
    streams,
    verifying,
)
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.results import Outcome
from tm2tf.errors import ExtraError, NotFoundError, Tm2tfError, did_you_mean

BENCHMARKS: tuple[Benchmark, ...] = (
    one_stream.BENCHMARK,
    blocks.BENCHMARK,
    streams.BENCHMARK,
    gpu.BENCHMARK,
    verifying.BENCHMARK,
    startup.BENCHMARK,
    peers.BENCHMARK,
    looped.BENCHMARK,
    growth_steps.BENCHMARK,
    growth_memory.BENCHMARK,
    growth_rules.BENCHMARK,
    *growth_constructions.BENCHMARKS,
)


@dataclass(frozen=True, slots=True)
class Measured:
    """A benchmark with what it brought back, and the seconds that it took in all.

    `failed`: the error that ended it; `absent`: the package that it could not do without.
    """

    benchmark: Benchmark
    outcome: Outcome
    seconds: float
    failed: str = ""
    absent: str = ""

    @property
    def wrong(self) -> tuple[str, ...]:
        """What was wrong: results, and the error that ended it."""
        failed = (f"{self.benchmark.name}: {self.failed}",) if self.failed else ()
        return (*self.outcome.wrong, *failed)


def chosen(names: Sequence[str]) -> tuple[Benchmark, ...]:
    """Return the benchmarks of these names in the table's order, or all if there are none.

    A name stands for all that begin with it and a hyphen, too: growth, growth-steps.

    Raises:
        NotFoundError: there is no such benchmark.
    """
    known = [benchmark.name for benchmark in BENCHMARKS]
    for name in names:
        if not any(_stands_for(name, it) for it in known):
            raise NotFoundError(
                f"unknown benchmark {name!r}; known: {', '.join(known)}" + did_you_mean(name, known)
            )
    return tuple(
        benchmark
        for benchmark in BENCHMARKS
        if not names or any(_stands_for(name, benchmark.name) for name in names)
    )


def measure(benchmarks: Sequence[Benchmark], settings: Settings) -> Iterator[Measured]:
    """Measure one after the other; what ends one does not end the others."""
    for benchmark in benchmarks:
        began = time.perf_counter()
        outcome, failed, absent = Outcome(), "", ""
        try:
            outcome = benchmark.measure(settings)
        except ExtraError as error:
            absent = str(error)
        except Tm2tfError as error:
            failed = str(error)
        yield Measured(benchmark, outcome, time.perf_counter() - began, failed, absent)


def _stands_for(name: str, benchmark: str) -> bool:
    return benchmark == name or benchmark.startswith(f"{name}-")
