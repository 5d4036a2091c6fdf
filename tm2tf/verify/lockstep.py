"""Simulator, interpreter and weights in lockstep: every step compared, in flat memory.

At each step the weights' token (next state, symbols written, moves), and the features `state`,
`tapeN.read` and `tapeN.head` in the residual stream that emitted it, are compared with the
machine's step. That settles the tape at every step, without looking at it whole: at the end what
the weights hold is compared cell by cell; a cell that was ever written was read just before
(machines write where they read), so its earlier contents were compared then; and a cell never
written held at the start what it holds at the end.

Who takes part: at every step the weights, and the machine's rules as a compiled table; for the
first `REFERENCE_STEPS` also the reference simulator, which the table is checked against, and the
interpreter, which runs the program in exact integers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.errors import BoundError, InputError, InternalError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import OFFSET, Configuration, Expected, Machine, Tape
from tm2tf.program.features import Value
from tm2tf.program.interpreter import Interpreter
from tm2tf.runtime.run import final_state, start_runner
from tm2tf.runtime.runner import Runner
from tm2tf.verify.locate import SEARCHED, Divergence, locate
from tm2tf.verify.reader import Reader
from tm2tf.verify.table_simulator import Steps, TableSimulation, fits

REFERENCE_STEPS = 10_000
"""Steps for which the pure Python evaluators take part: about a third of a second."""

Told: TypeAlias = tuple[Value, ...]

CHUNK = 65_536
"""Steps compared at once: arrays of a few MB, whatever the length of the run."""


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one lockstep run."""

    machine: str
    outcome: str
    steps: int
    forward_passes: int
    interpreted: int
    seconds: float
    divergence: Divergence | None


def lockstep(
    compiled: Compiled,
    start: Configuration,
    *,
    expected: Expected | None = None,
    runtime: str = "kernel",
    device: str = "auto",
    max_steps: int | None = None,
    explain: bool = True,
    on_progress: Callable[[int], None] | None = None,
) -> Check:
    """Run the weights beside the machine from `start`; return how far they agreed.

    `expected` is what the run should end with; where the simulator ends otherwise, the check
    fails at a feature called after the fact, such as `expected steps`. Without `explain`, a
    divergence is reported where it was seen, and its first cause is not searched for.

    Raises:
        BoundError: the run leaves the range in which the weights are exact.
        InputError: the machine's rule table is too large to hold.
        InternalError: two evaluators other than the weights contradict each other.
    """
    machine = compiled.machine
    if not fits(machine):
        raise InputError(
            f"machine {machine.name!r} is too large to verify: its rule table has "
            f"{len(machine.states)} * {len(machine.symbols)}^{machine.tapes} entries"
        )
    began = time.perf_counter()
    count = REFERENCE_STEPS if max_steps is None else min(max_steps, REFERENCE_STEPS)
    interpreted = check_reference(compiled, start, count)
    table = TableSimulation(machine, start)
    reader = Reader(compiled.weights, machine, start)
    runner = start_runner(compiled, start, reader.probes, runtime, device)
    passes = 0
    divergence: Divergence | None = None
    while divergence is None and table.outcome is None:
        first = table.steps
        left = CHUNK if max_steps is None else min(CHUNK, max_steps - first)
        if left == 0:
            break
        steps = table.advance(left)
        try:
            emitted = runner.advance(len(steps.states) + table.stuck)
        except BoundError as error:
            if error.bound != "key" or reader.furthest(steps) > compiled.weights.bounds.key:
                raise
            divergence = Divergence(first + 1, "", "address", "within the bound", str(error))
            break
        passes += len(emitted.tokens)
        found = reader.compare(steps, emitted, table.outcome)
        if found is not None:
            divergence = locate(compiled, start, first, found, SEARCHED if explain else 0)
        elif on_progress is not None:
            on_progress(table.steps)
    agreed = table.steps if divergence is None else max(0, divergence.step - 1)
    if divergence is None:
        divergence = _compare_end(runner, table, start, expected)
    return Check(
        machine=machine.name,
        outcome=table.outcome or "step-limit",
        steps=agreed,
        forward_passes=passes,
        interpreted=interpreted,
        seconds=time.perf_counter() - began,
        divergence=divergence,
    )


