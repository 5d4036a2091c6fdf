"""How many examples: the formulas against exact probabilities, laws, learners and prompts."""

import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.bounds_cases import SMALL, binomial
from tm2tf.errors import InputError, InternalError
from tm2tf.learning import bounds
from tm2tf.learning.claims import every, gradient, halfspaces, laws
from tm2tf.learning.claims.in_context import in_context
from tm2tf.learning.contexts import UNKNOWN, next_word, program, prompt, weights
from tm2tf.program.interpreter import Interpreter
from tm2tf.weights.matrix import Matrix

chances = st.floats(0.01, 0.5)
counts = st.integers(1, 40)


# --- formulas -------------------------------------------------------------------------------


def test_the_sizes_of_the_paper_s_examples():
    assert bounds.halfspace_mean(0.1, 10) == 109
    assert bounds.halfspace_compression(0.1, 0.05, 10) == 527
    assert bounds.halfspace_scenario(0.1, 0.05, 10) == 167
    assert bounds.fixed_predictor(0.1, 0.05) == 185
    assert bounds.paper_outputs(0.1, 0.05, 1000, 1) == 2070
    assert bounds.sup_norm(0.1, 0.05, 1000, 1) == bounds.sup_norm(0.1, 0.05, 10, 3) == 530
    assert bounds.weissman(0.1, 0.05, 4, 10) == 566
    assert bounds.mcdiarmid(0.1, 0.05, 4, 10) == 889
    assert bounds.whole_outputs(0.1, 0.05, 10, 3) == bounds.per_context(0.1, 0.05, 1, 1000)


@given(eps=chances, delta=chances, contexts=counts, words=st.integers(2, 200))
def test_weissman_is_the_least_size_of_its_inequality(eps, delta, contexts, words):
    n = bounds.weissman(eps, delta, contexts, words)

    def left(n):  # of (2^V - 2) m exp(-2 n eps^2) <= delta, as a logarithm
        return math.log(2**words - 2) + math.log(contexts) - 2 * n * eps**2 - math.log(delta)

    assert left(n) <= 1e-9
    assert left(n - 1) > -1e-9


@given(eps=chances, delta=chances, contexts=counts, words=st.integers(2, 200))
def test_mcdiarmid_is_the_least_size_of_its_inequality(eps, delta, contexts, words):
    n = bounds.mcdiarmid(eps, delta, contexts, words)

    def left(n):
        tail = math.log(contexts / delta) / (2 * n)
        return math.sqrt((words - 1) / n) / 2 + math.sqrt(tail)

    assert left(n) <= eps + 1e-9
    assert n == 1 or left(n - 1) > eps - 1e-9


@given(eps=chances, delta=chances, contexts=counts, words=st.integers(2, 200))
def test_the_paper_s_form_for_text_is_at_least_weissman_s(eps, delta, contexts, words):
    known = (eps, delta, contexts, words)
    assert bounds.paper_text(*known) >= bounds.weissman(*known) >= bounds.per_context(*known)
    assert bounds.drawn_contexts(*known) >= contexts * bounds.per_context(*known)


@pytest.mark.parametrize("share", [Fraction(1, 2), Fraction(1, 3), Fraction(1, 10)])
@pytest.mark.parametrize(("eps", "delta"), [(0.1, 0.05), (0.2, 0.3), (0.25, 0.01)])
def test_two_words_fail_as_rarely_as_promised_exactly(share, eps, delta):
    """For V = 2 the probability of TV > eps is a sum of binomial ones: no Monte Carlo needed."""
    sizes = (
        bounds.per_context(eps, delta, 1, 2),
        bounds.sup_norm(eps, delta, 2, 1),
        bounds.sup_norm_any(eps, delta),
        bounds.fixed_predictor(eps, delta),
    )
    for n in sizes:
        off = Fraction(eps).limit_denominator(1000)
        failed = sum(
            chance
            for i, chance in enumerate(binomial(n, share))
            if abs(Fraction(i, n) - share) > off
        )
        assert failed <= delta


