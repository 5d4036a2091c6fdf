"""Many streams on a GPU: stream-steps a second of the persistent kernel, and of the torch model.

Streams are resident: as many as there are lanes, of the same weights, each making the same number
of passes. They begin at different moments of one run, as heads that move alike would flatter the
kernel; another row has them all begin at the same one. Where the device has stopped, every stream
must stand where the same kernel on the CPU does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tm2tf import api
from tm2tf.api import Model
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import FAST, by_weights, end_of
from tm2tf.bench.machines import shuttle, shuttle_tape
from tm2tf.bench.results import Left, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race
from tm2tf.errors import ExtraError, InternalError
from tm2tf.machine.spec import Tape

SMALL_CELLS = 200
"""Cells that the small machine goes to and fro over: with a blank on either side within 256."""

MOMENTS = 64
"""Moments at which streams begin, and the steps between two of them: two warps, each lane its own;
101 is prime to the length of the way to and fro."""

APART = 101
LATE = 40_000_000
"""Steps of BB(5) before the first moment: by then it goes over some 11,000 cells."""

STEPS, QUICK_STEPS = 1_000_000, 10_000
CPU_STEPS = 20_000_000
LANES = (256, 1024, 2048)
"""Lanes for each multiprocessor."""

CHECKED = 4
"""Streams that are compared cell by cell with the CPU."""

BATCH, BATCH_STEPS = 4096, 200
WHERE = "on a machine that has one: tm2tf bench gpu"
NO_GPU = f"torch finds no CUDA device; {WHERE}"


@dataclass(frozen=True, slots=True)
class _Case:
    """What is run: a machine from a tape, from some step on."""

    title: str
    model: Model
    tapes: tuple[Tape, ...]
    begin: int


def measure(settings: Settings) -> Outcome:
    """Time resident streams on small tapes and on BB(5)'s."""
    small = _Case(
        f"GPU, tapes of {SMALL_CELLS + 2} cells",
        api.compile(shuttle()),
        (shuttle_tape(SMALL_CELLS),),
        0,
    )
    large = _Case("GPU, BB(5)'s 12,000 cells", api.compile("bb5"), (), LATE)
    return Outcome(
        races=tuple(_race(case, settings) for case in (small, large)),
        notes=("a stream-step is one step of one stream; goals are in docs/gpu.md",),
    )


def _race(case: _Case, settings: Settings) -> Race:
    """Return the kernels on the GPU beside one stream of the CPU; what there is not is left out."""
    import torch

    end = end_of(case.model.machine, case.tapes, CPU_STEPS)
    found = [
        Contender(
            "one stream", "folded, on the CPU", by_weights(case.model, case.tapes, end, "folded")
        )
    ]
    left: list[Left] = []
    for kernel in FAST:
        try:
            found += _contenders(case, kernel, settings)
        except ExtraError as error:
            left.append(Left(kernel, str(error)))
        except _NoGpu:
            left.append(Left(kernel, NO_GPU))
    if torch.cuda.is_available():
        about = f"the plain torch model, {BATCH:,} sequences, one captured graph"
        found.append(Contender("torch", about, _by_torch(case)))
    else:
        left.append(Left("torch, captured graph", NO_GPU))
    return Race(
        title=case.title,
        about="stream-steps a second of resident streams, through the trace weights",
        unit="stream-steps",
        entries=race(found, settings.rounds, settings.report),
        left=tuple(left),
    )


class _NoGpu(Exception):  # noqa: N818 - said in a row, no error
    """There is no CUDA device."""


