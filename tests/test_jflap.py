"""JFLAP: read as versions 4 to 7 run it."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import jflap_runs
from tests.jflap_runs import ran
from tm2tf import api
from tm2tf.errors import FormatError
from tm2tf.formats import bbchallenge, jflap, jflap_rules, native, native_writer, turingmachine_io
from tm2tf.machine.spec import Machine

APPEND = """\
<structure><type>turing</type><automaton>
<state id="0" name="go"><initial/></state>
<state id="1" name="fin"><final/></state>
<transition><from>0</from><to>0</to><read>1</read><write>1</write><move>R</move></transition>
<transition><from>0</from><to>1</to><read/><write>1</write><move>S</move></transition>
</automaton></structure>
"""
COPY = """\
<?xml version="1.0" encoding="UTF-8" standalone="no"?><!-- ours -->
<structure>
 <type>turing</type>
 <tapes>2</tapes>
 <automaton>
  <block id="0" name="c"><tag>Machine0</tag><x>1.0</x><y>2.0</y><initial/></block>
  <block id="1" name="d"><tag>Machine1</tag><final/></block>
  <transition>
   <from>0</from>
   <to>0</to>
   <read tape="1">a</read><write tape="1">a</write>
   <read tape="2"/><write tape="2">x</write>
  </transition>
  <transition>
   <from>0</from>
   <to>1</to>
   <read tape="2"/><read tape="1">~</read><write tape="1">~</write><move tape="1">L</move>
   <write tape="2">y</write><move tape="2">S</move>
  </transition>
  <Machine0/><Machine1/>
 </automaton>
