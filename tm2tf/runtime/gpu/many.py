"""Many runs of the same weights at once on a GPU, each read as if it ran alone."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int32

from tm2tf.compiler import Compiled, Start
from tm2tf.errors import BoundError, ExtraError, InputError, NotFoundError, did_you_mean
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.gpu.batched import run_batch
from tm2tf.runtime.gpu.jobs import Jobs
from tm2tf.runtime.gpu.launch import kernel as made_kernel
from tm2tf.runtime.gpu.streams import Left, Standing, Stream, StreamRunner
from tm2tf.runtime.gpu.tables import Tables, rows_of
from tm2tf.runtime.partial.tables import parts
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.run import Result, refuse_trouble, result_of
from tm2tf.runtime.runner import Runner
from tm2tf.runtime.steps import StepFollower
from tm2tf.runtime.torch_runner import pick_device
from tm2tf.weights.model import Weights

KERNELS = ("folded", "evaluated", "torch")
"""What runs streams on a GPU: the two kernels in Triton, and the plain torch model as a batch."""

MOST_CELLS = 2**30
"""Cells of a batch at most; more streams wait for the next one."""

ODD = 64
"""Tokens that the kernel does not take after which a stream stays on the CPU: moving it there and
back takes about as long as a hundred thousand passes of the kernel."""

ALONE = 2**20
"""Tokens emitted at once by a stream that stays on the CPU."""

REHEARSED = 2**16
"""Passes that the CPU makes beforehand: a millisecond, about as long as ten launches."""

ENDLESS = 2**62
"""In place of a limit, where there is none."""


@dataclass(slots=True)
class _Run:
    """One of the runs: how it is followed, and how often it met what the kernel does not take."""

    number: int
    follower: StepFollower
    runner: StreamRunner
    odd: int = 0


Waiting: TypeAlias = dict[int, list[tuple[_Run, Stream, Standing]]]
"""Streams that wait for their turn on the device, by how many cells they have."""


def run_many(
    compiled: Compiled,
    starts: Sequence[Configuration],
    *,
    kernel: str = "folded",
    device: str = "cuda",
    max_steps: int | None = None,
    lanes: int | None = None,
) -> list[Result]:
    """Run weights from many start configurations at once; return how each run ended, in order.

    `device` "cpu" has Triton interpret the kernel, which is slow: it is for checking. `lanes`: how
    many streams are resident at once. The results' `seconds` are those of all runs together;
    `kernel` and `reason` say which kernel ran, and why it is another one than was asked for.

    Raises:
        NotFoundError: no such kernel.
        InputError: there is no such device.
        BoundError: a run leaves the range in which the weights are exact.
        ArtifactError: the weights emit what no run may hold.
    """
    _check(kernel, device, lanes, max_steps)
    if kernel != "torch":
        try:
            return _Runs(compiled, starts, kernel, device, max_steps, lanes).results()
        except (ExtraError, Unfit) as error:
            return run_batch(compiled, starts, device, max_steps, str(error))
    return run_batch(compiled, starts, device, max_steps, None)


def emitted(
    compiled: Compiled,
    starts: Sequence[Configuration],
    count: int,
    *,
    kernel: str = "folded",
    device: str = "cuda",
) -> list[list[int]]:
    """Return the first `count` tokens of each run, fewer where it is over sooner.

    Raises:
        ExtraError: triton is not installed.
        InputError: the weights are not fit for the kernel, or there is no such device.
    """
    _check(kernel, device, None, count)
    try:
        runs = _Runs(compiled, starts, kernel, device, count, None, record=count)
        runs.results()
    except Unfit as unfit:
        raise InputError(f"the weights do not run on the GPU kernel: {unfit}") from unfit
    return [row[row >= 0].tolist() for row in runs.tokens]


def _check(kernel: str, device: str, lanes: int | None, most: int | None) -> None:
    if kernel not in KERNELS:
        raise NotFoundError(
            f"unknown kernel {kernel!r}; known on a GPU: {', '.join(KERNELS)}"
            + did_you_mean(kernel, KERNELS)
        )
    if device not in ("cuda", "cpu"):
        raise NotFoundError(f"unknown device {device!r}; known: cuda, cpu")
    pick_device(device)
    if lanes is not None and lanes < 1:
        raise InputError(f"lanes must be at least 1, got {lanes}")
    if most is not None and most < 0:
        raise InputError(f"steps must be at least 0, got {most}")


@lru_cache(maxsize=4)
def tables_of(kernel: str, weights: Weights, probes: tuple[str, ...], device: str) -> Tables:
    """Return the tables of weights on a device; runs of the same weights share them.

    Raises:
        Unfit: the kernel cannot take these weights.
    """
    return Tables(rows_of(kernel, parts(weights, probes)), device)


class _Runs:
    """All runs, as far as they have come."""

    def __init__(
        self,
        compiled: Compiled,
        starts: Sequence[Configuration],
        kernel: str,
        device: str,
        max_steps: int | None,
        lanes: int | None,
        record: int = 0,
    ) -> None:
        made_kernel(interpreted=device == "cpu")
        construction = compiled.construction
        if construction.view != "steps" or construction.rebases:
            raise Unfit(f"construction {construction.name!r} says more than a step with its tokens")
        if construction.parts(compiled.machine):
            raise Unfit(f"a step of construction {construction.name!r} takes several tokens")
        self._compiled, self._kernel, self._device = compiled, kernel, device
        self._max_steps, self._lanes = max_steps, lanes
        self._tokens = torch.full((len(starts), record), -1, dtype=torch.int32).to(device)
        self._runs = [self._begin(number, start) for number, start in enumerate(starts)]

    def _begin(self, number: int, start: Configuration) -> _Run:
        made: list[StreamRunner] = []

        def make(probes: tuple[str, ...], begin: Start) -> Runner:
            weights = self._compiled.weights
            self._tables = tables_of(self._kernel, weights, probes, self._device)
            made.append(StreamRunner(weights, begin.ids, probes, self._tables))
            if not number:
                self._rehearse(StreamRunner(weights, begin.ids, probes, self._tables))
            return made[0]

        return _Run(number, StepFollower(self._compiled, start, make), made[0])

    def _rehearse(self, runner: StreamRunner) -> None:
        """Let the CPU begin the first run, so that few cases are left to be asked for.

        Raises:
            Unfit: tokens that are no steps may stand among the others.
        """
        fits = self._tables.rows.parts.moves.fits
        roles = np.array([token.role == "step" for token in self._compiled.weights.tokens])
        if not roles[fits].all():
            raise Unfit("tokens that are no steps may stand among the others")
        count = REHEARSED if self._max_steps is None else min(REHEARSED, self._max_steps)
        with suppress(BoundError):  # which the run itself will meet
            runner.skip(count, fits)
        self._tables.send()

    @property
    def tokens(self) -> Int32[np.ndarray, "starts count"]:
        """The first tokens of each run, and then -1."""
        found: np.ndarray = self._tokens.cpu().numpy()
        return found

    def results(self) -> list[Result]:
        """Run all to their ends, or as far as they may go."""
        began = time.perf_counter()
        waiting: Waiting = {}
        for one in self._runs:
            self._go_on(one, waiting)
        while waiting:
            size = min(waiting)
            most = max(1, MOST_CELLS // size)
            batch, rest = waiting[size][:most], waiting[size][most:]
            waiting[size] = rest
            for (one, stream, _), left in zip(batch, self._together(batch), strict=True):
                self._return(one, stream, left, waiting)
            if not waiting[size]:
                del waiting[size]
        seconds = time.perf_counter() - began
        return [result_of(one.follower, seconds) for one in self._runs]

    def _together(self, batch: Sequence[tuple[_Run, Stream, Standing]]) -> list[Left]:
        """Let some streams go on until each leaves the device."""
        jobs = Jobs(
            self._tables,
            [standing for _, _, standing in batch],
            np.arange(len(batch)),
            np.array([min(stream.room(), self._rest(one)) for one, stream, _ in batch]),
            emitted=np.array([stream.emitted for _, stream, _ in batch]),
            lanes=self._lanes,
            tellers=np.array([one.number for one, _, _ in batch]),
            tokens=self._tokens if self._tokens.shape[1] else None,
        )
        while jobs.run():
            pass
        return jobs.leave(np.arange(len(batch)))

    def _return(self, one: _Run, stream: Stream, left: Left, waiting: Waiting) -> None:
        """Take a stream back from the device, and send it there again if it is not over."""
        stream.take(left)
        if stream.unread:
            one.follower.advance(stream.unread)
        if not self._over(one) and (not left.fed or left.asked != -1):
            one.odd += 1
            self._alone(one)
        self._go_on(one, waiting)

    def _go_on(self, one: _Run, waiting: Waiting) -> None:
        """Let a run wait for its turn on the device; take it to its end if it cannot."""
        stream, standing = one.runner.stream, None
        if stream is not None and not self._over(one) and one.odd <= ODD:
            with suppress(Unfit):  # then the CPU goes on, and finds the kernel that can
                standing = stream.stand()
        if stream is not None and standing is not None:
            waiting.setdefault(standing.cells.shape[1], []).append((one, stream, standing))
            return
        while not self._over(one):
            self._alone(one, ALONE)

    def _alone(self, one: _Run, count: int = 1) -> None:
        """Take up to `count` steps on the CPU, one by one where tokens are recorded."""
        passes = one.follower.passes
        recording = passes < self._tokens.shape[1]
        one.follower.advance(1 if recording else min(count, self._rest(one)))
        if recording:
            self._tokens[one.number, passes] = one.runner.last

    def _rest(self, one: _Run) -> int:
        """Return how many steps a run may still take."""
        return ENDLESS if self._max_steps is None else self._max_steps - one.follower.steps

    def _over(self, one: _Run) -> bool:
        refuse_trouble(self._compiled, one.follower)
        return one.follower.outcome is not None or self._rest(one) <= 0
