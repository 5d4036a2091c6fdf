"""JFLAP: written so that version 7 would read it and run the same."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jflap_runs import ran
from tests.strategies import machines
from tm2tf import api
from tm2tf.errors import InputError
from tm2tf.formats import jflap, jflap_writer
from tm2tf.machine.one_way import one_way
from tm2tf.machine.spec import Machine, Transition


@settings(max_examples=80, deadline=None)
@given(
    machine=machines(tapes=(1, 3), halting=("accept", "reject"), undefined=("reject",)),
    data=st.data(),
)
def test_there_and_back(machine, data):
    """Steps, outcome, state, tapes and heads stay; the blank alone has another name."""
    text = jflap.dump(machine)
    assert jflap.looks_like(text)
    back = jflap.parse(text, name=machine.name)
    assert jflap.dump(back) == text
    assert (back.states, back.start, back.notes) == (machine.states, machine.start, ())
    words = [
        data.draw(st.lists(st.sampled_from(machine.symbols), max_size=6))
        for _ in range(machine.tapes)
    ]
    known = {*back.symbols, machine.blank}
    words = ["".join(symbol for symbol in word if symbol in known) for word in words]
    renamed = [word.replace(machine.blank, "\u25a1") for word in words]
    outcome, steps, state, tapes = ran(machine, *words, limit=50)
    tapes = [(text.replace(machine.blank, "\u25a1"), *rest) for text, *rest in tapes]
    assert ran(back, *renamed, limit=50) == (outcome, steps, state, tapes)


def one_rule(read="a", write="a", tapes=1, blank="_", **other):
    """Return a machine of one rule."""
    rule = Transition("B", (write,) * tapes, ("S",) * tapes)
    given = {"accept": ("B",), "undefined": "reject", **other}
    return Machine(
        name="m",
        symbols=tuple(dict.fromkeys([blank, read, write])),
        blank=blank,
        states=("A", "B"),
        start="A",
        transitions={("A", (read,) * tapes): rule},
        tapes=tapes,
        **given,
    )


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        (one_rule(accept=(), halt=("B",)), "states that halt; it has only states that accept"),
        (one_rule(undefined="halt"), "undefined: halt"),
        (one_rule(tapes=6), "6 tapes; it has 5 at most"),
        (one_rule(write="ab"), "the symbol 'ab' of 'm': its symbols are one character"),
        (one_rule(write="\U0001f642"), "its symbols are one character of 16 bits"),
        (one_rule(read="~"), "'~' of 'm': it has a meaning of its own"),
        (one_rule(read="!"), "'!' of 'm': it has a meaning of its own"),
        (one_rule(read="}"), "'}' of 'm': it has a meaning of its own"),
        (one_rule(read="~", tapes=2), "'~' of 'm': it has a meaning of its own"),
        (one_rule(read="\u25a1"), "it is the blank there"),
    ],
)
def test_what_it_cannot_say(machine, message):
    with pytest.raises(InputError, match=message):
        jflap.dump(machine)


def test_what_it_can_say():
    """`!` and `}` with two tapes, a space, `<` and quotes; `undefined` where no rule is missing."""
    for symbol in "!} <&\"',":
        machine = one_rule(read=symbol, tapes=2)
        back = jflap.parse(jflap.dump(machine))
        assert ran(back, symbol, symbol)[:3] == ("accepted", 1, "B")
        assert back.notes == ()
    total = one_rule(read="_", write="_", undefined="halt")
    assert ran(jflap.parse(jflap.dump(total)), "")[:3] == ("accepted", 1, "B")
    blank = one_rule(blank="~", read="a")
    assert ran(jflap.parse(jflap.dump(blank)), "a")[:3] == ("accepted", 1, "B")


def test_limits(monkeypatch):
    """What `parse` would refuse is not written."""
    name = "B" * 201
    long = one_rule(accept=("B",))
    rules = {reads: Transition(name, to.writes, to.moves) for reads, to in long.transitions.items()}
    long = Machine(
        name="m", symbols=long.symbols, blank="_", states=("A", name), start="A",
        transitions=rules, accept=(name,), undefined="reject",
    )  # fmt: skip
    with pytest.raises(InputError, match="of 200 characters at most, got 201"):
        jflap.dump(long)
    monkeypatch.setattr(jflap_writer, "MAX_CHARACTERS", 100)
    with pytest.raises(InputError, match="characters in the format JFLAP; the limit is 100"):
        jflap.dump(one_rule())
    monkeypatch.setattr(jflap_writer, "MAX_STATES", 1)
    with pytest.raises(InputError, match="has 1 states at most"):
        jflap.dump(one_rule())


def test_places():
    """States stand in rows, no two in one place, and the text is the one that JFLAP expects."""
    text = jflap.dump(api.load("palindrome"))
    found = [line.split("<x>")[1] for line in text.splitlines() if "<x>" in line]
    assert len(set(found)) == len(found) == len(api.load("palindrome").states)
    assert jflap.dump(one_rule(tapes=2, write="_")) == (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        "<structure>\n"
        "  <type>turing</type>\n"
        "  <tapes>2</tapes>\n"
        "  <automaton>\n"
        '    <state id="0" name="A"><x>120.0</x><y>120.0</y><initial/></state>\n'
        '    <state id="1" name="B"><x>240.0</x><y>120.0</y><final/></state>\n'
        "    <transition><from>0</from><to>1</to>\n"
        '      <read tape="1">a</read><write tape="1"/><move tape="1">S</move>\n'
        '      <read tape="2">a</read><write tape="2"/><move tape="2">S</move>\n'
        "    </transition>\n"
        "  </automaton>\n"
        "</structure>\n"
    )


def test_one_way_tapes_are_refused():
    machine = one_way(one_rule())
    with pytest.raises(InputError, match="tapes that are infinite one way"):
        jflap.dump(machine)
