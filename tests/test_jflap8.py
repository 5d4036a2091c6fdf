"""JFLAP 8: its own files, of which those are read that run here as they run there."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.jflap_runs import ran
from tm2tf import api
from tm2tf.errors import FormatError
from tm2tf.formats import jflap
from tm2tf.machine.spec import Machine, Tape

APPEND = """\
<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<structure type="editor_panel">
<structure type="transition_graph">
<structure mode="Default mode" type="turing">
<tapes>1</tapes>
<structure type="transition_set">
<transition>
<from><name>go</name><id>0</id></from><to><name>go</name><id>0</id></to>
<read0>one</read0><write0>one</write0><move0>R</move0><tapes>1</tapes>
</transition>
<transition>
<from><name>go</name><id>0</id></from><to><name>fin</name><id>1</id></to>
<write0>one</write0><move0>S</move0><read0>\u25a1</read0><tapes>1</tapes>
</transition>
</structure>
<structure type="state_set">
<state><name>go</name><id>0</id></state><state><name>fin</name><id>1</id></state>
</structure>
<structure type="start_state"><state><name>go</name><id>0</id></state></structure>
<structure type="final_states"><state><name>fin</name><id>1</id></state></structure>
<structure type="blank_symbol"><value>\u25a1</value></structure>
<structure type="tape_alph"><symbol>~</symbol><symbol>one</symbol></structure>
</structure>
<state_point_map><state_point/></state_point_map>
</structure>
</structure>
"""
COPY = """\
<structure type="turing"><tapes>2</tapes>
<structure type="state_set">
<state><name>c</name><id>3</id></state><state><name>d</name><id>4</id></state></structure>
<structure type="start_state"><state><name>c</name><id>3</id></state></structure>
<structure type="final_states"><state><name>d</name><id>4</id></state></structure>
<structure type="transition_set">
<transition><from><name>c</name><id>3</id></from><to><name>c</name><id>3</id></to><tapes>2</tapes>
<read0>a</read0><read1>\u25a1</read1><write0>a</write0><write1>x</write1>
<move0>R</move0><move1>Right</move1></transition>
<transition><from><name>c</name><id>3</id></from><to><name>d</name><id>4</id></to><tapes>2</tapes>
<read0>\u25a1</read0><read1>\u25a1</read1><write0>\u25a1</write0><write1>y</write1>
<move0>L</move0><move1>S</move1></transition>
</structure></structure>
"""


def test_by_hand():
    """Symbols of several characters; two tapes, and the blank that is not named."""
    append, copy = jflap.parse(APPEND), jflap.parse(COPY)
    assert jflap.looks_like(APPEND)
    assert append.symbols == ("\u25a1", "~", "one")
    check = api.compile(append).verify(Tape(("one", "one")))
    assert (check.outcome, check.steps, check.divergence) == ("accepted", 3, None)
    assert ran(append, ["one", "one"]) == ("accepted", 3, "fin", [("oneoneone", 0, 2)])
    # `~` is a symbol like any other, without a rule
    assert ran(append, "~")[:3] == ("rejected", 0, "go")
    assert ran(copy, "aa", "") == ("accepted", 3, "d", [("aa", 0, 1), ("xxy", 0, 2)])


ERRORS = [
    (' type="turing"', ' type="block_tm"', 4, "building blocks of JFLAP 8 are not read"),
    (' type="turing"', ' type="fsa"', 2, "but: editor_panel, transition_graph, fsa"),
    ("<structure mode", "<tape><structure mode", 25, "not valid XML: mismatched tag"),
    ("<tapes>1</tapes>\n<structure", "<structure", 4, "a <structure> has no <tapes>"),
    ("<tapes>1</tapes>\n<structure", "<tapes>0</tapes>\n<structure", 4, "expected 1 to 100 tapes"),
    ("<tapes>1</tapes>\n<structure", "<tapes>2</tapes>\n<structure", 7, "a rule for 1 tapes in"),
    ("<read0>one</read0>", "", 7, "a <transition> has no <read0>"),
    ("<read0>one</read0>", "<read0/>", 9, "<read0> holds no symbol, but ''"),
    ("<move0>R", "<move0>r", 9, "a move is L, R or S, got 'r'"),
    ("<read0>\u25a1", "<read0>one", 11, "state 'go' has two rules for 'one'"),
    ('"start_state"', '"begin"', 4, "the machine has no start state"),
    ("</from><to><name>fin", "</from><to><name>fn", 12, "no state has the id 1 and the name 'fn'"),
    ("<state><name>fin</name><id>1</id></state>\n", "<state><name>a</name><id>0</id></state>\n",
     17, "two states have the id 0"),
    ('final_states"><state><name>fin</name><id>1', 'final_states"><state><name>go</name><id>0',
     7, "the final state 'go' has a rule: JFLAP 8 goes on there"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "message"), ERRORS)
def test_errors_point_at_the_place(old, new, line, message):
    assert APPEND.count(old) == 1
    with pytest.raises(FormatError) as error:
        jflap.parse(APPEND.replace(old, new), "append.jff")
    assert message in str(error.value)
    assert error.value.line == line


def test_names_and_repeated_rules():
    """A name that is taken gets the id; the same rule twice is one."""
    machine = jflap.parse(COPY.replace(">d<", ">c<"))
    assert machine.states == ("c", "c_4")
    assert machine.notes == ("states renamed, as their names were taken: c_4",)
    assert ran(machine, "a", "")[:3] == ("accepted", 2, "c_4")
    begin, end = COPY.index("<transition>"), COPY.index("</transition>") + len("</transition>")
    twice = COPY[:end] + COPY[begin:end] + COPY[end:]
    assert jflap.parse(twice) == jflap.parse(COPY)


def test_its_own_shape_is_written_as_that_of_version_7():
    text = jflap.dump(jflap.parse(COPY))
    assert "<type>turing</type>" in text
    assert ran(jflap.parse(text), "aa", "") == ran(jflap.parse(COPY), "aa", "")


@settings(max_examples=200, deadline=None)
@given(data=st.data(), text=st.sampled_from([APPEND, COPY]))
def test_damaged_files(data, text):
    """A piece taken out, doubled, or replaced: a machine or a FormatError, nothing else."""
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text)))
        end = min(len(text), begin + data.draw(st.integers(0, 12)))
        piece = data.draw(st.sampled_from(["", text[begin:end] * 2, "7", "&#9;", "turing"]))
        text = text[:begin] + piece + text[end:]
    try:
        machine = jflap.parse(text)
    except FormatError:
        return
    assert isinstance(machine, Machine)
