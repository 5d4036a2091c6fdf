"""How many examples: the formulas against exact probabilities, and the Monte Carlo beside them."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.cli import group
from tm2tf.errors import InputError, InternalError, NotFoundError
from tm2tf.learning import bounds
from tm2tf.learning.claims import every, gradient, halfspaces, laws
from tm2tf.learning.claims.in_context import in_context
from tm2tf.learning.contexts import UNKNOWN, next_word, program, prompt, weights
from tm2tf.learning.monte_carlo import Growth, Size, blocks, crossing, generator, grid, rate, slope
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY
from tm2tf.program.interpreter import Interpreter
from tm2tf.weights.matrix import Matrix

SMALL = Size(
    eps=0.2,
    contexts=2,
    vocabulary=3,
    length=2,
    dimensions=3,
    trials=40,
    through_weights=1,
    scales=(1.0, 0.5),
    vocabularies=(2, 5),
    context_counts=(1, 4),
    other_dimensions=(2, 5),
    taped_dimensions=(2,),
    far_dimensions=(2, 60),
)

chances = st.floats(0.01, 0.5)
counts = st.integers(1, 40)


def binomial(n, p):
    """Return P(Binomial(n, p) = i) for each i, as fractions."""
    return [math.comb(n, i) * p**i * (1 - p) ** (n - i) for i in range(n + 1)]


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


# --- what the claims share ------------------------------------------------------------------


def test_blocks_have_all_trials_and_random_numbers_of_their_own():
    tasks = list(blocks({"kind": "x"}, 120, 7))
    assert [task["trials"] for task in tasks] == [50, 50, 20]
    drawn = {generator(task).random() for task in tasks}
    assert len(drawn) == 3
    assert generator(tasks[0]).random() == generator(dict(reversed(tasks[0].items()))).random()


def test_grid_and_crossing():
    sizes = grid(640, 100)
    assert (sizes[0], sizes[-1]) == (10, 640)
    assert 100 in sizes
    assert crossing([10, 100, 1000], [1.0, 0.5, 0.0], 0.25) == pytest.approx(10**2.5)
    assert crossing([10, 100, 1000], [0.0, 0.5, 0.0], 0.25) == pytest.approx(10**2.5)
    assert crossing([10, 100], [0.1, 0.0], 0.25) is None
    assert crossing([10, 100], [1.0, 0.5], 0.25) is None


def test_slopes():
    def row(value, measured):
        return Growth("A", "x", "", "V", value, measured, 1, 1)

    assert slope([row(v, 3 * v**1.5) for v in (1, 10, 100)]) == pytest.approx(1.5)
    assert slope([row(1, 2.0), row(2, None)]) is None


@pytest.mark.parametrize(("trials", "width"), [(4, 0.679), (1000, 0.0)])
def test_few_trials_have_wide_intervals(trials, width):
    sums = {
        "trials": np.array([trials]),
        "tv_failures": np.array([0]),
        "tv": np.array([0.3 * trials]),
        "tv_squares": np.array([0.09 * trials]),
    }
    described = dict.fromkeys(("claim", "by", "failure", "setting", "size"), "")
    row = rate(sums, "tv", examples=1, mean_limit=0.2, **described)
    assert row.mean_high - 0.3 == pytest.approx(width, abs=1e-3)
    assert row.exceeded == (trials == 1000)


def test_a_theorem_is_not_contradicted_by_luck():
    def of(failures, trials):
        sums = {"trials": np.array([trials]), "tv_failures": np.array([failures])}
        sums |= {name: np.zeros(1) for name in ("tv", "tv_squares")}
        described = dict.fromkeys(("claim", "by", "failure", "setting", "size"), "")
        return rate(sums, "tv", examples=1, limit=0.05, **described)

    assert of(1, 2).low > 0.05
    assert not of(1, 2).exceeded
    assert not of(0, 100).exceeded
    tails = [Fraction(0)]  # P(Binomial(100, 1/20) >= i) for i = 100, 99, ...
    for chance in reversed(binomial(100, Fraction(1, 20))):
        tails.append(tails[-1] + chance)
    least = next(i for i in range(101) if tails[101 - i] < Fraction(1, 10**6))
    assert not of(least - 1, 100).exceeded
    assert of(least, 100).exceeded


# --- claims ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def found():
    return every.run(SMALL)


def report_of(found, claim):
    return next(report for report in found.reports if report.claim == claim)


def test_what_theorems_guarantee_is_kept(found):
    assert found.good
    assert found.exceeded == []
    limited = [row for report in found.reports for row in report.rates if row.limit is not None]
    assert {row.claim for row in limited} == set("ABCD")
    assert not any("in context" in row.by for row in limited)
    assert all(row.rate <= row.limit for row in limited)


def test_every_distribution_through_weights_is_that_of_counting(found):
    # 4 laws of claim A in 2 contexts, 4 of claim B, claim D; once; by two runtimes; and the tape
    assert found.trials_through_weights == 4 + 4 + 1 + 1
    assert found.distributions_through_weights == 2 * (4 * 2 + 4 + 1)
    assert found.unequal == 0
    assert found.tokens_through_weights > 1000


def test_both_sides_come_near_each_other(found):
    for claim in "AB":
        for row in report_of(found, claim).agreement:
            assert row["largest_tv_between"] <= gradient.NEAR
    unfitted = [row["unfitted"] for row in report_of(found, "C").agreement if "unfitted" in row]
    assert unfitted == [0] * 7


def test_verdicts(found):
    assert [report.verdict for report in found.reports][2:] == [HOLDS, FALSE]
    assert report_of(found, "A").verdict in (HOLDS, LOOSELY)
    said = {(r.claim, i): x.verdict for r in found.reports for i, x in enumerate(r.readings)}
    assert said["D", 1] == said["C", 2] == said["A", 1] == said["B", 2] == HOLDS


def test_sizes_grow_as_they_should(found):
    slopes = report_of(found, "A").slopes
    assert slopes["n against 1/eps^2, uniform"] == pytest.approx(1, abs=0.2)
    grown = [row for row in report_of(found, "C").growth if row.by == "max_margin"]
    by_d = [row.measured for row in grown if row.varies == "d"]
    assert by_d == sorted(by_d)


def test_verdicts_follow_the_numbers():
    """With few words the paper's form is enough for TV; where d is small, D's trains as well."""
    easy = replace(SMALL, vocabulary=2, length=1, far_dimensions=(1,), vocabularies=(2,))
    reports = every.run(easy, every.by_names(["B", "D"])).reports
    assert [report.verdict for report in reports] == [HOLDS, HOLDS]


def test_the_paper_s_form_for_outputs_fails_in_total_variation_and_not_in_sup_norm():
    """1,000 sequences, n = 2,070: the mean of TV is .27, and every trial fails."""
    task = {"law": "uniform", "contexts": 1, "words": 1000, "examples": [530, 2070], "eps": 0.1,
            "trials": 50, "block": 0, "seed": 0}  # fmt: skip
    found = laws.text(task)
    assert found["tv"][1] / 50 == pytest.approx(0.27, abs=0.003)
    assert found["tv_failures"] == [50, 50]
    assert found["sup_failures"] == [0, 0]


def test_as_many_as_evaluate_a_predictor_train_none():
    """185 examples: .39 in 1,000 dimensions, and hardly an error in 2."""
    for d, low, high in ((2, 0.0, 0.02), (1000, 0.37, 0.41)):
        task = {"dimensions": d, "examples": [185], "learners": ["max_margin"], "eps": 0.1,
                "trials": 10, "block": 0, "seed": 0}  # fmt: skip
        assert low < halfspaces.halfspaces(task)["max_margin"][0] / 10 < high


@pytest.mark.slow
def test_total_variation_over_many_sequences_is_false():
    size = replace(SMALL, eps=0.1, vocabulary=10, length=3, trials=10)
    report = every.run(size, every.by_names(["B"])).reports[0]
    row = next(
        row
        for row in report.rates
        if (row.size, row.failure, row.setting)
        == ("paper_outputs", "TV > eps", "uniform, V=10, l=3")
    )
    assert (row.examples, row.failures) == (2070, row.trials)
    assert row.mean == pytest.approx(0.27, abs=0.005)
    assert report.verdict == FALSE
    assert report.readings[1].verdict != FALSE


def test_too_small_a_size_is_noticed(monkeypatch):
    """A tenth of what the theorems say breaks the promise, and the claim is called false."""
    for name in ("weissman", "mcdiarmid"):
        right = getattr(bounds, name)
        monkeypatch.setattr(bounds, name, lambda *known, right=right: right(*known) // 10 + 1)
    found = every.run(SMALL, every.by_names(["A"]))
    assert not found.good
    assert {row.size for row in found.exceeded} >= {"weissman"}
    assert found.reports[0].readings[1].verdict == FALSE


def test_a_mean_above_its_limit_is_noticed(monkeypatch):
    """A separator that answers at random has a mean error of 1/2."""

    def guess(x, y):
        return np.zeros(x.shape[1]), 1.0

    monkeypatch.setitem(halfspaces.LEARNERS, "max_margin", guess)
    found = every.run(SMALL, every.by_names(["C"]))
    assert {row.by for row in found.exceeded} == {"max_margin"}
    assert found.reports[0].verdict == FALSE


def test_what_else_is_run_changes_nothing(found):
    again = every.run(SMALL, every.by_names(["D", "C"]))
    assert again.reports == tuple(report_of(found, claim) for claim in "CD")


@pytest.mark.slow
def test_workers_change_nothing(found):
    again = every.run(SMALL, every.by_names(["D"]), workers=2)
    assert again.reports == (report_of(found, "D"),)


def test_another_seed_gives_other_numbers(found):
    other = every.run(replace(SMALL, seed=1), every.by_names(["D"]))
    assert other.reports[0].rates != report_of(found, "D").rates


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"trials": 0}, "trials is 0"),
        ({"vocabulary": 300}, "claim B would count 90,000 words"),
        ({"contexts": 30_000}, "claim A would count"),
        ({"eps": 2.0}, "eps is 2.0"),
        ({"vocabulary": 2, "length": 16}, "claim B would put .* of 65,537 .* shorter length"),
        ({"contexts": 1, "vocabulary": 10, "length": 3, "eps": 0.02}, "claim B would put 13,2"),
        ({"eps": 0.02}, "claim D would separate 4,612 examples .* take a larger eps"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(InputError, match=message):
        every.run(replace(SMALL, **changed))


def test_claims_by_name():
    assert [claim.name for claim in every.by_names(["C", "A", "A"])] == ["A", "C"]
    assert every.by_names([]) == every.CLAIMS
    with pytest.raises(NotFoundError, match="unknown claim 'E'; known: A, B, C, D"):
        every.by_names(["E"])


# --- the command ----------------------------------------------------------------------------


def learn(*arguments):
    return CliRunner(catch_exceptions=False).invoke(group, ["learn", "bounds", *arguments])


FEW = ("--trials", "20", "--claim", "D")


def test_the_command_gives_the_sizes_for_halfspaces():
    result = learn("--json", "--claim", "C", "--trials", "10")
    assert (result.exit_code, result.stderr) == (0, "")
    said = json.loads(result.stdout)
    sizes = {row["name"]: row["examples"] for row in said["sizes"]}
    assert (sizes["halfspace_mean"], sizes["halfspace_compression"]) == (109, 527)
    (claim,) = said["claims"]
    assert claim["verdict"] == claim["readings"][0]["verdict"]
    at = {row["size"] for row in claim["rates"] if row["limit"] is not None}
    assert at == {"halfspace_scenario", "halfspace_compression"}


def test_the_command_in_words():
    result = learn(*FEW)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "fixed_predictor" in result.stdout
    assert "false as stated: ln(2/delta) / (2 eps^2) examples" in result.stdout
    assert "of 2 distributions" not in result.stdout  # 2 trials, 2 runtimes
    assert "of 4 distributions, 0 differ from counting" in result.stdout


def test_the_command_writes_results_and_figures_and_goes_on(tmp_path, monkeypatch):
    first = learn(*FEW, "-o", str(tmp_path), "--json")
    assert first.exit_code == 0
    names = {path.name for path in tmp_path.iterdir()}
    tables = {f"bounds-{name}.csv" for name in ("sizes", "rates", "growth", "verdicts")}
    assert names == {*tables, "bounds.json", "bounds-D.png", "bounds-D.svg", "trials.jsonl"}
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    monkeypatch.setattr(every.block, "__code__", (lambda task: 1 / 0).__code__)
    again = learn(*FEW, "-o", str(tmp_path), "--json")
    assert again.stdout == first.stdout
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.slow
def test_the_command_draws_every_claim(tmp_path):
    result = learn("--trials", "10", "-o", str(tmp_path), "--json")
    assert result.exit_code == 0
    assert {path.name for path in tmp_path.glob("*.svg")} == {f"bounds-{c}.svg" for c in "ABCD"}
    said = json.loads(result.stdout)
    verdicts = {claim["claim"]: claim["verdict"] for claim in said["claims"]}
    assert verdicts == {"A": LOOSELY, "B": FALSE, "C": HOLDS, "D": FALSE}


def test_the_command_fails_where_a_theorem_is_contradicted(monkeypatch):
    monkeypatch.setattr(bounds, "fixed_predictor", lambda eps, delta: 8)
    result = learn(*FEW)
    assert result.exit_code == 1
    assert "EXCEEDED: claim D, counting, error 0.5, n = 8 (fixed_predictor)" in result.stdout
    assert "guaranteed: 0.05 at most" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--eps", "0"), "error: eps is 0.0; take a number between 0 and 1"),
        (("--claim", "E"), "error: unknown claim 'E'"),
        (("--length", "9"), "error: claim B would count 1,000,000,000 words"),
        (("--trials", "0"), "Invalid value for '--trials'"),
    ],
)
def test_bad_input_of_the_command(arguments, message):
    result = learn(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stdout == ""
