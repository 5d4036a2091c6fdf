"""Memory: by the cells that a run visits, and not by its steps."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

from tm2tf.bench import wording
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import FAST
from tm2tf.bench.results import Goal, Growth, Outcome, Series
from tm2tf.bench.statistics import spread
from tm2tf.errors import InternalError

CELLS = (250_000, 1_000_000, 4_000_000, 16_000_000)
QUICK_CELLS = (250_000, 1_000_000)
STEPS = (1_000_000, 10_000_000, 100_000_000)
QUICK_STEPS = (1_000_000, 4_000_000)
FEW = 1_000
"""Steps after which a process has in memory what it has without a tape: that is subtracted."""

READ = 1_000_000
"""Cells of a run whose tape is read out of the weights: it becomes words, one a cell."""

LINEAR, FLAT = Goal(most=1.1, of="slope"), Goal(most=0.1, of="slope")


def measure(settings: Settings) -> Outcome:
    """Run processes of their own and read off what memory they had at most."""
    if find_spec("resource") is None:
        return Outcome(notes=("left out: this system does not say what memory a process had",))
    by_cells = [_by_cells(kernel, settings) for kernel in FAST]
    by_steps = [_by_steps(kernel, settings) for kernel in FAST]
    settings.tell(f"memory of walker, {READ:,} cells read")
    before, walked, read = _peaks("walker", FAST[-1], (FEW, READ), "read")
    run, result = (wording.size((it - before) / READ) for it in (walked, read))
    told = f"a run of {READ:,} cells takes {run} a cell, and with its tape read as words {result}"
    return Outcome(
        growths=(
            Growth(
                title="Memory by cells visited",
                about="a machine that visits a new cell in each step: the largest resident set of "
                f"a process, less what it had after {FEW:,} steps",
                x="cells visited",
                y="bytes",
                series=tuple(by_cells),
            ),
            Growth(
                title="Memory by steps",
                about="a machine that stays on 10 cells: the largest resident set of a process",
                x="steps",
                y="bytes",
                series=tuple(by_steps),
            ),
        ),
        notes=(told,),
    )


def _by_cells(kernel: str, settings: Settings) -> Series:
    """Return the memory of a run that visits more and more cells, less that of a short one."""
    settings.tell(f"memory of walker, {kernel}")
    sizes = settings.pick(CELLS, QUICK_CELLS)
    nothing, *found = _peaks("walker", kernel, (FEW, *sizes))
    more = tuple(spread([max(1.0, float(it - nothing))]) for it in found)
    return Series(f"{kernel}, walker", sizes, more, "1", LINEAR)


def _by_steps(kernel: str, settings: Settings) -> Series:
    """Return the memory of a run that stays where it is."""
    settings.tell(f"memory of shuttle, {kernel}")
    sizes = settings.pick(STEPS, QUICK_STEPS)
    found = _peaks("shuttle", kernel, sizes)
    return Series(
        f"{kernel}, shuttle", sizes, tuple(spread([float(it)]) for it in found), "0", FLAT
    )


def _peaks(name: str, kernel: str, stages: tuple[int, ...], *then: str) -> list[int]:
    """Return the largest resident set after so many steps each; see `resident`.

    Raises:
        InternalError: the process failed.
    """
    words = [sys.executable, "-m", "tm2tf.bench.resident", name, kernel, *map(str, stages), *then]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise InternalError(f"the process that measures memory failed: {last}")
    return [int(line) for line in ran.stdout.split()]


BENCHMARK = Benchmark(
    "growth-memory", "memory of a process by the cells that a run visits, and by its steps", measure
)