@settings(max_examples=15, deadline=None)
@given(eps=st.sampled_from([0.1, 0.25, 0.5]), delta=chances, d=st.integers(1, 12))
@example(eps=0.5, delta=math.nextafter(0.5, 0), d=4)  # the tail is 1/2, less than which is asked
def test_the_sizes_for_halfspaces_are_least_exactly(eps, delta, d):
    k, p, limit = d + 1, Fraction(eps), Fraction(delta)

    def compression(n):
        return math.comb(n, k) * (1 - p) ** (n - k) <= limit

    def tail(n):
        return sum(math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(k))

    def scenario(n):
        return tail(n) <= limit

    n = bounds.halfspace_compression(eps, delta, d)
    assert compression(n)
    assert not any(compression(less) for less in range(k, n))
    n = bounds.halfspace_scenario(eps, delta, d)
    assert scenario(n)
    assert not scenario(n - 1) or tail(n - 1) > limit * (1 - Fraction(1, 10**9))
    n = bounds.halfspace_mean(eps, d)
    assert Fraction(k, n + 1) <= p < Fraction(k, n) or n + 1 == k / eps


@pytest.mark.parametrize(("eps", "n"), [(0.1, 109), (0.05, 219), (0.3, 36), (0.7, 15)])
def test_rounding_adds_no_example(eps, n):
    """11 / 0.1 is 110 in float64, 0.3 is a little less than 3/10, and so on."""
    assert bounds.halfspace_mean(eps, 10) == n == math.ceil(Fraction(11) / Fraction(str(eps))) - 1


def test_the_table_has_every_size_once_with_formula_and_source():
    rows = bounds.table(0.1, 0.05, 4, 10, 3, 10)
    assert len({row.name for row in rows}) == len(rows) == 14
    assert {row.claim for row in rows} == set(bounds.PAPER)
    assert all(row.formula and row.source for row in rows)
    assert all(row.examples == 4 * row.each for row in rows if row.each is not None)
    assert {row.name for row in rows if not row.guarantee} == {
        "paper_outputs",
        "paper_halfspace",
        "paper_predictor",
    }


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"eps": 0.0}, "eps is 0.0; take a number between 0 and 1"),
        ({"eps": 1.0}, "eps is 1.0"),
        ({"eps": math.nan}, "eps is nan"),
        ({"delta": -0.1}, "delta is -0.1"),
        ({"contexts": 0}, "contexts is 0; take 1 or more"),
        ({"words": 1}, "vocabulary is 1; take 2 or more"),
        ({"length": 0}, "length is 0"),
        ({"dimensions": 0}, "dimensions is 0"),
        ({"length": 1000}, "a size exceeds"),
        ({"eps": 1e-12}, "a size exceeds"),
    ],
)
def test_numbers_without_meaning_are_refused(changed, message):
    numbers = {
        "eps": 0.1, "delta": 0.05, "contexts": 1, "words": 2, "length": 1, "dimensions": 1,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        bounds.table(**numbers | changed)


# --- what is drawn --------------------------------------------------------------------------


@pytest.mark.parametrize("law", laws.LAWS)
@pytest.mark.parametrize("words", [2, 3, 10, 1000])
def test_laws_are_laws(law, words):
    shares = laws.LAWS[law](words)
    assert shares.shape == (words,)
    assert (shares >= 0).all()
    assert shares.sum() == pytest.approx(1, abs=1e-12)


def test_an_error_of_exactly_eps_is_no_failure():
    law, counted = np.array([0.5, 0.5]), np.array([[6, 4], [7, 3], [0, 0]])
    off = laws.total_variation(counted, law)
    assert off == pytest.approx([0.1, 0.2, 1.0])
    assert laws.sums_of("tv", off, 0.1)["tv_failures"] == [2]
    assert laws.sums_of("tv", laws.largest_gap(counted, law), 0.2)["tv_failures"] == [1]


def test_samples_grow_and_errors_shrink():
    task = {"law": "zipf", "contexts": 3, "words": 5, "examples": [10, 1000, 100_000], "eps": 0.1,
            "trials": 20, "block": 0, "seed": 0}  # fmt: skip
    found = laws.text(task)
    assert found == laws.text(task) != laws.text({**task, "seed": 1})
    assert found["tv"][0] > 3 * found["tv"][1] > 9 * found["tv"][2]
    assert found["tv_failures"] == [20, 0, 0]
    assert all(sup <= tv for sup, tv in zip(found["sup"], found["tv"], strict=True))


@pytest.mark.parametrize("bias", [0.0, 0.7, -1.3, 3.0])
def test_the_error_of_a_halfspace_is_what_a_large_sample_says(bias):
    random = np.random.default_rng([5, int(10 * abs(bias))])
    w, target = random.standard_normal(4), random.standard_normal(4)
    x = random.standard_normal((200_000, 4))
    seen = ((x @ w + bias > 0) != (x @ target > 0)).mean()
    exact = halfspaces.errors(w[None], np.array([bias]), target)[0]
    assert exact == pytest.approx(seen, abs=4 * math.sqrt(0.25 / 200_000))


def test_errors_where_they_are_known():
    target = np.array([1.0, 0.0])
    w = np.array([[2.0, 0.0], [-1.0, 0.0], [1.0, 1.0], [0.0, 3.0], [0.0, 0.0], [1.0, 0.0]])
    b = np.array([0.0, 0.0, 0.0, 0.0, 1.0, 1.0])
    above = math.erf(1 / math.sqrt(2)) / 2  # P(-1 < u < 0)
    expected = [0.0, 1.0, 0.25, 0.5, 0.5, above]
    assert halfspaces.errors(w, b, target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", halfspaces.LEARNERS)
@pytest.mark.parametrize(("d", "n"), [(1, 2), (2, 50), (10, 109), (200, 60)])
def test_learners_separate_what_they_saw(name, d, n):
    (x,), (y,), _ = halfspaces.draw_examples(
        {"trials": 1, "dimensions": d, "seed": 3, "name": "x"}, n
    )
    w, b = halfspaces.LEARNERS[name](x, y)
    assert (y * (x @ w + b) > 0).all()


def test_the_max_margin_is_the_greatest():
    """Between (0, 0) and (2, 0), (2, 5) the widest street is x = 1."""
    x, y = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 5.0]]), np.array([-1.0, 1.0, 1.0])
    w, b = halfspaces.max_margin(x, y)
    assert w == pytest.approx([1.0, 0.0], abs=1e-2)
    assert b == pytest.approx(-1.0, abs=1e-2)


