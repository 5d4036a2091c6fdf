"""A sweep over processes of this computer, by pebble, which sees processes that die or hang."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from functools import partial
from multiprocessing import get_context, parent_process
from typing import Any

from tm2tf.errors import ExtraError
from tm2tf.sweep.engine import IN_FLIGHT, Batch, Batches, Engine, Work
from tm2tf.sweep.work import Row


def engine(workers: int) -> Engine:
    """Return an engine of so many processes; 1: this one, in which nothing can be lost."""
    return _here if workers == 1 else partial(_processes, workers)


def _here(batches: Batches, work: Work) -> Generator[list[Row], None, None]:
    while (batch := batches.next()) is not None:
        yield work.do(batch, work.compare)


def _begin() -> None:
    """Leave Ctrl-C to the process that began this one, and end when that one is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _processes(workers: int, batches: Batches, work: Work) -> Generator[list[Row], None, None]:
    try:
        from pebble import ProcessExpired, ProcessPool
    except ImportError:
        raise ExtraError("a sweep over several processes", "pebble", "sweep") from None
    pool = ProcessPool(workers, context=get_context("spawn"), initializer=_begin)
    running: dict[Future[Any], Batch] = {}
    try:
        while True:
            while len(running) < IN_FLIGHT * workers and (batch := batches.next()) is not None:
                limit = work.seconds * len(batch)
                future: Future[Any] = pool.schedule(
                    work.do, args=[batch, work.compare], timeout=limit
                )
                running[future] = batch
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                batch = running.pop(future)
                try:
                    yield future.result()
                except TimeoutError:
                    yield batches.lost(batch, "hung")
                except ProcessExpired:
                    yield batches.lost(batch, "died")
    finally:
        pool.stop()  # type: ignore[no-untyped-call]
        pool.join()
