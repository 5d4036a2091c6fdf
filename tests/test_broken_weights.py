"""One weight of the wrong sign, anywhere, is caught.

The machine sweeps over a word, flipping bits to the right, going back to the left, and eating the
leftmost cell, so that every token is followed by reads of older cells far on both sides. Its runs
use all its transitions, each symbol as input, and end in every way it can.
"""

import pytest

from tests.faults import describe, places, with_weight
from tm2tf import formats
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.errors import ArtifactError, BoundError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.verify.lockstep import lockstep

ONE = formats.parse("""
start: right
accept: yes
rules:
  right:
    0: 1 R right
    1: 0 R right
    _: _ L left
  left:
    0|1: L
    _: R eat
  eat:            # on a blank it is stuck: an undefined transition
    0: _ R right
    1: 0 S yes
""")


def with_second_tape(machine: Machine) -> Machine:
    """Return the machine with a tape that goes the other way and turns _ to 1, 1 to 0, 0 to _."""
    turned, back = {"_": "1", "1": "0", "0": "_"}, {"L": "R", "R": "L", "S": "S"}
    transitions = {
        (state, (*reads, other)): Transition(
            to.state, (*to.writes, turned[other]), (*to.moves, back[to.moves[0]])
        )
        for (state, reads), to in machine.transitions.items()
        for other in machine.symbols
    }
    return Machine(
        "two", machine.symbols, "_", machine.states, machine.start, transitions, 2, machine.accept
    )


TWO = with_second_tape(ONE)
WORDS = ("0101101", "1_00101_1", "110100", "0_1011_0", "", "10")
OTHERS = ("1_0101_10", "001_1", "0110_01", "", "10_01", "1")
STARTS = {
    "one": [[Tape(tuple(word), origin)] for word in WORDS for origin in (-3, 0, 1)],
    "two": [
        [Tape(tuple(word), origin), Tape(tuple(other), -origin)]
        for word in WORDS
        for other in OTHERS
        for origin in (-3, 2)
    ],
}
MACHINES = {"one": ONE, "two": TWO}
MAX_STEPS = 200

HARMLESS = {
    "b_K[1]": "added to the second coordinate of every key, and the second coordinate of every "
    "query is 1: it moves all scores alike, and an argmax does not see that"
}


def catch(compiled, starts):
    """Return what is wrong with the weights: a divergence or a refusal; None if nothing is."""
    for start in starts:
        try:
            divergence = lockstep(compiled, start, max_steps=MAX_STEPS, explain=False).divergence
        except (BoundError, ArtifactError) as error:
            return error
        if divergence is not None:
            return divergence
    return None


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("tapes", MACHINES)
def test_every_sign_matters(tapes):
    machine = MACHINES[tapes]
    starts = [machine.initial(start) for start in STARTS[tapes]]
    compiled = compile_machine(machine)
    assert catch(compiled, starts) is None
    survived = []
    for name, number in places(compiled.weights):
        broken = with_weight(compiled.weights, name, number, -1.0)
        if catch(Compiled(machine, compiled.program, broken), starts) is None:
            survived.append(describe(compiled.weights, name, number))
    unexplained = [place for place in survived if not place.endswith(tuple(HARMLESS))]
    assert unexplained == []
    assert len(survived) == machine.tapes  # one b_K[1] a lookup, and they are truly harmless


@pytest.mark.parametrize("tapes", MACHINES)
def test_the_runs_use_everything(tapes):
    machine = MACHINES[tapes]
    used, undefined, ends = set(), False, set()
    for start in STARTS[tapes]:
        simulation = Simulation(machine, machine.initial(start))
        while simulation.steps < MAX_STEPS and (step := simulation.step()) is not None:
            used.add((step.state, step.reads))
        if simulation.outcome is not None:
            ends.add(simulation.state)
            undefined |= machine.outcome_of(simulation.state) is None
    assert used == set(machine.transitions)
    assert undefined
    assert {*machine.accept, *machine.reject, *machine.halt} <= ends
