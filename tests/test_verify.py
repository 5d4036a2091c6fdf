"""Lockstep: what agrees, what does not and where it is said to part, and what the end should be."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from tests.faults import with_weight
from tests.shapes import shapes_checked
from tm2tf import api, formats
from tm2tf.compiler import Compiled, compile_machine
from tm2tf.errors import BoundError, ConfigurationError, InputError, InternalError
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import run
from tm2tf.machine.spec import Expected, Tape
from tm2tf.program.operations import Latest, Row, Table
from tm2tf.verify import lockstep as module
from tm2tf.verify.lockstep import check_reference, lockstep
from tm2tf.weights import folder
from tm2tf.weights.matrix import Matrix

RUNTIMES = ("kernel", "torch")
SAMPLED = 60


# --- what agrees ----------------------------------------------------------------------------


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("number", range(SAMPLED))
def test_sampled_machines_agree(number, runtime):
    machine = sample(7, number)
    (example,) = machine.examples
    most = example.max_steps if runtime == "kernel" else 150
    with shapes_checked(number < SAMPLED // 3):
        check = api.compile(machine).verify(*example.tapes, max_steps=most, runtime=runtime)
    ended = run(machine, machine.initial(example.tapes), most)
    assert check.divergence is None
    assert (check.machine, check.outcome, check.steps) == (machine.name, ended.outcome, ended.steps)
    assert check.interpreted == check.steps
    stuck = check.outcome != "step-limit" and not machine.outcome_of(ended.configuration.state)
    assert check.forward_passes == check.steps + stuck


def test_the_sampler_is_deterministic_and_wide():
    drawn = [sample(7, number) for number in range(300)]
    assert drawn == [sample(7, number) for number in range(300)]
    assert [m.examples for m in drawn] == [sample(7, n).examples for n in range(300)]
    assert len({tuple(m.transitions.items()) for m in (*drawn, sample(8, 0))}) == 301
    assert Counter(machine.tapes for machine in drawn).keys() == {1, 2, 3}
    assert {machine.undefined for machine in drawn} == {"halt", "accept", "reject"}
    starts = [machine.initial(machine.examples[0].tapes) for machine in drawn]
    ended = [run(machine, start, 300) for machine, start in zip(drawn, starts, strict=True)]
    outcomes = Counter(result.outcome for result in ended)
    assert outcomes.keys() == {"halted", "accepted", "rejected", "step-limit"}
    assert min(outcomes.values()) >= 10
    assert {result.configuration.state for result in ended} >= {"yes", "no", "end", "q0"}
    assert {move for m in drawn for to in m.transitions.values() for move in to.moves} == set("LSR")
    assert sum(tape.origin != tape.head for start in starts for tape in start.tapes) > 100


# --- faults in the weights, and where they are said to be -----------------------------------


def number_of(weights, name, place):
    """Return the number, among a tensor's nonzero weights, of the one at a labelled place."""
    tensor = dict(weights.tensors())[name]
    rows = {direction: i for i, direction in enumerate(weights.directions)}
    tokens = weights.ids()
    if not isinstance(tensor, Matrix):
        return tokens[place]
    neurons = weights.layers[2].feed_forward.neurons
    columns = {**tokens, **{neuron: i for i, neuron in enumerate(neurons)}, **rows}
    row, column = (
        label if isinstance(label, int) else table[label]
        for label, table in zip(place, ({**tokens, **rows}, columns), strict=True)
    )
    (found,) = np.flatnonzero((tensor.rows() == row) & (tensor.columns == column))
    return int(found)


# bb2 from a blank tape takes 1R>B, 1L>A, 1L>B, 1L>A, 1R>B, 1R>Z.
B0, LOOKUP = "transitions: B, 0 -> A, 1, L", "blocks.2.attn.0"
FAULTS = {  # tensor, place, factor; then step, layer, feature, expected, got
    "unembedding": ("W_U", ("next.state=B", "1L>B"), -1, 3, "unembedding", "next.state B none"),
    "bias": ("b_U", "<stuck>", 4, 1, "unembedding", "next.state B none"),
    "gate": ("blocks.2.mlp.W_gate", ("state=B", B0), -1, 2, "layer 2", "next.state A absent"),
    "key": (f"{LOOKUP}.W_K", ("tape0.read.key", 0), -1, 4, "layer 2", "tape0.read 0 1"),
    "value": (f"{LOOKUP}.W_V", ("tape0.write=1", 1), -1, 3, "layer 2", "tape0.read 1 unclear"),
    "move": ("W_E", ("1L>A", "tape0.move"), -1, 3, "embedding", "tape0.move -1 1"),
    "sum": ("blocks.0.attn.0.W_V", ("tape0.move", 0), -1, 2, "layer 0", "tape0.head 1 -1"),
    "state": ("W_E", ("<start>", "state=A"), -1, 1, "embedding", "state A unclear"),
}


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_where_it_is(fault, runtime):
    tensor, place, factor, step, layer, feature = FAULTS[fault]
    model = api.compile("bb2")
    wrong = with_weight(model.weights, tensor, number_of(model.weights, tensor, place), factor)
    compiled = Compiled(model.machine, model.compiled.program, wrong)
    check = lockstep(compiled, model.machine.initial(), runtime=runtime)
    found = check.divergence
    assert (found.step, found.layer) == (step, layer)
    assert (found.feature, found.expected, found.got) == tuple(feature.split())
    assert check.steps == step - 1
    assert model.verify(runtime=runtime).divergence is None


