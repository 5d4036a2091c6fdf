"""The definition of a machine (one test a rule) and what the reference simulator makes of it."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import configurations, machines
from tm2tf.errors import ConfigurationError, MachineError
from tm2tf.machine.simulator import Simulation, run, step, trace
from tm2tf.machine.spec import Configuration, Machine, Tape, Transition

ONE = Machine(
    name="one",
    symbols=("_", "0", "1"),
    blank="_",
    states=("A", "B", "yes", "no", "end"),
    start="A",
    transitions={
        ("A", ("_",)): Transition("B", ("1",), ("L",)),
        ("A", ("0",)): Transition("A", ("0",), ("S",)),
        ("B", ("_",)): Transition("end", ("1",), ("R",)),
    },
    accept=("yes",),
    reject=("no",),
    halt=("end",),
)


def rule(state="A", reads=("_",), to="A", writes=("_",), moves=("R",)):
    return {"transitions": {(state, reads): Transition(to, writes, moves)}}


BROKEN = {
    "at least one tape": {"tapes": 0},
    "at least one of symbols": {"symbols": ()},
    "at least one of states": {"states": ()},
    "symbols are printable, non-empty words": {"symbols": ("_", "0", "1", "")},
    "states are printable, non-empty words": {"states": (*ONE.states, "a\nb")},
    "symbols are distinct": {"symbols": ("_", "0", "1", "0")},
    "states are distinct": {"states": (*ONE.states, "A")},
    "the blank is a symbol": {"blank": "2"},
    "undefined is halt, accept or reject": {"undefined": "loop"},
    "the start state is a state": {"start": "C"},
    "halting states are states": {"accept": ("maybe",)},
    "a halting state accepts, rejects or halts, one of them and once": {"halt": ("yes",)},
    "a rule's state is a state": rule(state="C"),
    "a halting state has no rules": rule(state="yes"),
    "a rule has one of its reads a tape": rule(reads=("_", "_")),
    "a rule has one of its writes a tape": rule(writes=()),
    "a rule has one of its moves a tape": rule(moves=("L", "L")),
    "a rule's reads are symbols": rule(reads=("2",)),
    "a rule's writes are symbols": rule(writes=("2",)),
    "moves are L, S or R": rule(moves=("N",)),
    "a rule's next state is a state": rule(to="C"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_each_rule(broken):
    with pytest.raises(MachineError) as caught:
        replace(ONE, **BROKEN[broken])
    assert caught.value.rule == broken
    assert broken in str(caught.value)


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"start": "C"}, ("start",)),
        (rule(state="C"), ("rules", "C")),
        (rule(writes=("2",)), ("rules", "A", "_")),
        ({"reject": ("yes",)}, ("reject",)),
    ],
)
def test_an_error_says_where(change, path):
    with pytest.raises(MachineError) as caught:
        replace(ONE, **change)
    assert caught.value.path == path


def test_a_misspelt_state_is_answered_with_the_nearest():
    with pytest.raises(MachineError, match="did you mean 'end'"):
        replace(ONE, **rule(to="ends"))


def test_transitions_cannot_be_changed():
    with pytest.raises(TypeError):
        ONE.transitions["A", ("1",)] = Transition("A", ("1",), ("S",))


def test_too_many_inputs():
    with pytest.raises(ConfigurationError, match="2 inputs given, but machine 'one' has 1 tape"):
        ONE.initial(["1", "1"])


@pytest.mark.parametrize("word", ["12", Tape(("1", "2"))])
def test_a_symbol_outside_the_alphabet(word):
    with pytest.raises(ConfigurationError, match="symbol '2' on tape 0"):
        ONE.initial([word])


def test_missing_inputs_are_blank():
    two = replace(ONE, tapes=2, transitions={})
    assert two.initial(["01"]).tapes == (Tape(("0", "1")), Tape())


@pytest.mark.parametrize(
    ("symbols", "word", "split"),
    [
        ("_01", "011", ("0", "1", "1")),
        ("_01", "0 1 1", ("0", "1", "1")),
        ("_01", "", ()),
        (" 01", "0 1", ("0", " ", "1")),
        (("_", "a", "bc"), "bc a a", ("bc", "a", "a")),
        (("_", "a", "bc"), "a", ("a",)),
    ],
)
def test_split(symbols, word, split):
    machine = replace(ONE, symbols=tuple(symbols), blank=symbols[0], transitions={})
    assert machine.split(word) == split
    assert machine.split(machine.join(split)) == split


@pytest.mark.parametrize(
    ("tape", "trimmed", "nonblank"),
    [
        (Tape(tuple("__1_0_"), -3, 5), Tape(tuple("1_0"), -1, 5), 2),
        (Tape(tuple("___"), 4, -1), Tape((), 0, -1), 0),
        (Tape(tuple("01"), 7, 7), Tape(tuple("01"), 7, 7), 2),
    ],
)
def test_trimmed(tape, trimmed, nonblank):
    assert tape.trimmed("_") == trimmed
    assert tape.nonblank("_") == trimmed.nonblank("_") == nonblank


def test_a_run_left_of_the_origin():
    ended = run(ONE, ONE.initial())
    assert (ended.outcome, ended.steps) == ("halted", 2)
    assert ended.configuration == Configuration("end", (Tape(("1", "1"), -1, 0),))


def test_a_step_says_what_was_done():
    first, second = trace(ONE, ONE.initial())
    assert (first.number, first.state, first.heads, first.reads) == (1, "A", (0,), ("_",))
    assert (second.number, second.state, second.heads, second.reads) == (2, "B", (-1,), ("_",))
    assert second.transition == ONE.transitions["B", ("_",)]


def test_the_head_stays():
    start = ONE.initial(["0"])
    assert step(ONE, start) == start
    assert run(ONE, start, max_steps=100).steps == 100


@pytest.mark.parametrize(
    ("policy", "outcome"), [("halt", "halted"), ("accept", "accepted"), ("reject", "rejected")]
)
def test_an_undefined_transition_ends_without_a_step(policy, outcome):
    ended = run(replace(ONE, undefined=policy), ONE.initial(["1"]))
    assert (ended.outcome, ended.steps) == (outcome, 0)
    assert ended.configuration == ONE.initial(["1"])


@pytest.mark.parametrize(
    ("state", "outcome"), [("yes", "accepted"), ("no", "rejected"), ("end", "halted")]
)
def test_a_start_that_halts(state, outcome):
    machine = replace(ONE, start=state)
    for limit in (None, 0, 5):
        ended = run(machine, machine.initial(["0"]), limit)
        assert (ended.outcome, ended.steps) == (outcome, 0)
    assert step(machine, machine.initial()) is None


@pytest.mark.parametrize(
    ("word", "limit", "outcome", "steps"),
    [
        ("", 0, "step-limit", 0),
        ("", 1, "step-limit", 1),
        ("", 2, "halted", 2),  # the last step allowed enters a halting state
        ("1", 0, "step-limit", 0),  # that no transition follows is not looked at
        ("1", 1, "halted", 0),
    ],
)
def test_step_limits(word, limit, outcome, steps):
    ended = run(ONE, ONE.initial([word]), limit)
    assert (ended.outcome, ended.steps) == (outcome, steps)
    assert len(list(trace(ONE, ONE.initial([word]), limit))) == steps


def test_two_tapes_move_by_themselves():
    to = Transition("end", ("1", "0"), ("L", "R"))
    machine = replace(ONE, tapes=2, transitions={("A", ("0", "_")): to})
    ended = run(machine, machine.initial(["0", Tape((), 0, 3)]))
    assert ended.configuration.tapes == (Tape(("1",), 0, -1), Tape(("0",), 3, 4))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_run_is_its_steps(data):
    """Stepping by configuration, stepping in place and running agree."""
    machine = data.draw(machines())
    start = data.draw(configurations(machine))
    simulation, current = Simulation(machine, start), start
    for _ in range(20):
        following = step(machine, current)
        assert (simulation.step() is None) == (following is None)
        if following is None:
            break
        current = following
        assert simulation.configuration() == current
    ended = run(machine, start, 20)
    assert ended.steps == simulation.steps
    assert ended.configuration.tapes == tuple(t.trimmed(machine.blank) for t in current.tapes)
