"""The arithmetic of `tm2tf bench`: spreads, slopes, races, goals, numbers in words."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tm2tf.bench import wording
from tm2tf.bench.benchmark import Settings
from tm2tf.bench.goals import holds, verdicts
from tm2tf.bench.growth import curve
from tm2tf.bench.results import Entry, Goal, Growth, Outcome, Race, Series
from tm2tf.bench.statistics import Spread, slope, spread
from tm2tf.bench.timing import Contender, Run, race
from tm2tf.errors import InputError, InternalError


def certain(value):
    return Spread(value, value, value, 1)


# --- statistics -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "median", "low", "high"),
    [
        ([7.0], 7, 7, 7),
        ([1.0, 3.0], 2, 1.5, 2.5),
        ([5.0, 1.0, 3.0, 2.0, 4.0], 3, 2, 4),
        ([1.0, 2.0, 3.0, 4.0], 2.5, 1.75, 3.25),
        ([1.0, 1.0, 1.0, 100.0], 1, 1, 25.75),
    ],
)
def test_median_and_quartiles(values, median, low, high):
    assert spread(values) == Spread(median, low, high, len(values))


def test_of_no_measurements_there_is_no_spread():
    with pytest.raises(InternalError):
        spread([])


@given(st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=20))
def test_quartiles_lie_around_the_median_and_within_the_measurements(values):
    found = spread(values)
    room = 1e-9 * max(values)
    assert min(values) - room <= found.low <= found.median + room
    assert found.median - room <= found.high <= max(values) + room


@pytest.mark.parametrize(
    ("xs", "ys", "expected"),
    [
        ([1, 10, 100], [5, 50, 500], 1),
        ([1, 10, 100], [7, 7, 7], 0),
        ([1, 2, 4], [3, 12, 48], 2),
        ([1, 100], [100, 10], -0.5),
        ([1, 10, 100], [1, 10, 1], 0),  # least squares: up and down again
    ],
)
def test_slopes_worked_by_hand(xs, ys, expected):
    assert slope(xs, ys) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("xs", "ys"), [([], []), ([3], [4]), ([2, 2], [1, 5]), ([1, 2], [0, 5])])
def test_no_slope_is_no_number(xs, ys):
    assert math.isnan(slope(xs, ys))


# --- races ----------------------------------------------------------------------------------


def taking(turns, name, times, amount=10, **more):
    """Return a contender that says it took these times, one after the other, first the warm one."""
    left = iter(times)

    def run():
        turns.append(name)
        return Run(amount, next(left))

    return Contender(name, "", run, **more)


def test_ratios_are_of_one_round_and_for_one_unit():
    turns = []
    # the machine gets slower from round to round; the other contender has twice the units
    base = taking(turns, "base", [99, 1, 2, 4], amount=8)
    other = taking(turns, "other", [99, 6, 12, 24], amount=16)
    first, second = race([base, other], rounds=3)
    assert first.ratio == Spread(1, 1, 1, 3)
    assert second.ratio == Spread(3, 3, 3, 3)
    assert second.seconds == spread([6, 12, 24])
    assert (second.rate, second.wrong) == (16 / 12, "")


def test_contenders_take_turns_in_changing_order():
    turns = []
    contenders = [taking(turns, name, [1] * 9) for name in "abc"]
    race(contenders, rounds=4)
    assert "".join(turns) == "abc" + "abc" + "bca" + "cab" + "abc"


def test_a_slow_contender_takes_part_in_few_rounds():
    turns = []
    base = taking(turns, "base", [1, 1, 2, 3])
    slow = taking(turns, "slow", [9, 5], rounds=1)
    first, second = race([base, slow], rounds=3)
    assert turns.count("slow") == 2
    assert (first.seconds.count, second.seconds.count, second.ratio) == (3, 1, Spread(5, 5, 5, 1))


def test_a_contender_whose_result_is_wrong_is_said_and_stops():
    turns = []
    base = taking(turns, "base", [1, 1, 1])

    def run():
        turns.append("liar")
        return Run(10, 1.0, "7 steps, expected 6")

    _, liar = race([base, Contender("liar", "", run)], rounds=2)
    assert turns.count("liar") == 1
    assert liar.wrong == "7 steps, expected 6"
    assert math.isnan(liar.ratio.median)


def test_a_result_that_goes_wrong_later_is_noticed():
    base = taking([], "base", [1, 1, 1])
    runs = iter([Run(1, 1.0), Run(1, 1.0), Run(1, 1.0, "late")])
    _, late = race([base, Contender("late", "", lambda: next(runs))], rounds=2)
    assert late.wrong == "late"


def test_what_is_being_measured_is_told():
    told = []
    race([taking([], "it", [1, 1])], 1, told.append)
    assert told == ["it", "it, round 1 of 1"]


# --- curves ---------------------------------------------------------------------------------


def test_a_curve_ends_before_what_would_take_too_long():
    asked = []

    def run(size):
        asked.append(size)
        return Run(size, size * 1e-3)

    found = curve("it", (10, 100, 1000, 10_000), run, Settings(), limit=1.0)
    assert found.sizes == (10, 100, 1000)
    assert [value.median for value in found.values] == pytest.approx([1e-3] * 3)
    assert found.slope == pytest.approx(0)
    assert max(asked) == 1000


def test_a_curve_ends_where_a_result_is_wrong():
    found = curve(
        "it",
        (1, 10, 100),
        lambda size: Run(size, 1.0, "no" if size == 10 else ""),
        Settings(),
        limit=100,
    )
    assert (found.sizes, found.wrong) == ((1, 10), "no")


# --- goals ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("goal", "value", "met", "fails"),
    [
        (Goal(most=2.2), 2.1, True, False),
        (Goal(most=2.2), 2.3, False, False),
        (Goal(most=2.2), 6.5, False, False),
        (Goal(most=2.2), 6.7, False, True),
        (Goal(least=3), 3.5, True, False),
        (Goal(least=3), 1.1, False, False),
        (Goal(least=3), 0.9, False, True),
        (Goal(most=1.5, of="seconds"), 1.4, True, False),
        (Goal(most=1.5, of="seconds"), 99.0, False, False),  # times are never checked
        (Goal(most=2.2), math.nan, False, True),
    ],
)
def test_ratios_beside_their_goals(goal, value, met, fails):
    seconds, ratio = (value, 1.0) if goal.of == "seconds" else (1.0, value)
    entry = Entry("it", "", 1, certain(seconds), certain(ratio), goal=goal)
    (verdict,) = verdicts(Outcome(races=(Race("race", "", "steps", (entry,)),)))
    assert (verdict.of, verdict.met, verdict.fails) == ("race: it", met, fails)
    assert holds(goal, value) is met


@pytest.mark.parametrize(
    ("sizes", "values", "met", "fails"),
    [
        ((1, 10, 100), (1, 10, 100), True, False),
        ((1, 10, 100), (1, 15, 225), False, False),  # 2.25 times too much at the end
        ((1, 10, 100), (1, 20, 400), False, True),  # 4 times too much
        ((10, 100), (1, 1), True, False),
        ((10,), (1,), False, True),  # one size has no slope
    ],
)
def test_slopes_beside_their_goals(sizes, values, met, fails):
    series = Series("it", sizes, tuple(map(certain, values)), goal=Goal(most=1.0, of="slope"))
    growth = Growth("growth", "", "rules", "bytes", (series,))
    (verdict,) = verdicts(Outcome(growths=(growth,)))
    assert (verdict.met, verdict.fails) == (met, fails)


def test_a_slope_can_leave_out_the_least_sizes():
    values = tuple(map(certain, (100, 10, 1, 2, 4)))
    series = Series("it", (1, 2, 10, 20, 40), values, goal=Goal(most=0.5, of="slope"), since=10)
    assert series.counted == (10, 20, 40)
    assert series.slope == pytest.approx(1)
    (verdict,) = verdicts(Outcome(growths=(Growth("growth", "", "x", "y", (series,)),)))
    assert (verdict.met, verdict.fails) == (False, False)  # twice too much: 4 is 2 * (40 / 10)^0.5


def test_what_has_no_goal_or_is_wrong_has_no_verdict():
    entries = (
        Entry("free", "", 1, certain(1), certain(1)),
        Entry("wrong", "", 1, certain(1), certain(1), goal=Goal(most=1), wrong="so"),
    )
    outcome = Outcome(races=(Race("race", "", "steps", entries),))
    assert list(verdicts(outcome)) == []
    assert outcome.wrong == ("race, wrong: so",)


# --- settings and words ---------------------------------------------------------------------


def test_settings():
    assert (Settings().rounds, Settings(quick=True).rounds, Settings(repeat=5).rounds) == (7, 3, 5)
    assert (Settings().pick(1, 2), Settings(quick=True).pick(1, 2)) == (1, 2)
    for repeat in (0, -1, 10_000):
        with pytest.raises(InputError, match="repeat must be from 1"):
            Settings(repeat=repeat)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.1537, "154 ms"),
        (12.345, "12.3 s"),
        (3.2e-9, "3.20 ns"),
        (4.56e-6, "4.56 us"),
        (0, "0 ns"),
    ],
)
def test_times_in_words(value, expected):
    assert wording.seconds(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(310e6, "310 M"), (2365, "2.37 k"), (18.5, "18.5"), (5.2e9, "5.20 G"), (0.5, "0.500")],
)
def test_rates_in_words(value, expected):
    assert wording.rate(value) == expected


def test_sizes_spreads_and_goals_in_words():
    assert wording.size(9_480_000) == "9.48 MB"
    assert wording.spread(Spread(2.046, 1.9, 2.2, 7)) == "2.05 (1.90 to 2.20)"
    assert wording.spread(certain(124063.3)) == "124,063"
    assert wording.spread(Spread(math.nan, math.nan, math.nan, 0)) == "-"
    assert wording.goal(Goal(most=1.5, of="seconds")) == "at most 1.5 s"
    assert wording.goal(Goal(least=3)) == "at least 3"
    assert wording.goal(None) == ""
