"""The kernels that runs of weights are timed with, and whether what they brought is right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.api import Model
from tm2tf.bench import plain
from tm2tf.bench.timing import Run
from tm2tf.machine.spec import Machine, Tape
from tm2tf.runtime.run import Result

FAST = ("evaluated", "folded")
"""Kernels that take millions of steps in a blink."""


@dataclass(frozen=True, slots=True)
class End:
    """How a run must end."""

    outcome: str
    steps: int
    nonblank: int

    @property
    def limit(self) -> int:
        """How many steps to allow: one more than there are, where it should end by itself."""
        return self.steps + (self.outcome != "step-limit")

    def differs(self, outcome: str, steps: int, nonblank: int) -> str:
        """Return what is wrong with the end of a run, or an empty string."""
        if (outcome, steps, nonblank) == (self.outcome, self.steps, self.nonblank):
            return ""
        return (
            f"ended {outcome} after {steps:,} steps with {nonblank:,} nonblank cells, expected "
            f"{self.outcome}, {self.steps:,}, {self.nonblank:,}"
        )


def end_of(machine: Machine, tapes: tuple[Tape, ...] = (), max_steps: int | None = None) -> End:
    """Return how a run must end: what the machine's first example says, if it is that run.

    Else what the plain simulator finds.
    """
    examples = machine.examples[:1] if max_steps is None else ()
    for example in examples:
        told = example.expected
        if example.tapes == tapes and None not in (told.outcome, told.steps, told.nonblank):
            return End(str(told.outcome), told.steps or 0, told.nonblank or 0)
    ran = plain.run(machine, machine.initial(tapes), max_steps)
    return End(ran.outcome, ran.steps, ran.nonblank)


def by_plain(
    machine: Machine, tapes: tuple[Tape, ...], end: End, sweeps: bool = False
) -> Callable[[], Run]:
    """Return what runs the plain simulator to an end; it can take the steps of sweeps at once."""
    made, start = plain.table(machine), machine.initial(tapes)

    def run() -> Run:
        ran = plain.run(machine, start, end.limit, made, sweeps)
        return Run(ran.steps, ran.seconds, end.differs(ran.outcome, ran.steps, ran.nonblank))

    return run


def by_weights(
    model: Model,
    tapes: tuple[Tape, ...],
    end: End,
    kernel: str | None = None,
    runtime: str = "kernel",
) -> Callable[[], Run]:
    """Return what runs the weights to an end.

    Where a kernel is named, it is wrong that another one takes its place.
    """

    def run() -> Run:
        result = finished(model.run(*tapes, max_steps=end.limit, runtime=runtime, kernel=kernel))
        wrong = end.differs(result.outcome, result.steps, result.nonblank)
        return Run(result.steps, result.seconds, wrong or other_kernel(result, kernel))

    return run


def finished(result: Result) -> Result:
    """Return a result, unless Ctrl-C ended its run: then it goes on to end the benchmark, too."""
    if result.interrupted:
        raise KeyboardInterrupt
    return result


def other_kernel(result: Result, kernel: str | None) -> str:
    """Return what is wrong with the kernel that ran, where one was asked for."""
    if kernel is None or result.kernel == kernel:
        return ""
    return f"asked for kernel {kernel}, and {result.kernel} ran: {result.reason}"
