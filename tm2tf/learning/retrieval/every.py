"""All parts of the experiment together: which there are, how they are run, what is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tm2tf.learning.results import save_csv, save_json
from tm2tf.learning.retrieval import contexts, machine, points, reviews
from tm2tf.learning.retrieval.report import Report
from tm2tf.learning.trials import Outcome, Progress, Task, Work, run_trials

SETTINGS = {
    "machine": ("machine",),
    "distributions": ("points", "contexts"),
    "reviews": ("reviews",),
}
"""The settings of the command, and their parts."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part: the trials of a size, what one does, and what all of them say."""

    tasks: Callable[[Any], list[Task]]
    trial: Work
    report: Callable[[Any, Sequence[Outcome]], Report]


PARTS = {
    "machine": Part(machine.tasks, machine.trial, machine.report),
    "points": Part(points.tasks, points.trial, points.report),
    "contexts": Part(contexts.tasks, contexts.trial, contexts.report),
    "reviews": Part(reviews.tasks, reviews.trial, reviews.report),
}

Sizes = Mapping[str, machine.Size | points.Size | contexts.Size | reviews.Size]
"""The parts that are run, each with its size."""


def sizes(
    settings: Sequence[str] = tuple(SETTINGS),
    *,
    name: str = "palindrome",
    trials: int = 8,
    seed: int = 0,
) -> Sizes:
    """Return the parts of some settings, at the sizes of `tm2tf learn retrieval`.

    Args:
        settings: of `SETTINGS`.
        name: the machine of part `machine`.
        trials: of each part; reviews, which are few, are divided twice as often.
        seed: of all parts.
    """
    every: Sizes = {
        "machine": machine.Size(name, seed=seed, trials=trials),
        "points": points.Size(seed=seed, trials=trials),
        "contexts": contexts.Size(seed=seed, trials=trials),
        "reviews": reviews.Size(seed=seed, trials=2 * trials),
    }
    chosen = [part for setting in SETTINGS if setting in settings for part in SETTINGS[setting]]
    return {part: every[part] for part in chosen}


def tasks_of(asked: Sizes) -> dict[str, list[Task]]:
    """Return the trials of each part.

    Raises:
        InputError: a size is out of range, or there is no such machine.
        MachineError: the machine is not one.
    """
    return {part: PARTS[part].tasks(size) for part, size in asked.items()}


def run(
    asked: Sizes,
    *,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> tuple[Report, ...]:
    """Return what each part says.

    Args:
        asked: the parts, each with its size.
        folder: keeps finished trials, which are not done again.
        workers: processes.
        on_progress: takes the number of trials done, of those in `tasks_of`.

    Raises:
        InputError: a size is out of range, or the folder cannot be read or written.
        ConstructionError: the machine does not fit the universal construction.
        ExtraError: scikit-learn is not installed.
    """
    reports, before = [], 0
    for part, tasks in tasks_of(asked).items():

        def update(done: int, before: int = before) -> None:
            if on_progress is not None:
                on_progress(before + done)

        done = run_trials(
            PARTS[part].trial, tasks, folder=folder, workers=workers, on_progress=update
        )
        reports.append(PARTS[part].report(asked[part], done))
        before += len(tasks)
    return tuple(reports)


def as_json(reports: Sequence[Report]) -> dict[str, Any]:
    """Return everything found, as JSON has it.

    `good`: no prompt was answered by weights otherwise than by counting.
    """
    totals = {
        name: sum(getattr(report, name) for report in reports)
        for name in ("prompts", "tokens", "counted", "unequal")
    }
    return {
        "parts": [report.as_json() for report in reports],
        "through_weights": totals,
        "good": totals["unequal"] == 0,
    }


def save(reports: Sequence[Report], folder: Path) -> list[Path]:
    """Write `retrieval.json` and a CSV for each table; return their paths.

    Raises:
        InputError: they cannot be written.
    """
    return [
        save_json(folder, "retrieval", as_json(reports)),
        *(
            save_csv(folder, f"retrieval-{name}", rows)
            for report in reports
            for name, rows in report.tables.items()
        ),
    ]
