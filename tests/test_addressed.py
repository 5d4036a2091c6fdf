"""The addressed construction: what it emits is the machine's run, as long as the tape holds it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.decoding import Built, Decoding, agree, bundled, weighed
from tests.strategies import ODD, configurations, machines
from tm2tf import api, formats
from tm2tf.constructions.addressed import CONSTRUCTION, nonzeros
from tm2tf.constructions.addresses import Addresses
from tm2tf.errors import ConfigurationError
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Tape

ONE_TAPE = ["bb2", "bb3", "bb4", "bb2x3", "binary-increment", "palindrome", "copy", "anbncn"]
TWO_TAPES = ["palindrome-2tape", "matching", "stutter-left", "unary-multiplication-2tape"]
THREE_TAPES = ["matching-3tape", "binary-addition-3tape"]

RIGHT = """
start: a
halt: end
rules:
  a:
    0|_: 1 R a
    1: R end
"""
APART = """
tapes: 2
start: a
accept: end
rules:
  a:
    0 _: 0 1 R L a
    1 _: 1 1 L R end
"""


def assert_agrees(decoding, start, max_steps):
    """Follow a run; where it is said to have left the tape it has, and nowhere else."""
    simulation, _ = agree(decoding, start, max_steps)
    cells = decoding.options["tape"]
    pairs = zip(simulation.heads, decoding.prompt.origins, strict=True)
    off = any(not 0 <= head - first < cells for head, first in pairs)
    assert (decoding.outcome == "tape-full") == (off and simulation.outcome is None)
    if simulation.outcome or decoding.outcome:
        assert decoding.now()[1] == tuple(simulation.heads)
    return decoding.outcome


@pytest.mark.parametrize("name", [*ONE_TAPE, *TWO_TAPES, *THREE_TAPES])
def test_bundled_machines(name):
    machine = bundled(name)
    built = Built(CONSTRUCTION, machine, tape=48)
    for example in machine.examples:
        start = machine.initial(example.tapes)
        decoding = Decoding(built, start)
        assert_agrees(decoding, start, 200)
        count = CONSTRUCTION.tokens_per_step(machine, built.options)
        assert decoding.emitted % count in (0, 1)  # one: no transition was found


def test_sampled_machines_leave_a_small_tape_or_agree():
    ends = {}
    for number in range(30):
        machine = sample(5, number)
        start = machine.initial(machine.examples[0].tapes)
        outcome = assert_agrees(Decoding(Built(CONSTRUCTION, machine, tape=21), start), start, 60)
        ends[machine.tapes, outcome] = ends.get((machine.tapes, outcome), 0) + 1
    assert {tapes for tapes, outcome in ends if outcome == "tape-full"} == {1, 2, 3}
    assert sum(count for (_, outcome), count in ends.items() if outcome != "tape-full") > 9


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_machines_with_odd_names(data):
    machine = data.draw(machines(words=ODD, symbols=(1, 3), states=(1, 4)))
    start = data.draw(configurations(machine, cells=4, reach=3))
    assert_agrees(Decoding(Built(CONSTRUCTION, machine, tape=13), start), start, 25)


@pytest.mark.parametrize("name", ["bb3", "binary-increment", "palindrome-2tape", "matching-3tape"])
def test_weights_compute_every_feature(name):
    machine = bundled(name)
    start = machine.initial(machine.examples[0].tapes)
    assert_agrees(
        Decoding(Built(CONSTRUCTION, machine, tape=70), start, evaluate=weighed), start, 40
    )


@pytest.mark.parametrize(
    ("name", "cells", "bits"), [("bb4", 256, 4), ("palindrome", 2, 4), ("matching-3tape", 9, 6)]
)
def test_sizes_are_as_stated(name, cells, bits):
    built = Built(CONSTRUCTION, bundled(name), tape=cells)
    stated, found = built.sizes()
    assert stated == found
    weights = built.weights()
    assert nonzeros(built.machine, built.options) == weights.nonzeros
    assert weights.bounds.bits == bits
    assert not weights.W_pos.any()


@pytest.mark.parametrize("number", range(6))
def test_sizes_of_sampled_machines(number):
    built = Built(CONSTRUCTION, sample(2, number), tape=10 + number)
    stated, found = built.sizes()
    assert stated == found
    assert nonzeros(built.machine, built.options) == built.weights().nonzeros


# --- the ends of the tape --------------------------------------------------------------------


@pytest.mark.parametrize(("word", "outcome"), [("0000", "tape-full"), ("0001", "halted")])
def test_a_head_that_leaves_the_tape(word, outcome):
    machine = formats.parse(RIGHT)
    start = machine.initial([Tape(tuple(word), 3, 3)])
    decoding = Decoding(Built(CONSTRUCTION, machine, tape=4), start)
    assert assert_agrees(decoding, start, 9) == outcome
    assert (decoding.values["tape0.address"], decoding.values["tape0.head"]) == (3, 4)
    assert decoding.emitted == 4


@pytest.mark.parametrize(
    ("head", "outcome", "heads"), [(0, "accepted", (-1, 2)), (1, "tape-full", (2, 0))]
)
def test_heads_that_leave_several_tapes(head, outcome, heads):
    machine = formats.parse(APART)
    start = machine.initial([Tape(("1", "0"), 0, head)])
    decoding = Decoding(Built(CONSTRUCTION, machine, tape=2), start)
    assert assert_agrees(decoding, start, 9) == outcome
    assert (decoding.values["tape0.head"], decoding.values["tape1.head"]) == heads


# --- prompts ---------------------------------------------------------------------------------


def test_a_start_lies_in_the_middle():
    machine = bundled("binary-increment")
    options = CONSTRUCTION.resolve({})
    prompt = CONSTRUCTION.prompt(machine, machine.initial(), options)
    assert (prompt.tokens, prompt.origins) == (("<bos>", "<start@128>"), (-128,))
    start = machine.initial([Tape(("1", "0"), 10, 13)])
    prompt = CONSTRUCTION.prompt(machine, start, {"tape": 6})
    assert (prompt.tokens, prompt.origins) == (("<bos>", "1@1", "0@2", "<start@4>"), (9,))


def test_a_start_that_does_not_fit_is_refused():
    machine = bundled("matching-3tape")
    start = machine.initial(["abc", Tape(("a",), -3, 5)])
    assert_agrees(Decoding(Built(CONSTRUCTION, machine, tape=9), start), start, 1)
    with pytest.raises(ConfigurationError, match=r"9 cells, and the tape has 8; .*--tape 9 or"):
        CONSTRUCTION.prompt(machine, start, {"tape": 8})


@pytest.mark.parametrize(("cells", "digits", "words"), [(2, 1, 2), (8, 1, 8), (9, 2, 10)])
def test_addresses(cells, digits, words):
    addresses = Addresses(cells)
    assert (addresses.digits, addresses.words) == (digits, words)
    found = [tuple(addresses.values("a", address).values()) for address in range(cells)]
    assert len(set(found)) == cells
    known = {f.name: f.values for f in addresses.features("a")}
    assert all(v in known[n] for a in range(cells) for n, v in addresses.values("a", a).items())


def test_a_tape_of_two_cells_is_read_by_words_too():
    """Keys are then three wide, as those on the parabola are."""
    model = api.compile("1LB---_1RA0RB", "addressed", tape=2)
    result = model.run()
    assert result.tapes == api.compile("1LB---_1RA0RB").run().tapes
    assert model.verify().divergence is None
