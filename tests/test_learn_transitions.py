"""Rules in weights against rules in the prompt: coverage, observations, training, the command."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import tm2tf
from tm2tf.cli import group
from tm2tf.errors import InputError
from tm2tf.learning import transitions as experiment
from tm2tf.learning.coverage import EXACT, covered, predicted
from tm2tf.learning.fine_tuning import Trained, directions_of
from tm2tf.learning.observations import Teacher, distinct_words, inputs_of
from tm2tf.learning.transitions import Pool, Settings
from tm2tf.machine.simulator import trace
from tm2tf.runtime.torch_runner import TorchRunner
from tm2tf.weights.folder import weights_sha256

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

SMALL = Settings(held_out=12, training_runs=40)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return experiment.make_pool(tm2tf.load("binary-increment"), SMALL)


@pytest.fixture(scope="module")
def tuned(pool: Pool) -> Trained:
    return experiment.fine_tune(pool, [np.arange(len(pool.rules))], SMALL)[0]


# --- coverage -----------------------------------------------------------------------------


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 5))
def test_coverage_is_what_counting_all_draws_gives(weights: list[int], draws: int) -> None:
    total = sum(weights) + 1  # one part in `total` shows none of the rules
    shares = [weight / total for weight in weights]
    outcomes = itertools.product(range(len(weights) + 1), repeat=draws)
    odds = [*shares, 1 / total]
    exact = sum(
        np.prod([odds[i] for i in drawn])
        for drawn in outcomes
        if set(range(len(weights))) <= set(drawn)
    )
    low, high = covered(shares, draws)
    assert low == high == pytest.approx(exact, abs=1e-12)


def test_bounds_on_many_rules_hold_a_simulation_between_them() -> None:
    rules, draws = EXACT + 4, 90
    low, high = covered([1 / rules] * rules, draws)
    random = np.random.default_rng(0)
    drawn = random.integers(rules, size=(20_000, draws))
    share = np.mean([len(np.unique(row)) == rules for row in drawn])
    assert low < high
    assert low - 0.01 < share < high + 0.01


def test_a_rule_that_is_not_in_the_data_is_never_shown() -> None:
    assert predicted({"a": 3, "b": 1}, [["a"], ["a", "c"]], 1000) == (0.5, 0.5)


# --- observations -------------------------------------------------------------------------


def test_what_is_observed_is_what_the_machine_does() -> None:
    machine = tm2tf.load("binary-increment")
    options = tm2tf.compile(machine, "universal").weights.options
    teacher = Teacher(machine, options)
    seen = teacher.run("1011", 100)
    steps = list(trace(machine, machine.initial(["1011"])))
    assert len(seen.rules) == len(steps)
    assert seen.whole
    assert seen.rules[0] == "A 2 -> A 2 right"  # in state right, reading 1
    assert not teacher.run("1011", 3).whole


def test_a_run_that_ends_for_want_of_a_rule_shows_that() -> None:
    machine = tm2tf.load("binary-increment")
    stuck = replace(
        machine,
        transitions={k: v for k, v in machine.transitions.items() if k != ("carry", ("1",))},
        undefined="reject",
    )
    teacher = Teacher(stuck, tm2tf.compile(stuck, "universal").weights.options)
    assert teacher.run("11", 100).rules[-1].endswith("-> <stuck:rejected>")


def test_words_are_different_and_new_and_their_lack_is_said() -> None:
    machine = tm2tf.load("binary-increment")
    inputs = inputs_of(machine, "1", 2, 100)
    random = np.random.default_rng(0)
    assert sorted(distinct_words(machine, inputs, 9, random, frozenset({"1"}))) == ["", "11"]
    with pytest.raises(InputError, match="allow longer ones"):
        distinct_words(machine, inputs, 3, random, frozenset({"", "1", "11"}))


def test_held_out_inputs_are_not_trained_on() -> None:
    for seed in range(4):
        chosen = Settings(seed=seed, longest=3, test_longest=4, held_out=20, training_runs=10)
        found = experiment.make_pool(tm2tf.load("binary-increment"), chosen)
        assert not {run.word for run in found.runs} & {run.word for run in found.held_out}


def test_examples_are_drawn_with_replacement_as_coverage_assumes() -> None:
    drawn = experiment.draw(5, 50, 0)
    assert set(drawn) == set(range(5))
    assert experiment.draw(5, 20, 0).tolist() == drawn[:20].tolist()


# --- fine-tuning --------------------------------------------------------------------------


def test_only_the_last_feed_forward_layer_is_trained(pool: Pool, tuned: Trained) -> None:
    base, after = dict(pool.base.weights.tensors()), dict(tuned.weights.tensors())
    last = f"blocks.{len(pool.base.weights.layers) - 1}.mlp."
    changed = {name for name in after if name.startswith(last)}
    assert len(changed) == 6
    for name in base.keys() - changed:
        assert base[name] is after[name]


def test_trained_neurons_read_the_chosen_features_alone(pool: Pool, tuned: Trained) -> None:
    allowed = set(directions_of(pool.base.weights, experiment.FEATURES))
    layer = tuned.weights.layers[-1].feed_forward
    for matrix in (layer.W_gate, layer.W_in):
        assert set(np.flatnonzero(matrix.dense().any(axis=1)).tolist()) <= allowed


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(pool: Pool) -> None:
    drawn = [np.arange(len(pool.rules))]
    hashes = [
        weights_sha256(experiment.fine_tune(pool, drawn, replace(SMALL, seed=seed))[0].weights)
        for seed in (3, 3, 4)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_side_by_side_or_alone_training_comes_to_the_same_tokens(pool: Pool) -> None:
    drawn = [experiment.draw(len(pool.rules), count, 0) for count in (5, 60)]
    together = experiment.fine_tune(pool, drawn, SMALL)
    for both, chosen in zip(together, drawn, strict=True):
        (alone,) = experiment.fine_tune(pool, [chosen], SMALL)
        assert both.fitted
        assert alone.fitted
        assert both.steps == alone.steps
        assert both.loss == pytest.approx(alone.loss, rel=1e-6)


def test_both_models_follow_the_machine(pool: Pool, tuned: Trained) -> None:
    whole = np.arange(len(pool.rules))
    for found in experiment.both(pool, whole, tuned, SMALL):
        assert found.right == found.runs == 12
        assert found.tokens_agreed == found.tokens > 0
        assert found.first is None


def test_the_plain_torch_model_emits_what_the_kernel_does(pool: Pool, tuned: Trained) -> None:
    model = replace(experiment.with_examples(pool.base, ()), weights=tuned.weights)
    for run in pool.held_out[:4]:
        prompt = model.prompt(model.machine.initial([run.word]))
        emitted = TorchRunner(tuned.weights, prompt).advance(1000).tokens
        assert len(emitted) == len(run.rules)


def test_damaged_fine_tuned_weights_are_noticed(pool: Pool, tuned: Trained) -> None:
    layer = tuned.weights.layers[-1]
    off = replace(layer.feed_forward, b_gate=layer.feed_forward.b_gate - 100)
    weights = replace(
        tuned.weights, layers=(*tuned.weights.layers[:-1], replace(layer, feed_forward=off))
    )
    without, within = experiment.both(
        pool, np.arange(len(pool.rules)), replace(tuned, weights=weights), SMALL
    )
    assert without.right == 0
    assert without.first is not None
    assert within.right == within.runs


def test_a_missing_example_ends_just_the_runs_that_need_it(pool: Pool, tuned: Trained) -> None:
    missing = Counter(pool.rules).most_common()[-1][0]
    drawn = np.array([i for i, rule in enumerate(pool.rules) if rule != missing])
    _, within = experiment.both(pool, drawn, tuned, SMALL)
    needing = [missing in run.rules for run in pool.held_out]
    assert within.right == needing.count(False)
    for run, agreed in zip(pool.held_out, within.agreed, strict=True):
        until = run.rules.index(missing) if missing in run.rules else len(run.rules)
        assert agreed == until
    if any(needing):
        assert within.first is not None
        assert within.first["got"] == "none"  # <unknown> stands for no step


def test_contexts_not_covered_are_counted_as_predicted() -> None:
    machine = tm2tf.load("binary-increment")
    rows = experiment.curve(machine, [1, 12, 200], 3, replace(SMALL, held_out=6))
    assert [row["examples"] for row in rows] == [1, 12, 200]
    for row in rows:
        assert row["in_context"] == row["shown"]
        assert row["fitted"] == 3
    assert rows[0]["in_context"] == 0
    assert rows[2]["in_context"] == 1 == rows[2]["fine_tuned"]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_in_context_is_right_just_where_all_rules_are_shown(seed: int) -> None:
    from tm2tf.machine.sampling import sample

    machine = next(m for m in (sample(seed, i) for i in range(99)) if m.tapes == 1)
    chosen = Settings(seed=seed, held_out=8, training_runs=10, longest=4, max_steps=200)
    try:
        found = experiment.make_pool(machine, chosen)
    except InputError:
        return  # a machine of one symbol has too few inputs
    drawn = experiment.draw(len(found.rules), 20, seed)
    shown = {found.rules[i] for i in drawn}
    within = experiment.follow_all(
        experiment.with_examples(found.base, [found.rules[i] for i in drawn]),
        found.held_out,
        chosen.max_steps,
    )
    assert within.right == sum(shown.issuperset(run.rules) for run in found.held_out)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device")
def test_trained_on_cuda_the_model_follows_the_machine_too(pool: Pool) -> None:
    whole = np.arange(len(pool.rules))
    (there,) = experiment.fine_tune(pool, [whole], replace(SMALL, device="cuda"))
    assert there.fitted
    without, _ = experiment.both(pool, whole, there, SMALL)
    assert without.right == without.runs


# --- the command --------------------------------------------------------------------------


def _json(*words: str, code: int = 0) -> dict[str, object]:
    result = CliRunner().invoke(group, ["learn", "transitions", *words, "--json"])
    assert result.exit_code == code, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_the_command_of_the_documents() -> None:
    found = _json("binary-increment", "--examples", "400", "--seed", "0", "--seeds", "0")
    assert found["agree"] is True
    for side in ("fine_tuned", "in_context"):
        followed = found[side]
        assert isinstance(followed, dict)
        assert followed["right"] == followed["runs"] == 50
        assert followed["first_divergence"] is None
    tuned, within = found["fine_tuned"], found["in_context"]
    assert isinstance(tuned, dict)
    assert isinstance(within, dict)
    assert tuned["fitted"] is True
    assert within["weights_sha256"] == found["base_sha256"] != tuned["weights_sha256"]
    assert found["base_sha256"] == tm2tf.compile("bb4", "universal").weights_sha256


@pytest.mark.parametrize("where", ["comparison", "curve"])
def test_a_run_that_is_right_without_its_rules_ends_with_1(
    where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = experiment.covered_runs
    calls = itertools.count()

    def wrong(*args: object) -> list[bool]:
        first = next(calls) == 0
        covered = kept(*args)  # type: ignore[arg-type]
        return [not covered[0], *covered[1:]] if first == (where == "comparison") else covered

    monkeypatch.setattr(experiment, "covered_runs", wrong)
    words = ["binary-increment", "--examples", "40", "--seeds", "1", "--held-out", "4"]
    found = _json(*words, code=1)
    assert (found["unexpected"] == 1) == (where == "comparison")


def test_the_folder_holds_results_figures_and_the_trained_weights(tmp_path) -> None:
    words = ["bb4", "--alphabet", "1", "--seeds", "2", "--examples", "30", "--held-out", "4"]
    words += ["--training-runs", "40"]
    found = _json(*words, "-o", str(tmp_path))
    for name in ("transitions.json", "transitions.csv", "transitions.png", "transitions.svg"):
        assert (tmp_path / name).stat().st_size > 0
    kept = tm2tf.open_model(tmp_path / "fine-tuned-transitions")
    tuned = found["fine_tuned"]
    assert isinstance(tuned, dict)
    assert kept.weights_sha256 == tuned["weights_sha256"]
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert len(lines) == 2
    _json(*words, "-o", str(tmp_path))
    assert (tmp_path / "trials.jsonl").read_text().splitlines() == lines  # nothing done twice


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["palindrome-2tape"], "tape"),
        (["bb4", "--alphabet", "7"], "not in the alphabet"),
        (["bb4", "--examples", "0"], "--examples"),
        (["bb4", "--states", "2"], "--states 4"),
        (["bb4", "--longest", "0"], "allow longer ones"),
        (["bb4", "--noise", "nan"], "nan is no number"),
        (["bb4", "--seed", "9" * 30], "--seed"),
        (["bb4", "-o", "/dev/null/below"], "cannot make the folder"),
        (["nothing-of-that-name"], "no"),
    ],
)
def test_bad_input_is_refused(words: list[str], said: str) -> None:
    result = CliRunner().invoke(group, ["learn", "transitions", *words])
    assert result.exit_code == 2
    assert said in result.stderr
