"""All formats: each text is known for what it is, runs the same after the way there and back, and
no text crashes what reads it."""

import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from click.testing import CliRunner
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api, formats
from tm2tf.cli import group
from tm2tf.errors import FormatError, InputError
from tm2tf.formats.sizes import MAX_CHARACTERS
from tm2tf.machine import library
from tm2tf.machine.one_way import one_way
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape, Transition

NAMES = [known.name for known in formats.FORMATS]
READ = [known.name for known in formats.FORMATS if known.reads is not None]
LARGEST_TIME = 20.0
"""Seconds for a text of the greatest length that is accepted, on a busy machine."""


def ran(machine, words, limit=200):
    """Return outcome, steps, heads and nonblank cells of a run on the n-th symbols of words."""
    order = [machine.blank, *(s for s in machine.symbols if s != machine.blank)]
    plain = [s for s in order if s not in machine.first.values()]
    tapes = [Tape(tuple(plain[number % len(plain)] for number in word)) for word in words]
    simulation = Simulation(machine, machine.initial(tapes))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    ended = [machine.plain(tape) for tape in simulation.configuration().tapes]
    counts = [tape.nonblank(machine.blank) for tape in ended]
    return simulation.outcome, simulation.steps, simulation.heads, counts


def written(known, machine):
    """Return the text of a machine; None if the format says that it cannot say it."""
    try:
        return known.dump(machine)
    except InputError as error:
        told = str(error)
    assert "cannot say" in told or "one character" in told
    return None


def said(known, text):
    """Return what is wrong with a text; None if it is a machine."""
    try:
        known.parse(text, "spoilt", "spoilt")
    except InputError as error:
        return str(error)
    return None


def sayable(machine, known):
    """Return a machine made fit for a format: its ends, its moves, its rules complete."""
    if known.name in ("morphett", "bbchallenge", "turingmachine.io"):
        machine = replace(machine, halt=(*machine.accept, *machine.reject, *machine.halt),
                          accept=(), reject=(), undefined="halt")  # fmt: skip
    else:
        machine = replace(machine, accept=(*machine.accept, *machine.halt), halt=(),
                          undefined="reject")  # fmt: skip
    if known.name in ("morphett", "doty"):
        missing = {
            (state, (symbol,)): Transition(state, (symbol,), ("S",))
            for state in machine.states
            if machine.outcome_of(state) is None
            for symbol in machine.symbols
        }
        machine = replace(machine, transitions=missing | dict(machine.transitions))
    if known.name == "doty":
        accept, reject = machine.accept[:1], machine.reject[:1]
        gone = {*machine.accept[1:], *machine.reject[1:]}
        assume(machine.start not in gone)
        kept = {
            at: to if to.state not in gone else replace(to, state=machine.start)
            for at, to in machine.transitions.items()
        }
        machine = replace(machine, accept=accept, reject=reject, transitions=kept,
                          states=tuple(s for s in machine.states if s not in gone))  # fmt: skip
    if known.name == "bbchallenge":
        rules = {at: to for at, to in machine.transitions.items() if to.moves != ("S",)}
        machine = replace(machine, transitions=rules)
    if known.name == "turingmachine.io":
        moved = {
            at: replace(to, moves=tuple("R" if move == "S" else move for move in to.moves))
            for at, to in machine.transitions.items()
        }
        machine = replace(machine, transitions=moved)
    return machine


@pytest.mark.parametrize("name", READ)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_there_and_back(name, data):
    """Most machines that are made fit for a format go through it and run the same."""
    known = formats.by_name(name)
    machine = sayable(data.draw(machines(tapes=(1, 1))), known)
    if name == "doty":
        machine = one_way(machine)
    words = data.draw(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=1))
    text = written(known, machine)
    if text is None:
        return
    assert formats.detect(text).name == name
    back = formats.parse(text, "there", machine.name)
    again = formats.parse(known.dump(back), "again", back.name)
    if name != "bbchallenge":  # which gives halting states their letters anew
        assert again == back
    assert formats.parse(known.dump(again), "again", back.name) == again
    if set(back.symbols) == set(machine.symbols):
        assert ran(back, words) == ran(replace(machine, symbols=back.symbols), words)
    else:  # the blank has another name there, or symbols that nothing names are gone
        assert ran(back, [[]]) == ran(machine, [[]])


def test_every_format_takes_some_bundled_machine():
    """And says of the others what it lacks; none of its texts is taken for another format's."""
    taken = dict.fromkeys(NAMES, 0)
    for entry in library.entries():
        machine = api.load(entry.name)
        for known in formats.FORMATS:
            text = written(known, machine)
            if text is None:
                continue
            taken[known.name] += 1
            if known.reads is None:
                with pytest.raises(FormatError, match="no machine in a format that tm2tf knows"):
                    formats.detect(text)
            else:
                assert formats.detect(text).name == known.name
    assert taken["native"] == len(list(library.entries()))
    assert min(count for name, count in taken.items() if name != "doty") >= 5


