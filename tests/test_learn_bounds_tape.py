"""Claim C in context: a perceptron on rounded inputs, by numpy, by torch, and through weights."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.api import compile as compile_model
from tm2tf.cli import group
from tm2tf.learning.claims import every, halfspaces, on_tape, rounded
from tm2tf.learning.claims.separators import MOST_TAPED, ROUNDED, TAPED, taped
from tm2tf.learning.gradient import fine_tune
from tm2tf.learning.monte_carlo import Size

TASK = {"dimensions": 2, "examples": 14, "eps": 0.2, "trials": 1, "block": 0, "seed": 0}
SIZE = Size(
    eps=0.2, dimensions=2, other_dimensions=(2,), trials=10, through_weights=1,
    taped_dimensions=(2,),
)  # fmt: skip


@pytest.mark.parametrize("w", [(3, -1, 1), (5, 0, -2), (0, 2, 1), (-4, 1, 0), (0, 0, 0)])
def test_the_error_is_what_a_large_sample_says(w):
    """The share among many inputs drawn is within four standard deviations."""
    drawn = np.random.default_rng([1]).standard_normal((200_000, 2))
    x = np.rint(rounded.SCALE * drawn).astype(np.int64)
    given_label = np.where(x @ np.array(w[:2]) + w[2] > 0, 1, -1)
    seen = (given_label != rounded.label(x)).mean()
    assert rounded.error(np.array(w)) == pytest.approx(seen, abs=4 * (0.25 / len(x)) ** 0.5)


def test_errors_where_they_are_known():
    """x_1 >= 1 is 2 x_1 - 1 > 0; -1 for all errs where x_1 >= 1, which is less than half."""
    assert rounded.error(np.array([2, 0, 0, -1])) == 0.0
    assert rounded.error(np.array([-2, 0, 0, 1])) == pytest.approx(1.0)
    never, always = (rounded.error(np.array([0, 0, 0, b])) for b in (-1, 1))
    assert never + always == pytest.approx(1.0)
    assert never < 0.5 < always


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 30))
def test_numpy_s_perceptron_is_torch_s_and_errs_no_more(seed, d, n):
    random = np.random.default_rng([seed])
    x = np.rint(rounded.SCALE * random.standard_normal((n, d))).astype(np.int64)
    y = rounded.label(x)
    rows, epochs = rounded.perceptron(x, y, 6)
    trained = fine_tune(x, y, epochs=6 if epochs is None else epochs)
    assert rows.astype(np.float64).tobytes() == trained.weights.tobytes()
    scores = y * (x @ rows[-1, :-1] + rows[-1, -1])
    assert (scores > 0).all() == (epochs is not None)
    w, b = halfspaces.perceptron(x.astype(np.float64), y.astype(np.float64))
    if epochs is not None:
        assert [*w, b] == rows[-1].tolist()


def test_samples_that_take_too_long_are_passed_over(monkeypatch):
    task = {**TASK, "trials": 20}
    found, passed_over = rounded.samples(task)
    assert (len(found), passed_over) == (20, 0)
    monkeypatch.setattr(rounded, "EPOCHS", 1)
    quick, passed_over = rounded.samples(task)
    assert (len(quick), {sample.epochs for sample in quick}) == (20, {1})
    assert passed_over > 0


def test_the_weights_learn_what_numpy_learns():
    by_weights, by_numpy = on_tape.on_tape(TASK), rounded.rounded(TASK)
    assert by_weights["unequal"] == 0
    assert by_weights["updates"] > 0
    assert by_weights["tokens"] > by_weights["steps"] > 1000
    assert {name: by_weights[name] for name in by_numpy} == by_numpy


def test_a_machine_that_updates_wrong_is_noticed(monkeypatch):
    """Faithfully compiled, no step diverges; but torch and numpy learn something else."""
    machine = on_tape.compiled().machine
    changed = {  # in an update 0 + 1 is taken for -1
        key: replace(to, writes=(to.writes[0], "-", to.writes[2]))
        for key, to in machine.transitions.items()
        if key[0].startswith("update") and key[1][:2] == ("+", "0") and to.writes[1] == "+"
    }
    broken = compile_model(replace(machine, transitions=machine.transitions | changed))
    monkeypatch.setattr(on_tape, "compiled", lambda: broken)
    assert on_tape.on_tape({**TASK, "trials": 4})["unequal"] > 0


def test_numpy_that_learns_otherwise_is_noticed():
    (sample,), _ = rounded.samples(TASK)
    learner = on_tape.Learner("perceptron", sample.epochs)
    run = on_tape.run_beside(on_tape.compiled(), sample.data, learner)
    assert on_tape.equal(run, sample)
    other = sample.weights.copy()
    other[0, 0] += 1
    assert not on_tape.equal(run, replace(sample, weights=other))
    assert not on_tape.equal(run, replace(sample, weights=sample.weights[:-1]))


def test_the_tape_stands_in_the_report_of_claim_c():
    found = every.run(SIZE, every.by_names(["C"]))
    (report,) = found.reports
    rows = {row.by: row for row in report.rates if row.by in (ROUNDED, TAPED)}
    assert {by: row.trials for by, row in rows.items()} == {ROUNDED: 10, TAPED: 1}
    assert {row.size for row in rows.values()} == {"halfspace_mean"}
    agreement = report.agreement[-1]
    assert agreement["mean_error"] == rows[TAPED].mean
    assert agreement["max_margin_mean_limit"] == 3 / 15
    assert (found.runs_on_tape, found.unequal_runs, found.good) == (1, 0, True)
    assert found.steps_on_tape == agreement["steps"]


def test_a_small_eps_takes_no_longer_tape():
    small = replace(SIZE, eps=0.001)
    assert taped(small, 2, "on_tape")["examples"] == MOST_TAPED


def test_the_command_fails_where_weights_differ(monkeypatch):
    monkeypatch.setattr(on_tape, "equal", lambda run, sample: False)
    words = "--claim C --eps .3 --dimensions 2 --trials 3 --through-weights 1"
    runner = CliRunner(catch_exceptions=False)
    result = runner.invoke(group, ["learn", "bounds", *words.split(), "--json"])
    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["through_weights"]["unequal_runs"] == 2
    assert not said["good"]
