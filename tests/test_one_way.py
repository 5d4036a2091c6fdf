"""Tapes that begin at address 0: as a simulator has it that knows of their edge."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api, formats
from tm2tf.errors import ConfigurationError, InputError, MachineError
from tm2tf.formats import bbchallenge, native_writer
from tm2tf.machine.one_way import one_way, two_way
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Example, Expected, Machine, Tape, Transition

LEFT = bbchallenge.parse("1LB0LB_0RA---")


def stepped(machine, words, limit):
    """Return outcome, state, steps, tapes and heads of the rules on tapes with an edge."""
    cells = [dict(enumerate(word)) for word in words]
    heads, state, steps = [0] * machine.tapes, machine.start, 0
    while machine.outcome_of(state) is None and steps < limit:
        reads = tuple(c.get(h, machine.blank) for c, h in zip(cells, heads, strict=True))
        to = machine.transitions.get((state, reads))
        if to is None:
            stuck = {"halt": "halted", "accept": "accepted", "reject": "rejected"}
            return stuck[machine.undefined], state, steps, cells, heads
        for tape, move in enumerate(to.moves):
            cells[tape][heads[tape]] = to.writes[tape]
            heads[tape] = max(0, heads[tape] + {"L": -1, "S": 0, "R": 1}[move])
        state, steps = to.state, steps + 1
    return machine.outcome_of(state) or "step-limit", state, steps, cells, heads


def words_of(machine, cells):
    return [
        "".join(tape.get(a, machine.blank) for a in range(max(tape, default=0) + 1))
        .rstrip(machine.blank)
        for tape in cells
    ]  # fmt: skip


def plainly(machine, tape):
    return "".join([machine.blank] * tape.origin + list(tape.contents)).rstrip(machine.blank)


@settings(max_examples=60, deadline=None)
@given(machine=machines(tapes=(1, 2)), data=st.data(), limit=st.integers(0, 60))
def test_runs_as_with_an_edge(machine, data, limit):
    words = [
        "".join(data.draw(st.lists(st.sampled_from(machine.symbols), max_size=6)))
        for _ in range(machine.tapes)
    ]
    outcome, state, steps, cells, heads = stepped(machine, words, limit)
    made = one_way(machine)
    simulation = Simulation(made, made.initial(words))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    assert (simulation.outcome or "step-limit", simulation.state) == (outcome, state)
    assert (simulation.steps, simulation.heads) == (steps, heads)
    ended = [made.plain(tape) for tape in simulation.configuration().tapes]
    assert [plainly(machine, tape) for tape in ended] == words_of(machine, cells)
    assert all(cell >= 0 for tape in simulation.cells for cell in tape)


@settings(max_examples=40, deadline=None)
@given(machine=machines(tapes=(1, 2)))
def test_the_way_back_and_files(machine):
    made = one_way(machine)
    assert two_way(made) == machine
    assert formats.parse(native_writer.dump(made)) == made


def test_weights_know_the_edge():
    """Through weights and in lockstep: words go in and come out plain, and cells are counted."""
    made = one_way(LEFT)
    model = api.compile(made)
    for limit in (0, 1, 2, 3, 40):
        result = model.run("", max_steps=limit)
        outcome, state, done, cells, heads = stepped(LEFT, [""], limit)
        assert (result.outcome, result.state, result.steps) == (outcome, state, done)
        assert result.nonblank == sum(symbol != "0" for symbol in cells[0].values())
        assert result.tapes[0].head == heads[0]
        assert made.join(result.tapes[0].contents) == words_of(LEFT, cells)[0]
        check = model.verify("", max_steps=limit, expected=Expected(nonblank=result.nonblank))
        assert check.divergence is None
    with pytest.raises(InputError, match="has: tapes that are infinite one way"):
        formats.by_name("turingmachine.io").dump(one_way(LEFT))
    with pytest.raises(InputError, match="cannot say: tapes that are infinite one way"):
        bbchallenge.dump(one_way(LEFT))


def test_examples_and_names():
    """Examples begin on the first cell; names for it are new ones."""
    rule = Transition("B", ("0'",), ("L",))
    machine = Machine(
        "odd", ("0", "0'", "0''"), "0", ("A", "B"), "A", {("A", ("0",)): rule}, halt=("B",),
        examples=(Example((Tape(("0'",), 2, 1),), Expected(steps=1)),),
    )  # fmt: skip
    made = one_way(machine)
    assert len(set(made.symbols)) == 6
    assert set(made.first) == {"0", "0'", "0''"}
    (example,) = made.examples
    assert made.plain(example.tapes[0]) == Tape(("0'",), 2, 1)
    assert made.initial(example.tapes).tapes == example.tapes  # marked once, and not again
    assert Simulation(made, made.initial(["0"])).step().transition.moves == ("S",)


def test_what_is_refused():
    made = one_way(LEFT)
    with pytest.raises(ConfigurationError, match="begins at address 0: got contents from -1"):
        made.initial([Tape(("1",), -1, 0)])
    with pytest.raises(ConfigurationError, match="the head at -2"):
        made.initial([Tape((), 0, -2)])
    rules = dict(made.transitions)
    cases = [
        {("A", ("0'",)): Transition("B", ("1",), ("R",))},  # the first cell loses its mark
        {("A", ("0",)): Transition("B", ("1'",), ("R",))},  # another cell gets one
        {("A", ("0'",)): Transition("B", ("1'",), ("L",))},  # the head goes beyond
    ]
    for wrong in cases:
        with pytest.raises(MachineError, match="a symbol of the first cell stays there"):
            replaced(made, transitions=rules | wrong)
    for first in ({"0": "0'"}, {"0": "0'", "1": "0'"}, {"0": "1", "1": "0"}):
        with pytest.raises(MachineError, match="every symbol has another one for the first cell"):
            replaced(made, first=first)


def replaced(machine, **changes):
    given = {name: getattr(machine, name) for name in machine.__dataclass_fields__}
    return Machine(**(given | changes))
