"""Work for sweeps that goes wrong as a test says, in whatever process it is done.

The folder in SWEEP_FAULTS holds a file `NUMBER-COUNT` for each fault of a task: its content is the
fault, which happens once; the one with the count `always` happens each time. Every try of a task
leaves a line in `tries` there.
"""

import os
import signal
import time
from pathlib import Path

from tm2tf.sweep.engine import Batches, Work
from tm2tf.sweep.tasks import Task
from tm2tf.sweep.work import blank_row

VARIABLE = "SWEEP_FAULTS"


def folder():
    return Path(os.environ[VARIABLE])


def arm(number, fault, times=1):
    """Let a fault happen to a task so many times; None: always."""
    for count in ["always"] if times is None else range(times):
        (folder() / f"{number}-{count}").write_text(fault)


def disarm():
    for path in folder().iterdir():
        path.unlink()


def tries():
    """Return the numbers of the tasks that were begun, as often as they were."""
    path = folder() / "tries"
    return [int(line) for line in path.read_text().split()] if path.exists() else []


def do(batch, compare):
    """Return rows that agree, if no fault comes before."""
    for task in batch:
        with (folder() / "tries").open("a") as file:
            file.write(f"{task.number}\n")
        for path in sorted(folder().glob(f"{task.number}-*")):
            fault = path.read_text()
            if not path.name.endswith("always"):
                path.unlink()
            happen(fault, task)
            break
    return [blank_row(task, "agrees", compare) for task in batch]


def happen(fault, task):
    if fault == "exit":
        os._exit(3)
    elif fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "raise":
        raise ValueError(f"task {task.number}")
    elif fault == "slow":
        time.sleep(0.3)
    elif fault == "hang":
        time.sleep(600)
    elif fault == "wait":  # to be killed
        part = folder() / "part"
        part.write_text(str(os.getpid()))
        part.rename(folder() / "waiting")
        time.sleep(600)


def some(count):
    return [Task(number, f"m{number}", "", ()) for number in range(count)]


def swept(engine, count, together=2, seconds=60.0):
    """Return the rows of so many tasks, in order."""
    found = engine(Batches(some(count), together), Work("steps", together, seconds, do))
    rows = [row for batch in found for row in batch]
    return sorted(rows, key=lambda row: row["number"])
