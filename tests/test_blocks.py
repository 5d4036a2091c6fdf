"""Block machines: every step of theirs unfolds to the base machine's exact steps."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tm2tf
from tests.inspecting import bundled
from tests.strategies import configurations, machines
from tm2tf.errors import InputError
from tm2tf.machine.blocks.closure import block_machine
from tm2tf.machine.blocks.lifted import MOST_BLOCK, Place
from tm2tf.machine.blocks.play import play
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition


def check(made, start, most):
    """Run both; after each block step the base machine, as many steps on, is where that unfolds to.

    Returns how many base steps were compared.
    """
    zero = start.tapes[0].head
    blocks, cells = Simulation(made.machine, made.start(start)), Simulation(made.base, start)
    while cells.steps < most:
        assert made.unfold(blocks.configuration(), zero) == cells.configuration()
        before = blocks.state, blocks.cells[0].get(blocks.heads[0], made.machine.blank)
        if blocks.step() is None:
            break
        for _ in range(made.steps[before]):
            assert cells.step() is not None
    if blocks.outcome is not None:
        assert cells.step() is None
        assert cells.outcome == blocks.outcome
    return cells.steps


@pytest.mark.parametrize("block", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", ["bb2", "bb3", "bb4", "bb2x3"])
def test_busy_beavers_to_their_end(name, block):
    machine = bundled(name)
    made = block_machine(machine, block)
    assert check(made, machine.initial(), 10**6) == machine.examples[0].expected.steps


@pytest.mark.parametrize(
    ("name", "word"),
    [("palindrome", "abcba"), ("palindrome", "abcb"), ("binary-increment", "1011")],
)
@pytest.mark.parametrize("block", [1, 2, 3])
def test_inputs(name, word, block):
    machine = bundled(name)
    start = machine.initial([word])
    check(block_machine(machine, block, [start]), start, 1000)


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 4))
def test_random_machines(data, block):
    machine = data.draw(machines(tapes=(1, 1)))
    start = data.draw(configurations(machine))
    check(block_machine(machine, block, [start], most_rules=10**5), start, 200)


def test_the_ends_of_a_block():
    """Halting inside and outside, no rule, and going round for ever, with hand-counted steps."""
    rules = {
        ("A", ("0",)): Transition("B", ("1",), ("R",)),
        ("B", ("0",)): Transition("H", ("1",), ("L",)),
        ("C", ("0",)): Transition("D", ("0",), ("R",)),
        ("D", ("0",)): Transition("C", ("0",), ("L",)),
        ("C", ("1",)): Transition("H", ("1",), ("R",)),
    }
    base = Machine("ends", ("0", "1"), "0", ("A", "B", "C", "D", "H"), "A", rules, halt=("H",))
    halts = play(base, Place("A", 0), ("0", "0", "0"))
    assert (halts.kind, halts.place, halts.steps) == ("@", Place("H", 0), 2)
    assert (halts.written, halts.move) == (("1", "1", "0"), "S")
    leaves = play(base, Place("A", 2), ("0", "0", "0"))
    assert (leaves.kind, leaves.place, leaves.move, leaves.steps) == (">", Place("B", 0), "R", 1)
    stuck = play(base, Place("A", 0), ("0", "1", "0"))
    assert (stuck.kind, stuck.place, stuck.steps) == ("?", Place("B", 1), 1)
    outside = play(base, Place("C", 2), ("0", "0", "1"))
    assert (outside.kind, outside.place, outside.move) == ("@", Place("H", 0), "R")
    round_ = play(base, Place("C", 0), ("0", "0", "0"))
    assert (round_.kind, round_.place, round_.steps) == ("~", Place("C", 0), 2)


def test_a_loop_that_is_not_there_from_the_beginning_is_found():
    """It walks to the right, and then goes to and fro between two cells: 3 steps, and 2 a round."""
    rules = {
        ("A", ("0",)): Transition("A", ("1",), ("R",)),
        ("A", ("2",)): Transition("B", ("2",), ("L",)),
        ("B", ("1",)): Transition("A", ("1",), ("R",)),
    }
    base = Machine("to-and-fro", ("0", "1", "2"), "0", ("A", "B"), "A", rules)
    found = play(base, Place("A", 0), ("0", "0", "0", "2"))
    assert found.kind == "~"
    again = play(base, found.place, found.written)
    assert (again.kind, again.place, again.written, again.steps) == (
        "~", found.place, found.written, 2
    )  # fmt: skip


def test_a_block_machine_is_compiled_and_verified_like_any_other():
    machine = bundled("bb4")
    made = block_machine(machine, 4)
    model = tm2tf.compile(made.machine)
    result = model.run()
    check = model.verify()
    assert check.divergence is None
    assert (result.outcome, result.steps) == ("halted", check.steps)
    assert result.steps < 107 / 2
    (tape,) = result.tapes
    ones = sum(made.blocks[symbol].count("1") for symbol in tape.contents)
    assert ones == 13


def test_what_cannot_be_done():
    machine = bundled("bb4")
    with pytest.raises(InputError, match=f"a block has 1 to {MOST_BLOCK} cells, not 0"):
        block_machine(machine, 0)
    with pytest.raises(InputError, match=f"a block has 1 to {MOST_BLOCK} cells, not"):
        block_machine(machine, MOST_BLOCK + 1)
    with pytest.raises(InputError, match="blocks are of one tape"):
        block_machine(bundled("palindrome-2tape"), 2)
    with pytest.raises(InputError, match="in blocks of 4 has more than 3 rules"):
        block_machine(machine, 4, most_rules=3)
    with pytest.raises(InputError, match="of the start is none that this block machine knows"):
        block_machine(bundled("palindrome"), 3).start(bundled("palindrome").initial(["abc"]))
    with pytest.raises(InputError, match="more than 2 steps within one block of 8 cells"):
        play(machine, Place("A", 0), ("0",) * 8, most=2)


def test_starts_that_stand_apart_from_the_head():
    machine = bundled("binary-increment")
    for origin, head in ((-7, 2), (5, -3), (0, 3)):
        start = machine.initial([Tape(tuple("1011"), origin, head)])
        check(block_machine(machine, 3, [start]), start, 200)
