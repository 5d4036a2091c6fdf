"""The compiled simulator, a chunk of steps ahead of those who look at its steps."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from tm2tf.machine.spec import Outcome
from tm2tf.verify.table_simulator import Steps, TableSimulation

CHUNK = 2**18
"""Steps compared at once: arrays of a few MB, whatever the length of the run. Handing a chunk to
another thread takes some tenths of a millisecond, in which so many steps are a tenth as many."""


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Some steps of a machine.

    `first` is how many came before; `outcome` how the run is over behind them, if it is, and
    `stuck` whether that is for want of a transition. The steps stand until the next but one.
    """

    first: int
    steps: Steps
    outcome: Outcome | None
    stuck: bool

    @property
    def last(self) -> int:
        """How many steps were taken up to the end of the chunk."""
        return self.first + len(self.steps.rows)


def chunks(table: TableSimulation, max_steps: int | None) -> Iterator[Chunk]:
    """Yield the steps of a run; while one chunk is looked at, the next is made by another thread.

    Long runs that is; a short one is a single chunk, made at once.
    """
    if table.outcome is not None:
        return
    chunk = _next(table, _size(table, max_steps), None)
    yield chunk
    if not _size(table, max_steps):
        return
    rooms = [table.room(CHUNK), table.room(CHUNK)]
    with ThreadPoolExecutor(1) as pool:
        waiting = [pool.submit(_next, table, _size(table, max_steps), rooms[0])]
        while waiting:
            chunk = waiting.pop().result()
            rooms.reverse()
            if _size(table, max_steps):
                waiting.append(pool.submit(_next, table, _size(table, max_steps), rooms[0]))
            yield chunk


def _size(table: TableSimulation, max_steps: int | None) -> int:
    """Return how many steps come next; 0 if the run is over."""
    if table.outcome is not None:
        return 0
    return CHUNK if max_steps is None else min(CHUNK, max_steps - table.steps)


def _next(table: TableSimulation, count: int, room: Steps | None) -> Chunk:
    first = table.steps
    steps = table.advance(count, room)
    return Chunk(first, steps, table.outcome, table.stuck)
