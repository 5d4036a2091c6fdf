"""Many independent trials: spread over processes, kept as they finish, never done twice.

A trial is a function of one mapping of plain values (its *task*, the seed among them) that returns
another one. Its results are kept in a file of one JSON object a line, appended to as trials finish,
so a run that was killed goes on where it was. Such files may be joined (`cat`) when trials were
spread over several machines.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, TypeAlias

from tm2tf import __version__
from tm2tf.errors import InputError

Task: TypeAlias = Mapping[str, Any]
Outcome: TypeAlias = dict[str, Any]
Work: TypeAlias = Callable[[Task], Outcome]
Progress: TypeAlias = Callable[[int], None]

STORE = "trials.jsonl"
"""The file of a results folder that keeps finished trials."""

OPENING = b'{"trial": '
"""How every line of that file begins."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
"""What keeps each worker to one thread: the workers are what keeps the cores busy."""

WAITING = 4
"""Trials handed out beforehand for each worker: enough that none waits, few to lose at a stop."""


def run_trials(
    work: Work,
    tasks: Sequence[Task],
    *,
    folder: Path | None = None,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> list[Outcome]:
    """Return the outcome of each task, in order.

    Args:
        work: a function of a module (workers import it), whose outcome depends on its task alone.
        tasks: values that JSON can hold.
        folder: where finished trials are kept, and looked for. Trials of another version of tm2tf
            are done anew.
        workers: processes; 1 means this one.
        on_progress: takes the number of trials done so far, those found included; tasks that are
            equal are one trial.

    Raises:
        InputError: the folder's file of trials cannot be read or written, or a worker was killed.
    """
    keys = [_key(work, task) for task in tasks]
    found = {} if folder is None else _read(folder / STORE)
    done = {key: found[key] for key in keys if key in found}
    missing = {key: task for key, task in zip(keys, tasks, strict=True) if key not in done}
    if on_progress is not None:
        on_progress(len(done))
    finished = _here(work, missing) if workers == 1 else _spread(work, missing, workers)
    for key, outcome in finished:
        done[key] = json.loads(json.dumps(outcome))  # what is kept and what is returned: the same
        if folder is not None:
            _append(folder / STORE, key, outcome)
        if on_progress is not None:
            on_progress(len(done))
    return [done[key] for key in keys]


def _key(work: Work, task: Task) -> str:
    """Return what names a trial: the version of tm2tf, the function, and the task."""
    name = f"{work.__module__}.{work.__qualname__}"
    return json.dumps([__version__, name, dict(task)], sort_keys=True)


def _here(work: Work, tasks: Mapping[str, Task]) -> Iterator[tuple[str, Outcome]]:
    for key, task in tasks.items():
        yield key, work(task)


def _spread(work: Work, tasks: Mapping[str, Task], workers: int) -> Iterator[tuple[str, Outcome]]:
    """Yield outcomes as worker processes finish them; they are new processes, not forks."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))  # what workers inherit
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
    left = iter(tasks.items())
    running: dict[Future[Outcome], str] = {}
    try:
        while True:
            for key, task in left:
                running[pool.submit(work, task)] = key
                if len(running) >= WAITING * workers:
                    break
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield running.pop(future), future.result()
    except BrokenProcessPool:
        raise InputError(
            "a worker process was killed, perhaps for want of memory; with -o finished trials are "
            "kept: give the same command again, with fewer --workers"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _end_with_parent() -> None:
    """End this worker when the process that it works for is killed, which leaves it no word."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _read(path: Path) -> dict[str, Outcome]:
    """Return the outcomes in a file of trials.

    A line that a killed run left unfinished counts for none, wherever it stands: the run went on
    after it, or files were joined. Its trial is done anew.
    """
    if not path.exists():
        return {}
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise InputError(f"cannot read the trials in {path}: {error.strerror}") from None
    found: dict[str, Outcome] = {}
    for number, line in enumerate(lines, start=1):
        try:
            entry = json.loads(line) if line.strip() else None
            if entry is not None:
                found[entry["trial"]] = entry["outcome"]
        except (ValueError, KeyError, TypeError) as error:
            begun = line[: len(OPENING)] == OPENING[: len(line)]
            if not begun or not isinstance(error, ValueError):
                raise InputError(
                    f"{path}:{number}: not a trial that tm2tf wrote; take the line out, or another "
                    "folder with -o"
                ) from None
    return found


def _append(path: Path, key: str, outcome: Outcome) -> None:
    """Add a line. What a killed run left of its last line is ended first."""
    line = json.dumps({"trial": key, "outcome": outcome}) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read(1) != b"\n":
                    line = "\n" + line
            file.write(line.encode())
    except OSError as error:
        raise InputError(f"cannot write the trials to {path}: {error.strerror}") from None
