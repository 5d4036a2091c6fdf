"""turingmachinesimulator.com: read as its script of 2017 runs it, written so that it would."""

import random
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api
from tm2tf.errors import FormatError, InputError
from tm2tf.formats import bbchallenge, lines, morphett, native, turingmachine_io
from tm2tf.formats import turingmachinesimulator as site
from tm2tf.machine.one_way import one_way
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine, Tape, Transition

COPY = "name: m1\ninit: go\naccept: fin\ngo,1\ngo,1,>\n\ngo,_\nfin,1,-\n"
ALL = """\
// a comment
NAME: all  of it // named
init : s     // the start
accept: ok, yes
s,a,_,_   // what is read
s,a,x,_,>,>,-   // what is done

s,b,_,_
  // a comment between the halves

s,b,_,y,>,-,<
s , _ , _ , _\r
ok,_,_,_,-,<,>
"""
AGAIN = """\
init: p
accept: q
p,a
q,b,>
q,a
q,c,>
"""


def there(text, words, limit=100):
    """Return steps, state, whether it accepts, tapes and heads, as the script finds them."""
    found, fields = [], {}
    for line in text.splitlines():
        code = "".join(line.split()).split("//")[0]
        key, colon, value = code.partition(":")
        if colon and key.lower() in ("init", "accept", "name"):
            fields[key.lower()] = value
        elif code:
            found.append(code)
    rules = dict(zip(found[::2], found[1::2], strict=True))
    k = found[0].count(",")
    cells = [dict(enumerate(word)) for word in words] + [{} for _ in range(k - len(words))]
    heads, state, steps = [0] * k, fields["init"], 0
    while steps < limit:
        reads = [tape.get(head, "_") for tape, head in zip(cells, heads, strict=True)]
        rule = rules.get(",".join([state, *reads]))
        if rule is None:
            accepts = state in fields["accept"].split(",")
            return steps, state, accepts, list(map(trimmed, cells)), heads
        state, *rest = rule.split(",")
        for i in range(k):
            cells[i][heads[i]] = rest[i]
            heads[i] += {"<": -1, ">": 1, "-": 0}[rest[k + i]]
        steps += 1
    accepts = state in fields["accept"].split(",") or None  # which has no rules
    return steps, state, accepts, list(map(trimmed, cells)), heads


def here(machine, words, limit=100):
    """Return the same of the machine that was read."""
    simulation = Simulation(machine, machine.initial([Tape(tuple(word)) for word in words]))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    accepts = {"accepted": True, "rejected": False, None: None}[simulation.outcome]
    cells = [trimmed(tape, machine.blank) for tape in simulation.cells]
    return simulation.steps, simulation.state, accepts, cells, simulation.heads


def trimmed(cells, blank="_"):
    return {at: symbol for at, symbol in cells.items() if symbol != blank}


def test_by_hand():
    """The runs that were worked out by hand: steps, end, tapes and heads."""
    machine = site.parse(COPY, "copy.txt", "copy")
    assert (machine.name, machine.start, machine.accept) == ("m1", "go", ("fin",))
    assert here(machine, ["11"]) == (3, "fin", True, [dict(enumerate("111"))], [2])
    machine = site.parse(ALL)
    assert (machine.name, machine.tapes, machine.accept) == ("all of it", 3, ("ok", "yes"))
    tapes = [{0: "a", 1: "b"}, {0: "x"}, {0: "y"}]
    assert here(machine, ["ab"]) == (3, "ok", True, tapes, [2, 0, 0])
    assert here(machine, ["_b"]) == (1, "ok", True, [{1: "b"}, {}, {}], [0, -1, 1])
    assert here(machine, ["x"]) == (0, "s", False, [{0: "x"}, {}, {}], [0, 0, 0])
    check = api.compile(machine).verify("ab")
    assert (check.outcome, check.steps, check.divergence) == ("accepted", 3, None)


def test_states_that_accept_and_have_rules():
    """Whether a run goes on from there is not certain, so it is refused."""
    with pytest.raises(FormatError, match="state 'q' accepts, and has a rule") as error:
        site.parse(AGAIN)
    assert error.value.line == 5
    assert there(AGAIN, ["aa"])[0] == 2  # by the script; 1 where entering `q` ends it