def test_a_fault_in_the_prompt_is_at_step_0():
    model = api.compile("binary-increment")
    number = number_of(model.weights, "W_E", ("1", "tape0.fill"))
    wrong = with_weight(model.weights, "W_E", number, -1)
    compiled = Compiled(model.machine, model.compiled.program, wrong)
    found = lockstep(compiled, model.machine.initial(["1011"])).divergence
    assert (found.step, found.layer, found.feature) == (0, "embedding", "tape0.fill")


def test_a_fault_beyond_what_is_searched_is_told_as_seen(monkeypatch):
    model = api.compile("bb2")
    number = number_of(model.weights, "W_E", ("1L>A", "tape0.move"))
    wrong = with_weight(model.weights, "W_E", number, -1)
    compiled = Compiled(model.machine, model.compiled.program, wrong)
    monkeypatch.setattr(module, "SEARCHED", 3)
    found = lockstep(compiled, model.machine.initial()).divergence
    assert (found.step, found.layer, found.feature) == (3, "layer 0", "tape0.head")
    assert (found.expected, found.got) == ("0", "2")


def test_an_edited_artifact_is_found_out(tmp_path):
    model = api.compile("binary-addition-2tape")
    name = "blocks.2.attn.1.W_V"
    wrong = with_weight(
        model.weights, name, number_of(model.weights, name, ("tape1.write=1", 2)), -1
    )
    folder.save(tmp_path / "edited", wrong, model.machine)
    opened = api.open_model(tmp_path / "edited")
    assert opened.weights_sha256 != model.weights_sha256
    found = opened.verify("110", "11").divergence
    assert (found.layer, found.feature) == ("layer 2", "tape1.read")
    assert (found.expected, found.got) == ("1", "unclear")


@pytest.mark.parametrize(
    ("token", "outcome", "step", "expected", "got"),
    [
        ("1L>A", "halted", 2, "the run goes on", "the run is over"),
        ("1R>Z", None, 6, "halted", "None"),
        ("1R>Z", "accepted", 6, "halted", "accepted"),
    ],
)
def test_a_wrong_label_is_found_too(token, outcome, step, expected, got):
    model = api.compile("bb2")
    tokens = tuple(replace(t, outcome=outcome) if t.name == token else t
                   for t in model.weights.tokens)  # fmt: skip
    compiled = replace(model.compiled, weights=replace(model.weights, tokens=tokens))
    found = lockstep(compiled, model.machine.initial()).divergence
    assert (found.step, found.feature, found.expected, found.got) == (
        step, "outcome", expected, got,
    )  # fmt: skip


# --- faults in the other evaluators ---------------------------------------------------------


def tampered(program, change):
    """Return a program with its operations changed."""
    layers = tuple(
        replace(
            layer,
            attention=tuple(map(change, layer.attention)),
            feed_forward=tuple(map(change, layer.feed_forward)),
        )
        for layer in program.layers
    )
    return replace(program, layers=layers)


def other_row(operation):
    if not isinstance(operation, Table):
        return operation
    rows = [
        Row(row.inputs, ("A", "1", "L")) if row.inputs == ("A", "1") else row
        for row in operation.rows
    ]
    return replace(operation, rows=tuple(rows))


def one_row_less(operation):
    return (
        replace(operation, rows=operation.rows[:-1]) if isinstance(operation, Table) else operation
    )


def other_default(operation):
    return replace(operation, defaults=("1",)) if isinstance(operation, Latest) else operation


@pytest.mark.parametrize(
    ("change", "step"), [(other_row, 3), (one_row_less, 6), (other_default, 1)]
)
def test_an_interpreter_that_disagrees_is_an_internal_error(change, step):
    model = api.compile("bb2")
    compiled = replace(model.compiled, program=tampered(model.compiled.program, change))
    start = model.machine.initial()
    with pytest.raises(InternalError, match=f"bb2, step {step}:"):
        check_reference(compiled, start, 100)
    with pytest.raises(InternalError, match=f"bb2, step {step}:"):
        lockstep(compiled, start)
    assert check_reference(compiled, start, step - 1) == step - 1


