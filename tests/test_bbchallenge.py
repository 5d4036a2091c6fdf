"""bbchallenge codes: what they say, what they cannot say, and where a wrong one goes wrong."""

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf.errors import FormatError
from tm2tf.formats import bbchallenge, native, native_writer
from tm2tf.machine.simulator import run
from tm2tf.machine.spec import Transition

BB2 = "1RB1LB_1LA1RZ"


@pytest.mark.parametrize(
    "code",
    [
        BB2,
        "1RB1LC_1RC1RB_1RD0LE_1LA1LD_1RZ0LA",
        "1RB2LA1RA1RA_1LB1LA3RB1RZ",
        "1RB---_1LA0LB",
        "------_------",
        "---",
        "0RA",
        "1RB1RZ_1LA1RY",
        "_".join(["9RA" * 10] * 25),
    ],
)
def test_codes_come_back(code):
    assert bbchallenge.dump(bbchallenge.parse(code)) == code
    assert native.parse(native_writer.dump(bbchallenge.parse(code))) == bbchallenge.parse(code)


def test_what_a_code_says():
    machine = bbchallenge.parse(f"  {BB2}\n")
    assert (machine.name, machine.start, machine.blank) == (BB2, "A", "0")
    assert (machine.states, machine.halt) == (("A", "B", "Z"), ("Z",))
    assert machine.transitions["A", ("1",)] == Transition("B", ("1",), ("L",))
    assert machine.transitions["B", ("1",)] == Transition("Z", ("1",), ("R",))


@pytest.mark.parametrize(("code", "steps"), [(BB2, 6), ("1RB1LB_1LA---", 5)])
def test_an_undefined_transition_is_no_step(code, steps):
    machine = bbchallenge.parse(code)
    ended = run(machine, machine.initial())
    assert (ended.outcome, ended.steps) == ("halted", steps)


def test_more_than_two_symbols():
    machine = bbchallenge.parse("1RB2LB1RZ_2LA2RB1LB", name="bb2x3")
    assert machine.name == "bb2x3"
    assert machine.symbols == ("0", "1", "2")
    ended = run(machine, machine.initial())
    assert (ended.steps, ended.configuration.tapes[0].nonblank("0")) == (38, 9)


@pytest.mark.parametrize(
    ("code", "column", "message"),
    [
        ("", 1, "row 1 has 0 characters; expected a multiple of 3"),
        ("1RB1L_1LA1RZ", 1, "row 1 has 5 characters; expected a multiple of 3"),
        ("1RB1LB_1LA", 8, "row 2 has 3 characters; expected 6, like the first"),
        ("1RB1LB__1LA1RZ", 8, "row 2 has 0 characters"),
        ("1RB1LB_1LA1RZ_", 15, "row 3 has 0 characters"),
        ("1RB1LB_1LA2RZ", 11, "unknown symbol '2': expected one of 0, 1"),
        ("1RB1LB_1LA1SZ", 12, "unknown move 'S': expected L or R"),
        ("1RB1LB_1LA1Rz", 13, "unknown state 'z': expected a letter A to Z"),
        ("1RB1LB_1LA--Z", 11, "unknown symbol '-'"),
        ("1RA" * 11, 31, "11 symbols; the format has digits for 10"),
        ("_".join(["1RA1RA"] * 26), 176, "26 states; the format has letters for 25 and a halt"),
    ],
)
def test_wrong_codes(code, column, message):
    with pytest.raises(FormatError) as caught:
        bbchallenge.parse(code, "a.txt")
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, column)
    assert str(caught.value).startswith(f"a.txt:1:{column}: ")


@pytest.mark.parametrize(
    ("text", "is_code"),
    [
        (BB2, True),
        ("1RB---_1LA0LB\n", True),
        ("---", True),
        ("hello", False),
        ("BB2", False),
        ("", False),
        ("name: x\nrules:\n", False),
    ],
)
def test_looks_like(text, is_code):
    assert bbchallenge.looks_like(text) == is_code


MACHINE = bbchallenge.parse(BB2)


@pytest.mark.parametrize(
    ("change", "feature"),
    [
        ({"tapes": 2, "transitions": {}}, "2 tapes (a code has one)"),
        ({"halt": (), "accept": ("Z",)}, "accepting or rejecting states"),
        ({"halt": (), "reject": ("Z",)}, "accepting or rejecting states"),
        ({"undefined": "reject"}, "undefined transitions that reject"),
        ({"start": "Z"}, "a start state that halts"),
        ({"states": ("Z",), "start": "Z", "transitions": {}}, "no state that runs"),
        ({"symbols": tuple("0123456789a")}, "11 symbols (a code has at most 10)"),
        (
            {"states": ("A", "B", "Z", *map(str, range(24)))},
            "26 states (a code has at most 25)",
        ),
        (
            {"states": ("A", "B", "Z", *map(str, range(30))), "halt": tuple(map(str, range(30)))},
            "more states and halting states than letters",
        ),
        (
            {"transitions": {("A", ("1",)): Transition("A", ("1",), ("S",))}},
            "a head that stays (state 'A', symbol '1')",
        ),
    ],
)
def test_what_a_code_cannot_say(change, feature):
    with pytest.raises(FormatError) as caught:
        bbchallenge.dump(replace(MACHINE, **change))
    assert caught.value.message == f"a bbchallenge code cannot say: {feature}"


def test_names_become_letters_and_digits():
    text = """
        start: go
        halt: done
        blank: _
        rules: {back: {_: x R done, x: L}, go: {_: x R back}}
    """
    assert bbchallenge.dump(native.parse(text)) == "1RB---_1RZ1LB"


@settings(deadline=None)
@given(
    machines(tapes=(1, 1), moves="LR", halting=("halt",), undefined=("halt",)),
    st.integers(0, 30),
)
def test_a_dumped_machine_runs_the_same(machine, limit):
    """Renaming changes no outcome, no step count and no number of marks."""
    assume(machine.start not in machine.halt)
    renamed = bbchallenge.parse(bbchallenge.dump(machine))
    ours, theirs = run(machine, machine.initial(), limit), run(renamed, renamed.initial(), limit)
    assert (ours.outcome, ours.steps) == (theirs.outcome, theirs.steps)
    assert ours.configuration.tapes[0].nonblank(machine.blank) == (
        theirs.configuration.tapes[0].nonblank("0")
    )
