"""Many runs at once: on threads, and on each thread in lockstep.

Each thread has eight lanes (`partial.lanes`), in which runs through the folded kernel go on side by
side. A lane whose run is over gets the next one at once. What lanes do not take runs alone, on the
same threads: other kernels and constructions, several tapes, the first steps of each run, and a
pass here and there of which the loops know nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from tm2tf.compiler import Compiled, Start
from tm2tf.errors import InputError, Tm2tfError
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.follow import follow
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.partial.lanes import Lanes, Lent
from tm2tf.runtime.partial.lending import Kernels, LendingRunner, own_kernel
from tm2tf.runtime.partial.runner import PartialRunner
from tm2tf.runtime.partial.streams import LANES
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.run import FIRST_CHUNK, Result, interrupts, refuse_trouble, resized, result_of
from tm2tf.runtime.runner import KERNELS, Runner
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.runtime.told import Follower

Job: TypeAlias = tuple[Compiled, Configuration]
Ended: TypeAlias = Result | Tm2tfError | None

BURSTS = 2**15
"""Bursts between two looks at whether to stop: 8 million passes a lane, about 40 ms for eight."""

STAY = 2**20
"""Passes of a run in a lane, at most, before it is seen whether it would be faster alone. To put it
there and take it back costs some 20 microseconds, a twentieth of that time or less."""

SWEPT = 7 / 8
"""The share of sweeps (see `partial.loops`) from which on a run is faster alone: a pass takes 2 to
5 ns there, in a sweep 0.1 or less, and 0.55 ns in eight lanes, sweep or not."""

LOOKED = 512
"""Passes by which that is seen."""

SHORT = 4096
"""Passes in a lane that make up for putting a run there and taking it back."""

LONGEST = 2**22
"""Steps taken alone, at most, before a run for which lanes were no good is put there again."""

LOOK = 0.1
"""Seconds between two looks at Ctrl-C and the progress."""


class StreamRunner(KernelRunner):
    """A run through a kernel that lanes can take over where it is the folded one."""

    def __init__(
        self,
        compiled: Compiled,
        begin: Start,
        probes: Sequence[str],
        kernel: str,
        kernels: Kernels,
    ) -> None:
        self._kernels = kernels
        super().__init__(compiled.weights, begin.ids, probes, kernel)

    def _begin(self, kernel: str) -> PartialRunner | SparseRunner:
        if kernel in ("dense", "sparse"):
            return super()._begin(kernel)
        self.kernel = kernel
        try:
            return LendingRunner(*self._given, kernel, self._kernels)
        except Unfit as unfit:
            return self._begin_next(unfit)

    @property
    def passes(self) -> tuple[int, int]:
        """How many were made by the kernel that runs now, and how many of these in sweeps."""
        runner = self._runner
        return (runner.emitted, runner.swept) if isinstance(runner, PartialRunner) else (0, 0)

    def lend(self) -> tuple[LendingRunner, Lent] | None:
        """Return the run as a lane takes it, and the runner that takes it back; None: none can."""

        def lent(runner: PartialRunner | SparseRunner) -> tuple[LendingRunner, Lent] | None:
            if not isinstance(runner, LendingRunner) or not runner.can_lend:
                return None
            made = runner.lend()
            return None if made is None else (runner, made)

        return self._try(lent)


@dataclass(slots=True)
class _Stream:
    """A run in flight. `alone`: the steps to take before it is put in a lane again."""

    number: int
    compiled: Compiled
    follower: Follower
    runner: StreamRunner | None
    began: float
    limit: int | None
    lender: LendingRunner | None = None
    alone: int = 1

    @property
    def over(self) -> bool:
        """Whether it need not go on."""
        return self.follower.outcome is not None or self.follower.steps == self.limit

    def left(self, most: int) -> int:
        """Return how many steps it may take, up to `most`."""
        return most if self.limit is None else min(most, self.limit - self.follower.steps)

    def advance(self, most: int) -> int:
        """Take up to so many steps alone; return how many."""
        before = self.follower.steps
        self.follower.advance(self.left(most))
        refuse_trouble(self.compiled, self.follower)
        return self.follower.steps - before


class _Queue:
    """The jobs, handed out one by one, and how they ended."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._jobs = enumerate(jobs)
        self._lock = threading.Lock()
        self.ended: dict[int, Ended] = {}

    def next(self) -> tuple[int, Job] | None:
        """Return the next job with its number; None if there is none."""
        with self._lock:
            found = next(self._jobs, None)
            if found is not None:
                self.ended[found[0]] = None
            return found


