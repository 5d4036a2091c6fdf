"""The slow, exact evaluators beside each other: reference simulator, interpreter, compiled table.

The program's interpreter says of each step what the weights should say; how it is read depends on
the construction's view, as for weights (`runtime.told`), but nothing here is shared with that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.constructions.construction import Naming
from tm2tf.errors import InternalError
from tm2tf.machine.simulator import Simulation, Step
from tm2tf.machine.spec import OFFSET, Configuration, Machine
from tm2tf.program.features import Value
from tm2tf.program.interpreter import Interpreter, resumed
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.program.program import Token
from tm2tf.verify.table_simulator import Steps, TableSimulation

REFERENCE_STEPS = 3_000
"""Steps for which the pure Python evaluators take part with one token a step: about a tenth of a
second. Constructions that write more a step get fewer, but `LEAST_STEPS`."""

LEAST_STEPS = 120

GROW = "tape0.grow"
"""-1 on a cell that begins a row one further left, where rows grow."""

Values = Mapping[str, Value] | Mapping[str, str | int]


@dataclass(frozen=True, slots=True)
class Said:
    """A step in words and machine addresses, heads before the move; moves are -1, 0 or 1."""

    state: str
    heads: tuple[int, ...]
    reads: tuple[str, ...]
    next_state: str
    writes: tuple[str, ...]
    moves: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Over:
    """How the interpreter's run is over."""

    outcome: str | None


def check_reference(compiled: Compiled, start: Configuration, count: int) -> int:
    """Hold the reference simulator, the interpreter and the compiled table against each other.

    Returns the number of steps, at most `count`, in which all three took part: fewer where a
    head leaves the program's tape or window.

    Raises:
        InternalError: two of them disagree.
    """
    machine = compiled.machine
    simulation, table = Simulation(machine, start), TableSimulation(machine, start)
    said = interpreted(compiled, start)
    steps = table.advance(count)
    for row in range(count):
        step = simulation.step()
        if step is None:
            break
        meant, told = _meant(step), next(said)
        if isinstance(told, Over) and told.outcome == "tape-full":
            return row
        if told != meant:
            raise InternalError(
                f"{machine.name}, step {row + 1}: simulator says {meant}, interpreter {told}"
            )
        held = _numbers(steps, row)
        if held != _expected_numbers(machine, meant):
            raise InternalError(
                f"{machine.name}, step {row + 1}: simulator says {meant}, its table {held}"
            )
    if table.outcome is not None:
        last = next(said)
        if last == Over("tape-full"):
            return simulation.steps
        if last != Over(table.outcome):
            raise InternalError(f"{machine.name}: the run is {table.outcome}, interpreter: {last}")
    ends = [(run.outcome, run.configuration()) for run in (simulation, table)]
    if ends[0] != ends[1]:
        raise InternalError(f"{machine.name}: simulator and compiled table end differently")
    return simulation.steps


