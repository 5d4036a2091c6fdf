"""Constructions that sum themselves up: runs, the length of contexts, the tokens of a step."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding import Built, Decoding, agree, bundled, weighed
from tests.strategies import ODD, configurations, machines
from tm2tf import formats
from tm2tf.constructions import summarised, summarised_addressed
from tm2tf.errors import ConstructionError
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Tape

FREE, BOUNDED = summarised.CONSTRUCTION, summarised_addressed.CONSTRUCTION

ONE_TAPE = ["bb2", "bb3", "bb4", "bb2x3", "binary-increment", "palindrome", "counter"]
SEVERAL_TAPES = ["palindrome-2tape", "unary-multiplication-2tape", "matching-3tape"]

TURNS_ABOUT = """
start: right
blank: _
rules:
  right: {0: R, 1: R, _: L left}
  left: {0: L, 1: 0 L left, _: R right}
"""

SPREADS = """
start: right
blank: _
rules:
  right: {0|1: R, _: 1 L left}
  left: {0|1: L, _: 0 R right}
"""


# --- summarised ------------------------------------------------------------------------------


def assert_agrees(decoding, start, max_steps):
    """Follow a run and hold context and tokens against their bounds; return the simulation."""
    simulation, used = agree(decoding, start, max_steps)
    k, period = decoding.machine.tapes, decoding.options["period"]
    for cells, tape in zip(used, start.tapes, strict=True):  # the prompt fills gaps with blanks
        if tape.contents:
            cells |= set(range(min(*cells, tape.head), max(cells) + 1))
    s, prompt = sum(map(len, used)), len(decoding.prompt.tokens)
    longest = max(3 * s + period + 4 * k + 3, prompt + period + s + 2 * k + 1)
    assert decoding.peak <= longest
    assert all(length <= s + 2 * k + 2 for length in decoding.after_cut)
    n, given = simulation.steps, prompt - 2
    assert decoding.emitted - 1 <= (k + 2) * n + (2 * k + 1) * n / period + k + given
    return simulation


@pytest.mark.parametrize("period", [1, 7, 256])
@pytest.mark.parametrize("name", [*ONE_TAPE, *SEVERAL_TAPES])
def test_bundled_machines(name, period):
    machine = bundled(name)
    built = Built(FREE, machine, period=period)
    for example in machine.examples:
        start = machine.initial(example.tapes)
        assert_agrees(Decoding(built, start), start, 150)


@pytest.mark.parametrize("number", range(40))
def test_sampled_machines(number):
    machine = sample(6, number)
    start = machine.initial(machine.examples[0].tapes)
    decoding = Decoding(Built(FREE, machine, period=1 + number % 9), start)
    simulation = assert_agrees(decoding, start, 150)
    assert decoding.after_cut or simulation.steps < 20


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_machines_with_odd_names(data):
    machine = data.draw(machines(words=ODD, symbols=(1, 3), states=(1, 4)))
    start = data.draw(configurations(machine))
    built = Built(FREE, machine, period=data.draw(st.integers(1, 5)))
    assert_agrees(Decoding(built, start), start, 40)


@pytest.mark.parametrize(
    ("name", "number", "period"),
    [("bb4", 0, 3), ("palindrome", 0, 5), ("palindrome-2tape", 2, 2), ("matching-3tape", 2, 2)],
)
def test_weights_compute_every_feature(name, number, period):
    machine = bundled(name)
    start = machine.initial(machine.examples[number].tapes)
    decoding = Decoding(Built(FREE, machine, period=period), start, evaluate=weighed)
    assert_agrees(decoding, start, 60)
    assert decoding.after_cut


@pytest.mark.parametrize(("origin", "head"), [(0, 9), (9, 0), (-4, 2), (0, 3), (0, 4), (1, 0)])
def test_heads_apart_from_the_contents(origin, head):
    machine = formats.parse(SPREADS)
    start = machine.initial([Tape(tuple("0110"), origin, head)])
    decoding = Decoding(Built(FREE, machine, period=2), start)
    assert_agrees(decoding, start, 100)


def test_tokens_of_a_step_where_space_no_longer_grows():
    machine = formats.parse(TURNS_ABOUT)
    start, period = machine.initial(["0" * 18]), 30
    decoding = Decoding(Built(FREE, machine, period=period), start)
    agree(decoding, start, 200)
    emitted, cuts, steps = decoding.emitted, len(decoding.after_cut), 10 * (20 + period)
    for _ in range(steps):
        decoding.step()
    assert len(decoding.after_cut) - cuts == 10
    assert decoding.after_cut[-1] == 24
    assert decoding.emitted - emitted == steps + 10 * (20 + 3)


def test_a_cut_does_nothing_but_forget():
    machine = bundled("bb4")
    start = machine.initial()
    built = Built(FREE, machine, period=4)
    whole = Decoding(built, start, cut=False)
    agree(whole, start, 107)
    assert "</summary:A>" in whole.context
    assert whole.emitted == len(whole.context) - 2


@pytest.mark.parametrize("name", ["bb4", "palindrome", "palindrome-2tape", "matching-3tape"])
def test_sizes_are_as_stated(name):
    stated, found = Built(FREE, bundled(name), period=3).sizes()
    assert stated == found


@pytest.mark.parametrize("number", range(6))
def test_sizes_of_sampled_machines(number):
    stated, found = Built(FREE, sample(3, number), period=3).sizes()
    assert stated == found


# --- summarised-addressed --------------------------------------------------------------------


def follow(decoding, start, max_steps):
    """Follow a run and hold its contexts against their bound."""
    simulation, _ = agree(decoding, start, max_steps)
    cells, context = decoding.options["tape"], decoding.options["context"]
    assert decoding.peak <= context
    assert set(decoding.after_cut) <= {cells + 3}
    assert decoding.emitted - simulation.steps - len(decoding.after_cut) * (cells + 2) in (0, 1)
    head, first = simulation.heads[0], decoding.prompt.origins[0]
    off = not 0 <= head - first < cells
    assert (decoding.outcome == "tape-full") == (off and simulation.outcome is None)
    if decoding.outcome is not None:
        assert decoding.now()[1] == (head,)
    return simulation


@pytest.mark.parametrize("spare", [1, 2, 40])
@pytest.mark.parametrize("name", ONE_TAPE)
def test_bounded_bundled_machines(name, spare):
    machine = bundled(name)
    built = Built(BOUNDED, machine, tape=17, context=2 * 17 + 5 + spare)
    for example in machine.examples:
        start = machine.initial(example.tapes)
        if sum(len(tape.contents) for tape in start.tapes) < 17:
            decoding = Decoding(built, start)
            simulation = follow(decoding, start, 150)
            assert len(decoding.after_cut) >= simulation.steps // spare - 17 // spare - 2


def test_bounded_sampled_machines():
    found = [machine for machine in (sample(8, n) for n in range(60)) if machine.tapes == 1]
    ends = []
    for number, machine in enumerate(found):
        start = machine.initial(machine.examples[0].tapes)
        decoding = Decoding(Built(BOUNDED, machine, tape=24, context=54 + number), start)
        follow(decoding, start, 150)
        ends.append(decoding.outcome)
    assert len(found) > 10
    assert 0 < ends.count("tape-full") < len(ends)


@settings(max_examples=15, deadline=None)
@given(st.data())
def test_bounded_machines_with_odd_names(data):
    machine = data.draw(machines(words=ODD, tapes=(1, 1), symbols=(1, 3), states=(1, 4)))
    start = data.draw(configurations(machine, cells=4, reach=3))
    built = Built(BOUNDED, machine, tape=13, context=data.draw(st.integers(32, 50)))
    follow(Decoding(built, start), start, 40)


@pytest.mark.parametrize("name", ["bb3", "palindrome"])
def test_weights_compute_every_bounded_feature(name):
    machine = bundled(name)
    start = machine.initial(machine.examples[0].tapes)
    built = Built(BOUNDED, machine, tape=12, context=34)
    decoding = Decoding(built, start, evaluate=weighed)
    follow(decoding, start, 60)
    assert decoding.after_cut


def test_the_longest_prompt_leaves_room():
    machine = formats.parse(TURNS_ABOUT)
    start = machine.initial(["01100110"])
    decoding = Decoding(Built(BOUNDED, machine, tape=8, context=22), start)
    assert len(decoding.prompt.tokens) == 10
    agree(decoding, start, 2)
    assert decoding.peak == 12


def test_every_summary_is_followed_by_as_many_steps_as_stated():
    machine = formats.parse(TURNS_ABOUT)
    start = machine.initial(["0110"])
    decoding = Decoding(Built(BOUNDED, machine, tape=10, context=32), start)
    follow(decoding, start, 100)
    emitted, cuts = decoding.emitted, len(decoding.after_cut)
    for _ in range(70):
        decoding.step()
    assert len(decoding.after_cut) - cuts == 10
    assert decoding.emitted - emitted == 70 + 10 * 12
    assert decoding.peak == 32


@pytest.mark.parametrize("name", ["bb4", "palindrome"])
@pytest.mark.parametrize("cells", [2, 64, 100])
def test_bounded_sizes_are_as_stated(name, cells):
    stated, found = Built(BOUNDED, bundled(name), tape=cells, context=300).sizes()
    assert stated == found


def test_what_cannot_be_taken_is_refused():
    with pytest.raises(ConstructionError, match=r"a tape of 256 cells; take --context 518 or"):
        Built(BOUNDED, bundled("bb4"), context=517)
    with pytest.raises(ConstructionError, match="machines of one tape"):
        Built(BOUNDED, bundled("matching-3tape"))
