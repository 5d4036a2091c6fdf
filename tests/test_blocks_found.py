"""Block machines by a first run: the compiled finder against plain Python, closure and machine."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.inspecting import bundled
from tests.strategies import configurations, machines
from tests.test_blocks import check
from tm2tf.errors import InputError
from tm2tf.machine.blocks import choice, walk
from tm2tf.machine.blocks.choice import choose, chosen_run
from tm2tf.machine.blocks.closure import block_machine
from tm2tf.machine.blocks.finder import Walker, first_run
from tm2tf.machine.blocks.lifted import MOST_STEPS
from tm2tf.machine.blocks.play import play
from tm2tf.machine.blocks.simulator import simulate
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition
from tm2tf.verify.unfolding import unfold

STEPS = 300
"""Base steps of the runs of random machines."""


def played(found, state, symbol):
    """Return the rule of a state on a symbol as plain Python finds it."""
    return play(found.base, found.places[state], found.blocks[symbol], MOST_STEPS)


def check_rules(found):
    """Compare each rule with what the base machine does in the block."""
    assert found.machine.transitions.keys() == {(q, (s,)) for q, s in found.steps}
    for (state, (symbol,)), to in found.machine.transitions.items():
        wanted = played(found, state, symbol)
        name = f"{wanted.place.state}{wanted.kind}"
        assert to.state == name + (str(wanted.place.cell) if wanted.kind in "@?~" else "")
        assert found.places[to.state] == wanted.place
        assert found.blocks[to.writes[0]] == wanted.written
        assert (to.moves[0], found.steps[state, symbol]) == (wanted.move, wanted.steps)


def boundaries(found, start, most):
    """Return macro steps, base steps and base configuration at the last boundary within `most`."""
    cells, blocks = Simulation(found.base, start), Simulation(found.machine, found.start(start))
    while blocks.outcome is None:
        key = blocks.state, blocks.cells[0].get(blocks.heads[0], found.machine.blank)
        if key not in found.steps or cells.steps + found.steps[key] > most:
            break
        blocks.step()
        for _ in range(found.steps[key]):
            assert cells.step() is not None
    return blocks, cells


@settings(deadline=None, max_examples=150)
@given(st.data(), st.integers(1, 5))
def test_the_rules_that_a_run_finds_are_those_of_plain_python(data, block):
    machine = data.draw(machines(tapes=(1, 1)))
    start = data.draw(configurations(machine))
    found = first_run(machine, block, start, max_steps=STEPS, most_rules=10**4)
    check_rules(found)
    assert len(set(found.blocks.values())) == len(found.blocks)
    blocks, cells = boundaries(found, start, STEPS)
    run = found.first_run
    assert run.base_steps <= STEPS
    if "~" not in blocks.state:  # a loop within a block goes on, and the first run ends there
        assert (run.macro_steps, run.base_steps) == (blocks.steps, cells.steps)
        assert run.over == (blocks.outcome is not None)
    assert check(found, start, run.base_steps) >= run.base_steps


@settings(deadline=None, max_examples=60)
@given(st.data(), st.integers(1, 3))
def test_closure_and_run_agree_where_both_have_rules(data, block):
    machine = data.draw(machines(tapes=(1, 1), states=(2, 4), symbols=(2, 3)))
    start = data.draw(configurations(machine))
    whole = block_machine(machine, block, [start], most_rules=10**5)
    found = first_run(machine, block, start, max_steps=STEPS, most_rules=10**4)
    check_rules(whole)
    assert found.steps.items() <= whole.steps.items()
    assert found.machine.transitions.items() <= whole.machine.transitions.items()
    assert found.places.items() <= whole.places.items()
    assert set(found.blocks.values()) <= set(whole.blocks.values())


@settings(deadline=None, max_examples=100)
@given(st.data(), st.integers(1, 5), st.integers(0, 60), st.booleans())
def test_the_simulator_stops_at_the_last_boundary(data, block, most, by_macro):
    machine = data.draw(machines(tapes=(1, 1)))
    start = data.draw(configurations(machine))
    found = first_run(machine, block, start, max_steps=STEPS, most_rules=10**4)
    if by_macro:
        most = min(most, found.first_run.macro_steps)
        done = simulate(found, start, macro_steps=most)
        assert done.macro_steps <= most
    else:
        done = simulate(found, start, base_steps=most)
        blocks, cells = boundaries(found, start, most)
        if "~" not in blocks.state:
            assert (done.macro_steps, done.base_steps) == (blocks.steps, cells.steps)
            assert done.outcome == (blocks.outcome or "step-limit")
    reference = Simulation(machine, start)
    for _ in range(done.base_steps):
        assert reference.step() is not None
    assert reference.configuration() == done.configuration
    if done.outcome != "step-limit":
        assert reference.step() is None
        assert reference.outcome == done.outcome
    beside = unfold(found, start, done.macro_steps)
    assert beside.difference is None
    assert (beside.macro_steps, beside.base_steps) == (done.macro_steps, done.base_steps)
    assert (beside.outcome, beside.configuration) == (done.outcome, done.configuration)


def test_busy_beavers_in_blocks_of_any_size():
    for name, steps, ones in (("bb4", 107, 13), ("bb2x3", 38, 9), ("bb2x4", 3_932_964, 2050)):
        machine = bundled(name)
        for block in (1, 2, 3, 7, 24, 100):
            found = first_run(machine, block, machine.initial())
            assert (found.found, found.first_run.over) == ("run", True)
            done = simulate(found, machine.initial())
            assert (done.base_steps, done.outcome) == (steps, "halted")
            assert done.macro_steps == found.first_run.macro_steps
            assert done.configuration.tapes[0].nonblank(machine.blank) == ones


def test_rules_with_the_same_token_and_other_base_steps():
    """From A on 00 and on 10 it writes 00 and leaves to the right in A, in 2 steps and in 4."""
    rules = {
        ("A", ("0",)): Transition("A", ("0",), ("R",)),
        ("A", ("1",)): Transition("B", ("0",), ("R",)),
        ("B", ("0",)): Transition("C", ("0",), ("L",)),
        ("C", ("0",)): Transition("A", ("0",), ("R",)),
        ("A", ("2",)): Transition("H", ("2",), ("S",)),
    }
    base = Machine("apart", ("0", "1", "2"), "0", ("A", "B", "C", "H"), "A", rules, halt=("H",))
    start = base.initial([Tape(("0", "0", "1", "0", "2", "0"))])
    found = first_run(base, 2, start)
    assert found.machine.transitions["A>", ("00",)] == found.machine.transitions["A>", ("10",)]
    assert found.steps == {("A>", "00"): 2, ("A>", "10"): 4, ("A>", "20"): 1}
    assert list(found.blocks) == ["00", "10", "20"]
    assert check(found, start, 100) == 7


def test_a_rule_that_the_first_run_did_not_meet_is_missed():
    machine = bundled("binary-increment")
    found = first_run(machine, 2, machine.initial(["1011"]))
    assert not found.lacks(simulate_state(found, machine.initial(["1011"])))
    with pytest.raises(InputError, match="of the start is none that this block machine knows"):
        found.start(machine.initial(["0100"]))
    other = machine.initial(["11"])
    done = simulate(found, other)
    assert (done.lacks, done.outcome) == (True, "step-limit")
    assert unfold(found, other).lacks
    blocks = Simulation(found.machine, found.start(other))
    while blocks.step() is not None:
        pass
    assert found.lacks(blocks.state)
    symbol = blocks.cells[0].get(blocks.heads[0], found.machine.blank)
    error = str(found.missing(blocks.state, symbol))
    assert "has no rule for state" in error
    assert "find the table for this start, or by closure" in error


def simulate_state(found, start):
    run = Simulation(found.machine, found.start(start))
    while run.step() is not None:
        pass
    return run.state


def test_loops_within_a_block_go_on_for_as_long_as_asked():
    rules = {
        ("A", ("0",)): Transition("B", ("1",), ("R",)),
        ("B", ("0",)): Transition("C", ("0",), ("S",)),
        ("C", ("0",)): Transition("B", ("0",), ("S",)),
    }
    base = Machine("round", ("0", "1"), "0", ("A", "B", "C"), "A", rules)
    found = first_run(base, 4, base.initial())
    # Brent's method sees after 4 steps that it is where it was after 2; a round takes 2
    assert (found.first_run.over, found.first_run.base_steps) == (True, 4)
    done = simulate(found, base.initial(), base_steps=1001)
    assert (done.loops, done.outcome, done.base_steps) == (True, "step-limit", 1000)
    assert done.macro_steps == 1 + (1000 - 4) // 2
    assert unfold(found, base.initial(), 400).base_steps == 4 + 2 * 399
    assert simulate(found, base.initial(), macro_steps=400).base_steps == 4 + 2 * 399


def test_refusals_of_the_first_run(monkeypatch):
    machine = bundled("bb4")
    start = machine.initial()
    with pytest.raises(InputError, match="more than 3 rules: take smaller blocks, or allow more"):
        first_run(machine, 4, start, most_rules=3)
    with pytest.raises(InputError, match="blocks are of one tape"):
        first_run(bundled("palindrome-2tape"), 2, bundled("palindrome-2tape").initial())
    with pytest.raises(InputError, match="a block has 1 to 512 cells, not 513"):
        first_run(machine, 513, start)
    counter = bundled("counter")
    with pytest.raises(InputError, match="more than 50 rules"):
        first_run(counter, 16, counter.initial(), most_rules=50)
    monkeypatch.setattr("tm2tf.machine.blocks.finder.MOST_BASE_STEPS", 50)
    with pytest.raises(InputError, match=r"does not end within 50 steps.*--max-steps"):
        first_run(machine, 4, start)
    walker = Walker(machine, 8, start, most_played=2)
    assert walker.advance() == walk.TOO_LONG
    with pytest.raises(InputError, match="--most-rules is 1,000,000,000: give 4,194,304 at most"):
        Walker(machine, 2, start, most_rules=10**9)
    monkeypatch.setattr("tm2tf.machine.blocks.finder.MOST_WORDS", 4000)
    with pytest.raises(InputError, match="becomes too large: take smaller blocks"):
        first_run(counter, 16, counter.initial(), max_steps=10**6)


def test_tables_grow(monkeypatch):
    machine = bundled("bb2x4")
    wanted = first_run(machine, 64, machine.initial())
    monkeypatch.setattr("tm2tf.machine.blocks.finder.FIRST_BLOCKS", 1)
    found = first_run(machine, 64, machine.initial())
    assert (found.machine, found.steps) == (wanted.machine, wanted.steps)
    assert len(found.blocks) > 100


def test_a_start_that_halts_at_once():
    base = Machine("at-once", ("0",), "0", ("H",), "H", {}, accept=("H",))
    found = first_run(base, 3, base.initial())
    assert (found.first_run.macro_steps, len(found.steps)) == (0, 0)
    assert found.machine.outcome_of(found.machine.start) == "accepted"
    assert simulate(found, base.initial()).outcome == "accepted"
    assert unfold(found, base.initial()).outcome == "accepted"


def test_inputs_far_left_and_right_of_the_head():
    machine = bundled("palindrome")
    for origin, head in ((-5000, -5000), (5000, 5000), (-5000, -4999), (-1, 0)):
        start = machine.initial([Tape(tuple("abcba"), origin, head)])
        found = first_run(machine, 3, start)
        reference = Simulation(machine, start)
        while reference.step() is not None:
            pass
        done = simulate(found, start)
        assert done.configuration == reference.configuration()
        assert (done.base_steps, done.outcome) == (reference.steps, reference.outcome)


def test_a_difference_is_seen_wherever_it_is():
    """One thing of a table changed at a time: `unfold` says what."""
    machine = bundled("bb4")
    start = machine.initial()
    good = first_run(machine, 4, start)
    assert unfold(good, start).difference is None
    key = next(key for key, steps in good.steps.items() if steps > 2)
    for change, said in (
        (-1, "in another state|head is elsewhere"),
        (+1, "leaves the block before"),
    ):
        steps = dict(good.steps) | {key: good.steps[key] + change}
        assert_differs(replace(good, steps=steps), start, said)
    rules = dict(good.machine.transitions)
    where = (key[0], (key[1],))
    to = rules[where]
    other = next(s for s in good.blocks if good.blocks[s] != good.blocks[to.writes[0]])
    rules[where] = replace(to, writes=(other,))
    assert_differs(replaced(good, rules), start, "other cells")
    rules[where] = replace(to, moves=({"L": "R", "R": "L", "S": "L"}[to.moves[0]],))
    assert_differs(replaced(good, rules), start, "head is elsewhere")
    state = next(s for s in good.places if good.places[s].state != good.places[to.state].state)
    rules[where] = replace(to, state=state)
    assert_differs(replaced(good, rules), start, "in another state")


def replaced(found, rules):
    return replace(found, machine=replace(found.machine, transitions=rules))


def assert_differs(found, start, said):
    beside = unfold(found, start, 200)
    assert beside.difference is not None
    assert re.search(said, beside.difference)
    assert "macro step" in beside.difference


# --- the size of blocks -------------------------------------------------------------------


def test_the_size_is_chosen_by_what_the_beginning_costs():
    machine = bundled("bb2x4")
    made = choose(machine, machine.initial())
    costs = {probe.block: probe.seconds for probe in made.probes}
    assert costs[made.block] == min(costs.values())
    assert made.probed == choice.PROBED
    for probe in made.probes:
        if np.isfinite(probe.seconds):
            walker = Walker(machine, probe.block, machine.initial())
            walker.advance(choice.PROBED, 10**9)
            assert (walker.macro_steps, walker.rules) == (probe.macro_steps, probe.rules)
    again = choose(machine, machine.initial())
    assert (again.block, again.probes) == (made.block, made.probes)
    sizes = [probe.block for probe in made.probes]
    assert sizes[0] == choice.FIRST
    assert len(set(sizes)) == len(sizes)
    for family, least in ((3, choice.LEAST), (1, 1)):
        of = [size for size in sizes if size % 9 and size % 5 and (size % 3 == 0) == (family == 3)]
        assert of
        assert all(size >= least and (size // family).bit_count() == 1 for size in of)


def test_sizes_halfway_from_the_best_to_its_double_and_half_are_tried(monkeypatch):
    """As if 32 were the best of all powers of two and their triples: 24 was tried, 48 was not."""
    costs = {24: 5.0, 48: 6.0, 12: 6.0, 32: 2.0, 64: 3.0, 16: 4.0}
    monkeypatch.setattr(
        choice, "_probe", lambda base, block, *_: choice.Probe(block, 0, 0, costs.get(block, 9.0))
    )
    machine = bundled("bb4")
    made = choose(machine, machine.initial())
    assert (made.block, [probe.block for probe in made.probes]) == (32, [24, 48, 12, 32, 64, 16])
    costs[36] = 1.0
    costs[24] = 1.5
    made = choose(machine, machine.initial())
    assert [probe.block for probe in made.probes] == [24, 48, 12, 32, 64, 16, 18, 36]
    assert made.block == 36


def test_a_machine_with_rules_without_end_gets_small_blocks():
    counter = bundled("counter")
    made = choose(counter, counter.initial())
    assert made.block <= 8
    assert any(np.isinf(probe.seconds) for probe in made.probes)
    with pytest.raises(InputError, match="more than 1 rules in blocks of any size"):
        choose(counter, counter.initial(), most_rules=1)


def test_a_long_run_is_probed_anew(monkeypatch):
    monkeypatch.setattr(choice, "PROBED", 64)
    monkeypatch.setattr(choice, "LEAP", 128)
    monkeypatch.setattr(choice, "HORIZON", 8)
    machine = bundled("bb2x4")
    found, made = chosen_run(machine, machine.initial())
    assert made.probed > 64
    assert found.first_run.over
    assert found.first_run.base_steps == 3_932_964
    assert found.block == made.block


def test_blocks_are_halved_where_rules_become_too_many_after_the_beginning(monkeypatch):
    monkeypatch.setattr(choice, "PROBED", 1000)
    machine = bundled("bb2x4")
    with pytest.raises(InputError, match="more than 100 rules"):
        first_run(machine, 48, machine.initial(), most_rules=100)
    monkeypatch.setattr(choice, "choose", lambda *_, **__: choice.Choice(48, 1000, (), 0.0))
    found, made = chosen_run(machine, machine.initial(), most_rules=100)
    assert found.block == made.block < 48
    assert found.first_run.base_steps == 3_932_964
    assert len(first_run(machine, made.block, machine.initial()).steps) <= 100


def test_a_first_run_can_be_interrupted():
    def stop(steps):
        assert steps > 10**6
        raise KeyboardInterrupt

    counter = bundled("counter")
    with pytest.raises(KeyboardInterrupt):
        first_run(counter, 4, counter.initial(), on_progress=stop)


def test_a_short_run_is_chosen_for_what_it_costs():
    machine = bundled("bb4")
    found, made = chosen_run(machine, machine.initial(), max_steps=10**6)
    assert found.first_run.base_steps == 107
    assert made.block == found.block
    assert choose(machine, machine.initial(), max_steps=0).block >= 1


def test_places_are_numbered_and_told():
    for states, width in ((1, 1), (3, 4)):
        for state in range(states):
            for cell in range(width):
                for mark, move in (("@", 0), ("@", -1), ("@", 1), ("?", 0), ("~", 0)):
                    number = walk.numbered(mark, state, cell, move, states, width)
                    assert number > 2 * states
                    assert walk.marked(number, states, width) == (mark, state, cell)
            assert walk.marked(walk.numbered(">", state, 0, 0, states, width), states, width) == (
                ">", state, 0
            )  # fmt: skip
            assert walk.marked(walk.numbered("<", state, 0, 0, states, width), states, width) == (
                "<", state, width - 1
            )  # fmt: skip