def reference_steps(compiled: Compiled, start: Configuration) -> int:
    """Return for how many steps the slow evaluators take part."""
    view = compiled.construction.view
    if any(feature.name == GROW for feature in compiled.program.features):
        return LEAST_STEPS  # how long rows become is not known beforehand
    cost = 1 if view == "steps" else len(compiled.fitting_start(start).ids)
    return max(LEAST_STEPS, REFERENCE_STEPS // cost)


def interpreted(compiled: Compiled, start: Configuration) -> Iterator[Said | Over]:
    """Yield each step as the program's interpreter says it, and last how the run is over."""
    match compiled.construction.view:
        case "steps":
            return _by_steps(compiled, start)
        case "rows":
            return _by_rows(compiled, start)
        case "cells":
            return _by_cells(compiled, start)


def _meant(step: Step) -> Said:
    to = step.transition
    moves = tuple(OFFSET[move] for move in to.moves)
    return Said(step.state, step.heads, step.reads, to.state, to.writes, moves)


def _by_steps(compiled: Compiled, start: Configuration) -> Iterator[Said | Over]:
    begin, naming, k = compiled.fitting_start(start), compiled.naming, range(compiled.machine.tapes)
    named = {feature.name for feature in compiled.program.features}
    state = "now.state" if "now.state" in named else "state"
    tokens = {token.name: token for token in compiled.program.tokens}
    interpreter, emitted, outcome = Interpreter(compiled.program), "", None
    context = [compiled.weights.tokens[number].name for number in begin.ids]
    for name in context:
        emitted, outcome = interpreter.feed(name), tokens[name].outcome
    bases = list(begin.origins)
    heads = [tape.head for tape in start.tapes]
    while outcome is None:
        token, values = tokens[emitted], interpreter.values
        outcome = token.outcome
        context.append(emitted)
        if token.role == "step":
            heads = [bases[t] + _integer(values[f"tape{t}.head"]) for t in k]
            moves = tuple(_integer(token.values.get(f"tape{t}.move", 0)) for t in k)
            yield Said(
                naming.state(str(values[state])),
                tuple(heads),
                tuple(naming.symbol(str(values[f"tape{t}.read"])) for t in k),
                naming.state(str(token.values.get("state"))),
                tuple(naming.symbol(str(token.values.get(f"tape{t}.write"))) for t in k),
                moves,
            )
            heads = [head + move for head, move in zip(heads, moves, strict=True)]
        if token.role == "cut":
            context = resumed(context, compiled.program)
            interpreter = Interpreter(compiled.program)
            if compiled.construction.rebases:
                bases = heads
            for name in context:
                emitted = interpreter.feed(name)
        else:
            emitted = interpreter.feed(emitted)
    yield Over(outcome)


@dataclass(frozen=True, slots=True)
class _Row:
    """A configuration as the program holds it: for each tape the head's cell and the symbols."""

    state: str
    heads: tuple[int, ...]
    symbols: tuple[tuple[str, ...], ...]

    def step_to(self, after: _Row, origins: tuple[int, ...]) -> Said | None:
        """Return the step between two configurations; None if more than a step lies between."""
        if [*map(len, self.symbols)] != [*map(len, after.symbols)]:
            return None
        for cells, others, head in zip(self.symbols, after.symbols, self.heads, strict=True):
            if any(a != b for i, (a, b) in enumerate(zip(cells, others, strict=True)) if i != head):
                return None
        pairs = list(zip(self.heads, after.heads, strict=True))
        return Said(
            self.state,
            tuple(head + origin for head, origin in zip(self.heads, origins, strict=True)),
            tuple(cells[head] for cells, head in zip(self.symbols, self.heads, strict=True)),
            after.state,
            tuple(cells[head] for cells, (head, _) in zip(after.symbols, pairs, strict=True)),
            tuple(later - head for head, later in pairs),
        )

    def extended(self, left: int, cells: int, blank: str) -> _Row:
        """Return the same with blank cells before it and then behind it, up to so many cells."""
        before = (blank,) * left
        symbols = tuple(
            (*before, *row, *(blank,) * (cells - left - len(row))) for row in self.symbols
        )
        return _Row(self.state, tuple(head + left for head in self.heads), symbols)


def _by_rows(compiled: Compiled, start: Configuration) -> Iterator[Said | Over]:
    begin = compiled.fitting_start(start)
    tokens = {token.name: token for token in compiled.program.tokens}
    interpreter, emitted = Interpreter(compiled.program), ""
    cells: list[Token] = []
    token = tokens[compiled.weights.tokens[begin.ids[-1]].name]
    for number in begin.ids:
        token = compiled.weights.tokens[number]
        emitted = interpreter.feed(token.name)
        if token.role == "cell":
            cells.append(token)
    if token.outcome is not None:
        yield Over(token.outcome)
        return
    before, cells = _row(compiled, [token.values for token in cells]), []
    (origin,) = begin.origins
    while True:
        token = tokens[emitted]
        if token.role == "row":
            after = _row(compiled, [cell.values for cell in cells])
            # where rows grow, one that begins further left says so
            left = -sum(_integer(cell.values.get(GROW, 0)) for cell in cells)
            before = before.extended(left, len(cells), compiled.machine.blank)
            origin -= left
            said = before.step_to(after, (origin,))
            yield Over("more than a step at once") if said is None else said
            before, cells = after, []
        else:
            cells.append(token)
        if token.outcome is not None:
            yield Over(token.outcome)
            return
        emitted = interpreter.feed(emitted)


def _by_cells(compiled: Compiled, start: Configuration) -> Iterator[Said | Over]:
    begin = compiled.fitting_start(start)
    names = [compiled.weights.tokens[number].name for number in begin.ids]
    tokens = {token.name: token for token in compiled.program.tokens}
    outcome: str | None = compiled.machine.outcome_of(start.state)
    interpreter = LoopedInterpreter(compiled.program, names)
    interpreter.step()
    while outcome is None:
        before = _row(compiled, interpreter.values[1:-1])
        if min(before.heads) < 0:
            yield Over("tape-full")
            return
        token = tokens[interpreter.emitted[1 + before.heads[0]]]
        outcome = token.outcome
        if token.role == "end":
            break
        interpreter.step()
        after = _row(compiled, interpreter.values[1:-1])
        if min(after.heads) < 0:
            yield Over("tape-full")
            return
        said = before.step_to(after, begin.origins)
        yield Over("more than a step at once") if said is None else said
    yield Over(outcome)


def _row(compiled: Compiled, cells: Sequence[Values]) -> _Row:
    """Return a configuration from what each cell holds."""
    naming, states = compiled.naming, set(compiled.machine.states)
    heads, symbols, state = [], [], "none"
    named = [_state(naming, cell) for cell in cells]
    for t in range(compiled.machine.tapes):
        if any(f"tape{t}.here" in cell for cell in cells):
            here = [i for i, cell in enumerate(cells) if cell[f"tape{t}.here"] == "yes"]
        else:
            here = [i for i, word in enumerate(named) if word in states]
        heads.append(here[0] if len(here) == 1 else -1)
        symbols.append(tuple(naming.symbol(str(cell.get(f"tape{t}.symbol"))) for cell in cells))
        state = named[here[0]] or "none" if len(here) == 1 else "none"
    return _Row(state, tuple(heads), tuple(symbols))


def _state(naming: Naming, cell: Values) -> str | None:
    """Return the machine's word for the state that a cell holds, None if it holds none."""
    word = cell.get("state")
    return None if word is None else naming.state(str(word))


def _integer(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _numbers(steps: Steps, row: int) -> tuple[int, ...]:
    columns = (steps.states, steps.heads, steps.reads, steps.next_states, steps.writes, steps.moves)
    return tuple(int(value) for column in columns for value in np.atleast_1d(column[row]))


def _expected_numbers(machine: Machine, meant: Said) -> tuple[int, ...]:
    """Number the words of a step, in the order of `_numbers`."""
    state = {name: i for i, name in enumerate(machine.states)}
    symbol = {name: i for i, name in enumerate(machine.symbols)}
    return (
        state[meant.state],
        *meant.heads,
        *(symbol[word] for word in meant.reads),
        state[meant.next_state],
        *(symbol[word] for word in meant.writes),
        *meant.moves,
    )
