"""One step: what the view of it says, against the simulator and plain counting."""

from dataclasses import replace

import pytest

from tests.inspecting import compiled, sentences
from tm2tf.compiler import compile_machine
from tm2tf.errors import BoundError, InputError, NotFoundError
from tm2tf.inspect import sections, tables
from tm2tf.inspect.step import step
from tm2tf.machine.simulator import trace
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.weights.model import Bounds


def writers(start, before):
    """Return, for each tape, the position that last wrote each address, by plain counting.

    Addresses count from where the head began. `before` are the steps taken so far. The second
    result is the length of the prompt.
    """
    written = [{} for _ in start.tapes]
    position = 1
    for tape, cells in zip(start.tapes, written, strict=True):
        if not tape.contents:
            continue
        first = tape.origin - tape.head
        position += max(0, -first)
        for address in range(min(0, first), first + len(tape.contents)):
            position += 1
            cells[address] = position
    prompt = position + 1
    for taken in before:
        for t, cells in enumerate(written):
            cells[taken.heads[t] - start.tapes[t].head] = prompt + taken.number
    return written, prompt


STARTS = [
    ("bb2", ()),
    ("binary-increment", (Tape(tuple("1011")),)),
    ("binary-increment", (Tape(tuple("111"), 2, 3),)),
    ("binary-increment", (Tape(tuple("1"), 5, 2),)),
    ("palindrome-2tape", (Tape(tuple("0110")),)),
    ("palindrome-2tape", (Tape(tuple("101"), -2, -2), Tape(tuple("0"), 4, 7))),
]


@pytest.mark.parametrize(("name", "tapes"), STARTS)
def test_a_step_is_the_simulators_step(name, tapes):
    machine = compiled(name).machine
    start = machine.initial(tapes)
    taken = list(trace(machine, start))
    for i, expected in enumerate(taken):
        view = step(compiled(name), start, expected.number)
        written, prompt = writers(start, taken[:i])
        features = {feature.name: feature.value for feature in view.features}
        assert all(feature.clear for feature in view.features)
        assert features["state"] == expected.state
        assert features["next.state"] == expected.transition.state
        assert features["position"] == view.fed.position == prompt + i
        assert view.fed.step == (i or None)
        emitted = tables.token(compiled(name).weights, view.emits)
        assert f"state={expected.transition.state}" in {term.name for term in emitted.embeds}
        assert view.margin == 0.5
        assert view.logits[0].name == view.emits
        heads = {head.name: head for head in view.heads}
        for t in range(machine.tapes):
            head = expected.heads[t] - start.tapes[t].head
            assert features[f"tape{t}.head"] == head
            assert features[f"tape{t}.read"] == expected.reads[t]
            assert features[f"next.tape{t}.write"] == expected.transition.writes[t]
            assert features[f"next.tape{t}.move"] == expected.transition.moves[t]
            assert heads[f"tape{t}.head"].mean == (head / view.fed.position,)
            lookup = heads[f"tape{t}.read"]
            assert lookup.attended.position == written[t].get(head, 1)
            assert (lookup.attended.token == "<bos>") == (head not in written[t])
            assert lookup.margin == 0.5 or lookup.attended.position > 1
            assert lookup.margin is None or lookup.margin >= 0.5
            assert [(term.name, term.weight) for term in lookup.brought] == [
                (f"tape{t}.read={expected.reads[t]}", 1)
            ]
        (fired,) = (neuron for neuron in view.neurons if neuron.layer == 2)
        one = replace(machine, transitions={(expected.state, expected.reads): expected.transition})
        assert {fired.text} == sentences(one)
        assert fired.activation == 1


def test_what_fires_is_what_the_stream_holds():
    view = step(compiled("bb2"), compiled("bb2").machine.initial(), 6)
    assert {(neuron.label, neuron.activation) for neuron in view.neurons if neuron.layer < 2} == {
        ("tape0.head", -1),
        ("tape0.read.key -", 2),
        ("tape0.read.key^2 -", 4),
        ("tape0.read.query^2 -", 1),
    }
    assert [place.step for place in (view.fed, view.heads[2].attended)] == [5, 4]
    assert (view.emits, view.outcome) == ("1R>Z", "halted")


STUCK = Machine(
    name="stuck",
    symbols=("0", "1"),
    blank="0",
    states=("A", "B"),
    start="A",
    transitions={("A", ("1",)): Transition("B", ("0",), ("R",))},
    undefined="reject",
)


def test_the_pass_that_finds_no_transition():
    it = compile_machine(STUCK)
    start = STUCK.initial(["1"])
    view = step(it, start, 2)
    assert (view.emits, view.outcome) == ("<stuck>", "rejected")
    assert {f.name: f.value for f in view.features}["next.state"] is None
    text = "\n".join(cell for s in sections.step(view) for row in s.rows for cell in row)
    assert "(absent)" in text
    assert "which ends the run: rejected" in text
    with pytest.raises(
        NotFoundError, match="the run has 1 step; the pass after the last, 2, emits"
    ):
        step(it, start, 3)


def test_steps_that_are_not_there():
    it = compiled("bb2")
    start = it.machine.initial()
    for number_ in (0, -1):
        with pytest.raises(NotFoundError, match="steps count from 1"):
            step(it, start, number_)
    with pytest.raises(NotFoundError, match=r"no step 7: the run has 6 steps; .* 1R>Z \(halted\)"):
        step(it, start, 7)
    with pytest.raises(NotFoundError, match="the run has 6 steps"):
        step(it, start, 10_000)
    with pytest.raises(InputError, match="a step up to 19,999"):
        step(it, start, 20_000)
    over = compile_machine(replace(it.machine, start="Z"))
    with pytest.raises(NotFoundError, match="the run has 0 steps; the last token is <start>"):
        step(over, over.machine.initial(), 1)


def test_a_step_beyond_a_bound():
    it = compiled("bb2")
    start = it.machine.initial()
    short = replace(it, weights=replace(it.weights, bounds=Bounds(position=4, key=2**26)))
    assert step(short, start, 3).fed.position == 4
    with pytest.raises(BoundError, match="longer than 4"):
        step(short, start, 4)
    near = replace(it, weights=replace(it.weights, bounds=Bounds(position=2**51, key=1)))
    with pytest.raises(BoundError, match="further than 1"):
        step(near, start, 6)
