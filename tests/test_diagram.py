"""Runs as rows: what is kept of them is what the simulator says, binned or not."""

import os
import signal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inspecting import SMALL, bundled, compiled
from tests.strategies import configurations, machines
from tm2tf.errors import ArtifactError, BoundError, InputError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.pictures.spacetime import recording
from tm2tf.pictures.spacetime.history import FINE, Recorder
from tm2tf.pictures.spacetime.recording import record, record_rules

LIMIT = 60


def configurations_of(machine, start, limit):
    """Return all configurations of a run, as the reference simulator has them, and its outcome."""
    simulation = Simulation(machine, start)
    found = [simulation.configuration()]
    while simulation.steps < limit and simulation.step() is not None:
        found.append(simulation.configuration())
    return found, simulation.outcome


def measures_of(machine):
    """Measure the number of a symbol and whether it is the blank."""
    return np.array([[i, symbol == machine.blank] for i, symbol in enumerate(machine.symbols)])


def recorded(machine, start, rows=1000, cells=1000, limit=LIMIT):
    recorder = Recorder(machine, start, rows, cells, measures_of(machine))
    found = record_rules(machine, start, recorder, limit)
    return recorder, found


def symbol_at(tape, address, blank):
    at = address - tape.origin
    return tape.contents[at] if 0 <= at < len(tape.contents) else blank


@st.composite
def starts(draw):
    machine = draw(machines())
    return machine, draw(configurations(machine))


def check_rows(history, found):
    """Check that rows are configurations: each stride-th of those found, and where heads went."""
    machine = history.machine
    assert history.steps == len(found) - 1
    assert machine.states[history.state] == found[-1].state
    assert [row.step for row in history.rows] == list(range(0, len(found), history.stride))
    for row in history.rows:
        first, all_of_them = found[row.step], found[row.step : row.step + history.stride]
        assert machine.states[row.state] == first.state
        for t in range(machine.tapes):
            heads = [c.tapes[t].head for c in all_of_them]
            assert (row.heads[t], row.lows[t], row.highs[t]) == (heads[0], min(heads), max(heads))
            if history.bin == 1:
                assert history.tape(row, t) == first.tapes[t].trimmed(machine.blank)


def check_cells(history, found):
    """Check every column of every row against the cells that it stands for."""
    machine, measures = history.machine, measures_of(history.machine)
    blank = measures[machine.symbols.index(machine.blank)]
    for t, (first, last) in enumerate(history.reach):
        means = history.means(t)
        assert means.shape == (len(history.rows), last - first + 1, 2)
        for number, row in enumerate(history.rows):
            tape = found[row.step].tapes[t]
            for column in range(first, last + 1):
                cells = range(column * history.bin, (column + 1) * history.bin)
                symbols = [symbol_at(tape, cell, machine.blank) for cell in cells]
                want = np.mean([measures[machine.symbols.index(s)] - blank for s in symbols], 0)
                assert means[number, column - first] == pytest.approx(want, abs=1e-5)


@settings(deadline=None)  # the first one compiles
@given(starts())
def test_rows_are_the_simulators_configurations(start):
    found, outcome = configurations_of(*start, LIMIT)
    recorder, run = recorded(*start)
    history = recorder.history()
    assert (history.stride, history.bin, run.outcome) == (1, 1, outcome)
    check_rows(history, found)
    check_cells(history, found)


@settings(deadline=None)  # the first one compiles
@given(starts(), st.integers(1, 12), st.integers(1, 12))
def test_binned_rows_are_the_unbinned_ones(start, rows, cells):
    found, _ = configurations_of(*start, LIMIT)
    recorder, _ = recorded(*start, rows, cells)
    history = recorder.history()
    assert len(history.rows) <= rows
    widest = max(cells, 2 * history.machine.tapes)
    assert sum(last - first + 1 for first, last in history.reach) <= widest
    check_rows(history, found)
    check_cells(history, found)
    assert history.stride == 1 or len(history.rows) >= min(2, rows)


