"""Sweeps of the folded kernel on any runs of symbols: machines that sweep, and random ones."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tests.test_sweeps import MACHINES, agreed, model_of, repeats, stepped, told, word
from tm2tf.bench.disguise import disguised
from tm2tf.compiler import compile_machine
from tm2tf.machine.spec import Tape


@st.composite
def in_runs(draw, machine):
    """Return starts on up to four runs of 0 to 150 symbols a tape, the head anywhere in it."""
    tapes = []
    for _ in range(machine.tapes):
        runs = st.tuples(st.sampled_from(machine.symbols), st.integers(0, 150))
        contents = word(*draw(st.lists(runs, max_size=4)))
        origin = draw(st.integers(-20, 20))
        tapes.append(Tape(contents, origin, origin + draw(st.integers(-2, len(contents) + 2))))
    return machine.initial(tapes)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), name=st.sampled_from(list(MACHINES)), disguise=st.integers(0, 9))
def test_sweeping_machines_on_any_runs(data, name, disguise):
    compiled = model_of(name).compiled
    start = data.draw(in_runs(compiled.machine))
    steps = stepped(compiled.machine, start, 500)
    assert told(compiled, start, 500) == steps
    other = disguised(compiled.weights, disguise) if disguise else None
    assert agreed(compiled, start, 500, other) <= repeats(steps)


@st.composite
def sweeping(draw):
    """Return random machines in which half of the rules stay in their state."""
    machine = draw(machines(symbols=(2, 3)))
    rng = random.Random(draw(st.integers(0, 2**32)))
    rules = {
        (state, reads): replace(to, state=state) if rng.random() < 0.5 else to
        for (state, reads), to in machine.transitions.items()
    }
    return replace(machine, transitions=rules)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), machine=st.one_of(sweeping(), machines()), disguise=st.integers(0, 9))
def test_random_machines_on_any_runs(data, machine, disguise):
    start = data.draw(in_runs(machine))
    compiled = compile_machine(machine)
    steps = stepped(machine, start, 300)
    assert told(compiled, start, 300) == steps
    if machine.outcome_of(start.state) is None:
        weights = disguised(compiled.weights, disguise) if disguise else None
        assert agreed(compiled, start, 300, weights) <= repeats(steps)