class _Worker:
    """One thread's part: up to eight runs in flight."""

    def __init__(
        self, queue: _Queue, kernel: str, limit: int | None, lanes: int, stop: threading.Event
    ) -> None:
        self._queue, self._kernel, self._limit = queue, kernel, limit
        self._width, self._stop = lanes, stop
        self._kernels: Kernels = lru_cache(maxsize=2 * LANES)(own_kernel)
        self._lanes = Lanes()
        self._streams: list[_Stream | None] = [None] * LANES
        self.steps = 0

    def run(self) -> None:
        """Run jobs until there are no more."""
        while self._fill() and not self._stop.is_set():
            streams = [(i, stream) for i, stream in enumerate(self._streams) if stream is not None]
            if len(streams) == 1:
                self._alone(*streams[0])
                continue
            before = int(self._lanes.made.sum())
            self._lanes.go(BURSTS)
            self.steps += int(self._lanes.made.sum()) - before
            for lane, stream in streams:
                if self._lanes.stands(lane):
                    self._guarded(stream, lane, self._see_to)
        for lane, left in enumerate(self._streams):
            if left is not None:
                self._guarded(left, lane, self._interrupt)

    def _fill(self) -> int:
        """Begin jobs in lanes that are free; return how many runs are in flight."""
        for lane in range(self._width):
            while self._streams[lane] is None and not self._stop.is_set():
                job = self._queue.next()
                if job is None:
                    break
                self._begin(lane, *job)
        return sum(stream is not None for stream in self._streams)

    def _begin(self, lane: int, number: int, job: Job) -> None:
        """Begin a job: to its end, unless a lane takes it."""
        compiled, start = job
        runners: list[StreamRunner] = []

        def make(probes: tuple[str, ...], begin: Start) -> Runner:
            runners.append(StreamRunner(compiled, begin, probes, self._kernel, self._kernels))
            return runners[0]

        try:
            follower = _follow(compiled, start, self._kernel, make)
        except Tm2tfError as error:
            self._queue.ended[number] = error
            return
        runner = runners[0] if runners else None
        stream = _Stream(number, compiled, follower, runner, time.perf_counter(), self._limit)
        self._guarded(stream, lane, self._start)

    def _guarded(self, stream: _Stream, lane: int, do: Callable[[int, _Stream], None]) -> None:
        """Do something with a run; an error ends that run alone."""
        try:
            do(lane, stream)
        except Tm2tfError as error:
            self._leave(lane)
            self._queue.ended[stream.number] = error

    def _leave(self, lane: int) -> None:
        if self._lanes.live[lane]:
            self._lanes.take(lane)
        self._streams[lane] = None

    def _start(self, lane: int, stream: _Stream) -> None:
        if not stream.over:
            self.steps += stream.advance(FIRST_CHUNK)
        self._go_on(lane, stream)

    def _go_on(self, lane: int, stream: _Stream) -> None:
        """Sweep alone, then go on in a lane; or to the end, if none can take the run."""
        self._sweep(stream)
        if not stream.over and self._put(lane, stream):
            return
        if not stream.over and not self._stop.is_set():
            self._to_the_end(stream, None)
        self._end(lane, stream)

    def _sweep(self, stream: _Stream) -> None:
        """Take steps alone for as long as nearly all are those of sweeps."""
        size = LOOKED
        while stream.runner is not None and not stream.over and not self._stop.is_set():
            began, (passes, swept) = time.perf_counter(), stream.runner.passes
            self.steps += stream.advance(size)
            made, more = stream.runner.passes
            if more - swept < SWEPT * (made - passes) or made <= passes:
                return
            size = resized(size, time.perf_counter() - began)

    def _put(self, lane: int, stream: _Stream) -> bool:
        """Put a run in a lane; return whether that can be done."""
        if stream.runner is None or self._width == 1:
            return False
        lent = stream.runner.lend()
        if lent is None:
            return False
        stream.lender = lent[0]
        self._streams[lane] = stream
        return self._lanes.put(lane, lent[1], stream.left(min(STAY, lent[1].most)))

    def _to_the_end(self, stream: _Stream, seconds: float | None) -> None:
        """Take steps alone: until it is over or all is to stop, or for some seconds."""
        size, began = FIRST_CHUNK, time.perf_counter()
        while not stream.over and not self._stop.is_set():
            looked = time.perf_counter()
            if seconds is not None and looked - began > seconds:
                return
            self.steps += stream.advance(size)
            size = resized(size, time.perf_counter() - looked)

    def _come_back(self, lane: int, stream: _Stream) -> int:
        """Take a run out of its lane; return how many passes it made there."""
        if not self._lanes.live[lane] or stream.lender is None:
            return 0
        returned = self._lanes.take(lane)
        stream.lender.come_back(returned)
        stream.follower.advance(returned.passes)  # which hears of them
        return returned.passes

    def _see_to(self, lane: int, stream: _Stream) -> None:
        """Do what a lane cannot, and put the run there again, or end it."""
        passes = self._come_back(lane, stream)
        stream.alone = 1 if passes >= SHORT else min(2 * stream.alone, LONGEST)
        if not stream.over:
            self.steps += stream.advance(stream.alone)
        self._go_on(lane, stream)

    def _alone(self, lane: int, stream: _Stream) -> None:
        def go(lane: int, stream: _Stream) -> None:
            self._come_back(lane, stream)
            self._to_the_end(stream, LOOK)
            if stream.over:
                self._end(lane, stream)

        self._guarded(stream, lane, go)

    def _interrupt(self, lane: int, stream: _Stream) -> None:
        self._come_back(lane, stream)
        self._end(lane, stream)

    def _end(self, lane: int, stream: _Stream) -> None:
        """Note how a run ended."""
        seconds = time.perf_counter() - stream.began
        self._queue.ended[stream.number] = result_of(
            stream.follower, seconds, interrupted=not stream.over
        )
        self._leave(lane)


