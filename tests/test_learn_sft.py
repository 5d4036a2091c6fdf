"""Fine-tuning on the tape: numbers, machines against plain Python, weights against torch."""

import json
import math
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.faults import with_weight
from tm2tf.api import Model
from tm2tf.api import compile as compile_model
from tm2tf.compiler import Compiled
from tm2tf.constructions.tokens import step_token
from tm2tf.errors import InputError
from tm2tf.learning import sft, ternary
from tm2tf.learning.gradient import fine_tune, predict
from tm2tf.learning.labelled import Labelled, random_data
from tm2tf.learning.sft_report import as_json
from tm2tf.learning.tape import layout, majority, nearest, perceptron
from tm2tf.learning.tape.blocks import add, add_constant
from tm2tf.machine.builder import Builder, accept, seq
from tm2tf.machine.simulator import run, trace
from tm2tf.machine.spec import Tape

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

NUMBERS = st.integers(-(10**6), 10**6)


# --- balanced ternary


@given(NUMBERS, st.integers(0, 5))
def test_ternary_round_trip(number, more):
    width = ternary.width_for(abs(number)) + more
    assert ternary.decode(ternary.encode(number, width)) == number


@given(NUMBERS)
def test_ternary_negation_and_sign(number):
    width = ternary.width_for(abs(number))
    trits = ternary.encode(number, width)
    turned = trits.translate(str.maketrans("+-", "-+"))
    assert ternary.decode(turned) == -number
    leading = trits.rstrip("0")[-1:] or "0"
    assert ternary.VALUE[leading] == (number > 0) - (number < 0)


@pytest.mark.parametrize("width", range(1, 7))
def test_ternary_limits(width):
    most = ternary.greatest(width)
    forms = [ternary.encode(number, width) for number in range(-most, most + 1)]
    assert sorted(forms) == sorted("".join(word) for word in product("-0+", repeat=width))
    assert ternary.width_for(most) == width
    assert ternary.width_for(most + 1) == width + 1
    with pytest.raises(InputError, match=f"does not fit into {width} trits"):
        ternary.encode(most + 1, width)


# --- blocks


@given(st.integers(-40, 40), st.integers(-40, 40), st.sampled_from([1, -1]))
def test_addition(source, target, sign):
    machine = Builder(["-0+", "-0+"]).build(seq(add(0, 1, sign), accept), "add")
    tapes = [Tape(tuple(ternary.encode(n, 4))) for n in (source, target)]
    ended = run(machine, machine.initial(tapes))
    if abs(target + sign * source) > ternary.greatest(4):
        assert ended.configuration.state == "overflow"
        assert ended.outcome == "rejected"
    else:
        assert ended.outcome == "accepted"
        assert ternary.decode(ended.configuration.tapes[1].contents) == target + sign * source


@settings(max_examples=30)
@given(st.integers(-30, 30), st.integers(-30, 30))
def test_adding_a_constant(number, constant):
    machine = Builder(["-0+"]).build(seq(add_constant(0, constant), accept), "add")
    trits = ternary.encode(number, ternary.width_for(abs(number)))
    ended = run(machine, machine.initial([Tape(tuple(trits))]))
    assert ended.outcome == "accepted"
    assert ternary.decode(ended.configuration.tapes[0].contents) == number + constant


# --- machines against plain Python, on the simulator

MATRIX = st.integers(1, 3).flatmap(
    lambda d: st.tuples(
        st.lists(st.lists(st.integers(-3, 3), min_size=d, max_size=d), min_size=1, max_size=4),
        st.lists(st.lists(st.integers(-3, 3), min_size=d, max_size=d), min_size=0, max_size=3),
        st.lists(st.sampled_from([-1, 1]), min_size=4, max_size=4),
    )
)


def small_data(drawn):
    features, queries, labels = drawn
    d = len(features[0])
    return Labelled(
        np.array(features),
        np.array(labels[: len(features)]),
        np.array(queries, dtype=np.int64).reshape(len(queries), d),
        np.ones(len(queries), dtype=np.int64),
        tuple(f"x{i}" for i in range(d)),
        3,
    )


def plain(data, learner, theta=None):
    """Return (weights to answer by, answers), without numpy or torch."""
    d = data.features.shape[1]
    w = [0] * (d + 1) if theta is None else [int(number) for number in theta]
    total = [0] * (d + 1)
    for _ in range(learner.epochs):
        for x, label in zip(data.features.tolist(), data.labels.tolist(), strict=True):
            if label * sum(a * b for a, b in zip(w, [*x, 1], strict=True)) <= learner.margin:
                w = [a + label * b for a, b in zip(w, [*x, 1], strict=True)]
            total = [a + b for a, b in zip(total, w, strict=True)]
    by = total if learner.averaged else w
    scores = [sum(a * b for a, b in zip(by, [*q, 1], strict=True)) for q in data.queries.tolist()]
    return tuple(by), tuple(1 if score > 0 else -1 for score in scores)


def simulated(data, learner, theta=None):
    machine = learner.machine()
    tapes, _ = sft.tapes(data, learner, theta)
    return run(machine, machine.initial(tapes), 500_000)


