"""turingmachine.io: read as its site runs it, written so that the site would read it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api, formats
from tm2tf.errors import FormatError, InputError
from tm2tf.formats import turingmachine_io
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape

CORPUS = Path(__file__).parents[2] / "shared" / "corpus" / "turingmachine.io"
HALVE = """\
# Is the number of 1s even?
input: '11 1'
blank: ' '
start state: even
synonyms:
  yes: {write: ' ', R: done}
  back: L
table:
  even:
    1: {R: odd}
    ' ': yes
  odd:
    [1, x]: {write: x, R: even}
    ' ': {write: '0', L}
    0: back
  done:
"""
WRAPPED = """\
name: parity
source code: |
  blank: ' '
  start state: a

  table:
    a: {' ': {R: b}}
    b:
positions:
  a: {x: 1, y: 2}
"""


def ran(machine, word, limit=1000):
    """Return outcome, state, steps, the tape between cells that were visited, the head there."""
    simulation = Simulation(machine, machine.initial([Tape(tuple(word))]))
    visited = {0, *range(len(word))}
    while simulation.outcome is None and simulation.steps < limit:
        visited |= {simulation.heads[0]}
        simulation.step()
    visited |= {simulation.heads[0]}
    cells = simulation.cells[0]
    tape = "".join(cells.get(a, machine.blank) for a in range(min(visited), max(visited) + 1))
    head = simulation.heads[0] - min(visited)
    return simulation.outcome, simulation.state, simulation.steps, tape, head


def test_by_hand():
    """Moves alone, lists of symbols, synonyms, `write` without a next state; what has no rule."""
    machine = formats.parse(HALVE, "halve.yaml", "halve")
    assert formats.detect(HALVE).name == "turingmachine.io"
    assert machine.symbols == (" ", "1", "x", "0")
    assert machine.halt == ("done",)
    assert machine.examples[0].tapes == (Tape(("1", "1", " ", "1")),)
    assert ran(machine, "11") == ("halted", "done", 3, "1x  ", 3)
    assert ran(machine, "") == ("halted", "done", 1, "  ", 1)
    # 1 R odd; blank: 0 is written, back; 1: x, on to even, which has no rule for 0
    assert ran(machine, "1") == ("halted", "even", 3, "x0", 1)
    wrapped = formats.parse(WRAPPED, "w.yaml", "w")
    assert (wrapped.name, wrapped.start, wrapped.halt) == ("parity", "a", ("b",))
    check = api.compile(machine).verify("11")
    assert (check.outcome, check.steps, check.divergence) == ("halted", 3, None)


COMMAS = """\
input: ',,a'
blank: ' '
start state: 1
comment: none
table:
  1: {',': {write: 0, R}, a: {write: b, L: t}}
  t: {0: {write: 0, L: done}}
  done: {}
"""
OVERLAPS = """\
blank: ' '
start state: a
table:
  a:
    '0,1,,,I': {R: b}
    0: {R: c}
    [x, 'y']: {R: b}
    x: {R: c}
  b:
  c:
