"""Curves over the number of examples: one trial a seed, each with a row for every number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tm2tf.formats import by_name
from tm2tf.learning.trials import Outcome, Task, run_trials
from tm2tf.machine.spec import Machine

Rows = list[dict[str, Any]]


def rows_by_size(
    trial: Callable[[Task], Outcome],
    machine: Machine,
    sizes: Sequence[int],
    settings: Sequence[Task],
    *,
    asked: Task | None = None,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Callable[[int], None] | None = None,
) -> list[tuple[int, Rows]]:
    """Return each number of examples with what the trials of all seeds came to.

    `settings` are as plain data, one for each seed. A trial is given `machine` (its text), `sizes`,
    its `settings` and what is `asked` besides, and returns `rows`, one for each of the sizes.
    """
    text = by_name("native").dump(machine)
    tasks = [
        {
            "machine": text,
            **(asked or {}),
            "sizes": list(sizes),
            "settings": each,
        }
        for each in settings
    ]
    outcomes = run_trials(trial, tasks, folder=folder, workers=workers, on_progress=on_progress)
    return [(size, [one["rows"][place] for one in outcomes]) for place, size in enumerate(sizes)]
