"""The work of a sweep: runs through compiled weights, compared with the machine's simulator.

Runs in any process that has tm2tf. `steps` compares every step, in lockstep. `ends` runs a whole
batch at once, in lockstep with each other (`runtime.streams`), and compares how each run ends.
"""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from tm2tf import api, formats
from tm2tf.errors import InputError
from tm2tf.machine.spec import Configuration, Expected, Machine, Tape
from tm2tf.sweep.tasks import Task

Compare: TypeAlias = Literal["steps", "ends"]
Row: TypeAlias = dict[str, Any]
_Ready: TypeAlias = tuple[Task, api.Model, Configuration]

COLUMNS = {
    "number": int,
    "machine": str,
    "construction": str,
    "input": str,
    "max_steps": int,
    "status": str,
    "outcome": str,
    "state": str,
    "steps": int,
    "nonblank": int,
    "forward_passes": int,
    "ends_after": int,
    "message": str,
}
"""What a row has, in order; all but the first four and `status` may be missing. `status` is one of
`agrees`, `differs` (the weights from the machine, or the run from what is known of it; `message`
says where), `refused` (the construction does not take the machine, or not so far), `error` (a fault
of tm2tf), `died` and `hung` (the process that was at it ended, or took too long, twice). How long
it took is left out, so that two sweeps that do the same write the same."""

LAST_LINES = 3
"""Lines of a traceback that a row keeps."""


def work(tasks: Sequence[Task], compare: Compare) -> list[Row]:
    """Return a row for each task; a fault of one of them is in its row."""
    if compare == "ends":
        return _by_ends(tasks)
    return [_guarded(task) for task in tasks]


def blank_row(task: Task, status: str, message: str = "") -> Row:
    """Return the row of a task of which nothing is known but its status."""
    row: Row = dict.fromkeys(COLUMNS)
    return row | {
        "number": task.number,
        "machine": task.name,
        "construction": task.construction,
        "input": "; ".join(_shown(tape) for tape in task.tapes),
        "max_steps": task.max_steps,
        "status": status,
        "ends_after": task.ends,
        "message": message or None,
    }


def _shown(tape: Tape) -> str:
    """Return a tape in a few words: its contents, and where they and the head are, if not at 0."""
    word = ("" if all(len(symbol) == 1 for symbol in tape.contents) else " ").join(tape.contents)
    place = f" from {tape.origin}, head {tape.head}" if tape.origin or tape.head else ""
    return word + place


def _guarded(task: Task) -> Row:
    try:
        return _by_steps(task)
    except Exception as error:  # noqa: BLE001 - whatever it is, it costs this task alone
        return _fault(task, error)


def _fault(task: Task, error: Exception) -> Row:
    if isinstance(error, InputError):
        return blank_row(task, "refused", str(error))
    lines = "".join(traceback.format_exception(error)).splitlines()
    return blank_row(task, "error", "\n".join(lines[-LAST_LINES:]))


def _model(task: Task) -> api.Model:
    machine = formats.parse(task.machine, task.name, task.name)
    return api.compile(machine, task.construction, None, **task.options)


def _by_steps(task: Task) -> Row:
    """Return the row of a run of which every step is compared."""
    check = _model(task).verify(*task.tapes, expected=task.expected, max_steps=task.max_steps)
    found = check.divergence
    row = blank_row(task, "agrees" if found is None else "differs")
    if found is not None:
        row["message"] = (
            f"step {found.step}, {found.feature}: expected {found.expected}, got {found.got}"
        )
    return row | {
        "outcome": check.outcome,
        "state": check.state,
        "steps": check.steps,
        "nonblank": check.nonblank,
        "forward_passes": check.forward_passes,
    }


def _by_ends(tasks: Sequence[Task]) -> list[Row]:
    """Return the rows of runs whose ends are compared; those with the same limit run together."""
    rows: dict[int, Row] = {}
    for limit in dict.fromkeys(task.max_steps for task in tasks):
        ready: list[_Ready] = []
        for task in tasks:
            if task.max_steps == limit:
                try:
                    model = _model(task)
                    ready.append((task, model, model.start(*task.tapes)))
                except Exception as error:  # noqa: BLE001 - it costs this task alone
                    rows[task.number] = _fault(task, error)
        rows |= _together(ready, limit)
    return [rows[task.number] for task in tasks]


def _together(ready: list[_Ready], limit: int | None) -> dict[int, Row]:
    """Return the rows, by number, of runs that go on side by side.

    Raises:
        KeyboardInterrupt: Ctrl-C stopped them.
    """
    from tm2tf.runtime.streams import run_many

    jobs = [(model.compiled, start) for _, model, start in ready]
    try:
        ended = run_many(jobs, threads=1, max_steps=limit)
    except Exception as error:  # noqa: BLE001 - of one of them; which, is seen alone
        if len(ready) == 1:
            return {ready[0][0].number: _fault(ready[0][0], error)}
        return {number: row for one in ready for number, row in _together([one], limit).items()}
    if any(end is None or getattr(end, "interrupted", False) for end in ended):
        raise KeyboardInterrupt
    rows: dict[int, Row] = {}
    for (task, model, _), end in zip(ready, ended, strict=True):
        try:
            rows[task.number] = _end_row(task, model.machine, end)
        except Exception as error:  # noqa: BLE001 - it costs this task alone
            rows[task.number] = _fault(task, error)
    return rows


def _end_row(task: Task, machine: Machine, end: Any) -> Row:
    if isinstance(end, Exception):
        raise end
    message = _different(machine, task, end)
    return blank_row(task, "differs" if message else "agrees", message) | {
        "outcome": end.outcome,
        "state": end.state,
        "steps": end.steps,
        "nonblank": end.nonblank,
        "forward_passes": end.forward_passes,
    }


def _different(machine: Machine, task: Task, end: Any) -> str:
    """Return in what a run's end is not the simulator's, or not what is known of it."""
    from tm2tf.verify.table_simulator import TableSimulation

    table = TableSimulation(machine, machine.initial(task.tapes))
    while table.outcome is None and table.steps != task.max_steps:
        left = None if task.max_steps is None else task.max_steps - table.steps
        table.advance(CHUNK if left is None else min(CHUNK, left))
    last = table.configuration()
    tapes = tuple(machine.plain(tape) for tape in last.tapes)
    wanted: dict[str, object] = {
        "outcome": table.outcome or "step-limit",
        "steps": table.steps,
        "tapes": tapes,
    }
    if not table.stuck:  # the token that ends a stuck run has no state
        wanted["state"] = last.state
    wanted |= _known(task.expected)
    got = {name: getattr(end, name) for name in wanted}
    return "; ".join(
        f"{name}: expected {wanted[name]}, got {got[name]}"
        for name in wanted
        if wanted[name] != got[name]
    )


def _known(expected: Expected) -> dict[str, object]:
    names = ("outcome", "state", "steps", "nonblank")
    known = {name: getattr(expected, name) for name in names}
    return {name: value for name, value in known.items() if value is not None}


CHUNK = 1 << 18
"""Steps of the simulator that are recorded at once: arrays of a few MB."""
