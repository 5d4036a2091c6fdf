"""A part of the data in the prompt: neighbours, theory, the four parts, and the command."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import tm2tf
from tm2tf.cli import group
from tm2tf.errors import ExtraError, InputError
from tm2tf.learning import contexts as head
from tm2tf.learning.retrieval import contexts, every, machine, points, report, reviews, theory
from tm2tf.learning.retrieval.neighbours import nearest
from tm2tf.learning.retrieval.report import NEAREST, UNIFORM, Reach, Report
from tm2tf.learning.transitions import Settings, make_pool
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY

MACHINE = machine.Size(
    "binary-increment", trials=2, held_out=6, weighed=2, training_runs=20, least=2, most=32
)
POINTS = points.Size(dimensions=(1,), points=400, trials=2, block=10, queries=4)
CONTEXTS = contexts.Size(examples=256, contexts=4, trials=2, block=30)
REVIEWS = reviews.Size(trials=2, queries=20, weighed=1)
SIZES: every.Sizes = {
    "machine": MACHINE,
    "points": POINTS,
    "contexts": CONTEXTS,
    "reviews": REVIEWS,
}


@pytest.fixture(scope="module")
def reports() -> dict[str, Report]:
    return {found.part: found for found in every.run(SIZES)}


def chosen(found: Report, table: str, choice: str) -> list[dict[str, Any]]:
    return [dict(row) for row in found.tables[table] if row["choice"] == choice]


# --- neighbours ---------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.sampled_from(["euclidean", "cosine"]))
def test_neighbours_are_in_the_order_of_their_distances(seed: int, count: int, metric: Any) -> None:
    random = np.random.default_rng(seed)
    data = random.integers(0, 3, (count, 3)).astype(float)
    queries = random.integers(0, 3, (4, 3)).astype(float)
    for query, order in zip(queries, nearest(data, queries, metric), strict=True):
        if metric == "euclidean":
            away = ((data - query) ** 2).sum(axis=1)
        else:
            scale = np.linalg.norm(data, axis=1) * np.linalg.norm(query)
            away = 1 - np.divide(data @ query, scale, out=np.zeros(count), where=scale > 0)
        expected = sorted(range(count), key=lambda place: (round(float(away[place]), 9), place))
        assert order.tolist() == expected


def test_without_scikit_learn_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.neighbors", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[learn\]"):
        nearest(np.zeros((2, 1)), np.zeros((1, 1)))


# --- theory -------------------------------------------------------------------------------


@given(st.floats(0, 1), st.integers(2, 6), st.floats(0, 1))
def test_the_law_is_a_distribution_whose_average_is_even(x: float, words: int, a: float) -> None:
    places = np.append(np.arange(words) / words, x)
    law = theory.law(places, words, a)
    assert law.min() >= -1e-12
    assert law.sum(axis=1) == pytest.approx(1)
    assert law[:-1].mean(axis=0) == pytest.approx(1 / words)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_the_squared_distance_is_that_of_drawn_points(dimensions: int) -> None:
    n, k, random = 200, 5, np.random.default_rng(dimensions)
    away = random.random((4000, n, dimensions)) - 0.5
    squares = np.sort((away**2).sum(axis=2), axis=1)[:, k]
    error = squares.std() / math.sqrt(len(squares))
    assert theory.squared_distance(k, n, dimensions) == pytest.approx(squares.mean(), abs=4 * error)


def test_in_one_dimension_the_squared_distance_is_the_one_of_the_textbook() -> None:
    expected = 6 * 7 / (4 * 101 * 102)  # B = 2R has E[B^2] = (k+1)(k+2) / ((n+1)(n+2))
    assert theory.squared_distance(5, 100, 1) == pytest.approx(expected)


def test_without_bias_the_distance_is_that_of_normal_shares() -> None:
    law = np.full((1, 4), 0.25)  # the law is its own average
    expected = 4 / 2 * math.sqrt(2 / math.pi * 0.25 * 0.75 / 50)
    assert theory.nearest_distance(law, 50, 1000, 1) == pytest.approx(expected)


# --- numbers that all parts need ----------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "level", "rising", "expected"),
    [
        ([0.0, 0.5, 1.0], 0.5, True, 20.0),
        ([0.0, 1.0, 1.0], 0.5, True, 10 * math.sqrt(2)),
        ([1.0, 0.0, 1.0], 0.5, True, 20 * math.sqrt(2)),  # it has to stay there
        ([0.0, 1.0, 0.4], 0.5, True, None),
        ([0.9, 0.9, 0.9], 0.5, True, 10.0),
        ([0.9, 0.1, 0.1], 0.5, False, 10 * math.sqrt(2)),
    ],
)
def test_tokens_from_which_on_a_level_is_kept(
    values: list[float], level: float, rising: bool, expected: float | None
) -> None:
    found = report.reached([10, 20, 40], values, level, rising=rising)
    assert found == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("near", "even", "verdict"),
    [
        (Reach(10, 8, 12), Reach(20, 15, 30), HOLDS),
        (Reach(10, 8, 16), Reach(20, 15, 30), FALSE),  # not told apart
        (Reach(10, 8, None), Reach(20, 15, 30), FALSE),
        (Reach(10, 8, 14), Reach(20, 15, 30), LOOSELY),  # less than a tenth
        (Reach(10, 8, 12), Reach(None, None, None), HOLDS),
        (Reach(None, 8, None), Reach(None, None, None), FALSE),
    ],
)
def test_fewer_tokens_only_where_intervals_say_so(near: Reach, even: Reach, verdict: str) -> None:
    assert report.fewer_tokens("something", near, even).verdict == verdict


def test_an_exponent_is_the_slope_of_logarithms() -> None:
    assert report.exponent([1, 2, 4, 8], [3, 12, 48, 192]) == pytest.approx(2)
    assert report.exponent([1, 2], [1, 2]) is None


def test_sizes_begin_and_end_as_asked() -> None:
    assert report.sizes_between(4, 20) == [4, 6, 8, 11, 16, 20]
    assert report.sizes_between(1, 1) == [1]


def test_answers_of_edited_weights_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = [np.array([[0, 1], [0, 0], [0, 1]]), np.array([[1, 0], [1, 1]])]
    sound = report.through_weights(pairs, 2, 2)
    assert (sound.prompts, sound.tokens, sound.unequal) == (2, 14, 0)
    model = head.weights(2, 2)
    first, *others = model.layers
    heads = [replace(found, offset=3) if found.offset == 1 else found for found in first.heads]
    edited = replace(model, layers=(replace(first, heads=tuple(heads)), *others))
    monkeypatch.setattr(report, "weights", lambda contexts, words: edited)
    assert report.through_weights(pairs, 2, 2).unequal == 1


# --- machine ------------------------------------------------------------------------------


def test_examples_of_the_nearest_runs_come_run_after_run() -> None:
    pool = make_pool(tm2tf.load("binary-increment"), Settings(held_out=4, training_runs=10))
    order = np.arange(9, -1, -1)
    steps = [rule for place in order for rule in pool.runs[place].rules]
    assert machine.examples(pool, NEAREST, order, [0], 30) == steps[:30]
    once = machine.examples(pool, f"{NEAREST} once", order, [0], 30)
    assert once == list(dict.fromkeys(steps))
    drawn = machine.examples(pool, UNIFORM, order, [0], 30)
    assert len(drawn) == 30
    assert drawn[:10] == machine.examples(pool, UNIFORM, order, [0], 30)[:10]
    assert drawn != machine.examples(pool, UNIFORM, order, [1], 30)
    every_rule = machine.examples(pool, f"{UNIFORM} once", order, [0], 30)
    assert sorted(every_rule) == sorted(set(pool.rules))


def test_inputs_are_described_by_shares_and_ends() -> None:
    found = machine.features(tm2tf.load("binary-increment"), ["", "0", "011"])
    assert found.shape == (3, 3 + 2 * 2 * 3)
    assert np.array_equal(found[:, 3:].sum(axis=1), [4, 4, 4])
    assert found[2, :3].sum() == pytest.approx(1)
    assert not found[0, :3].any()
    assert len({tuple(row) for row in found.tolist()}) == 3


def test_runs_are_right_where_their_rules_are_shown(reports: dict[str, Report]) -> None:
    found = reports["machine"]
    assert found.unequal == 0
    assert 0 < found.prompts < found.counted
    for choice in machine.CHOICES:
        rows = chosen(found, "machine", choice)
        assert rows[0]["right"] < rows[-1]["right"]
        assert [row["tokens"] for row in rows] == sorted(row["tokens"] for row in rows)
    once = chosen(found, "machine", f"{NEAREST} once")
    assert once[-1]["examples"] == 6  # all rules; greater numbers would be the same prompts


def test_a_run_that_is_right_without_its_rules_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = machine.with_examples
    monkeypatch.setattr(
        machine, "with_examples", lambda base, listed: whole(base, listed) if not listed else base
    )  # the base model's own prompt shows all rules
    assert machine.trial(machine.tasks(MACHINE)[0])["unequal"] > 0


def test_the_nearest_may_be_all_in_the_prompt_before_the_greatest_size() -> None:
    def row(choice: str, k: int, off: float) -> dict[str, Any]:
        known = {"from_data": off, "from_data_low": off - 0.1, "from_data_high": off + 0.1}
        return {"choice": choice, "examples": k, **known}

    even = [row(UNIFORM, k, 0.1) for k in (1, 2, 4)]
    assert machine._biased([row(NEAREST, 1, 0.1), *even]).verdict == FALSE
    assert machine._biased([row(NEAREST, 1, 0.1), row(NEAREST, 2, 0.8), *even]).verdict == HOLDS


# --- distributions ------------------------------------------------------------------------


def test_the_shares_of_all_points_are_the_same_for_both_choices(reports: dict[str, Report]) -> None:
    found = reports["points"]
    even, near = (chosen(found, "points-1d", choice) for choice in points.CHOICES)
    assert even[-1]["distance"] == pytest.approx(near[-1]["distance"])
    assert even[-1]["bias"] == pytest.approx(near[-1]["bias"])
    assert near[0]["bias"] < 0.1 * even[0]["bias"]
    best = min(near, key=lambda row: row["distance"])
    assert near[0]["distance"] > best["distance"] < near[-1]["distance"]
    assert all(row["tokens"] == 2 * row["examples"] + 2 for row in even)


def test_bias_and_variance_are_those_of_the_theory() -> None:
    size = points.Size(points=1000, trials=4, block=50)
    found = points.report(size, [points.trial(task) for task in points.tasks(size)])
    assert [reading.verdict for reading in found.readings] == [HOLDS] * 12
    for dimensions in size.dimensions:
        for row in chosen(found, f"points-{dimensions}d", NEAREST):
            if row["inside"]:
                error = 3 * row["bias_error"] + 0.1 * row["bias_theory"]
                assert row["bias"] == pytest.approx(row["bias_theory"], abs=error)
                assert row["distance"] == pytest.approx(row["distance_theory"], rel=0.08)


def test_a_distance_that_does_not_matter_is_no_retrieval(monkeypatch: pytest.MonkeyPatch) -> None:
    def blind(data: Any, queries: Any) -> Any:
        return np.tile(np.arange(len(data)), (len(queries), 1))

    monkeypatch.setattr(points, "nearest", blind)
    found = points.report(POINTS, [points.trial(task) for task in points.tasks(POINTS)])
    verdicts = {reading.sense: reading.verdict for reading in found.readings}
    assert verdicts["d=1: even draws are not biased for the law averaged over all places"] == HOLDS
    assert verdicts["d=1: the bias of the nearest grows as k^2"] == FALSE
    assert verdicts["d=1: retrieval has a best k: fewer are too noisy, more are from too far"] == (
        FALSE
    )


def test_retrieval_by_context_takes_own_examples_first(reports: dict[str, Report]) -> None:
    found = reports["contexts"]
    assert found.unequal == 0
    for row in chosen(found, "contexts", NEAREST):
        if row["examples"] <= 32:
            assert row["own"] == row["examples"]
    even, near = (chosen(found, "contexts", choice) for choice in contexts.CHOICES)
    assert even[-1]["distance"] == near[-1]["distance"]
    assert even[4]["own"] == pytest.approx(even[4]["examples"] / 4, rel=0.35)
    ratio = found.figures["tokens of even draws over those of retrieval"]
    assert ratio is not None
    assert 3 < ratio < 5.5


# --- reviews ------------------------------------------------------------------------------


def test_all_reviews_in_the_prompt_are_no_retrieval(reports: dict[str, Report]) -> None:
    found = reports["reviews"]
    assert found.unequal == 0
    for choice in reviews.CHOICES:
        last = chosen(found, "reviews", choice)[-1]
        assert last["examples"] == 220
        assert last["positive_query"] == last["negative_query"] == pytest.approx(0.5)
        assert last["accuracy"] == 0.5  # both labels are equally frequent


def test_the_best_of_many_sizes_is_not_better_by_chance() -> None:
    def rows(low: float) -> list[dict[str, Any]]:
        same = {"choice": NEAREST, "words": 1.0}
        same |= {name: 0.5 for side in ("positive", "negative") for name in
                 (f"{side}_query", f"{side}_query_low", f"{side}_query_high")}  # fmt: skip
        return [
            {**same, "examples": k, "tokens": 2 * k + 2, "accuracy": 0.6,
             "accuracy_low": low, "accuracy_high": 1.2 - low} for k in range(1, 16)
        ]  # fmt: skip

    even = [row | {"accuracy": 0.5, "accuracy_low": 0.5, "accuracy_high": 0.5} for row in rows(0.5)]
    assert reviews._wider(1) == pytest.approx(1)
    for low, verdict in ((0.52, FALSE), (0.55, HOLDS)):  # 0.52 is enough for a single size
        found = list(reviews._readings(even, rows(low), 0.5))
        assert found[0].verdict == verdict
        assert [reading.verdict for reading in found[-2:]] == [FALSE, FALSE]


def test_a_tie_counts_as_half_an_answer() -> None:
    assert reviews._accuracy(np.array([0.5, 0.6, 0.2, 0.9]), np.array([1, 1, 1, 0])) == 1.5 / 4


def test_too_many_queries_are_refused() -> None:
    with pytest.raises(InputError, match="leave some reviews"):
        reviews.tasks(reviews.Size(queries=240))


# --- all of it ----------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_and_another_does_not(reports: dict[str, Report]) -> None:
    (again,) = every.run({"contexts": CONTEXTS})
    (other,) = every.run({"contexts": replace(CONTEXTS, seed=1)})
    assert again == reports["contexts"]
    assert other.tables != again.tables


def test_results_are_plain_numbers(reports: dict[str, Report]) -> None:
    text = json.dumps(every.as_json(list(reports.values())), allow_nan=False)
    assert json.loads(text)["good"] is True


def test_finished_trials_are_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: every.Sizes = {"contexts": CONTEXTS, "reviews": REVIEWS}
    seen: list[int] = []
    first = every.run(asked, folder=tmp_path, on_progress=seen.append)
    assert seen[-1] == sum(map(len, every.tasks_of(asked).values())) == 4
    monkeypatch.setattr(contexts, "_distances", None)
    monkeypatch.setattr(reviews, "_split", None)
    assert every.run(asked, folder=tmp_path) == first


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        every,
        "sizes",
        lambda chosen, **_: {part: SIZES[part] for name in chosen for part in every.SETTINGS[name]},
    )


@pytest.mark.usefixtures("small")
def test_the_command_writes_what_it_prints(tmp_path: Path) -> None:
    asked = ["learn", "retrieval", "--json", "-o", str(tmp_path)]
    result = CliRunner().invoke(group, asked)
    assert result.exit_code == 0, result.output
    printed = json.loads(result.stdout)
    assert [part["part"] for part in printed["parts"]] == list(every.PARTS)
    files = [Path(path) for path in printed.pop("files")]
    assert all(path.stat().st_size > 0 for path in files)
    assert {path.suffix for path in files} == {".json", ".csv", ".png", ".svg"}
    assert json.loads((tmp_path / "retrieval.json").read_text()) == printed


@pytest.mark.usefixtures("small")
def test_the_command_shows_tables_and_verdicts() -> None:
    asked = ["learn", "retrieval", "--setting", "reviews", "--setting", "machine"]
    result = CliRunner().invoke(group, asked)
    assert result.exit_code == 0, result.output
    assert "0 answered otherwise than by counting" in result.stdout
    for words in ("nearest once", "is missed by", "telling words", "retrieval is biased"):
        assert words in result.stdout


@pytest.mark.usefixtures("small")
def test_weights_that_count_otherwise_fail_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "next_word", lambda model, tokens: np.array([0.5, 0.5]))
    result = CliRunner().invoke(group, ["learn", "retrieval", "--setting", "reviews"])
    assert result.exit_code == 1


def test_a_machine_that_does_not_exist_is_bad_input() -> None:
    asked = ["learn", "retrieval", "--setting", "machine", "--machine", "nonesuch"]
    result = CliRunner().invoke(group, asked)
    assert result.exit_code == 2
    assert "nonesuch" in result.stderr


def test_rules_that_nearness_hides_are_told() -> None:
    rows = [{"choice": NEAREST, "examples": 8, "right": 0.7}]
    missed = [
        {"choice": choice, "examples": 8, "rule": "A 0 -> B 1 left", "share_of_data": 0.1,
         "runs": 100, "missed": count}
        for choice, count in ((NEAREST, 30), (UNIFORM, 2))
    ]  # fmt: skip
    assert machine._misses(rows, missed).verdict == HOLDS
    assert machine._misses(rows, [missed[0], missed[1] | {"missed": 25}]).verdict == FALSE
    assert machine._misses([rows[0] | {"right": 0.3}], missed).verdict == FALSE
