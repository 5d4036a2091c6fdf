"""The native format: errors point at the place, and nothing gets lost on the way."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import ODD, machines, tapes
from tm2tf import formats
from tm2tf.errors import FormatError, NotFoundError
from tm2tf.formats import native, native_writer
from tm2tf.machine.sampling import sample
from tm2tf.machine.spec import Example, Expected, Tape, Transition

GOOD = """\
name: good
start: A
accept: yes
rules:
  A:
    0|1: R
    _: L B
  B:
    0: 1 L B
    "*": S yes
"""
ERRORS = [
    # what is changed in GOOD, the line and column pointed at, the message
    ("    _: L B", "    _: L C", 7, 5, "unknown state 'C'"),
    ("start: A", "start: a", 2, 8, "unknown state 'a'"),
    ("start: A", "starts: A", 2, 1, "unknown key 'starts' in the machine; did you mean 'start'?"),
    ("start: A\n", "", 1, 1, "the machine has no `start:`"),
    ("    0|1: R", "    0 1: R", 6, 5, "expected 1 symbol to read, got 2"),
    ("    0|1: R", "    0|: R", 6, 5, "one of the alternatives to read is empty"),
    ("    0|1: R", "    ? []\n    : R", 6, 7, "one of the alternatives to read is empty"),
    ("    0: 1 L B", "    0: 1 1 L B", 9, 8, "expected 1 written symbol, 1 move"),
    ("    0: 1 L B", "    0: ", 9, 7, "got 0 words"),
    ("    0: 1 L B", "    0: 1 N B", 9, 8, "unknown move 'N': expected L, S or R"),
    ("    0: 1 L B", "    0: {move: [L, L]}", 9, 15, "expected 1 of `move`, one a tape, got 2"),
    ("    0: 1 L B", "    0: {moves: L}", 9, 9, "unknown key 'moves' in an action; did you mean"),
    ("  B:", "  A:", 8, 3, "state 'A' is given twice"),
    ('    "*": S yes', "    0: R\n", 10, 5, "this rule of state 'B' is never taken"),
    ("name: good", 'symbols: ["*", _, 0, 1]', 1, 10, "'*' is the wildcard"),
    ("name: good", "symbols: [_, 0]", 6, 5, "unknown symbol '1'"),
    ("name: good", "blank: '*'", 1, 8, "blank '*' is not among the symbols"),
    ("name: good", "undefined: loop", 1, 12, "undefined is 'loop'"),
    ("name: good", "tapes: two", 1, 8, "tapes must be a whole number, got 'two'"),
    ("name: good", "tapes: 0", 1, 8, "tapes must be from 1 to 64, got 0"),
    ("name: good", "name: [a, b]", 1, 7, "name must be a single word"),
    ("accept: yes", "accept: yes\nhalt: yes", 4, 7, "'yes' is under accept and under halt"),
    ("accept: yes", "accept: [yes, A]", 6, 5, "'A' halts, yet it has a rule"),
    ("accept: yes", "accept: yes\naccept: yes", 4, 1, "key 'accept' is given twice"),
    ("    0|1: R", "    *: R", 6, 6, "not valid YAML"),
    ("    0|1: R", "    0: [R", 7, 6, "not valid YAML"),
    ("    0|1: R", "    0: ! R", 6, 8, "a YAML tag (!) is not allowed here"),
    ("    0|1: R", "    0: &x R", 6, 8, "a YAML anchor (&) is not allowed here"),
    ("    0|1: R", "    #: R", 6, 5, "this rule is a comment to YAML"),
    ("    0|1: R", "    \x07: R", 6, 5, r"the character '\x07' is not allowed in YAML"),
    ("rules:", "examples: none\nrules:", 4, 11, "examples must be a list"),
]
EXAMPLE_ERRORS = [
    # `^` stands before the place pointed at
    ("{input: 1, max_steps: ^-1, steps: 1}", "max_steps must be 0 or more, got -1"),
    ("{input: ^12, steps: 1}", "symbol '2' on tape 0 is not in the alphabet"),
    ("{input: ^[1, 1], steps: 1}", "2 inputs given"),
    ("{input: 1, outcome: ^stopped}", "unknown outcome 'stopped'"),
    ("{input: 1, state: ^C}", "unknown state 'C'"),
    ("{input: 1, ^step: 1}", "unknown key 'step' in an example; did you mean 'steps'?"),
    ("{input: 1, steps: ^few}", "steps must be a whole number"),
    ("{input: 1, tapes: ^[1, 1]}", "expected at most 1 tape, got 2"),
    ("{input: {^content: 1}, steps: 1}", "unknown key 'content' in an input"),
]


def check(text, line, column, message):
    with pytest.raises(FormatError) as caught:
        native.parse(text, "a.yaml")
    error = caught.value
    assert message in error.message
    assert (error.line, error.column) == (line, column)
    place, shown, caret = str(error).splitlines()[:3]
    assert place.startswith(f"a.yaml:{line}:{column}: ")
    assert shown[8:] == text.splitlines()[line - 1]
    assert caret == " " * 6 + "| " + " " * (column - 1) + "^"


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), ERRORS)
def test_native_errors(old, new, line, column, message):
    assert old in GOOD
    check(GOOD.replace(old, new, 1), line, column, message)


@pytest.mark.parametrize(("example", "message"), EXAMPLE_ERRORS)
def test_native_errors_in_examples(example, message):
    text = f"{GOOD}examples:\n  - {example.replace('^', '')}\n"
    check(text, 12, 5 + example.index("^"), message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        ("- A", "must be a mapping"),
        ("rules", "must be a mapping"),
        ("start: A\nrules: [A]", "rules must be a mapping"),
        ("start: A\nrules:\n  A: R", "state 'A' must be a mapping"),
        ("start: A\nrules: {A: }\n--- 1", "not valid YAML"),
        ("a: " + "[" * 5000, "nested too deep"),
    ],
)
def test_not_a_machine(text, message):
    with pytest.raises(FormatError, match=message):
        native.parse(text)


def test_too_many_rules():
    reads, moves = ", ".join(["'*'"] * 11), ", ".join("S" * 11)
    text = f"start: A\ntapes: 11\nsymbols: [_, 0, 1, 2]\nrules: {{A: {{? [{reads}] : [{moves}]}}}}"
    with pytest.raises(FormatError, match="more than 2,000,000 rules"):
        native.parse(text)


TWO_TAPES = """\
tapes: 2
start: A
halt: done
rules:
  A:
    0 _: R S              # moves alone
    1|_ 0: L R B          # moves and the next state
    "* 1": 1 * S S done   # `*` writes what was read
    [[a, b], _]: {write: [0, "*"]}
  B:
