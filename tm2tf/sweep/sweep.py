"""A sweep from beginning to end: what is left to do, done, kept, and told of."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tm2tf.sweep.engine import Batches, Engine, Work
from tm2tf.sweep.store import Kind, Store
from tm2tf.sweep.tasks import Asked, tasks
from tm2tf.sweep.work import Compare, Row, work

OnProgress: TypeAlias = Callable[[int], None]

TOGETHER = 16
"""Tasks in a batch: some tenths of a second, beside which handing it over is nothing."""

FINE = ("agrees", "refused")

SECONDS = 300.0
"""Seconds that a task may take, unless told otherwise: 300 million steps take a few."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What came of a sweep.

    Attributes:
        rows: how many runs; `before`: of these were there when it began.
        statuses, outcomes: how many runs by each.
        steps, forward_passes: of all runs.
        most_steps, most_nonblank: the run that halted after the most steps, or with the most cells
            that are not blank; of several the first one. None if none halted.
        troubles: the rows in which something is wrong; that a construction does not take a machine
            is not wrong.
        seconds: of this sweep, without what was there before.
        path: the results.
    """

    rows: int
    before: int
    statuses: dict[str, int]
    outcomes: dict[str, int]
    steps: int
    forward_passes: int
    most_steps: Row | None
    most_nonblank: Row | None
    troubles: tuple[Row, ...]
    seconds: float
    path: Path


def sweep(
    asked: Asked,
    folder: Path,
    engine: Engine,
    *,
    compare: Compare = "steps",
    kind: Kind = "jsonl",
    together: int = TOGETHER,
    seconds: float = SECONDS,
    on_progress: OnProgress | None = None,
) -> Summary:
    """Do all tasks that have no row in a folder yet, and return what came of all.

    `on_progress` takes the number of rows that are there. Whatever ends it before (Ctrl-C, say):
    the rows so far are kept, and the same call goes on from there.

    Raises:
        InputError: as `tasks` and `Store` do.
        ExtraError: the engine, or the kind of results, needs a package that is not there.
    """
    listed = tasks(asked)
    store = Store(folder, asked.plain() | {"compare": compare}, kind)
    before, began = len(store.done), time.perf_counter()
    try:
        left = (task for task in listed if task.number not in store.done)
        doing = engine(Batches(left, together), Work(compare, together, seconds, work))
        with closing(doing):
            for rows in doing:
                store.add(rows)
                if on_progress is not None:
                    on_progress(len(store.done))
        path = store.finish()
        took = time.perf_counter() - began
        return summary(store.rows(), before, took, path)
    finally:
        store.close()


def summary(rows: list[Row], before: int, seconds: float, path: Path) -> Summary:
    """Return what rows come to."""

    def champion(of: str) -> Row | None:
        ended = [row for row in rows if row["outcome"] not in (None, "step-limit")]
        return max(ended, key=lambda row: int(row[of]), default=None)

    def total(of: str) -> int:
        return sum(row[of] or 0 for row in rows)

    return Summary(
        rows=len(rows),
        before=before,
        statuses=dict(Counter(row["status"] for row in rows)),
        outcomes=dict(Counter(row["outcome"] for row in rows if row["outcome"] is not None)),
        steps=total("steps"),
        forward_passes=total("forward_passes"),
        most_steps=champion("steps"),
        most_nonblank=champion("nonblank"),
        troubles=tuple(row for row in rows if row["status"] not in FINE),
        seconds=seconds,
        path=path,
    )


def as_json(made: Summary) -> dict[str, Any]:
    """Return a summary as `--json` prints it."""
    return {
        "rows": made.rows,
        "rows_before": made.before,
        "statuses": made.statuses,
        "outcomes": made.outcomes,
        "steps": made.steps,
        "forward_passes": made.forward_passes,
        "most_steps": made.most_steps,
        "most_nonblank": made.most_nonblank,
        "troubles": list(made.troubles),
        "seconds": round(made.seconds, 6),
        "path": str(made.path),
    }
