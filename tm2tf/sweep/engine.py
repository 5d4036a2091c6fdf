"""What engines share: batches, and what becomes of those that were lost with their process."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeAlias

from tm2tf.sweep.tasks import Task
from tm2tf.sweep.work import Compare, Row, blank_row

Batch: TypeAlias = Sequence[Task]
Lost: TypeAlias = Literal["died", "hung"]

TRIES = 2
"""How often a task is begun by itself before its row says that its process died, or hung."""

IN_FLIGHT = 2
"""Batches handed out for each worker: one that it is at, and one so that it need not wait."""

WHY = {
    "died": "the process that ran it ended, twice",
    "hung": "it took longer than the time limit, twice",
}


@dataclass(frozen=True, slots=True)
class Work:
    """How tasks are done.

    Attributes:
        compare: what is compared: see `work.work`.
        together: tasks in a batch.
        seconds: the time limit of a task; a batch has as many times that.
        do: what does a batch.
    """

    compare: Compare
    together: int
    seconds: float
    do: Callable[[Batch, Compare], list[Row]]


Engine: TypeAlias = Callable[["Batches", Work], Generator[list[Row], None, None]]
"""Yields the rows of batches as they are done, in any order; ends its processes when closed."""


class Batches:
    """Tasks in batches. A batch that was lost comes again task by task, as any may be the cause."""

    def __init__(self, tasks: Iterable[Task], together: int) -> None:
        self._tasks, self._together = iter(tasks), together
        self._again: deque[Batch] = deque()
        self._tried: Counter[int] = Counter()

    def next(self) -> Batch | None:
        """Return the next batch; None if there is none now."""
        if self._again:
            return self._again.popleft()
        return tuple(islice(self._tasks, self._together)) or None

    def lost(self, batch: Batch, why: Lost) -> list[Row]:
        """Take back a batch whose process died or hung; return rows for what is given up."""
        if len(batch) > 1:
            self._again.extend((task,) for task in batch)
            return []
        (task,) = batch
        self._tried[task.number] += 1
        if self._tried[task.number] < TRIES:
            self._again.append(batch)
            return []
        return [blank_row(task, why, WHY[why])]