TEXTS = {
    "native": "start: A\nrules:\n  A:\n    _: 1 R B\n  B:\n    _: 1 L A\n",
    "bbchallenge": "1RB1LB_1LA1RZ\n",
    "turingmachine.io": "blank: ' '\nstart state: a\ntable:\n  a: {' ': {write: 1, R: b}}\n  b:\n",
    "morphett": "; $INITIAL_STATE: a\na _ 1 r b\na * * l a\nb * x * halt\n",
    "turingmachinesimulator.com": "init: a\naccept: b\n\na,_\nb,1,>\n\na,1\na,1,<\n",
    "doty": "states: [a, y, n]\ninput_alphabet: ['1']\ntape_alphabet_extra: []\nstart_state: a\n"
    "accept_state: y\nreject_state: n\ndelta:\n  a: {'1': [a, '1', R], _: [y, _, S]}\n",
    "jflap": '<structure><type>turing</type><automaton><state id="0" name="a"><initial/></state>'
    '<state id="1" name="b"><final/></state><transition><from>0</from><to>1</to><read/>'
    "<write>1</write><move>R</move></transition></automaton></structure>\n",
}


def test_each_text_is_known_for_what_it_is():
    assert sorted(TEXTS) == sorted(READ)
    for name, text in TEXTS.items():
        assert formats.detect(text).name == name
        assert [known.name for known in formats.FORMATS if known.looks_like(text)] == [name]
        assert formats.parse(text).transitions


@settings(max_examples=300, deadline=2000)
@given(st.one_of(st.text(max_size=200), st.binary(max_size=200)))
def test_any_text_is_a_machine_or_an_error(text):
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="surrogateescape")
    with suppress(InputError):
        formats.parse(text)
    for known in formats.FORMATS:
        known.looks_like(text)
        assert known.reads is None or said(known, text) != ""


@pytest.mark.parametrize("name", READ)
def test_spoilt_texts_are_machines_or_errors(name):
    """A bounded fuzz: characters lost, doubled, exchanged for what stands in other texts."""
    rng, known = random.Random(5), formats.by_name(name)
    spice = "".join(TEXTS.values()) + "\t\0\u2028\ufeff{}[]<>&*!|~"
    errors = 0
    for _ in range(400):
        text = list(TEXTS[name])
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(text) + 1)
            match rng.randrange(4):
                case 0:
                    del text[at : at + rng.randint(1, 8)]
                case 1:
                    text[at:at] = rng.choice(spice)
                case 2:
                    text[at:at] = text[at : at + rng.randint(1, 30)]
                case _:
                    text[at : at + 1] = rng.choice(spice)
        began = time.perf_counter()
        told = said(known, "".join(text))
        errors += told is not None
        assert told is None or "Traceback" not in told
        assert time.perf_counter() - began < 5
    assert errors > 40


@pytest.mark.parametrize("name", READ)
def test_what_is_too_long_is_refused(name):
    known, text = formats.by_name(name), TEXTS[name]
    began = time.perf_counter()
    with pytest.raises(InputError, match=r"limit|characters|columns|row"):
        known.parse(text + "_" * (MAX_CHARACTERS + 1 - len(text)))
    assert time.perf_counter() - began < LARGEST_TIME


def test_limits_can_be_raised():
    """And lowered: by the environment, which is read when formats are imported."""
    program = "from tm2tf import api; print(len(api.load('bb4').transitions))"
    for name, number, said in (
        ("TM2TF_MAX_CHARACTERS", "100", "TM2TF_MAX_CHARACTERS in the environment raises it"),
        ("TM2TF_MAX_RULES", "3", "TM2TF_MAX_RULES in the environment raises the limit"),
        ("TM2TF_MAX_RULES", "many", "TM2TF_MAX_RULES must be a whole number, got 'many'"),
        ("TM2TF_MAX_RULES", "3_000_000", None),
    ):
        ran = subprocess.run(
            [sys.executable, "-c", program], env={**os.environ, name: number},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if said is None:
            assert (ran.stdout, ran.returncode) == ("8\n", 0)
        else:
            assert said in ran.stderr
            assert ran.returncode == 1


@pytest.mark.parametrize(
    "text",
    [
        "rules: " + "[" * 100_000,
        "blank: ' '\nstart state: a\ntable: " + "{a: " * 50_000,
        "delta: " + "[" * 100_000,
        "<structure>" + "<a>" * 100_000,
        "start: A\nrules:\n  A:\n    " + "_|" * 50_000 + ": R\n",
        '{"program": ' + "[" * 100_000,
    ],
)
def test_what_is_too_deep_is_refused(text):
    with pytest.raises(InputError):
        formats.parse(text)


def test_notes_and_one_way_at_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text(TEXTS["turingmachine.io"] + "more: x\n", encoding="utf-8")
    made = CliRunner().invoke(group, ["convert", "m.yaml", "--to", "native"])
    assert made.exit_code == 0
    assert made.stderr == "note: `more` means nothing there\n"
    told = CliRunner().invoke(group, ["convert", "m.yaml", "--to", "native", "--json", "--one-way"])
    assert '"`more` means nothing there"' in told.stdout
    (tmp_path / "n.yaml").write_text(
        CliRunner().invoke(group, ["convert", "m.yaml", "--one-way", "--to", "native"]).stdout,
        encoding="utf-8",
    )
    assert api.load("n.yaml") == replace(one_way(api.load("m.yaml")), name="m")