def _follow(
    compiled: Compiled,
    start: Configuration,
    kernel: str,
    make: Callable[[tuple[str, ...], Start], Runner],
) -> Follower:
    if compiled.construction.view == "cells":
        return follow(compiled, start, kernel=kernel)
    if compiled.construction.view == "rows":
        from tm2tf.runtime.rows import RowFollower

        return RowFollower(compiled, start, make)
    from tm2tf.runtime.steps import StepFollower

    return StepFollower(compiled, start, make)


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_many(
    jobs: Iterable[Job],
    *,
    kernel: str = "folded",
    threads: int | None = None,
    max_steps: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> list[Ended]:
    """Run jobs, pairs of compiled weights and a start, and return how each ended, in their order.

    Each ends as `run.run` of it alone does. An error of one (`BoundError`, for one) stands in its
    place and does not end the others. Jobs are asked for as runs end, so that an iterator need not
    hold them all. `seconds` of a result are those in flight, beside others.

    Ctrl-C ends all runs with the results so far, which are `interrupted`; None stands for a job
    that was not begun (those of an iterator that were not asked for are left out).

    Args:
        jobs: machines and inputs, mixed as they come.
        kernel: which one is asked for; only runs through "folded" share a core.
        threads: how many; None: one for each core.
        max_steps: a limit for each run.
        on_progress: is told the steps taken by all runs together.

    Raises:
        InputError: no such kernel, or no threads.
    """
    if kernel not in KERNELS:
        raise InputError(f"unknown kernel {kernel!r}; known: {', '.join(KERNELS)}")
    threads = cores() if threads is None else threads
    if threads < 1:
        raise InputError(f"threads must be at least 1, got {threads}")
    if max_steps is not None and max_steps < 0:
        raise InputError(f"max_steps must be at least 0, got {max_steps}")
    total = len(jobs) if isinstance(jobs, Sequence) else None
    lanes = LANES if total is None else min(LANES, -(-total // threads))
    queue, stop = _Queue(jobs), threading.Event()
    workers = [_Worker(queue, kernel, max_steps, lanes, stop) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool, interrupts() as noted:
        futures = [pool.submit(worker.run) for worker in workers]
        try:
            _watch(futures, noted, stop, lambda: sum(w.steps for w in workers), on_progress)
        finally:
            stop.set()
    return [
        queue.ended.get(number) for number in range(len(queue.ended) if total is None else total)
    ]


def _watch(
    futures: Sequence[Future[None]],
    noted: list[int],
    stop: threading.Event,
    steps: Callable[[], int],
    on_progress: Callable[[int], None] | None,
) -> None:
    """Wait for all threads, or an error of one; on Ctrl-C tell them to stop."""
    waiting = set(futures)
    while waiting:
        done, waiting = wait(waiting, timeout=LOOK)
        for future in done:
            future.result()
        if on_progress is not None:
            on_progress(steps())
        if noted:
            stop.set()