@settings(max_examples=15, deadline=None)
@given(
    MATRIX,
    st.sampled_from(
        [sft.Learner("perceptron", 2), sft.Learner("margin", 2, 4), sft.Learner("averaged", 2)]
    ),
    st.none() | st.integers(-9, 9),
)
def test_perceptrons_against_plain_python(drawn, learner, theta):
    data = small_data(drawn)
    given_theta = None if theta is None else np.arange(theta, theta + data.features.shape[1] + 1)
    ended = simulated(data, learner, given_theta)
    tapes = ended.configuration.tapes
    weights, answers = plain(data, learner, given_theta)
    assert ended.outcome == "accepted"
    assert layout.read_fields(tapes[1].contents)[:: 2 if learner.averaged else 1] == weights
    assert layout.read_answers(tapes[0].contents, len(answers)) == answers


@settings(max_examples=15, deadline=None)
@given(MATRIX)
def test_nearest_and_majority_against_plain_python(drawn):
    data = small_data(drawn)
    nearest_labels = []
    for query in data.queries.tolist():
        distances = [
            sum(abs(a - b) for a, b in zip(x, query, strict=True)) for x in data.features.tolist()
        ]
        nearest_labels.append(int(data.labels[distances.index(min(distances))]))
    most = 1 if sum(data.labels.tolist()) > 0 else -1
    for name, expected in (
        ("nearest", tuple(nearest_labels)),
        ("majority", (most,) * len(data.queries)),
    ):
        ended = simulated(data, sft.Learner(name))
        assert ended.outcome == "accepted"
        assert layout.read_answers(ended.configuration.tapes[0].contents, len(expected)) == expected


def test_the_farthest_distance_is_still_a_distance():
    data = Labelled(
        np.array([[1, 1]]), np.array([1]), np.array([[-1, -1]]), np.array([1]), ("a", "b"), 1
    )
    tape = simulated(data, sft.Learner("nearest")).configuration.tapes[0]
    assert layout.read_answers(tape.contents, 1) == (1,)


def test_docstrings_show_what_the_machines_do():
    """The worked examples of the modules, from their first tapes to their last."""
    machine = perceptron.build()
    ended = run(machine, machine.initial([Tape(tuple("#+0|+0=-#+0|+0=?"))]))
    assert machine.join(ended.configuration.tapes[0].contents) == "+0|+0=-#+0|+0=-"
    assert machine.join(ended.configuration.tapes[1].contents) == "-0|-0|"
    for word in ("#+0|+0=-#+0|+0=?", "+0|+0=-#+0|+0=-", "-0|-0|"):
        assert word in perceptron.__doc__
    machine = nearest.build()
    ended = run(machine, machine.initial([Tape(tuple("-+=-00=+#+0=?"))]))
    assert machine.join(ended.configuration.tapes[0].contents) == "-+=-00=+#+0=-"
    assert machine.join(ended.configuration.tapes[1].contents) == "-|+0|+0|"
    for word in ("-+=-00=+#+0=?", "-+=-00=+#+0=-", "-|+0|+0|"):
        assert word in nearest.__doc__


def test_a_carry_that_leaves_its_field_rejects():
    """Two trits hold 4 at the most: a third update by 2 would make a weight 6."""
    x, labels = np.array([[2]] * 6), np.array([1] * 6)
    tape = layout.input_tape(x, labels, x[:1], width=2, epochs=1)
    machine = perceptron.build(margin=100)
    ended = run(machine, machine.initial([tape]))
    assert (ended.outcome, ended.configuration.state) == ("rejected", "overflow")
    wide = layout.input_tape(x, labels, x[:1], width=6, epochs=1)
    ended = run(machine, machine.initial([wide]))
    assert ended.outcome == "accepted"
    assert layout.read_fields(ended.configuration.tapes[1].contents) == (12,)


def test_malformed_tapes_are_rejected():
    for machine in (perceptron.build(), nearest.build(), majority.build()):
        for word in (
            "+0|+0=?#",
            "+0?+0=+#+0|+0=?",
            "+0|+0=+#+0|?0=?",
            "+0|+0=##",
            "+0|=0=+#+0|+0=?",
        ):
            ended = run(machine, machine.initial([Tape(tuple("#" + word))]), 10_000)
            assert ended.outcome != "accepted" or "?" not in ended.configuration.tapes[0].contents


# --- torch


@settings(max_examples=25, deadline=None)
@given(MATRIX, st.integers(0, 6))
def test_torch_does_the_perceptron_rule(drawn, margin):
    data = small_data(drawn)
    trained = fine_tune(data.features, data.labels, epochs=2, margin=margin)
    weights, answers = plain(data, sft.Learner("margin", 2, margin))
    assert tuple(trained.final) == weights
    assert predict(trained.final, data.queries) == answers
    assert tuple(trained.sums[-1]) == plain(data, sft.Learner("averaged", 2))[0] or margin
    assert len(trained.updates) == len(trained.weights)


# --- the transformer


@pytest.fixture(scope="module")
def data():
    return random_data(2, 4, 2, largest=1, flip=0.0, seed=8)


