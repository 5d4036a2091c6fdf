"""A sweep over a Ray cluster: Ray schedules, and says which workers died."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from tm2tf.errors import ExtraError, InputError
from tm2tf.sweep.engine import IN_FLIGHT, Batch, Batches, Engine, Work
from tm2tf.sweep.work import Compare, Row

LOOK = 1.0
"""Seconds between two looks for batches that take too long."""


def engine(address: str | None, workers: int | None) -> Engine:
    """Return an engine on the cluster at an address, or on one that is begun here.

    Args:
        address: as `ray.init` takes it: `auto`, `host:port`, `ray://...`; None begins a cluster of
            this computer for the time of the sweep.
        workers: batches at a time; None: as many as the cluster has CPUs.
    """
    return partial(_on_ray, address, workers)


def _on_ray(
    address: str | None, workers: int | None, batches: Batches, work: Work
) -> Generator[list[Row], None, None]:
    try:
        import ray
    except ImportError:
        raise ExtraError("a sweep on a cluster", "ray", "cluster") from None
    begun = not ray.is_initialized()
    if begun:
        own: dict[str, Any] = (
            {"num_cpus": workers, "include_dashboard": False} if address is None else {}
        )
        try:
            # `local`: otherwise RAY_ADDRESS would say where
            ray.init(address=address or "local", log_to_driver=False, **own)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise InputError(
                f"no Ray cluster at {address!r} ({error}): begin one with `ray start --head`"
            ) from None
    try:
        yield from _spread(ray, workers, batches, work)
    finally:
        if begun:
            ray.shutdown()


@dataclass(slots=True)
class _Run:
    """A batch on its way; `began`: when a worker took it up, which may be long after."""

    batch: Batch
    began: float | None = None
    hung: bool = False

    def late(self, seconds: float) -> bool:
        """Return whether it takes longer than so many seconds a task, and was not ended for it."""
        if self.began is None or self.hung:
            return False
        return time.monotonic() - self.began > seconds * len(self.batch)


def _told(
    do: Callable[[Batch, Compare], list[Row]], batch: Batch, compare: Compare
) -> Iterator[Any]:
    """Yield that it begins, then the rows."""
    yield None
    yield do(batch, compare)


def _spread(
    ray: Any, workers: int | None, batches: Batches, work: Work
) -> Generator[list[Row], None, None]:
    remote = ray.remote(num_cpus=1, max_retries=0, num_returns="streaming")(_told)
    most = IN_FLIGHT * int(workers or ray.cluster_resources().get("CPU", 1))
    running: dict[Any, _Run] = {}
    try:
        while True:
            while len(running) < most and (batch := batches.next()) is not None:
                running[remote.remote(work.do, batch, work.compare)] = _Run(batch)
            if not running:
                return
            for told in ray.wait(list(running), num_returns=1, timeout=LOOK)[0]:
                rows = _heard(ray, told, running, batches)
                if rows is not None:
                    yield rows
            for told, run in running.items():
                if run.late(work.seconds):
                    run.hung = True
                    ray.cancel(told, force=True)
    finally:
        for told in running:  # the cluster may be another's, and live on
            ray.cancel(told, force=True)


def _heard(ray: Any, told: Any, running: dict[Any, _Run], batches: Batches) -> list[Row] | None:
    """Return the rows of a batch of which something is told; None: it has only begun."""
    run = running[told]
    try:
        rows: list[Row] | None = ray.get(next(told))
    except ray.exceptions.RayTaskError:  # no process was lost
        raise
    except ray.exceptions.RayError:
        del running[told]
        return batches.lost(run.batch, "hung" if run.hung else "died")
    if rows is None:
        run.began = time.monotonic()
    else:
        del running[told]
    return rows