@settings(deadline=None)  # the first one compiles
@given(starts(), st.lists(st.integers(1, 20), min_size=1, max_size=30), st.integers(1, 6))
def test_how_steps_are_parted_changes_nothing(start, parts, rows):
    machine, begin = start
    whole, _ = recorded(machine, begin, rows, 6, limit=sum(parts))
    pieces = Recorder(machine, begin, rows, 6, measures_of(machine))
    for part in np.cumsum(parts):
        pieces.take(*_columns_of(machine, begin, pieces.steps, int(part)))
    one, other = whole.history(), pieces.history()
    assert (one.stride, one.bin, one.reach) == (other.stride, other.bin, other.reach)
    for a, b in zip(one.rows, other.rows, strict=True):
        assert (a.step, a.state, a.heads, a.lows, a.highs) == (
            b.step, b.state, b.heads, b.lows, b.highs
        )  # fmt: skip
    for t in range(machine.tapes):
        assert np.allclose(one.means(t), other.means(t))


def _columns_of(machine, begin, first, last):
    """Return steps `first` to `last` of a run as columns, from the reference simulator."""
    simulation = Simulation(machine, begin)
    taken = [step for _ in range(last) if (step := simulation.step()) is not None][first:]
    states = [machine.states.index(step.transition.state) for step in taken]
    writes = [[machine.symbols.index(w) for w in step.transition.writes] for step in taken]
    moves = [["LSR".index(m) - 1 for m in step.transition.moves] for step in taken]
    wide = (len(taken), machine.tapes)
    return (
        np.array(states, dtype=np.int64),
        np.array(writes, dtype=np.int64).reshape(wide),
        np.array(moves, dtype=np.int64).reshape(wide),
    )


@pytest.mark.parametrize("construction", SMALL)
def test_what_the_weights_say_is_recorded(construction):
    made = compiled("bb3", construction, **SMALL[construction])
    start = made.machine.initial()
    if construction in ("addressed", "summarised-addressed", "queue"):
        start = made.machine.initial([Tape((), 0, 4)])
    recorder = Recorder(made.machine, start, 100, 100, measures_of(made.machine))
    run = record(made, start, recorder)
    found, outcome = configurations_of(made.machine, start, 100)
    assert (run.outcome, run.interrupted) == (outcome, False)
    assert run.by == f"{made.weights.construction}/{made.weights.target} weights"
    check_rows(recorder.history(), found)


@pytest.mark.parametrize(("name", "words"), [("palindrome-2tape", ["0110"]), ("gcd", ["11", "1"])])
def test_several_tapes_by_weights_and_by_rules(name, words):
    made = compiled(name)
    start = made.machine.initial(words)
    found, outcome = configurations_of(made.machine, start, 1000)
    for run in ("weights", "rules"):
        recorder = Recorder(made.machine, start, 1000, 100, measures_of(made.machine))
        if run == "weights":
            assert record(made, start, recorder).outcome == outcome
        else:
            assert record_rules(made.machine, start, recorder).outcome == outcome
        check_rows(recorder.history(), found)


def test_a_long_run_keeps_few_rows_of_whole_strides():
    machine = bundled("counter")
    recorder, run = recorded(machine, machine.initial(), 50, 50, limit=200_000)
    history = recorder.history()
    assert (run.outcome, history.steps) == (None, 200_000)
    assert 4 * 50 // 5 <= len(history.rows) <= 50
    assert history.stride * (len(history.rows) - 1) <= 200_000 < history.stride * 51
    assert len(recorder._kept) <= FINE * 50
    # a binary counter: bit i of the number has address -i
    last = history.rows[-1]
    simulation = Simulation(machine, machine.initial())
    while simulation.steps < last.step:
        simulation.step()
    assert history.tape(last, 0) == simulation.configuration().tapes[0]


def test_the_head_covers_what_it_should_in_bb4():
    machine = bundled("bb4")
    history = recorded(machine, machine.initial(), 18, 6, limit=None)[0].history()
    assert (history.steps, history.stride, history.bin) == (107, 6, 3)
    assert history.reach == ((-4, 1),)  # addresses -10 to 3
    assert [row.step for row in history.rows] == list(range(0, 108, 6))
    assert (history.rows[0].lows, history.rows[0].highs) == ((-2,), (1,))