"""


def test_a_state_called_null():
    """In quotes it is a name, and without quotes nothing: the same state goes on."""
    text = "blank: ' '\nstart state: a\ntable:\n  a: {' ': {R: 'null'}}\n  'null': {}\n"
    assert formats.parse(text).transitions["a", (" ",)].state == "null"
    assert formats.parse(text.replace("R: 'null'", "R: null")).transitions["a", (" ",)].state == "a"


def test_commas_and_overlaps():
    """A comma may be a symbol. Digits alone come first, then the rest, and the last one counts."""
    machine = formats.parse(COMMAS)
    assert ran(machine, ",,a") == ("halted", "done", 4, "00b", 0)
    assert machine.notes == ("`comment` means nothing there",)
    rules = {read: to.state for (_, (read,)), to in formats.parse(OVERLAPS).transitions.items()}
    assert rules == {"0": "b", "1": "b", ",": "b", "I": "b", "x": "c", "y": "b"}


ERRORS = [
    ("blank: ' '", "", 2, 1, "the machine has no `blank:`"),
    ("blank: ' '", "blank: ''", 3, 8, "the blank is one character, got ''"),
    ("    1: {R: odd}", "    1: {R: od}", 10, 12, "unknown state 'od'; did you mean 'odd'?"),
    ("    1: {R: odd}", "    11: {R: odd}", 10, 5, "a symbol is one character, got '11'"),
    ("    1: {R: odd}", "    1: {L: odd, R: odd}", 10, 8, "moves L or R, one of them"),
    ("    1: {R: odd}", "    1: {write: 1}", 10, 8, "moves L or R, one of them"),
    ("    1: {R: odd}", "    1: {S: odd}", 10, 9, "unknown key 'S' in an action"),
    ("    1: {R: odd}", "    1: yess", 10, 8, "unknown action 'yess'; did you mean 'yes'?"),
    ("start state: even", "start state: evn", 4, 14, "unknown state 'evn'; did you mean 'even'?"),
    ("  done:", "  done: [", 17, 1, "not valid YAML"),
    ("  done:", "  done: 5", 16, 9, "state 'done' must be a mapping"),
    ("  done:", "  odd:", 9, 3, "a state is given twice in the table"),
    ("    1: {R: odd}", "    '1,xy': {R: odd}", 10, 5, "a symbol is one character, got 'xy'"),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), ERRORS)
def test_errors_point_at_the_place(old, new, line, column, message):
    assert HALVE.count(old) == 1
    with pytest.raises(FormatError) as error:
        turingmachine_io.parse(HALVE.replace(old, new), "halve.yaml")
    assert message in str(error.value)
    assert (error.value.line, error.value.column) == (line, column)


def test_errors_in_a_wrapped_file_point_at_its_own_lines():
    with pytest.raises(FormatError) as error:
        turingmachine_io.parse(WRAPPED.replace("{R: b}", "{R: c}"), "w.yaml")
    assert (error.value.line, error.value.column) == (7, 18)


@settings(max_examples=60, deadline=None)
@given(
    machine=machines(tapes=(1, 1), moves="LR", halting=("halt",), undefined=("halt",)),
    word=st.text("01ab_", max_size=8),
)
def test_there_and_back(machine, word):
    text = turingmachine_io.dump(machine)
    back = formats.parse(text, "x.yaml", machine.name)
    assert formats.detect(text).name == "turingmachine.io"
    assert dict(back.transitions) == dict(machine.transitions)
    assert (back.start, back.blank, set(back.states)) == (
        machine.start, machine.blank, set(machine.states)
    )  # fmt: skip
    assert turingmachine_io.dump(back) == text
    word = "".join(symbol for symbol in word if symbol in back.symbols)
    assert ran(back, word, 50) == ran(machine, word, 50)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("palindrome-2tape", "2 tapes; it has 1 at most"),
        ("palindrome", "a rule in which the head stays"),
    ],
)
def test_what_it_cannot_say(name, message):
    with pytest.raises(InputError, match=message):
        turingmachine_io.dump(api.load(name))


def test_ends_that_it_cannot_say():
    machine = api.load("bb2")
    for change, message in (
        ({"halt": (), "accept": machine.halt}, "states that accept or reject"),
        ({"undefined": "reject"}, "undefined: reject"),
    ):
        with pytest.raises(InputError, match=message):
            turingmachine_io.dump(replace(machine, **change))
    long = Machine("long", ("ab", "_"), "_", ("A",), "A", {})
    with pytest.raises(InputError, match="symbols of one character only"):
        turingmachine_io.dump(long)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of others' machines is not there")
def test_the_sites_own_runs():
    """75 runs of the site's simulator: steps, state, tape and head; each file there and back."""
    runs = json.loads((CORPUS / "golden.json").read_text(encoding="utf-8"))
    assert len(runs) == 75
    found = {name: api.load(CORPUS / name) for name in {run["file"] for run in runs}}
    for run in runs:
        machine = found[run["file"]]
        assert (machine.blank, machine.start) == (run["blank"], run["start"])
        outcome, *rest = ran(machine, run["input"], run["steps"] + run["halted"])
        assert rest == [run["final_state"], run["steps"], run["tape"], run["head"]]
        assert (outcome == "halted") == run["halted"]
    for machine in found.values():
        assert formats.parse(turingmachine_io.dump(machine), "x", machine.name) == machine


@pytest.mark.slow
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of others' machines is not there")
def test_the_sites_own_runs_through_weights():
    """The same through compiled weights, in lockstep."""
    runs = json.loads((CORPUS / "golden.json").read_text(encoding="utf-8"))
    models = {name: api.compile(api.load(CORPUS / name)) for name in {r["file"] for r in runs}}
    for run in runs:
        tape = Tape(tuple(run["input"]))
        check = models[run["file"]].verify(tape, max_steps=run["steps"] + run["halted"])
        assert check.divergence is None
        assert (check.steps, check.outcome == "halted") == (run["steps"], run["halted"])
