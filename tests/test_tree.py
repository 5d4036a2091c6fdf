"""Tree normal form: every machine of a size is there once, as far as a blank tape can tell."""

from collections import Counter
from itertools import islice, product
from pathlib import Path

import pytest

from tm2tf import formats
from tm2tf.errors import InputError
from tm2tf.formats import bbchallenge
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.tree import tree

CORPUS = Path(__file__).parents[2] / "shared" / "corpus"


def ran(machine, limit):
    """Return the steps to the end and the nonblank cells then; None if it runs on."""
    simulation = Simulation(machine, machine.initial())
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    if simulation.outcome is None:
        return None
    return simulation.steps, simulation.configuration().tapes[0].nonblank("0")


@pytest.mark.parametrize(
    ("states", "symbols", "steps", "nonblank"),
    [
        (1, 2, 1, 1),
        (2, 2, 6, 4),  # T. Rado 1962
        (3, 2, 21, 6),  # S. Lin and T. Rado 1965
        pytest.param(
            2, 3, 38, 9, marks=pytest.mark.slow
        ),  # P. Michel; G. Lafitte, C. Papazian 2007
    ],
)
def test_busy_beavers(states, symbols, steps, nonblank):
    """The most steps and the most nonblank cells of all that halt are those that were proved."""
    ends = [end for machine in tree(states, symbols, 60) if (end := ran(machine, 60))]
    assert (max(s for s, _ in ends), max(n for _, n in ends)) == (steps, nonblank)


def test_all_machines_of_two_states_are_there():
    """All 12^4 tables that halt do so after as many steps as some in the tree, and no more."""
    cells = [f"{w}{m}{q}" for w, m, q in product("01", "LR", "ABZ")]
    found = {}
    for machine in tree(2, 2, 50):
        end = ran(machine, 50)
        if end is not None:
            found[machine.name] = end
    told = set()
    for code in product(cells, repeat=4):
        machine = bbchallenge.parse(f"{code[0]}{code[1]}_{code[2]}{code[3]}")
        end = ran(machine, 50)
        if end is not None:
            told.add(end)
    # the first move may go either way, and the last step may write or move anything
    assert {steps for steps, _ in told} == {steps for steps, _ in found.values()}
    assert max(told) == max(found.values()) == (6, 4)


def test_no_two_are_alike():
    """No two that halt use the same rules; names are codes, and read as the machines they name."""
    seen = Counter()
    for machine in tree(2, 2, 60):
        assert formats.parse(machine.name) == machine
        simulation, used = Simulation(machine, machine.initial()), []
        while simulation.outcome is None and simulation.steps < 60:
            step = simulation.step()
            used.append((step.state, step.reads, step.transition))
        if simulation.outcome is not None:
            assert set(machine.transitions) == {(state, reads) for state, reads, _ in used}
            seen[tuple(used)] += 1
        states = [state for state, _, _ in used]
        assert list(dict.fromkeys(states)) == sorted(set(states))  # first met, first named
    assert set(seen.values()) == {1}
    assert len(seen) == 19


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of others' machines is not there")
def test_others_found_them_too():
    """Full tables of 2x2 and 3x2 that others list as halting, and begin with 1RB, are there."""
    lines = (CORPUS / "halting.tsv").read_text(encoding="utf-8").splitlines()
    listed = {line.split("\t")[0]: int(line.split("\t")[1]) for line in lines if line[0] != "#"}
    for states, count in ((2, 10), (3, 300)):
        ours = {m.name: end for m in tree(states, 2, 60) if (end := ran(m, 60))}
        theirs = {
            code: steps
            for code, steps in listed.items()
            if len(code) == 7 * states - 1 and code.count("1RZ") == 1 and "---" not in code
            and code.startswith("1RB")
        }  # fmt: skip
        assert len(theirs) >= count
        assert {code: ours[code][0] for code in theirs} == theirs


def test_it_is_lazy_and_refuses_what_has_no_codes():
    assert [m.name for m in islice(tree(6, 2, 10), 3)] == [
        "1RZ---_------_------_------_------_------",
        "0RA---_------_------_------_------_------",
        "0RB---_1RZ---_------_------_------_------",
    ]
    for states, symbols, steps, message in (
        (0, 2, 10, "states must be from 1 to 25, got 0"),
        (26, 2, 10, "states must be from 1 to 25, got 26"),
        (2, 1, 10, "symbols must be from 2 to 10, got 1"),
        (2, 11, 10, "symbols must be from 2 to 10, got 11"),
        (2, 2, 0, "max_steps must be at least 1, got 0"),
    ):
        with pytest.raises(InputError, match=message):
            next(tree(states, symbols, steps))
