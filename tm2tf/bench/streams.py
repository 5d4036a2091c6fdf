"""Many streams: a machine in copies, side by side on one core and on several, against one alone.

All copies run to the same number of steps. A rate is of all of them together, so the ratio of the
last one on one thread says what a core gains by having more than one stream. What is timed is the
whole of `run_many`: prompts and the tapes at the end too.

The binary counter turns round all the time, so that one stream waits for each of its cells, and
lockstep pays. BB(5) sweeps: a stream alone compares many cells at once, which no lockstep comes up
to, so `run_many` leaves its streams alone, one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import FAST, End, end_of, finished, other_kernel
from tm2tf.bench.results import Goal, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race
from tm2tf.errors import Tm2tfError
from tm2tf.runtime.partial.streams import LANES
from tm2tf.runtime.run import Result
from tm2tf.runtime.streams import cores, run_many

COUNTING, SWEEPING = "counter", "bb5"
COUNTED, QUICK_STEPS = 20_000_000, 5_000_000
STREAMS, QUICK_STREAMS = (1, 2, 4, LANES, 2 * LANES), (1, LANES)

GOAL = Goal(most=1 / 3)
"""Eight streams on a core: at least three times one stream's rate."""


def measure(settings: Settings) -> Outcome:
    """Time copies of one machine by each fast kernel, on one thread and on more."""
    races = []
    for name, most in ((COUNTING, COUNTED), (SWEEPING, None)):
        end = end_of(api.load(name), (), settings.pick(most, QUICK_STEPS))
        races += [_race(name, kernel, end, settings) for kernel in FAST]
    return Outcome(races=tuple(races))


def _race(machine: str, kernel: str, end: End, settings: Settings) -> Race:
    shared = kernel == "folded"
    aim = GOAL if shared and machine == COUNTING else None
    counts = settings.pick(STREAMS, QUICK_STREAMS)
    sizes = [(1, count) for count in counts] if shared else [(1, 1)]
    for threads in sorted({2, cores()}):
        sizes += [(threads, threads), *([(threads, LANES * threads)] if shared else [])]
    found = []
    for threads, count in sizes:
        goal = aim if (threads, count) == (1, LANES) else None
        name = f"{_several(count, 'stream')}, {_several(threads, 'thread')}"
        found.append(Contender(name, "", _copies(machine, kernel, count, threads, end), goal))
    return Race(
        title=f"Many streams, {machine}, {kernel}",
        about=f"{machine} in copies through the trace weights: time for one step of any of them, "
        + ("in lockstep on each thread" if aim else "one after another on each thread"),
        unit="steps",
        entries=race(found, settings.rounds, settings.report),
    )


def _several(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count > 1)}"


def _copies(machine: str, kernel: str, count: int, threads: int, end: End) -> Callable[[], Run]:
    """Return what runs copies to an end; each must end as the plain simulator does."""
    model = api.compile(machine)
    jobs = [(model.compiled, model.start())] * count

    def run() -> Run:
        began = time.perf_counter()
        found = run_many(jobs, kernel=kernel, threads=threads, max_steps=end.limit)
        seconds = time.perf_counter() - began
        ended = [finished(result) for result in found if isinstance(result, Result)]
        wrong = [f"a run ended with: {error}" for error in found if isinstance(error, Tm2tfError)]
        wrong += [end.differs(it.outcome, it.steps, it.nonblank) for it in ended]
        wrong += [other_kernel(it, kernel) for it in ended]
        return Run(end.steps * count, seconds, next(filter(None, wrong), ""))

    return run


BENCHMARK = Benchmark(
    "streams",
    "copies of a machine side by side, on one core in lockstep and on several, against one alone",
    measure,
)
