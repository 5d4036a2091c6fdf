"""Runs of rows, followed: what is told of them, and what no run may hold."""

from dataclasses import replace

import numpy as np
import pytest

from tests import scratchpad_rows
from tests.queue_rows import CELLS, MACHINE, starts, texts
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import OFFSET
from tm2tf.runtime.configurations import NOWHERE
from tm2tf.runtime.rows import RowFollower
from tm2tf.runtime.runner import Emitted
from tm2tf.runtime.told import FOREIGN, UNCLEAR


class Scripted:
    """A runner that emits given tokens."""

    name, device, attention, peak_context = "script", "cpu", "none", 0

    def __init__(self, weights, tokens):
        ids = weights.ids()
        self.left = [ids[token] for token in tokens]
        self.stops = [token.outcome is not None for token in weights.tokens]

    def advance(self, count, *, probe=True):
        now = self.left[:count]
        stop = next((i + 1 for i, token in enumerate(now) if self.stops[token]), len(now))
        now, self.left = now[:stop], self.left[stop:]
        return Emitted(np.array(now, dtype=np.int64), np.zeros((len(now), 0), dtype=np.int64))


@pytest.fixture(scope="module")
def compiled():
    return compile_machine(MACHINE, "queue", options={"tape": CELLS})


def follower(compiled, start, tokens=None):
    """Return the follower of a run whose tokens are given, else those of the simulator."""
    if tokens is None:
        _, tokens = texts(MACHINE, start, CELLS)
    return RowFollower(compiled, start, lambda probes, begin: Scripted(compiled.weights, tokens))


@pytest.mark.parametrize("chunk", [1, 2, 1000])
def test_steps_are_told_as_the_simulator_takes_them(compiled, chunk):
    number = {word: i for i, word in enumerate(MACHINE.states)}
    symbol = {word: i for i, word in enumerate(MACHINE.symbols)}
    for start in starts():
        simulation, followed = Simulation(MACHINE, start), follower(compiled, start)
        full = texts(MACHINE, start, CELLS)[1][-1] == "<tape-full>"
        while simulation.outcome is None and followed.outcome is None:
            steps = [step for step in (simulation.step() for _ in range(chunk)) if step]
            told = followed.tell(len(steps))
            for i, step in enumerate(steps[: len(told.states)]):
                to = step.transition
                assert told.states[i] == number[step.state]
                assert told.next_states[i] == number[to.state]
                assert told.heads[i].tolist() == [step.heads[0]]
                assert told.reads[i].tolist() == [symbol[step.reads[0]]]
                assert told.writes[i].tolist() == [symbol[to.writes[0]]]
                assert told.moves[i].tolist() == [OFFSET[to.moves[0]]]
                assert told.passes[i] == step.number * (CELLS + 1) - 1
            if followed.outcome == "tape-full":
                assert full
                break
            assert len(told.states) == len(steps)
            assert (followed.steps, followed.state) == (simulation.steps, simulation.state)
            assert followed.passes == simulation.steps * (CELLS + 1)
        else:
            stuck = MACHINE.outcome_of(simulation.state) is None
            assert followed.outcome == (None if stuck else simulation.outcome)
            assert followed.finish()
            assert followed.outcome == simulation.outcome
            end = simulation.configuration()
            assert followed.end() == (end.state, end.tapes)
            assert not full


def test_a_run_that_goes_on_is_not_finished(compiled):
    start = MACHINE.initial(["0101"])
    followed = follower(compiled, start)
    followed.advance(2)
    assert not followed.finish()
    assert (followed.steps, followed.passes, followed.outcome) == (3, 3 * (CELLS + 1), None)


@pytest.mark.parametrize(
    ("place", "token", "trouble"),
    [
        (3, "#", "pass 14 emitted '#' in place of a cell"),
        (9, "1", "pass 20 emitted '1' in place of the end of a row of 9 cells"),
        (0, "<bos>", "pass 11 emitted '<bos>' in place of a cell"),
        (4, "<accepted>", "pass 15 emitted '<accepted>' in place of a cell"),
    ],
)
def test_a_row_that_is_no_row_is_trouble(compiled, place, token, trouble):
    start = MACHINE.initial(["0101"])
    _, tokens = texts(MACHINE, start, CELLS)
    tokens[CELLS + 1 + place] = token
    for chunk in (1, 3):
        followed = follower(compiled, start, tokens)
        told = [followed.tell(chunk) for _ in range(3)]
        assert sum(len(part.states) for part in told) == followed.steps == 1
        assert (followed.trouble, followed.outcome) == (trouble, None)