def test_an_interpreter_that_goes_on_is_an_internal_error():
    machine = formats.parse("1RB1LB_1LA---")
    compiled = compile_machine(machine)
    compiled = replace(compiled, program=tampered(compiled.program, add_row))
    with pytest.raises(InternalError, match="the run is halted, interpreter: Said"):
        check_reference(compiled, machine.initial(), 100)


def add_row(operation):
    if not isinstance(operation, Table):
        return operation
    return replace(operation, rows=(*operation.rows, Row(("B", "1"), ("A", "1", "L"))))


# --- the end --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "feature", "wanted", "got"),
    [
        (Expected(outcome="accepted"), "expected outcome", "accepted", "halted"),
        (Expected(state="A"), "expected state", "A", "Z"),
        (Expected(steps=7), "expected steps", "7", "6"),
        (Expected(nonblank=3), "expected nonblank", "3", "4"),
        (Expected(tapes=(("1", "1"),)), "expected tape0", "'11'", "'1111'"),
    ],
)
def test_a_wrong_expectation_fails(expected, feature, wanted, got):
    check = api.compile("bb2").verify(expected=expected)
    found = check.divergence
    assert (found.feature, found.expected, found.got) == (feature, wanted, got)
    assert (found.step, found.layer, check.outcome) == (6, "", "halted")


def test_a_right_expectation_passes():
    model = api.compile("bb2")
    right = Expected("halted", "Z", 6, 4, (tuple("1111"),))
    assert model.verify(expected=right).divergence is None
    assert model.verify(expected=Expected(tapes=(None,))).divergence is None


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("code", "last"), [("1RB1LB_1LA1RZ", 6), ("1RB1LB_1LA---", 5)], ids=["halting", "undefined"]
)
def test_a_limit_at_the_last_step_and_around_it(code, last, runtime):
    """A halting state is known when it is entered, a missing transition one look later."""
    model = api.compile(code)
    for limit in (0, 1, last - 1, last, last + 1):
        check = model.verify(max_steps=limit, runtime=runtime)
        ended = run(model.machine, model.machine.initial(), limit)
        assert check.divergence is None
        assert (check.outcome, check.steps) == (ended.outcome, ended.steps)
        result = model.run(max_steps=limit, runtime=runtime)
        assert (result.outcome, result.steps, result.state) == (
            ended.outcome, ended.steps, ended.configuration.state,
        )  # fmt: skip
        assert result.tapes == ended.configuration.tapes


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("rules", "outcome", "passes"),
    [("accept: a\nrules: {}", "accepted", 0), ("undefined: reject\nrules: {a: {}}", "rejected", 1)],
    ids=["start state halts", "undefined at once"],
)
def test_runs_of_no_step(rules, outcome, passes, runtime):
    model = api.compile(api.load(f"start: a\nsymbols: [_, 1]\n{rules}\n"))
    for tape in (Tape(), Tape(("1", "1"), -3, 2)):
        check = model.verify(tape, expected=Expected(outcome, "a", 0), runtime=runtime)
        assert check.divergence is None
        assert (check.outcome, check.steps, check.forward_passes) == (outcome, 0, passes)
        result = model.run(tape, runtime=runtime)
        assert (result.outcome, result.steps, result.forward_passes) == (outcome, 0, passes)
        assert result.tapes == (tape.trimmed("_"),)


def test_limits_and_places_that_make_no_sense_are_refused():
    model = api.compile("bb2")
    for method in (model.run, model.verify):
        with pytest.raises(InputError, match="must not be negative, got -1"):
            method(max_steps=-1)
        with pytest.raises(ConfigurationError, match="too far out"):
            method(Tape(("1",), 10**12, 0))


def test_weights_that_leave_their_window_where_the_machine_does_not_are_wrong():
    machine = formats.parse("start: A\nsymbols: [_]\nrules: {A: {_: S A}}")
    walker = formats.parse("start: A\nsymbols: [_]\nrules: {A: {_: R A}}")
    wrong = replace(
        compile_machine(machine, "looped"), weights=compile_machine(walker, "looped").weights
    )
    found = lockstep(wrong, machine.initial(), grow=False, max_steps=100).divergence
    assert (found.step, found.feature, found.expected) == (1, "address", "within the bound")
    right = compile_machine(walker, "looped")
    with pytest.raises(BoundError, match="leaves the window of 64 cells"):
        lockstep(right, walker.initial(), grow=False, max_steps=100)