</structure>
"""
BLOCKS = """\
<structure><type>turingbb</type><automaton>
<block id="0" name="seek"><tag>Seek</tag><initial/></block>
<block id="1" name="keep"/><block id="2" name="put"/><block id="3" name="end"><final/></block>
<transition block="true"><from>0</from><to>1</to><read>!a</read></transition>
<transition><from>1</from><to>2</to><read>b,c}w</read><write>d</write><move>R</move></transition>
<transition><from>2</from><to>3</to><read/><write>w</write><move>L</move></transition>
<Seek><block id="0" name="r"><initial/></block>
<transition><from>0</from><to>0</to><read>a</read><write>~</write><move>R</move></transition>
</Seek>
</automaton></structure>
"""
LATE = """\
<structure><type>turing</type>
<state id="0"><initial/></state><state id="1"/><state id="2"><final/></state>
<transition><from>0</from><to>0</to><read>a</read><write>b</write><move>R</move></transition>
<transition><from>0</from><to>1</to><write>c</write><move>L</move></transition>
<transition><from>1</from><to>2</to><read>!b</read><write>~</write><move>S</move></transition>
<transition><from>1</from><to>1</to><read>b</read><write>~</write><move>L</move></transition>
</structure>
"""
STEP = (
    "<transition><from>{}</from><to>{}</to><read>{}</read><write>{}</write><move>S</move>"
    "</transition>"
)


def small(states, *rules, kind="turing"):
    """Return a file with states (what is in each) and rules (of `STEP`)."""
    parts = [f'<state id="{i}" name="s{i}">{inside}</state>\n' for i, inside in enumerate(states)]
    parts += [STEP.format(*rule) + "\n" for rule in rules]
    return f"<structure><type>{kind}</type><automaton>\n{''.join(parts)}</automaton></structure>"


def test_by_hand():
    """A loop; two tapes with defaults; blocks, `!` and a variable; `!` after all others."""
    append, copy, blocks, late = map(jflap.parse, (APPEND, COPY, BLOCKS, LATE))
    assert ran(append, "11") == ("accepted", 3, "fin", [("111", 0, 2)])
    assert ran(copy, "aa", "") == ("accepted", 3, "d", [("aa", 0, 1), ("xxy", 0, 2)])
    assert ran(blocks, "aac") == ("accepted", 5, "end", [("aadc", 0, 2)])
    assert ran(late, "aa") == ("accepted", 6, "q2", [("bbc", 0, -1)])
    # b is written back into the state put, which names it; then no rule reads a
    assert ran(blocks, "ba") == ("rejected", 2, "put{w=b}", [("da", 0, 1)])
    # nothing matches: out of the block at once, and keep has no rule for the blank
    assert ran(blocks, "") == ("rejected", 1, "keep", [("", 0, 0)])
    assert set(blocks.states) == {
        "seek", "seek.r", "keep", "put", "put{w=b}", "put{w=c}", "end"
    } - {"put"}  # fmt: skip
    assert append.notes == ()
    assert append.undefined == "reject"


def test_the_same_through_weights():
    check = api.compile(jflap.parse(BLOCKS)).verify("aac")
    assert (check.outcome, check.steps, check.divergence) == ("accepted", 5, None)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), tapes=st.sampled_from([1, 1, 2, 3]))
def test_against_a_simulator_of_jflap(data, tapes):
    """Blocks, variables, `~`, `!`, order of rules: the machine runs as JFLAP runs the file."""
    graph = data.draw(jflap_runs.graphs(tapes))
    _give_initials(graph)
    machine = jflap.parse(jflap_runs.xml(graph, tapes))
    letters = "".join(set(machine.symbols) & set("abcvw\u25a1!"))
    for _ in range(3):
        words = [data.draw(st.text(letters, max_size=6)) for _ in range(tapes)]
        outcome, steps, state, found = ran(machine, *words, limit=60)
        state = state.partition("{")[0]
        assert (outcome, steps, state, found) == jflap_runs.run(graph, words, 60)


def _give_initials(graph):
    """Let every machine in a block have an initial state."""
    for node in graph.nodes:
        if node.inside is not None:
            node.inside.nodes[0].initial = True
            _give_initials(node.inside)


ERRORS = [
    ("<to>1</to>", "<to>7</to>", 5, 27, "no state has the id 7"),
    ("<to>1</to>", "<to> 1</to>", 5, 27, "<to> must be a whole number, got ' 1'"),
    ("<to>1</to>", "", 5, 1, "a transition has no <to>"),
    ("<read/>", "<read>ab</read>", 5, 37, "what is read is one character"),
    ("<read/>", "<read>\n</read>", 5, 37, "it is not printable"),
    ("<read/>", "<read>!a}w</read>", 5, 37, "`!` and `}` in one label"),
    ("<read/>", "<read>a}</read>", 5, 37, "expected symbols of one character, `}`"),
    ("<read/>", "<read>ab,c}w</read>", 5, 37, "expected symbols of one character, `}`"),
    ("<read/>", "<read>}w</read>", 5, 37, "expected symbols of one character, `}`"),
    ("<read/>", "<read>\U0001f642</read>", 5, 37, "which has symbols of one"),
    ("<read/>", '<read tape="2"/>', 5, 37, "tape 2 in a machine of 1 tape"),
    ("<read/>", "<read><![CDATA[a]]></read>", 5, 43, "a CDATA section is not read"),
    ("<read/><write>1<", "<read/><write>11<", 5, 44, "what is written is one character"),
    ("<move>S<", "<move>s<", 5, 60, "a move is L, R or S, got 's'"),
    ('id="1"', 'id="0"', 3, 1, "two states have the id 0"),
    ('id="1"', 'id="x"', 3, 1, "the id of a state must be a whole number, got 'x'"),
    ("<initial/>", "", 1, 31, "no state is initial"),
    (">turing<", "> turing<", 1, 12, "has no Turing machine in this file, but the type ' turing'"),
    (">turing<", ">fa<", 1, 12, "has no Turing machine in this file, but the type 'fa'"),
    ("</type>", "</type><tapes>6</tapes>", 1, 31, "JFLAP has 1 to 5 tapes, got 6"),
    ("</type>", "</type><tapes>x</tapes>", 1, 31, "<tapes> must be a whole number, got 'x'"),
    ("</automaton>", "</automata>", 6, 3, "not valid XML: mismatched tag"),
    ("<final/>", "<tag/>", 3, 26, "a block's <tag> is empty"),
    ("<final/>", "<tag>automaton</tag>", 3, 1, "the block 'fin' holds itself"),
    ("<structure>", "<!DOCTYPE structure><structure>", 1, None, "document type"),
    ("<structure>", "<machine><structure>", 7, 1, "not valid XML: no element"),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), ERRORS)
def test_errors_point_at_the_place(old, new, line, column, message):
    assert APPEND.count(old) == 1
    with pytest.raises(FormatError) as error:
        jflap.parse(APPEND.replace(old, new), "append.jff")
    assert message in str(error.value)
    assert error.value.line == line
    assert column is None or error.value.column == column


def test_lines_are_those_of_xml():
    """A character that only Python takes for the end of a line does not shift the excerpt."""
    text = APPEND.replace('"go"', '"g\u2028o"').replace("<to>1</to>", "<to>7</to>")
    with pytest.raises(FormatError, match=r"5 \| <transition><from>0</from><to>7</to>"):
        jflap.parse(text)


def test_entities_are_refused():
    """Even those that would only be bombs."""
    bomb = '<!DOCTYPE a [<!ENTITY b "x"><!ENTITY c "&b;&b;">]>' + APPEND.replace("go", "&c;")
    with pytest.raises(FormatError, match="entities are not read"):
        jflap.parse(bomb)
    with pytest.raises(FormatError, match="undefined entity"):
        jflap.parse(APPEND.replace("go", "&c;"))


def test_text_is_the_first_run_of_it():
    """As in JFLAP: a comment ends it, and spaces are kept."""
    text = APPEND.replace("<read>1<", "<read>1<!-- -->2<").replace("<read/>", "<read> </read>")
    assert ran(jflap.parse(text), "1 ") == ("accepted", 2, "fin", [("11", 0, 1)])


def test_names_of_states():
    """A name that is taken gets the id; one that is missing is q and the id; an element beats."""
    text = small(["<initial/>", "<name>s0</name>", "<final/>", "<name></name>"], (0, 1, "", ""))
    machine = jflap.parse(text.replace(' name="s2"', ""))
    assert machine.states == ("s0", "s0_1", "q2", "q3")
    assert machine.notes == ("states renamed, as their names were taken: s0_1",)
    assert ran(machine, "") == ("rejected", 1, "s0_1", [("", 0, 0)])


def test_the_last_initial_state_counts():
    """Blocks are read before states, and each by their ids."""
    text = small(["<initial/>", "<initial/><final/>", ""])
    machine = jflap.parse(text)
    assert machine.start == "s1"
    assert ran(machine, "") == ("accepted", 0, "s1", [("", 0, 0)])
    assert machine.notes == (
        "2 states are initial; JFLAP begins in the last one that it reads: s1",
    )
    block = text.replace('<state id="1" name="s1">', '<block id="1" name="s1">')
    block = block.replace("<final/></state>", "<final/></block>")
    assert jflap.parse(block).start == "s0"


def test_rules_that_are_never_taken():
    """Those out of final states, and those behind others that match."""
    machine = jflap.parse(
        small(
            ["<initial/>", "<final/>"],
            (0, 1, "~", "a"),
            (0, 0, "a", "b"),
            (1, 0, "a", "b"),
            (0, 1, "~", "a"),
        )
    )
    assert {state for state, _ in machine.transitions} == {"s0"}
    assert {to.state for to in machine.transitions.values()} == {"s1"}
    assert machine.notes[0].endswith("final states are never taken, and left out: line 6")
    assert machine.notes[1].endswith("so these rules never are, and are left out: line 5")
    assert "`~` and `!` also read symbols that the file does not name" in machine.notes[2]
    assert len(machine.notes) == 3


def test_labels_with_several_tapes_are_letters():
    """`!a` reads `!`, and `b}w` reads b; `~` alone has a meaning."""
    text = COPY.replace(">a</read>", ">!a</read>").replace(">~</read>", ">b}w</read>")
    machine = jflap.parse(text)
    assert ran(machine, "!b", "") == ("accepted", 2, "d", [("ab", 0, 0), ("xy", 0, 1)])
    assert machine.notes[0].endswith("of the label as it stands: line 8, line 14")


def test_states_name_only_values_that_are_needed():
    """Not those that change before they are written, nor a letter that holds itself."""
    rules = [(0, 1, "a,w}w", "~"), (1, 2, "~", "w"), (2, 3, "a}w", "w"), (3, 4, "~", "w")]
    machine = jflap.parse(small(["<initial/>", *[""] * 4], *rules))
    assert set(machine.states) == {"s0", "s1{w=a}", "s1", "s2", "s3{w=a}", "s4"}
    assert ran(machine, "w")[1:] == (2, "s2", [("w", 0, 0)])
    assert ran(machine, "a")[1:] == (4, "s4", [("a", 0, 0)])


def test_blocks():
    """Final inside a block means nothing; a final block accepts when it is entered."""
    inner = '<In><state id="0" name="r"><initial/><final/></state></In>'
    text = small(["<initial/><tag>In</tag>", "<tag>In</tag>"], (0, 1, "a", "b"))
    text = text.replace("</automaton>", inner + "</automaton>")
    machine = jflap.parse(text)
    assert machine.states == ("s0", "s0.r", "s1", "s1.r")
    assert machine.accept == ()
    assert ran(machine, "a") == ("rejected", 1, "s1", [("b", 0, 0)])
    final = jflap.parse(text.replace('name="s1">', 'name="s1"><final/>'))
    assert final.accept == ("s1",)
    assert ran(final, "a") == ("accepted", 1, "s1", [("b", 0, 0)])
    for broken, message in [
        (text.replace('r"><initial/>', 'r">'), "no state in the block 's0' is initial"),
        (text.replace("<final/>", "<tag>In</tag>"), "the block 'r' holds itself"),
    ]:
        with pytest.raises(FormatError, match=message):
            jflap.parse(broken)


def nested(depth, twice=False):
    """Return a file of blocks in blocks, each of one other, or of two."""
    body = ""
    for i in range(depth):
        tag = f"<tag>B{i + 1}</tag>" if i + 1 < depth else ""
        states = f'<state id="0" name="a"><initial/>{tag}</state>'
        states += f'<state id="1" name="b">{tag}</state>' if twice else ""
        body += f"<B{i}>{states}</B{i}>"
    text = small(["<initial/><tag>B0</tag>"])
    return text.replace("</automaton>", body + "</automaton>")


def test_limits():
    """Blocks that would grow without end, or become too many states or rules, are errors."""
    assert len(jflap.parse(nested(20)).states) == 21
    assert len(jflap.parse(nested(8, twice=True)).states) == 511
    letters = [chr(0x4E00 + i) for i in range(400)]
    many = [(0, 0, letter, letter) for letter in letters]
    wide = small(["<initial/>"], *[(0, 0, "~", "~")]).replace("</type>", "</type><tapes>3</tapes>")
    reads = "".join(f'<read tape="{i}">~</read>' for i in (1, 2, 3))
    wide = wide.replace("<read>~</read>", reads).replace(
        "</automaton>", "".join(STEP.format(*rule) for rule in many) + "</automaton>"
    )
    for text, message in [
        (nested(21), "nested deeper than 20 blocks"),
        (nested(18, twice=True), "more than 100,000 states"),
        (wide, "more than 2,000,000 rules"),
        (APPEND.replace("go", "g" * 201), "has 201 characters; the limit is 200"),
        ("<structure>" * 101, "nested deeper than 100 elements"),
        (" " * 16_000_001, "the limit is 16,000,000"),
        (small(["<initial/>"], *[(0, 0, f"a}}{chr(65 + i)}", "a") for i in range(17)]),
         "17 variables; the limit is 16"),
    ]:  # fmt: skip
        with pytest.raises(FormatError, match=message):
            jflap.parse(text)


def test_too_many_values_of_variables(monkeypatch):
    """Five variables of three values each are 243 states, and more on the way there."""
    variables = "ABCDE"
    rules = [(i, i + 1, "x,y,z}" + variable, "~") for i, variable in enumerate(variables)]
    rules += [(5 + i, 6 + i, "~", variable) for i, variable in enumerate(variables)]
    text = small(["<initial/>", *[""] * 10], *rules)
    # 1 + 3 + ... + 243 where they are set, 81 + 27 + 9 + 3 + 1 where they are written
    assert len(jflap.parse(text).states) == 364 + 121
    monkeypatch.setattr(jflap_rules, "MAX_STATES", 484)
    with pytest.raises(FormatError, match="more than 484 states once the values of variables"):
        jflap.parse(text)


def test_detection():
    """By content: the file of another format, or any other XML, is none."""
    others = ["bb4", "palindrome-2tape", "palindrome"]
    texts = [native_text(name) for name in others]
    texts += [bbchallenge.dump(api.load("bb4")), turingmachine_io.dump(api.load("1RB1LB_1LA1RZ"))]
    texts += ["", "<svg/>", "< structure", "0 1 1 r 0\n", "name: <structure>\n", "\ud800"]
    assert not any(map(jflap.looks_like, texts))
    for text in (APPEND, COPY, BLOCKS, LATE, "\ufeff" + APPEND, APPEND.replace("turing", "fa")):
        assert jflap.looks_like(text)
    assert jflap.parse("\ufeff" + APPEND) == jflap.parse(APPEND)


def native_text(name):
    text = native_writer.dump(api.load(name))
    assert native.looks_like(text)
    return text


@settings(max_examples=150, deadline=None)
@given(
    text=st.text(max_size=60)
    | st.text('<>/="! &;\nabtruinge', max_size=60)
    | st.sampled_from(["<structure", "<structure><type>turing</type>", "\ud800", "\0", "<a>\ufffe"])
)
def test_arbitrary_text(text):
    """A machine or a FormatError, nothing else."""
    with pytest.raises(FormatError):
        jflap.parse(text)
    jflap.looks_like(text)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), text=st.sampled_from([APPEND, COPY, BLOCKS, LATE]))
def test_damaged_files(data, text):
    """A piece taken out, doubled, or replaced: a machine or a FormatError, nothing else."""
    for _ in range(data.draw(st.integers(1, 3))):
        begin = data.draw(st.integers(0, len(text)))
        end = min(len(text), begin + data.draw(st.integers(0, 12)))
        given = data.draw(
            st.sampled_from(["", text[begin:end] * 2, "~", "!", "}", "<initial/>", "7", "&#9;"])
            | st.text(max_size=2)
        )
        text = text[:begin] + given + text[end:]
    jflap.looks_like(text)
    try:
        machine = jflap.parse(text)
    except FormatError:
        return
    assert isinstance(machine, Machine)