def test_tapes_far_out_and_tapes_of_very_different_length():
    machine = bundled("palindrome-2tape")
    word = ("0", "1", "1", "0")
    start = machine.initial([Tape(word, 3_000_000, 3_000_000)])
    history = recorded(machine, start, 20, 5, limit=None)[0].history()
    assert [last - first + 1 for first, last in history.reach] == [2, 2]
    shares = history.means(0)[:, :, 1] * history.bin  # blanks measure 1, all is less that
    assert np.allclose(shares.sum(axis=1), -4)
    right = Transition("A", ("1",), ("R",))
    runner = Machine("far", ("0", "1"), "0", ("A",), "A", {("A", (s,)): right for s in "01"})
    history = recorded(runner, runner.initial(), 10, 10, limit=100_000)[0].history()
    assert history.reach[0][0] == 0
    assert history.bin * (history.reach[0][1] + 1) >= 100_000
    assert history.rows[-1].highs[0] == 100_000
    assert history.means(0)[-1, 0, 0] == 1


def test_a_start_far_from_the_head_is_in_reach():
    machine = bundled("bb2")
    start = machine.initial([Tape(("0", "1", "1"), -40, 7)])
    history = recorded(machine, start)[0].history()
    assert history.reach[0][0] == -39
    assert history.tape(history.rows[0], 0) == Tape(("1", "1"), -39, 7)


@pytest.mark.parametrize("name", ["bb4", "counter"])
def test_no_steps(name):
    machine = bundled(name)
    history = recorded(machine, machine.initial(), limit=0)[0].history()
    assert (history.steps, len(history.rows), history.reach) == (0, 1, ((0, 0),))


def test_a_machine_that_halts_at_once():
    machine = Machine("stuck", ("_", "1"), "_", ("A",), "A", {}, undefined="reject")
    recorder, run = recorded(machine, machine.initial(["11"]))
    assert (run.outcome, recorder.steps) == ("rejected", 0)
    assert recorder.history().tape(recorder.history().rows[0], 0).contents == ("1", "1")


def test_ctrl_c_stops_between_chunks():
    made = compiled("counter")
    start = made.machine.initial()
    recorder = Recorder(made.machine, start, 10, 10, measures_of(made.machine))
    run = record(made, start, recorder, None, lambda _: os.kill(os.getpid(), signal.SIGINT))
    assert run.interrupted
    assert run.outcome is None
    found, _ = configurations_of(made.machine, start, recorder.steps)
    check_rows(recorder.history(), found)


def test_a_run_is_recorded_up_to_where_a_head_leaves_its_tape():
    made = compiled("turing-alternating", "addressed", tape=16)  # it goes right for ever
    start = made.machine.initial()
    recorder = Recorder(made.machine, start, 9, 9, measures_of(made.machine))
    recorded = record(made, start, recorder)
    assert isinstance(recorded.error, BoundError)
    assert "left the tape of 16 cells" in str(recorded.error)
    assert recorded.outcome is None
    assert recorder.steps == 8  # it begins on cell 8 of 0 to 15, and leaves in the eighth step


def test_steps_are_recorded_up_to_one_that_weights_do_not_tell(monkeypatch):
    made = compiled("bb2")
    start = made.machine.initial()
    recorder = Recorder(made.machine, start, 9, 9, measures_of(made.machine))
    follower = recording.follow(made, start)
    told = recording.follow(made, start).tell(4)
    told.writes[2] = -2
    monkeypatch.setattr(follower, "tell", lambda _: told)
    monkeypatch.setattr(recording, "follow", lambda *_: follower)
    recorded = record(made, start, recorder)
    assert isinstance(recorded.error, ArtifactError)
    assert "what step 3 does" in str(recorded.error)
    assert recorder.steps == 2


def test_a_table_too_large_to_simulate(monkeypatch):
    machine = bundled("bb2")
    monkeypatch.setattr(recording, "fits", lambda _: False)
    with pytest.raises(InputError, match="leave --simulate out"):
        recorded(machine, machine.initial())