def test_rows_without_sense_are_told_as_such(compiled):
    start = MACHINE.initial(["0101"])
    _, tokens = texts(MACHINE, start, CELLS)
    row = tokens[: CELLS + 1]
    lost = [token.split(":")[-1] for token in row]
    twice = [*row[:3], "left:0", "left:1", *row[5:]]  # and a cell changed that no head was on
    told = follower(compiled, start, [*row, *lost, *row, *twice, *row]).tell(5)
    assert told.states.tolist() == [0, 0, -1, 0, UNCLEAR]
    assert told.writes[1:].ravel().tolist() == [2, UNCLEAR, UNCLEAR, UNCLEAR]
    assert [int(head) == NOWHERE for head in told.heads[:, 0]] == [False, False, True, False, True]
    renamed = replace(
        compiled.weights,
        tokens=tuple(
            replace(token, values={**token.values, "state": "nowhere", "tape0.symbol": "?"})
            if token.name == "left:0"
            else token
            for token in compiled.weights.tokens
        ),
    )
    foreign = [*row[:3], "left:0", *lost[4:]]
    broken = Compiled(MACHINE, compiled.program, renamed)
    followed = follower(broken, start, foreign)
    assert followed.tell(1).next_states.tolist() == [FOREIGN]
    state, (tape,) = followed.end()
    assert (state, "?" in tape.contents) == ("none", True)


# --- rows that grow -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def growing():
    return compile_machine(MACHINE, "scratchpad")


def growing_follower(growing, start, tokens):
    return RowFollower(growing, start, lambda probes, begin: Scripted(growing.weights, tokens))


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_rows_that_grow_are_told_as_the_simulator_steps(growing, chunk):
    for start in starts():
        _, tokens = scratchpad_rows.texts(MACHINE, start)
        lengths = [len(row) for row in scratchpad_rows.written(MACHINE, start)]
        simulation, followed = Simulation(MACHINE, start), growing_follower(growing, start, tokens)
        while simulation.outcome is None:
            steps = [step for step in (simulation.step() for _ in range(chunk)) if step]
            told = followed.tell(len(steps))
            assert told.heads[:, 0].tolist() == [step.heads[0] for step in steps]
            assert told.moves[:, 0].tolist() == [OFFSET[s.transition.moves[0]] for s in steps]
            words = [MACHINE.symbols[symbol] for symbol in told.writes[:, 0]]
            assert words == [step.transition.writes[0] for step in steps]
            ends = [sum(lengths[1 : step.number + 1]) - 1 for step in steps]
            assert told.passes.tolist() == ends
        assert followed.finish()
        assert followed.outcome == simulation.outcome
        assert followed.steps == simulation.steps
        assert followed.end()[1] == simulation.configuration().tapes


@pytest.mark.parametrize(
    ("emitted", "steps", "trouble"),
    [
        ("0 |", 0, "pass 2 emitted '|' in place of a cell"),
        ("<left:_ right:0 | ", 0, "pass 3 emitted '|' in place of a cell"),
        ("<left:_ 1 0 1", 0, "pass 4 emitted '1' in place of the end of a row of 3 cells"),
        ("right:0 1 1 1", 0, "pass 4 emitted '1' in place of the end of a row of 2 cells"),
        ("0 right:1 1 | 0 <left:_ 1", 1, "pass 6 emitted '<left:_' in place of a cell"),
        ("0 right:1 1 | 0 1 |", 1, "pass 7 emitted '|' in place of a cell"),
        ("0 right:1 1 | 0 1 <bos>", 1, "pass 7 emitted '<bos>' in place of a cell"),
        ("0 right:1 1 | 0 <stuck>", 1, None),
    ],
)
def test_a_row_that_grows_wrongly_is_trouble(growing, emitted, steps, trouble):
    for chunk in (1, 2):
        followed = growing_follower(growing, MACHINE.initial(["01"]), emitted.split())
        while followed.trouble is None and followed.outcome is None:
            followed.advance(chunk)
        assert (followed.trouble, followed.steps) == (trouble, steps)


def test_a_cell_that_grows_with_a_mark_on_it_is_told(growing):
    """Beyond the row before, all was blank."""
    followed = growing_follower(growing, MACHINE.initial(["01"]), ["1", "right:1", "0", "|"])
    assert followed.tell(1).writes.tolist() == [[UNCLEAR]]