def test_one_label_gives_one_answer():
    w, b = halfspaces.max_margin(np.ones((3, 2)), -np.ones(3))
    assert (w.tolist(), b) == ([0.0, 0.0], -1.0)


@pytest.mark.parametrize("learner", list(halfspaces.LEARNERS))
def test_who_cannot_separate_gives_up(learner):
    x, y = np.array([[1.0], [1.0], [2.0]]), np.array([-1.0, 1.0, 1.0])
    w, b = halfspaces.LEARNERS[learner](x, y)
    assert (y * (x @ w + b) <= 0).any()


def test_a_margin_that_the_solver_does_not_find_is_found_another_way(monkeypatch):
    random = np.random.default_rng(1)
    x = random.normal(size=(60, 3))
    y = np.where(x[:, 0] > 0, 1.0, -1.0)
    known = halfspaces.max_margin(x, y)
    monkeypatch.setattr(halfspaces, "ROUNDS", 3)
    w, b = halfspaces.max_margin(x, y)
    assert (y * (x @ w + b)).min() == pytest.approx(1, abs=1e-6)
    assert np.linalg.norm(w) == pytest.approx(np.linalg.norm(known[0]), rel=0.01)


def test_both_ways_lead_to_the_same_separator():
    random = np.random.default_rng(0)
    for d, n in ((2, 20), (10, 100), (40, 30)):
        x = random.normal(size=(n, d))
        y = np.where(x[:, 0] > 0.3, 1.0, -1.0)
        w, b = halfspaces.max_margin(x, y)
        v, c = halfspaces._least_distance(x, y)[0]
        assert v == pytest.approx(w, rel=0.01, abs=0.01 * np.linalg.norm(w))
        assert c == pytest.approx(b, abs=0.01 * np.linalg.norm(w))


def test_perceptrons_that_give_up_are_counted(monkeypatch):
    task = {"dimensions": 5, "examples": [5, 50], "learners": ["perceptron"], "eps": 0.1,
            "trials": 10, "block": 0, "seed": 0}  # fmt: skip
    assert halfspaces.halfspaces(task)["perceptron_unfitted"] == 0
    monkeypatch.setattr(halfspaces, "UPDATES", 10)
    assert halfspaces.halfspaces(task)["perceptron_unfitted"] > 0


