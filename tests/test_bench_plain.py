"""What `tm2tf bench` measures with: the plain simulator, its own machines, weights in disguise."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api
from tm2tf.bench import plain
from tm2tf.bench.disguise import disguised
from tm2tf.bench.kernels import End, by_plain, by_weights, end_of, finished
from tm2tf.bench.machines import (
    divider,
    random_machine,
    shuttle,
    shuttle_tape,
    side_by_side,
    spreader,
    walker,
)
from tm2tf.errors import InputError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.runtime.model import Transformer, generate


def simulated(machine, tapes=(), max_steps=1000):
    """Return how the reference simulator ends: outcome, steps, cells that are not blank."""
    simulation = Simulation(machine, machine.initial(tapes))
    while simulation.outcome is None and simulation.steps < max_steps:
        simulation.step()
    left = simulation.configuration().tapes
    nonblank = sum(tape.nonblank(machine.blank) for tape in left)
    return simulation.outcome or "step-limit", simulation.steps, nonblank


def by_table(machine, tapes=(), max_steps=1000, sweeps=False):
    ran = plain.run(machine, machine.initial(tapes), max_steps, sweeps=sweeps)
    return ran.outcome, ran.steps, ran.nonblank


# --- the plain simulator --------------------------------------------------------------------


@pytest.mark.parametrize("number", range(40))
def test_plain_is_the_simulator_on_random_machines(number):
    machine = sample(7, number)
    (example,) = machine.examples
    for limit in (0, 1, 37, 1000):
        expected = simulated(machine, example.tapes, limit)
        assert by_table(machine, example.tapes, limit) == expected
        if machine.tapes == 1:
            assert by_table(machine, example.tapes, limit, sweeps=True) == expected


@settings(max_examples=60, deadline=None)
@given(
    machine=machines(tapes=(1, 1)),
    runs=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 150)), max_size=6),
    limit=st.integers(0, 700),
)
def test_plain_sweeps_as_the_simulator_does(machine, runs, limit):
    symbols = machine.symbols
    word = tuple(symbols[number % len(symbols)] for number, count in runs for _ in range(count))
    tapes = (Tape(word, head=0),)
    assert by_table(machine, tapes, limit, sweeps=True) == simulated(machine, tapes, limit)


@pytest.mark.parametrize(
    ("name", "steps", "nonblank"), [("bb2", 6, 4), ("bb3", 21, 5), ("bb4", 107, 13)]
)
def test_plain_knows_the_champions(name, steps, nonblank):
    machine = api.load(name)
    assert by_table(machine, (), None) == ("halted", steps, nonblank)
    assert by_table(machine, (), steps) == ("halted", steps, nonblank)
    assert by_table(machine, (), steps - 1)[:2] == ("step-limit", steps - 1)


def test_plain_takes_four_tapes():
    machine = side_by_side(api.load("bb3"), 4)
    assert by_table(machine, (), None) == simulated(machine) == ("halted", 21, 20)


def test_plain_goes_on_where_its_cells_end(monkeypatch):
    monkeypatch.setattr(plain, "CHUNK", 8)
    for machine, tapes in ((walker(), ()), (spreader(), ()), (api.load("bb4"), ())):
        assert by_table(machine, tapes, 5000) == simulated(machine, tapes, 5000)
    left = Machine(
        "left", ("_", "1"), "_", ("on",), "on", {("on", ("_",)): Transition("on", ("1",), ("L",))}
    )
    tapes = (Tape((), 0, -3),)
    assert by_table(left, tapes, 100) == ("step-limit", 100, 100)


def test_plain_refuses_a_table_that_is_too_large(monkeypatch):
    monkeypatch.setattr(plain, "MOST_ROWS", 11)
    with pytest.raises(InputError, match="too large for the plain simulator"):
        plain.table(api.load("bb5"))


@settings(max_examples=25, deadline=None)
@given(machines())
def test_the_table_says_what_the_rules_say(machine):
    made = plain.table(machine)
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    assert made.over == len(running) * made.block
    assert made.symbols[0] == machine.blank
    assert np.count_nonzero(made.following != made.stuck) == len(machine.transitions)


# --- machines -------------------------------------------------------------------------------


def test_the_shuttle_stays():
    _, steps, nonblank = simulated(shuttle(), (shuttle_tape(),), 1000)
    assert (steps, nonblank) == (1000, 8)
    visited = set()
    simulation = Simulation(shuttle(), shuttle().initial((shuttle_tape(),)))
    for _ in range(200):
        visited.add(simulation.heads[0])
        simulation.step()
    assert visited == set(range(-1, 9))


@pytest.mark.parametrize("steps", [100, 1000, 5000])
def test_the_spreader_visits_the_root_of_twice_its_steps(steps):
    _, _, nonblank = simulated(spreader(), (), steps)
    assert nonblank == pytest.approx((2 * steps) ** 0.5, rel=0.1)


def test_the_walker_visits_a_cell_a_step():
    assert simulated(walker(), (), 321) == ("step-limit", 321, 321)


@pytest.mark.parametrize("tapes", [2, 3])
def test_side_by_side_is_the_same_on_each_tape(tapes):
    machine = side_by_side(api.load("bb4"), tapes)
    assert simulated(machine) == ("halted", 107, 13 * tapes)
    assert len(machine.transitions) == len(api.load("bb4").transitions)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 10**9))
def test_the_divider_divides(divisor, number):
    machine = divider(divisor)
    assert len(machine.transitions) == 10 * divisor
    simulation = Simulation(machine, machine.initial((str(number),)))
    while simulation.outcome is None:
        simulation.step()
    quotient, rest = divmod(number, divisor)
    (tape,) = simulation.configuration().tapes
    assert int("".join(tape.contents)) == quotient
    assert simulation.state == f"r{rest}"


def test_random_machines_have_as_many_rules_as_asked():
    for rules, symbols, tapes in ((1, 10, 1), (95, 10, 1), (60, 5, 2)):
        machine = random_machine(rules, 1, symbols, tapes)
        assert len(machine.transitions) == rules
        assert machine == random_machine(rules, 1, symbols, tapes)
        assert machine != random_machine(rules, 2, symbols, tapes)


# --- disguised weights ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["binary-increment", "palindrome-2tape", "random:0:5"])
def test_disguised_weights_emit_the_same(name):
    model = api.compile(name)
    other = api.Model(replace(model.compiled, weights=disguised(model.weights, seed=3)))
    assert other.weights.directions != model.weights.directions
    assert sorted(other.weights.directions) == sorted(model.weights.directions)
    assert other.weights.nonzeros == model.weights.nonzeros
    assert (other.weights.W_E.dense() != model.weights.W_E.dense()).any()
    for example in model.machine.examples[:3]:
        prompt = model.compiled.prompt(model.machine.initial(example.tapes))
        told = [
            generate(Transformer(it.weights), it.weights, [prompt], 30) for it in (model, other)
        ]
        assert told[0] == told[1]
        assert model.run(*example.tapes, max_steps=200).tapes == (
            other.run(*example.tapes, max_steps=200).tapes
        )


def test_a_disguise_is_undone_by_the_labels():
    weights = api.compile("bb2").weights
    other = disguised(weights)
    order = [other.directions.index(name) for name in weights.directions]
    ratio = other.W_E.dense()[:, order]
    where = weights.W_E.dense() != 0
    scales = np.abs(ratio[where] / weights.W_E.dense()[where])
    assert set(np.log2(scales).tolist()) <= set(map(float, range(-3, 4)))
    assert len(set(scales.tolist())) > 1
    assert (ratio[~where] == 0).all()


# --- ends -----------------------------------------------------------------------------------


def test_the_end_of_a_run_is_the_machine_s_or_what_plain_finds():
    machine = api.load("bb4")
    assert end_of(machine) == End("halted", 107, 13)
    assert end_of(machine, (), 50).steps == 50
    assert (end_of(machine).limit, end_of(machine, (), 50).limit) == (108, 50)
    stuck = api.load("palindrome")
    assert end_of(stuck, stuck.initial(("abba",)).tapes).outcome == "accepted"


def test_an_interrupted_run_ends_the_benchmark():
    result = api.compile("bb2").run()
    assert finished(result) is result
    with pytest.raises(KeyboardInterrupt):
        finished(replace(result, interrupted=True))


def test_runs_say_where_they_end_otherwise():
    model, wrong = api.compile("bb4"), End("halted", 107, 12)
    assert by_weights(model, (), end_of(model.machine))().wrong == ""
    said = by_weights(model, (), wrong)().wrong
    assert said == ("ended halted after 107 steps with 13 nonblank cells, expected halted, 107, 12")
    assert by_plain(model.machine, (), wrong)().wrong == said
    assert by_plain(model.machine, (), end_of(model.machine))().wrong == ""