def _contenders(case: _Case, kernel: str, settings: Settings) -> list[Contender]:
    """Return a kernel with several numbers of lanes, and with heads that move alike."""
    import torch

    from tm2tf.runtime.gpu.launch import kernel as made

    if not torch.cuda.is_available():
        raise _NoGpu
    made(interpreted=False)
    steps = settings.pick(STEPS, QUICK_STEPS)
    units = torch.cuda.get_device_properties(0).multi_processor_count
    runs = [
        (f"{kernel}, {lanes * units:,} streams", MOMENTS, lanes * units)
        for lanes in settings.pick(LANES, LANES[1:2])
    ]
    runs.append((f"{kernel}, all alike", 1, LANES[1] * units))
    return [
        Contender(name, f"{steps:,} passes each", resident(case.model, case.tapes, case.begin,
            kernel, count, steps, moments))
        for name, moments, count in runs
    ]  # fmt: skip


def resident(
    model: Model,
    tapes: Sequence[Tape],
    begin: int,
    kernel: str,
    count: int,
    steps: int,
    moments: int,
    device: str = "cuda",
) -> Callable[[], Run]:
    """Return what lets so many streams make so many passes, from so many moments of one run.

    What it returns of a run is wrong if a stream stands elsewhere than on the CPU.
    """
    from tm2tf.runtime.gpu.jobs import Jobs
    from tm2tf.runtime.gpu.many import tables_of
    from tm2tf.runtime.gpu.streams import FIRST_CELLS, Standing, Stream

    weights, prompt = model.weights, model.compiled.start(model.start(*tapes)).ids
    tables = tables_of(kernel, weights, (), device)
    fits = tables.rows.parts.moves.fits

    def stream(after: int) -> Stream:
        made = Stream(weights, prompt, (), tables)
        if after:
            made.skip(after, fits)
        return made

    def standing(after: int, least: int = FIRST_CELLS) -> Standing:
        found = stream(after).stand(least)
        if found is None:
            raise InternalError("a benchmark's addresses are beyond what a GPU takes")
        return found

    # where streams will be is known beforehand, so that their cells need not grow
    moment = [begin + APART * number for number in range(moments)]
    size = max(standing(it + steps).cells.shape[1] for it in (moment[0], moment[-1]))
    begins = [standing(it, size) for it in moment]
    tables.send()
    which = np.arange(count) % moments

    def same(one: Standing | None, other: Standing) -> bool:
        return (
            one is not None
            and (one.lowest, one.last) == (other.lowest, other.last)
            and np.array_equal(one.places, other.places)
            and np.array_equal(one.cells, other.cells)
        )

    def wrong(jobs: Jobs) -> str:
        """Return what is wrong with where streams stand; some are compared cell by cell."""
        alike = jobs.places == jobs.places[:, which]
        if not bool((jobs.counts == steps).all()) or not bool(alike.all()):
            return "streams that began alike stand in different places"
        some = np.arange(min(CHECKED, moments, count))
        for number, left in zip(some.tolist(), jobs.leave(some), strict=True):
            there = stream(moment[number])
            there.stand(size)
            there.take(left)
            if not same(there.stand(size), standing(moment[number] + steps, size)):
                return f"stream {number} stands where the CPU's does not"
        return ""

    def run() -> Run:
        jobs = Jobs(tables, begins, which, np.full(count, steps), lanes=count)
        began = time.perf_counter()
        while jobs.run():  # which waits for the device
            pass
        return Run(count * steps, time.perf_counter() - began, wrong(jobs))

    return run


def _by_torch(case: _Case) -> Callable[[], Run]:
    """Return what decodes a batch of the same prompt by the torch model."""
    from tm2tf.runtime.gpu.batched import Decoder

    prompt = case.model.compiled.start(case.model.start(*case.tapes)).ids

    def run() -> Run:
        decoder = Decoder(case.model.weights, [prompt] * BATCH, "cuda", BATCH_STEPS)
        began = time.perf_counter()
        decoder.run()
        seconds = time.perf_counter() - began
        tokens = decoder.tokens()
        wrong = "" if all(row == tokens[0] for row in tokens) else "sequences differ"
        return Run(BATCH * BATCH_STEPS, seconds, wrong)

    return run


BENCHMARK = Benchmark(
    "gpu",
    "many streams on a GPU by the persistent kernel and by torch, beside one stream on the CPU",
    measure,
)
