"""How many examples: what Monte Carlo says of each claim, its verdicts, and the command."""

import json
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from click.testing import CliRunner

from tests.bounds_cases import SMALL, binomial
from tm2tf.cli import group
from tm2tf.errors import InputError, NotFoundError
from tm2tf.learning import bounds
from tm2tf.learning.claims import every, gradient, halfspaces, laws
from tm2tf.learning.monte_carlo import Growth, blocks, crossing, generator, grid, rate, slope
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY

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
