"""Transitions with noise: the noisy machine, its expected distances, both models' probabilities."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import tm2tf
from tm2tf.cli import group
from tm2tf.errors import InputError
from tm2tf.learning import noise as experiment
from tm2tf.learning.fine_tuning import Trained
from tm2tf.learning.noise import NoisyPool
from tm2tf.learning.noisy_machine import NoisyMachine, expected_distance
from tm2tf.learning.observations import Teacher, inputs_of
from tm2tf.learning.transitions import Settings

SMALL = Settings(held_out=6, training_runs=60, max_steps=60)


@pytest.fixture(scope="module")
def pool() -> NoisyPool:
    return experiment.make_pool(tm2tf.load("binary-increment"), 0.2, SMALL)


@pytest.fixture(scope="module")
def tuned(pool: NoisyPool) -> Trained:
    return experiment.fine_tune(pool, [np.arange(len(pool.steps))], SMALL)[0]


def _noisy(noise: float) -> NoisyMachine:
    machine = tm2tf.load("binary-increment")
    options = experiment.room_for(machine)
    return NoisyMachine(Teacher(machine, options), noise)


# --- the noisy machine --------------------------------------------------------------------


def test_without_noise_the_machine_does_what_it_does() -> None:
    noisy = _noisy(0.0)
    seen = noisy.run({0: "2", 1: "1"}, 0, 100, [0])
    observed = noisy.teacher.run("10", 100)
    assert [" ".join(step.example) for step in seen] == list(observed.rules)


@given(st.floats(0, 0.99))
def test_truths_are_distributions_that_favour_the_rule(noise: float) -> None:
    noisy = _noisy(noise)
    for (state, reads), to in noisy.teacher.known.transitions.items():
        truth = noisy.truth((state, *reads))
        assert truth.sum() == pytest.approx(1)
        best = f"{to.writes[0]}{to.moves[0]}>{to.state}"
        assert truth[noisy.tokens.index(best)] == pytest.approx(1 - noise)


def test_frequencies_of_a_long_run_come_near_the_truth() -> None:
    noisy = _noisy(0.3)
    steps = [step for i in range(3000) for step in noisy.run({}, 0, 50, [7, i])]
    seen = Counter(step.token for step in steps if step.context == ("A", "0"))
    truth = noisy.truth(("A", "0"))
    for token, share in zip(noisy.tokens, truth, strict=True):
        deviation = math.sqrt(share * (1 - share) / seen.total())
        assert abs(seen[token] / seen.total() - share) < 5 * deviation + 1e-12


@given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 5))
def test_expected_distance_is_what_counting_all_samples_gives(
    weights: list[int], draws: int
) -> None:
    total, steps, marked = sum(weights), 6, 3
    truth = [Fraction(weight, total) for weight in weights]
    exact = Fraction(0)
    for drawn in itertools.combinations(range(steps), draws):
        m = sum(step < marked for step in drawn)
        mean = Fraction(m == 0)
        for mine in itertools.product(range(len(truth)), repeat=m) if m else ():
            shares = [Fraction(mine.count(i), m) for i in range(len(truth))]
            apart = sum(abs(p - q) for p, q in zip(truth, shares, strict=True)) / 2
            mean += math.prod(truth[i] for i in mine) * apart
        exact += mean / math.comb(steps, draws)
    found = expected_distance(np.array([float(p) for p in truth]), marked, steps, draws)
    assert found == pytest.approx(float(exact), abs=1e-9)


# --- both models --------------------------------------------------------------------------


def test_in_context_probabilities_are_the_examples_frequencies_exactly(pool: NoisyPool) -> None:
    drawn = experiment.draw(pool, 150, 0)
    ids = pool.base.weights.ids()
    seen: dict[tuple[str, str], Counter[str]] = {}
    for i in drawn:
        seen.setdefault(pool.steps[i].context, Counter())[pool.steps[i].token] += 1
    words = [word for i in drawn for word in pool.steps[i].example]
    examples = [pool.held_out[0].prompt[0], *(ids[word] for word in words)]
    found = experiment.in_context(pool.base.weights, examples, pool.held_out)
    for run, rows in zip(pool.held_out, found, strict=True):
        for step, row in zip(run.steps, rows, strict=True):
            counts = seen.get(step.context, Counter())
            if not counts:
                assert row[ids["<unknown>"]] == 1
            for token in pool.machine.tokens:
                share = counts[token] / counts.total() if counts else 0.0
                assert row[ids[token]] == share


def test_fine_tuned_probabilities_come_to_the_same(pool: NoisyPool, tuned: Trained) -> None:
    assert tuned.fitted
    drawn = np.arange(len(pool.steps))
    found = experiment.distances(pool, drawn, tuned)
    seen = {step.context for step in pool.steps}
    known = [s.context in seen for run in pool.held_out for s in run.steps]
    bound = experiment.BOUND
    assert found["between"][known].max() <= bound
    assert found["between_shown"].max() == found["between"][known].max()
    gap = np.abs(found["fine_tuned"] - found["in_context"])[known]
    assert gap.max() <= bound  # the triangle inequality


def test_untrained_weights_are_far_off(pool: NoisyPool, tuned: Trained) -> None:
    drawn = np.arange(len(pool.steps))
    found = experiment.distances(pool, drawn, replace(tuned, weights=pool.base.weights))
    assert found["between"].min() > 0.5


def test_held_out_inputs_are_not_trained_on(pool: NoisyPool) -> None:
    machine = tm2tf.load("binary-increment")
    small = replace(SMALL, longest=3, test_longest=4, held_out=20, training_runs=10)
    random = np.random.default_rng([small.seed, 0])
    inputs = inputs_of(machine, None, 3, 60)
    trained = {inputs.draw(machine, random) for _ in range(10)}
    found = experiment.make_pool(machine, 0.2, small)
    base = found.base
    starts = {tuple(base.prompt(machine.initial([word]))) for word in trained}
    assert not starts & {run.prompt for run in found.held_out}


def test_damage_of_the_fine_tuned_weights_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = experiment.fine_tune

    def damaged(*args: object, **others: object) -> list[Trained]:
        weights = tm2tf.compile("bb4", "empirical", states=4, symbols=2, halting=1).weights
        return [replace(each, weights=weights) for each in kept(*args, **others)]  # type: ignore[arg-type]

    monkeypatch.setattr(experiment, "fine_tune", damaged)
    words = ["bb4", "--alphabet", "1", "--noise", "0.2", "--examples", "60", "--seeds", "0"]
    words += ["--held-out", "4", "--max-steps", "40"]
    assert CliRunner().invoke(group, ["learn", "transitions", *words]).exit_code == 1


def test_a_machine_that_takes_no_step_is_refused() -> None:
    machine = tm2tf.load("binary-increment")
    halting = replace(machine, halt=(), accept=(*machine.halt, machine.start), transitions={})
    with pytest.raises(InputError, match="takes no step"):
        experiment.make_pool(halting, 0.1, SMALL)


def test_more_examples_than_steps_are_refused(pool: NoisyPool) -> None:
    with pytest.raises(InputError, match="--training-runs"):
        experiment.draw(pool, len(pool.steps) + 1, 0)


def test_the_mean_distance_over_seeds_is_the_expected_one() -> None:
    rows = experiment.curve(
        tm2tf.load("binary-increment"), [40], 6, replace(SMALL, held_out=10), noise=0.2
    )
    (row,) = rows
    assert row["in_context_low"] - 0.02 <= row["expected"] <= row["in_context_high"] + 0.02


def test_the_command(tmp_path) -> None:
    words = ["bb4", "--alphabet", "1", "--noise", "0.2", "--examples", "60", "--seeds", "1"]
    words += ["--held-out", "4", "--max-steps", "40", "--json", "-o", str(tmp_path)]
    result = CliRunner().invoke(group, ["learn", "transitions", *words])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert set(found["total_variation"]) == {*experiment.DISTANCES, "between_shown"}
    assert found["fine_tuned"]["fitted"] is True
    assert (tmp_path / "noise.svg").exists()
    assert json.loads((tmp_path / "noise.json").read_text())["curve"] == found["curve"]
