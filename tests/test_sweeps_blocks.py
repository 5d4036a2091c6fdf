"""Sweeps of block machines: macro steps taken at once are those taken one by one."""

from functools import cache
from itertools import pairwise
from operator import itemgetter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.test_sweeps import LENGTHS, MACHINES, simple, word
from tm2tf.machine.blocks import choice, walk
from tm2tf.machine.blocks.choice import choose
from tm2tf.machine.blocks.finder import Walker, first_run
from tm2tf.machine.blocks.simulator import simulate
from tm2tf.machine.simulator import Simulation, gather_tape
from tm2tf.machine.spec import Configuration, Tape

BASES = {name: MACHINES[name] for name in ("keeping", "writing", "leftwards", "to and fro")} | {
    "on": simple("a 1 2 R a", "a 2 1 R a", "a _ 1 R a"),
    "back": simple("a 1 2 L a", "a 2 1 L a", "a _ 1 L a"),
    "in pairs": simple(
        "a 1 2 R b", "a 2 2 R b", "a _ _ L c", "b 1 1 R a", "b 2 1 R a", "b _ _ L c",
        "c 1 1 L c", "c 2 2 L c", "c _ 1 S end",
    ),
}  # fmt: skip


# --- block machines ---------------------------------------------------------------------------


@cache
def played(name, block, tape, most):
    """Return what is known at each boundary of blocks, by single steps of the base machine.

    Rows of (macro steps, base steps, state, head, cells, what the next macro step begins with).
    """
    base = BASES[name]
    simulation, macro = Simulation(base, base.initial([tape])), 0

    def row():
        state, (head,), (cells,) = simulation.state, simulation.heads, simulation.cells
        first = head // block * block
        under = tuple(cells.get(first + i, "_") for i in range(block))
        return macro, simulation.steps, state, head, cells.copy(), (state, head - first, under)

    rows = [row()]
    while simulation.steps < most and simulation.outcome is None:
        before = simulation.heads[0] // block
        simulation.step()
        if simulation.heads[0] // block != before or simulation.outcome:
            macro += 1
            rows.append(row())
    return rows


def expected(row):
    """Return macro steps, base steps and the configuration of a row."""
    macro, base, state, head, cells, _ = row
    return macro, base, Configuration(state, (gather_tape(cells, head, "_"),))


def at_most(rows, base_steps):
    """Return what is expected where so many base steps may be taken."""
    return expected(max((row for row in rows if row[1] <= base_steps), key=itemgetter(1)))


def stands(walker):
    return walker.macro_steps, walker.base_steps, walker.configuration()


def repeated(rows):
    """Return how many macro steps begin as the one before did."""
    return sum(one[-1] == other[-1] for one, other in pairwise(rows[:-1]))