"""


def test_short_and_long_rules():
    machine = native.parse(TWO_TAPES)
    assert machine.symbols == ("_", "0", "1", "a", "b")
    assert machine.states == ("A", "B", "done")
    assert machine.transitions == {
        ("A", ("0", "_")): Transition("A", ("0", "_"), ("R", "S")),
        ("A", ("1", "0")): Transition("B", ("1", "0"), ("L", "R")),
        ("A", ("_", "0")): Transition("B", ("_", "0"), ("L", "R")),
        **{("A", (s, "1")): Transition("done", ("1", "1"), ("S", "S")) for s in machine.symbols},
        ("A", ("a", "_")): Transition("A", ("0", "_"), ("S", "S")),
        ("A", ("b", "_")): Transition("A", ("0", "_"), ("S", "S")),
    }


def test_the_first_rule_that_matches_is_taken():
    machine = native.parse('start: A\nrules: {A: {0: 1 R A, "*": L}}')
    assert machine.transitions["A", ("0",)].writes == ("1",)
    assert machine.transitions["A", ("1",)] == Transition("A", ("1",), ("L",))


def test_scalars_stay_text():
    machine = native.parse(
        "start: no\nblank: 0\nrules: {no: {0: 1e3 R null, 1e3: R 007}, null: , 007: }"
    )
    assert machine.states == ("no", "null", "007")
    assert machine.symbols == ("0", "1e3")


def test_examples():
    text = (
        TWO_TAPES
        + """\
examples:
  - input: ["01", {contents: "1 _", origin: -2, head: 1}]
    note: a note
    outcome: halted
    state: done
    steps: 1,000
    nonblank: 3
    tapes: ["*", [a, "1"]]
    max_steps: 2_000
  - {tape: ""}
"""
    )
    first, second = native.parse(text).examples
    assert first == Example(
        (Tape(("0", "1")), Tape(("1", "_"), -2, 1)),
        Expected("halted", "done", 1000, 3, (None, ("a", "1"))),
        "a note",
        2000,
    )
    assert second == Example((Tape(), Tape()), Expected(tapes=((),)))


@st.composite
def with_examples(draw, machine):
    """Return the machine with random examples and texts."""
    texts = st.text(max_size=8)
    words = st.lists(st.sampled_from(machine.symbols), max_size=4).map(tuple)
    counts = st.none() | st.integers(0, 10**6)
    expected = st.builds(
        Expected,
        outcome=st.sampled_from(["halted", "accepted", "rejected", "step-limit"]),
        state=st.none() | st.sampled_from(machine.states),
        steps=counts,
        nonblank=counts,
        tapes=st.none() | st.lists(st.none() | words, max_size=machine.tapes).map(tuple),
    )
    example = st.builds(
        Example,
        tapes=st.tuples(*[tapes(machine.symbols)] * machine.tapes),
        expected=expected,
        note=texts,
        max_steps=counts,
    )
    examples = tuple(draw(st.lists(example, max_size=2)))
    return replace(machine, description=draw(texts), source=draw(texts), examples=examples)


@settings(max_examples=150, deadline=None)
@given(st.one_of(machines(words=ODD), machines()).flatmap(with_examples))
def test_native_round_trip(machine):
    again = native.parse(native_writer.dump(machine))
    assert again == machine
    assert again.examples == machine.examples


def test_dump_is_readable():
    assert native_writer.dump(native.parse(GOOD)).splitlines()[8:] == [
        "  A:",
        "    0: 0 R A",
        "    1: 1 R A",
        "    _: _ L B",
        "  B:",
        "    0: 1 L B",
        "    _: _ S yes",
        "    1: 1 S yes",
    ]


def test_formats_are_told_apart():
    assert formats.detect(GOOD).name == "native"
    assert formats.detect("1RB1LB_1LA1RZ\n").name == "bbchallenge"
    assert formats.parse("1RB1LB_1LA1RZ").name == "1RB1LB_1LA1RZ"
    assert formats.parse("start: A\nrules: {A: }", name="given").name == "given"
    with pytest.raises(FormatError, match="no machine in a format that tm2tf knows"):
        formats.detect("hello")


def test_formats_by_name():
    assert [formats.by_name(known.name) for known in formats.FORMATS] == list(formats.FORMATS)
    with pytest.raises(NotFoundError, match="did you mean 'native'"):
        formats.by_name("nativ")


@pytest.mark.parametrize("number", range(20))
def test_an_example_that_states_no_result_is_kept(number):
    machine = sample(3, number)
    again = native.parse(native_writer.dump(machine))
    assert (again, again.examples) == (machine, machine.examples)