def check_reference(compiled: Compiled, start: Configuration, count: int) -> int:
    """Hold the reference simulator, the interpreter and the compiled table against each other.

    Returns the number of steps, at most `count`, in which all three took part.

    Raises:
        InternalError: two of them disagree.
    """
    machine = compiled.machine
    simulation, table = Simulation(machine, start), TableSimulation(machine, start)
    interpreter = Interpreter(compiled.program)
    tokens = {token.name: token for token in compiled.program.tokens}
    emitted = ""
    for number in compiled.prompt(start):
        emitted = interpreter.feed(compiled.weights.tokens[number].name)
    steps = table.advance(count)
    for row in range(count):
        step = simulation.step()
        if step is None:
            break
        values, to = tokens[emitted].values, step.transition
        k = range(machine.tapes)
        told: Told = (
            interpreter.values["state"],
            *(interpreter.values[f"tape{t}.read"] for t in k),
            *(start.tapes[t].head + int(interpreter.values[f"tape{t}.head"] or 0) for t in k),
            values.get("state"),
            *(values.get(f"tape{t}.write") for t in k),
            *(values.get(f"tape{t}.move") for t in k),
        )
        moves = [OFFSET[move] for move in to.moves]
        meant: Told = (step.state, *step.reads, *step.heads, to.state, *to.writes, *moves)
        if told != meant:
            raise InternalError(
                f"{machine.name}, step {row + 1}: simulator says {meant}, interpreter {told}"
            )
        held = _numbers(steps, row)
        if held != _expected_numbers(machine, meant):
            raise InternalError(
                f"{machine.name}, step {row + 1}: simulator says {meant}, its table {held}"
            )
        emitted = interpreter.feed(emitted)
    if table.stuck and tokens[emitted].outcome != table.outcome:
        raise InternalError(f"{machine.name}: the run is {table.outcome}, interpreter: {emitted}")
    ends = [(run.outcome, run.configuration()) for run in (simulation, table)]
    if ends[0] != ends[1]:
        raise InternalError(f"{machine.name}: simulator and compiled table end differently")
    return simulation.steps


def _numbers(steps: Steps, row: int) -> tuple[int, ...]:
    columns = (steps.states, steps.reads, steps.heads, steps.next_states, steps.writes, steps.moves)
    return tuple(int(value) for column in columns for value in np.atleast_1d(column[row]))


def _expected_numbers(machine: Machine, meant: Told) -> tuple[int, ...]:
    """Number the words of a step given as state, reads, heads, next state, writes, moves."""
    k = machine.tapes
    kinds = (machine.states, *(machine.symbols,) * k, *((),) * k) * 2
    return tuple(
        value if isinstance(value, int) else names.index(str(value))
        for names, value in zip(kinds, meant, strict=True)
    )


def _compare_end(
    runner: Runner, table: TableSimulation, start: Configuration, expected: Expected | None
) -> Divergence | None:
    """Compare the state and tapes that the weights hold, then the end with what was expected."""
    machine, end = table.machine, table.configuration()
    state, tapes = final_state(runner, machine, start)
    if state != end.state and not table.stuck:  # the token that ends a stuck run has no state
        return Divergence(table.steps, "embedding", "state", end.state, state)
    for t, (want, got) in enumerate(zip(end.tapes, tapes, strict=True)):
        if want != got:
            shown = [
                f"{_shown(machine, tape.contents)} from {tape.origin}, head {tape.head}"
                for tape in (want, got)
            ]
            return Divergence(table.steps, "", f"tape{t} at the end", *shown)
    if expected is None:
        return None
    facts = {
        "outcome": table.outcome or "step-limit",
        "state": end.state,
        "steps": table.steps,
        "nonblank": sum(tape.nonblank(machine.blank) for tape in end.tapes),
    }
    for name, fact in facts.items():
        wanted = getattr(expected, name)
        if wanted is not None and wanted != fact:
            return Divergence(table.steps, "", f"expected {name}", str(wanted), str(fact))
    for t, contents in enumerate(expected.tapes or ()):
        wanted = None if contents is None else Tape(contents).trimmed(machine.blank).contents
        if contents is not None and wanted != end.tapes[t].contents:
            shown = [_shown(machine, x) for x in (contents, end.tapes[t].contents)]
            return Divergence(table.steps, "", f"expected tape{t}", *shown)
    return None


def _shown(machine: Machine, contents: tuple[str, ...], most: int = 60) -> str:
    word = machine.join(contents)
    return repr(word) if len(word) <= most else f"{word[:most]!r}... ({len(contents)} cells)"