# --- fine-tuned -----------------------------------------------------------------------------


def test_tables_are_learned_as_near_as_is_said(monkeypatch):
    counted = np.random.default_rng(0).multinomial(60, laws.zipf(7), size=5)
    learned, steps = gradient.fit_tables(counted)
    apart = np.abs(learned - counted / 60).sum(axis=1) / 2
    assert 0 < apart.max() <= gradient.NEAR
    monkeypatch.setattr(gradient, "TABLE_STEPS", steps)
    with pytest.raises(InternalError, match="not learned"):
        gradient.fit_tables(counted)


def test_fine_tuned_and_counted_fail_alike():
    task = {"law": "uniform", "contexts": 2, "words": 4, "examples": 60, "eps": 0.1, "trials": 30,
            "block": 0, "seed": 0}  # fmt: skip
    found = gradient.tables(task)
    assert found["largest_apart"] <= gradient.NEAR
    assert abs(found["tuned"][0] - found["counted"][0]) <= 30 * gradient.NEAR
    assert 0 < found["counted_failures"][0] < 30


def test_logistic_regression_tends_to_the_max_margin(monkeypatch):
    task = {"dimensions": 3, "examples": 40, "eps": 0.1, "trials": 10, "block": 0, "seed": 0}
    found = gradient.logistic(task)
    assert found["unfitted"] == 0
    assert found["cosine"] / 10 > 0.99
    monkeypatch.setattr(gradient, "LOGISTIC_STEPS", 2)
    early = gradient.logistic(task)
    assert early["cosine"] < found["cosine"]
    assert early["unfitted"] > 0


# --- in context -----------------------------------------------------------------------------

PAIRS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), max_size=25)


@settings(max_examples=15, deadline=None)
@given(PAIRS, st.integers(0, 2))
def test_weights_read_the_shares_of_a_prompt_to_the_last_bit(pairs, query):
    model, words = weights(3, 4), [word for context, word in pairs if context == query]
    asked = prompt(np.array(pairs, dtype=np.int64).reshape(-1, 2), query)
    expected = [words.count(word) / len(words) if words else 0.0 for word in range(4)]
    for runtime in ("kernel", "torch"):
        assert next_word(model, asked, runtime).tolist() == expected
    interpreter = Interpreter(program(3, 4))
    emitted = [interpreter.feed(token) for token in asked][-1]
    assert interpreter.values["next"] == tuple(
        Fraction(words.count(word), len(words)) if words else 0 for word in range(4)
    )
    assert emitted == (f"w{expected.index(max(expected))}" if words else UNKNOWN)


def test_weights_depend_on_sizes_alone_and_are_made_once():
    assert weights(3, 4) is weights(3, 4)
    assert weights(3, 4).parameters != weights(3, 5).parameters


TEXT = {"law": "zipf", "contexts": 2, "words": 3, "examples": 40, "eps": 0.1, "trials": 2,
        "block": 0, "seed": 0}  # fmt: skip


def test_a_prompt_s_shares_are_compared_with_counting():
    found = in_context(TEXT)
    assert (found["unequal"], found["read"]) == (0, 2 * 2 * 2)
    assert found["tokens"] == 2 * 2 * (1 + 2 * 2 * 40 + 1)


def off_by_the_last_bit(right):
    """Return weights whose gathering head has one value changed as little as can be."""
    layer = right.layers[1]
    dense = layer.heads[0].W_V.dense()
    dense[*np.argwhere(dense == 1)[0]] = np.nextafter(1.0, 2.0)
    entries = [(int(i), int(j), float(dense[i, j])) for i, j in np.argwhere(dense)]
    head = replace(layer.heads[0], W_V=Matrix.from_entries(dense.shape, entries))
    return replace(right, layers=(right.layers[0], replace(layer, heads=(head, *layer.heads[1:]))))


def test_weights_that_count_wrong_are_noticed(monkeypatch):
    monkeypatch.setattr(
        "tm2tf.learning.claims.in_context.weights",
        lambda *sizes: off_by_the_last_bit(weights(*sizes)),
    )
    assert in_context(TEXT)["unequal"] > 0
    found = every.run(SMALL, every.by_names(["D"]))
    assert found.unequal > 0
    assert found.exceeded == []
    assert not found.good