@pytest.fixture(scope="module")
def model():
    return compile_model(perceptron.build())


@pytest.mark.parametrize("name", sft.LEARNERS)
def test_whole_runs(name, data):
    done = sft.experiment(data, sft.Learner(name, 2, 3 if name == "margin" else 0), controls=1)
    run = done.main
    assert done.holds
    assert run.check.divergence is None
    assert run.answers == run.expected
    if run.trained is not None:
        assert len(run.weights) == len(run.trained.updates) > 0
        assert sum(run.updates_per_epoch) == len(run.weights)
        assert np.array_equal(run.final, run.trained.sums[-1] if run.sums else run.trained.final)
        assert done.starts.runs[0].holds
        assert done.orders.runs[0].holds
    if name == "averaged":
        assert len(run.sums) == 8
    json.dumps(as_json(done), allow_nan=False)


def test_same_weights_for_all_data(data):
    """One compiled model learns whatever its prompt holds: the data are not in the weights."""
    model = compile_model(perceptron.build())
    learner = sft.Learner("perceptron", 1)
    for other in (data, random_data(3, 3, 2, largest=5, flip=0.5, seed=8)):
        assert sft.run_beside(model, other, learner).holds


def test_bytes_tell_zeros_apart():
    same = np.array([[1.0, 0.0], [2.0, -3.0]])
    assert sft.first_difference([(1, 0), (2, -3)], same) is None
    assert sft.first_difference([(1, 0), (2, 3)], same) == 2
    assert sft.first_difference([(1, 0)], same) == 2
    assert sft.first_difference([(1, 0), (2, -3), (2, -3)], same) == 3
    assert sft.first_difference([(1, 0)], np.array([[1.0, -0.0]])) == 1


def test_a_changed_rule_is_a_differing_update(data):
    """A machine that updates wrongly, faithfully compiled: no step diverges, but torch differs."""
    machine = perceptron.build()
    changed = {  # in an update 0 + 1 is taken for -1
        key: replace(to, writes=(to.writes[0], "-", to.writes[2]))
        for key, to in machine.transitions.items()
        if key[0].startswith("update") and key[1][:2] == ("+", "0") and to.writes[1] == "+"
    }
    assert changed
    broken = replace(machine, transitions=machine.transitions | changed)
    run = sft.run_beside(compile_model(broken), data, sft.Learner("perceptron", 2))
    assert run.check.divergence is None
    first = run.first_difference
    assert first is not None
    assert run.weights[first - 1] != tuple(run.trained.weights[first - 1])
    assert run.weights[: first - 1] == tuple(map(tuple, run.trained.weights[: first - 1].tolist()))
    assert not run.holds


def test_numbers_left_wrong_at_the_end_are_noticed(data, monkeypatch):
    """Here the averaged machine answers by its last weights, as if it had forgotten the sums."""
    monkeypatch.setattr(perceptron, "take_sums", seq)
    machine = perceptron.build.__wrapped__(0, True)
    learner = sft.Learner("averaged", epochs=1)
    found = sft.run_beside(compile_model(machine), replace(data, queries=data.queries[:0]), learner)
    assert found.check.divergence is None
    assert found.first_difference is None
    assert found.first_sum is None
    assert not found.final_equal
    assert not found.holds


@pytest.mark.parametrize("direction", ["tape0.move", "tape1.move", "tape2.move"])
def test_a_broken_weight_is_noticed(data, model, direction):
    """The embedding of one token of an update says that a head went the other way."""
    learner = sft.Learner("perceptron", 1)
    machine, weights = model.machine, model.weights
    start = machine.initial(sft.tapes(data, learner)[0])
    tape = int(direction[4])
    token = next(
        step_token(machine, step.transition)
        for step in trace(machine, start)
        if step.transition.moves[tape] != "S" and step.state.startswith(("update", "learned"))
    )
    held = list(zip(weights.W_E.rows().tolist(), weights.W_E.columns.tolist(), strict=True))
    number = held.index((weights.ids()[token], weights.directions.index(direction)))
    compiled = Compiled(machine, model.compiled.program, with_weight(weights, "W_E", number, -1.0))
    run = sft.run_beside(Model(compiled), data, learner)
    assert run.check.divergence is not None
    assert not run.holds


def test_the_data_alone_do_not_say(data):
    """Other theta_0 and other orders end in other answers; the machine follows each of them."""
    learner = sft.Learner("perceptron", 1)
    noisy = random_data(2, 6, 6, largest=1, flip=0.3, seed=1)
    done = sft.experiment(noisy, learner, controls=3)
    assert done.holds
    assert any(done.starts.disagreements)
    assert any(done.orders.disagreements)
    assert len(done.starts.disagreements) == math.comb(3, 2)


def test_same_seed_same_bytes(data):
    learner = sft.Learner("perceptron", 1)
    reports = [as_json(sft.experiment(data, learner, seed=5, controls=0)) for _ in range(2)]
    for report in reports:
        del report["seconds"]
    assert json.dumps(reports[0]) == json.dumps(reports[1])