def ones(name, cells):
    """Return a run of 1s, the head at the end from which the machine sweeps over it."""
    return Tape(("1",) * cells, -max(0, cells - 1) * (name == "leftwards"), 0)


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("blocks", LENGTHS[:-1])
@pytest.mark.parametrize("name", BASES)
def test_a_first_run_in_sweeps(name, blocks, block):
    """Macro steps, base steps and cells are those of single steps, wherever the run is stopped."""
    base, cells = BASES[name], blocks * block
    tape = ones(name, cells)
    start, rows = base.initial([tape]), played(name, block, tape, 3 * cells + 20)
    ends = {0, 1, cells // 2, cells - 1, cells, cells + 1, 2 * cells - 30, rows[-1][1]}
    for most in sorted(end for end in ends if 0 <= end <= rows[-1][1]):
        walker = Walker(base, block, start)
        walker.advance(most)
        assert stands(walker) == at_most(rows, most)
        assert walker.swept <= repeated(rows)
    run = first_run(base, block, start, max_steps=rows[-1][1]).first_run
    assert (run.macro_steps, run.base_steps) == rows[-1][:2]
    assert run.over == (base.outcome_of(rows[-1][2]) is not None)


@pytest.mark.parametrize("name", ["writing", "leftwards", "in pairs"])
def test_every_limit_in_a_sweep(name):
    base, block, tape = BASES[name], 2, ones(name, 300)
    start, rows = base.initial([tape]), played(name, block, tape, 10**4)
    found = first_run(base, block, start)
    assert (found.first_run.macro_steps, found.first_run.base_steps) == rows[-1][:2]
    for most in range(rows[-1][1] + 3):
        wanted = at_most(rows, most)
        walker = Walker(base, block, start)
        walker.advance(most)
        assert stands(walker) == wanted
        if most % 7 == 0:
            limit = {"base_steps": most} if most % 2 else {"macro_steps": wanted[0]}
            done = simulate(found, start, **limit)
            assert (done.macro_steps, done.base_steps, done.configuration) == wanted


@pytest.mark.parametrize("name", ["writing", "leftwards"])
def test_one_other_block_anywhere_in_a_run(name):
    base = BASES[name]
    for place in (*range(6), *range(60, 140)):
        contents = word(("1", place), ("2", 1), ("1", 220 - place))
        tape = Tape(contents[::-1], -220, 0) if name == "leftwards" else Tape(contents)
        rows = played(name, 1, tape, 230)
        walker = Walker(base, 1, base.initial([tape]))
        walker.advance(230)
        assert stands(walker) == at_most(rows, 230)
        assert walker.swept <= repeated(rows)


@pytest.mark.parametrize("chunk", [1, 2, 63, 64, 65, 100, 129])
@pytest.mark.parametrize("name", BASES)
def test_chunks_of_a_walk_give_the_same_as_one_go(name, chunk):
    base, block, most, tape = BASES[name], 4, 2500, ones(name, 600)
    start, rows = base.initial([tape]), played(name, block, tape, most)
    whole, parts = Walker(base, block, start), Walker(base, block, start)
    whole.advance(most)
    assert stands(whole) == at_most(rows, most)
    passed = 0
    while parts.advance(most, chunk) == walk.MORE:
        passed += chunk
        assert stands(parts) == expected(rows[passed])
    assert (stands(parts), parts.why, parts.rules) == (stands(whole), whole.why, whole.rules)
    assert parts.swept <= whole.swept <= repeated(rows)
    assert whole.swept > 0.9 * repeated(rows) > 0.5 * whole.macro_steps


@pytest.mark.parametrize("block", [1, 4])
@pytest.mark.parametrize("name", ["on", "back"])
def test_the_tape_of_a_walk_grows_in_the_middle_of_a_sweep(name, block):
    """From blocks of 1s over more blanks than a tape has at first, on either side."""
    base, cells = BASES[name], 20 * block
    walker = Walker(base, block, base.initial([Tape(("1",) * cells)]))
    most = 5000 * block if name == "on" else 1 + 4999 * block
    walker.advance(most + block - 1)
    assert (walker.macro_steps, walker.base_steps, walker.mark().state) == (5000, most, "a")
    (tape,) = walker.configuration().tapes
    if name == "on":
        assert tape == Tape(("2",) * cells + ("1",) * (most - cells), 0, most)
    else:
        assert tape == Tape(word(("1", most - 1), ("2", 1), ("1", cells - 1)), 1 - most, -most)
    assert 4960 < walker.swept < 5000


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from(list(BASES)), st.integers(1, 6), st.integers(1, 90))
def test_blocks_of_any_runs(data, name, block, chunk):
    base = BASES[name]
    runs = data.draw(st.lists(st.tuples(st.sampled_from("_12"), st.integers(0, 150)), max_size=4))
    contents = word(*runs)
    tape = Tape(contents, -data.draw(st.integers(0, len(contents) + 2)), 0)
    start, rows = base.initial([tape]), played.__wrapped__(name, block, tape, 700)
    most = data.draw(st.integers(0, rows[-1][1]))
    for each in (10**9, chunk):
        walker = Walker(base, block, start)
        while walker.advance(most, each) == walk.MORE:
            pass
        assert stands(walker) == at_most(rows, most)
        assert walker.swept <= repeated(rows)


def test_sweeps_cost_less_where_the_size_is_chosen():
    base, figures = BASES["keeping"], set()
    start = base.initial([Tape(("1",) * 3000)])
    for probe in choose(base, start).probes:
        walker = Walker(base, probe.block, start)
        walker.advance()
        one_by_one = walker.macro_steps - walker.swept
        seconds = one_by_one * choice.STEP + walker.swept * choice.SWEPT
        seconds += walker.rules * choice.RULE + walker.played * choice.PLAYED
        assert probe.seconds == pytest.approx(seconds)
        assert one_by_one <= 20
        figures.add(walker.swept)
    assert max(figures) > 100
