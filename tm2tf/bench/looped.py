"""Looped models: a pass is matrix products over all positions of a batch.

What share of the machine's peak do they reach? The peak is what one large product of square
matrices reaches in the same run, with the same threads, on the same device, in the same format.
Counted are the multiplications and additions of matrix products and nothing else, by torch's own
counter: choosing positions, masks and rounding take time and count nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from tm2tf import api
from tm2tf.bench.benchmark import Benchmark, Settings
from tm2tf.bench.kernels import by_weights, end_of
from tm2tf.bench.results import Entry, Outcome, Race
from tm2tf.bench.timing import Contender, Run, race, timed
from tm2tf.runtime.streams import cores

MACHINE = "bb5"
WINDOW = 128
STEPS = 20
"""Passes of a run. BB(5) stays within the window for longer, and steps are checked."""

SQUARE, QUICK_SQUARE = 2048, 1024
"""Rows of the matrices whose product is the peak; larger ones go no faster."""

GPU_SQUARE = 8192
BATCHES, QUICK_BATCHES = (1, 32), (1, 8)
FORMATS = ("float64", "float32")
CONSTRUCTIONS = ("looped", "looped-neighbours")


def measure(settings: Settings) -> Outcome:
    """Time passes of looped models on the CPU, and on a GPU where there is one."""
    import torch

    devices = ["cpu", *["cuda"] * torch.cuda.is_available()]
    with _all_cores():
        return Outcome(
            races=tuple(_race(device, it, settings) for device in devices for it in FORMATS)
        )


@contextmanager
def _all_cores() -> Iterator[None]:
    """Let torch use all cores meanwhile, unless OMP_NUM_THREADS says how many."""
    import torch

    before = torch.get_num_threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _race(device: str, dtype: str, settings: Settings) -> Race:
    import torch

    square = GPU_SQUARE if device == "cuda" else settings.pick(SQUARE, QUICK_SQUARE)
    found = [
        Contender("peak", f"one product of {square:,} x {square:,}", _peak(square, device, dtype))
    ]
    for construction in CONSTRUCTIONS:
        for batch in settings.pick(BATCHES, QUICK_BATCHES):
            run = _passes(construction, batch, device, dtype)
            about = f"{STEPS} passes, {WINDOW} cells, {batch} sequence{'s' * (batch > 1)}"
            found.append(Contender(f"{construction}, {batch}", about, run))
    entries = race(found, settings.rounds, settings.report)
    return Race(
        title=f"Looped models, {device}, {dtype}",
        about=f"operations a second of the matrix products, {torch.get_num_threads()} threads; "
        "the ratio is the inverse of the share of the peak",
        unit="operations",
        entries=tuple(_with_share(entry) for entry in entries),
    )


def _with_share(entry: Entry) -> Entry:
    """Return an entry that also says its share of the peak."""
    share = f"{1 / entry.ratio.median:.1%}" if entry.ratio.count else "?"
    return replace(entry, facts={**entry.facts, "share of peak": share})


def _peak(square: int, device: str, dtype: str) -> Callable[[], Run]:
    """Return what multiplies two large matrices."""
    import torch

    drawn = torch.Generator(device=device).manual_seed(0)
    one, other = (
        torch.rand(square, square, dtype=getattr(torch, dtype), device=device, generator=drawn)
        for _ in range(2)
    )

    def run() -> Run:
        seconds, _ = timed(lambda: float((one @ other)[0, 0]))
        return Run(2 * square**3, seconds)

    return run


def _passes(construction: str, batch: int, device: str, dtype: str) -> Callable[[], Run]:
    """Return what makes the passes of a batch, each sequence the same.

    What is emitted at every position must be what one sequence emits in float64 on the CPU, whose
    run must end as the plain simulator's.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from tm2tf.runtime.looped import LoopedTransformer, iterate

    model = api.compile(MACHINE, construction, window=WINDOW)
    wrong = by_weights(model, (), end_of(model.machine, (), STEPS))().wrong
    prompt = torch.tensor([model.compiled.prompt(model.start())])
    alone = iterate(LoopedTransformer(model.weights), prompt, STEPS)
    module, prompts = LoopedTransformer(model.weights, device, dtype), prompt.repeat(batch, 1)
    module.begin(prompts)
    with FlopCounterMode(display=False) as counter:
        module.turn()
        module.emitted()
    operations = counter.get_total_flops() * STEPS

    def run() -> Run:
        seconds, told = timed(lambda: iterate(module, prompts, STEPS).cpu())
        other = "" if bool((told == alone).all()) else "a batch emits what one alone does not"
        return Run(operations, seconds, wrong or other, {"passes a second": round(STEPS / seconds)})

    return run


BENCHMARK = Benchmark(
    "looped",
    "passes of looped models in batches, against one large matrix product: the share of the peak",
    measure,
)