@st.composite
def texts(draw):
    """Return texts of some rules over a, b and the blank; states 0 to 3, of which 3 accepts."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    k = draw(st.integers(1, 3))
    rows = ["init: 0", "accept: 3, none"]
    keys = list(product("012", product("ab_", repeat=k)))
    for state, reads in rng.sample(keys, draw(st.integers(1, min(20, len(keys))))):
        moves, writes = rng.choices("<>-", k=k), rng.choices("ab_", k=k)
        half = ",".join([state, *reads])
        if half not in rows:
            rows += [half, ",".join([rng.choice("0123"), *writes, *moves])]
    return "\n".join([*rows, "0" + ",z" * k, "3" + ",_" * k + ",-" * k])


@settings(max_examples=150, deadline=None)
@given(text=texts(), word=st.text("ab_", max_size=6), other=st.text("ab_", max_size=3))
def test_runs_as_there(text, word, other):
    """Also what the text of `dump` would do there."""
    machine = site.parse(text)
    words = [
        "".join(symbol for symbol in given if symbol in machine.symbols)
        for given in [word, other, ""][: machine.tapes]
    ]
    assert here(machine, words) == there(text, words)
    written = site.dump(machine)
    assert site.looks_like(text)
    assert site.looks_like(written)
    assert there(written, words) == there(text, words)
    assert site.dump(site.parse(written)) == written


SYMBOLS = st.sampled_from(["_", "0", "1", "b", " ", "é", "/", ":", "'"])


@settings(max_examples=80, deadline=None)
@given(
    machine=machines(
        (1, 3), (2, 4), (2, 3), words=SYMBOLS, halting=("accept", "reject"), undefined=("reject",)
    ),
    data=st.data(),
)
def test_there_and_back(machine, data):
    """Runs stay what they are, but for the name of the blank."""
    named = {state for state, _ in machine.transitions} | {
        to.state for to in machine.transitions.values()
    }
    odd = [symbol for symbol in machine.symbols if symbol in "_ " and symbol != machine.blank]
    colon = ":" in (machine.start, *machine.accept)
    lost = machine.start not in (*named, *machine.accept)
    if odd or colon or lost or " " in machine.states or not machine.transitions:
        with pytest.raises(InputError, match=r"simulator.com cannot say what"):
            site.dump(machine)
        return
    text = site.dump(machine)
    back = site.parse(text, "x.txt", machine.name)
    assert site.looks_like(text)
    assert site.dump(back) == text
    assert back.name == machine.name
    symbol = {word: "_" if word == machine.blank else word for word in machine.symbols}
    words = data.draw(
        st.lists(
            st.lists(st.sampled_from(machine.symbols), max_size=5),
            min_size=machine.tapes,
            max_size=machine.tapes,
        )
    )
    other = [[symbol[word] for word in tape] for tape in words]
    if all(set(tape) <= set(back.symbols) for tape in other):
        steps, state, accepts, cells, heads = here(machine, words)
        cells = [{at: symbol[word] for at, word in tape.items()} for tape in cells]
        assert here(back, other) == (steps, state, accepts, cells, heads)


ERRORS = [
    # what is changed in ALL, the line and column pointed at, the message
    ("init : s ", "in : s ", 3, 1, "a rule's first line is a state and 1 to 3 symbols, got no"),
    ("init : s     // the start", "", 1, 1, "the machine has no `init:`"),
    ("accept: ok, yes", "", 1, 1, "the machine has no `accept:`"),
    ("accept: ok, yes", "accept: // none", 4, 1, "`accept:` names no state"),
    ("accept: ok, yes", "accept: ok, s", 5, 1, "state 's' accepts, and has a rule"),
    ("accept: ok, yes", "accept: o\x07k", 4, 1, r"'o\x07k' cannot be the name of a state"),
    ("init : s ", "init: r ", 3, 1, "unknown state 'r'"),
    ("init : s ", "init: s,t ", 3, 1, "`init:` names one state, got 's,t'"),
    ("s,a,_,_   ", "s,a,_,_,_  ", 5, 9, "1 to 3 symbols, got 4"),
    ("s,a,_,_   ", ",a,_,_  ", 5, 1, "a rule begins with a state"),
    ("s,a,_,_   ", "s,a,,_  ", 5, 5, "a symbol read is one character, got ''"),
    ("s,a,_,_   ", "s,aa,_,_  ", 5, 3, "a symbol read is one character, got 'aa'"),
    ("s,b,_,_\n", "s,b,_\n", 8, 5, "expected 3 symbols to read, as in the first rule, got 2"),
    ("s,b,_,y,>,-,<", "s,b,_,y,>,-", 11, 11, "expected 7 fields, got 6"),
    ("s,b,_,y,>,-,<", "s,b,_,y,>,-,<,<", 11, 15, "expected 7 fields, got 8"),
    ("s,b,_,y,>,-,<", "s,b,_,y,>,r,<", 11, 11, "a move is <, > or -, got 'r'"),
    ("s,b,_,y,>,-,<", "s,b,🙂,y,>,-,<", 11, 5, "a symbol written cannot be '🙂'"),
    ("s , _ , _ , _", "s , a , _ , _", 12, 1, "a second rule for state 's' reading a,_,_"),
    ("ok,_,_,_,-,<,>", "", 12, 1, "this rule has no second line"),
]


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), ERRORS)
def test_errors_point_at_the_place(old, new, line, column, message):
    assert ALL.count(old) == 1
    with pytest.raises(FormatError) as error:
        site.parse(ALL.replace(old, new), "all.txt")
    assert message in str(error.value)
    assert (error.value.line, error.value.column) == (line, column)


def test_what_is_said_twice():
    """The same rule again is ignored; of `init:` and `accept:` the last counts."""
    text = COPY + "go,1\ngo , 1, > // again\ninit: fin\nACCEPT: go2,go2,,\n"
    machine = site.parse(text)
    assert len(machine.transitions) == 2
    assert (machine.start, machine.accept) == ("fin", ("go2",))
    assert here(machine, ["1"]) == (0, "fin", False, [{0: "1"}], [0])
    assert machine.notes == (
        "`init:` of line 11 replaces that of line 2",
        "`accept:` of line 12 replaces that of line 3",
    )
    assert site.parse(COPY.replace("\n", "\r")) == site.parse(COPY)
    assert site.parse(COPY.replace("name: m1", "name: a:b")).name == "a"
    assert site.parse(COPY.replace("name: m1", "name:"), "x", "given").name == "given"


def test_rules_missing_altogether():
    with pytest.raises(FormatError, match="the machine has no rules"):
        site.parse("init: a\naccept: a\n")
    machine = site.parse("init: a\naccept: a\nb,1\na,1,-")
    assert here(machine, ["1"]) == (0, "a", True, [{0: "1"}], [0])


def test_too_large(monkeypatch):
    with pytest.raises(FormatError, match="characters; the limit is 16,000,000"):
        site.parse("/" * (lines.MAX_CHARACTERS + 1))
    with pytest.raises(FormatError, match="got 1000000 symbols"):
        site.parse("a" + ",1" * 10**6)
    monkeypatch.setattr(site, "MAX_RULES", 1)
    with pytest.raises(FormatError, match="more than 1 rules") as error:
        site.parse(COPY)
    assert error.value.line == 7


RULES = {("A", ("0",)): Transition("B", ("1",), ("R",))}
SMALL = Machine("m", ("0", "1"), "0", ("A", "B"), "A", RULES, accept=("B",), undefined="reject")


def replaced(**changes):
    given = {name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__}
    return Machine(**(given | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"undefined": "halt"}, "undefined: halt, for where no rule matches"),
        ({"undefined": "accept"}, "undefined: accept, for where no rule matches"),
        (
            {"accept": (), "halt": ("B",)},
            "states that halt; it has only states that accept or reject",
        ),
        ({"transitions": {}, "start": "B"}, "no rules"),
        ({"symbols": ("0", "1", ",")}, "a symbol ','; symbols are"),
        ({"symbols": ("0", "1", "_")}, "a symbol '_' that is not the blank"),
        ({"symbols": ("0", "1", "ab")}, "a symbol 'ab'; symbols are"),
        ({"states": ("A", "B", "a b")}, "a state 'a b'; the names"),
        ({"states": ("A", "B", "a,b")}, "a state 'a,b'; the names"),
        ({"states": ("A", "B", "a//b")}, "a state 'a//b'; the names"),
        ({"states": ("A", "B", "Init:b")}, "a state 'Init:b'; the names"),
        ({"states": ("A", "B", "a:"), "accept": ("B", "a:")}, "a state 'a:'; `:` ends its name"),
        ({"states": ("A", "B", "C"), "start": "C"}, "a start state, 'C', that no rule names"),
    ],
)
def test_what_it_cannot_say(changes, message):
    assert site.parse(site.dump(SMALL)).accept == ("B",)
    with pytest.raises(InputError, match=message):
        site.dump(replaced(**changes))


def test_what_it_cannot_say_of_tapes():
    with pytest.raises(InputError, match="tapes that are infinite one way"):
        site.dump(one_way(SMALL))
    rule = {("A", ("0",) * 4): Transition("B", ("1",) * 4, ("R",) * 4)}
    with pytest.raises(InputError, match="4 tapes; it has 3 at most"):
        site.dump(replaced(tapes=4, transitions=rule))


def test_where_nothing_accepts():
    """`accept:` needs a state, so it names one that no run is in; `undefined` may not matter."""
    loop = {("A", (read,)): Transition("A", (read,), ("S",)) for read in "01"}
    made = replaced(
        states=("A", "accept"), transitions=loop, accept=(), reject=("accept",), undefined="halt"
    )
    text = site.dump(made)
    assert "\naccept: accept'\n" in text
    assert here(site.parse(text), ["1"])[:3] == (100, "A", None)
    assert site.dump(site.parse(text)) == text
    assert "name" not in site.dump(replaced(name="a: b"))
    ended = replaced(states=("A", "B", "C"), accept=("B", "C"), start="C")
    assert here(site.parse(site.dump(ended)), [""])[:3] == (0, "C", True)


OTHERS = [
    "rules:\n  init:\n    0: R accept\n  accept: {0: R}\nq,1\nq,1,>",
    "name: x\nstart: A\naccept: yes\nsymbols: [_, 0, 1]\nrules:\n  A:\n    0: 1 R A\n",
    "name: x\naccept: [a]\nstart: init\nrules:\n  init:\n    0,1: R\n",
    "input: '1'\nblank: ' '\nstart state: init\ntable:\n  init: {1: R}\n  a,b:\n",
    "1RB1LB_1LA1RZ",
    "; $INITIAL_STATE: init:\ninit: 1 1 r init:\na , 1 l b\n",
    "<structure><type>turing</type>\n<automaton>\ninit: a\nq,1\n</automaton></structure>",
    "states: [f, qA, qR]\ndelta:\n  f: {'0': [f, '1', R]}\n",
    "states = {f, qA}\ndelta =\nf, 0 -> f, 1, R;\n",
    '{"init": "a", "accept": "b"}',
    "q,1\nq,1,>",
    "init: q",
    "",
]


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_do_not_look_like_it(text):
    assert not site.looks_like(text)


@pytest.mark.parametrize(
    "text", [COPY, ALL, AGAIN, "//c\n" * 999 + COPY, COPY.replace("init:", "ini:"), COPY + "x,"]
)
def test_its_texts_look_like_it_alone(text):
    """Also one with a mistake in it, so that the message is about the mistake."""
    assert site.looks_like(text)
    for other in (native, bbchallenge, turingmachine_io, morphett):
        assert not other.looks_like(text)


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        st.text(),
        st.text("01a,_<>-/: \n\r\t\u2028").map(lambda t: "init: 0\naccept: a\n" + t),
        st.builds(
            lambda old, at, new: old[:at] + new + old[at + 1 :],
            st.sampled_from([COPY, ALL, AGAIN]),
            st.integers(0, 150),
            st.text(max_size=3),
        ),
    )
)
def test_any_text_is_a_machine_or_an_error(text):
    site.looks_like(text)
    with suppress(FormatError):
        assert isinstance(site.parse(text, "x.txt"), Machine)
