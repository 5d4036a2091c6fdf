"""Doty's `.tm` files: both grammars, run as their simulator runs them, and written again."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf import api, formats
from tm2tf.errors import FormatError
from tm2tf.formats import doty, native
from tm2tf.formats.native_writer import dump as native_text
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Transition

FLIP = """\
states: [f, qA, qR]
input_alphabet: ['0', '1']
tape_alphabet_extra: []
start_state: f
accept_state: qA
reject_state: qR
delta:
  f: {'0': [f, '1', R], '1': [f, '0', R], _: [qA, _, L]}
"""
COUNT = """\
# counts a's on tape 2
states: [c, w, qA, qR]
input_alphabet: [a, b]
tape_alphabet_extra: [x, k, '!', _]
start_state: c
accept_state: qA
reject_state: qR
delta:
  c:
    a_: [c, xk, RR]
    __: [w, __, LL]
    '?_': [c, '?_', RS]
  w:
    xk: [qA, '!k', LL]
    '?k': [w, '?k', LS]
"""
UNQUOTED = COUNT.replace("'?_'", "?_").replace("'?k'", "?k")
EDGE = """\
states: [s, t, u, u2, qA, qR]
input_alphabet: [a]
tape_alphabet_extra: [x, y, z]
start_state: s
accept_state: qA
reject_state: qR
delta:
  s: {a: [t, x, L]}
  t: {x: [u, y, L]}
  u: {y: [u2, z, S]}
"""
OLDER = """\
// counts a's on tape 2
states = {c, w, q-A, q(R)'} input_alphabet={a,b}
tape_alphabet_extra = { x , k , ! , _ }
start_state = c  // here
accept_state = q-A
reject_state = q(R)'
num_tapes = 2
delta =
  c,a_ -> c,xk,RR;  c,__->w,__,LL;
  c,?_ -> c, ?_ ,RS;
  w,xk -> q-A,!k,LL;
  w , ?k -> w,?k,LS;
"""


def ran(machine, words, limit=1000):
    """Return outcome, state, steps, the tapes without the blanks behind them, the heads."""
    simulation = Simulation(machine, machine.initial(words))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    tapes = [machine.plain(tape) for tape in simulation.configuration().tapes]
    shown = tuple("_" * tape.origin + "".join(tape.contents) for tape in tapes)
    heads = tuple(simulation.heads)
    return simulation.outcome, simulation.state, simulation.steps, shown, heads


def formats_like(text):
    """Return the formats that a text looks like, this one among them."""
    others = [known.name for known in formats.FORMATS if known.name != "doty"]
    found = [name for name in others if formats.by_name(name).looks_like(text)]
    return found + ["doty"] * doty.looks_like(text)


@pytest.mark.parametrize(
    ("text", "word", "end"),
    [
        (FLIP, "01", ("accepted", "qA", 3, ("10",), (1,))),
        (FLIP, "", ("accepted", "qA", 1, ("",), (0,))),
        (COUNT, "aab", ("accepted", "qA", 6, ("x!b", "kk"), (0, 0))),
        (UNQUOTED, "aab", ("accepted", "qA", 6, ("x!b", "kk"), (0, 0))),
        (OLDER, "aab", ("accepted", "q-A", 6, ("x!b", "kk"), (0, 0))),
        (OLDER.replace("num_tapes = 2", ""), "aab",
         ("accepted", "q-A", 6, ("x!b", "kk"), (0, 0))),
        # w reads a blank on tape 2, for there is no a: no rule
        (COUNT, "b", ("rejected", "qR", 3, ("b", ""), (0, 0))),
        (EDGE, "a", ("rejected", "qR", 4, ("z",), (0,))),
        (EDGE, "", ("rejected", "qR", 1, ("",), (0,))),
        (EDGE.replace("start_state: s", "start_state: qR"), "a",
         ("rejected", "qR", 0, ("a",), (0,))),
        (EDGE.replace("start_state: s", "start_state: u2"), "a",
         ("rejected", "qR", 1, ("a",), (0,))),
        (EDGE.replace("reject_state: qR", "reject_state: qA"), "a",
         ("accepted", "qA", 4, ("z",), (0,))),
    ],
)  # fmt: skip
def test_by_hand(text, word, end):
    """The edge, `?` copied and overruled, a missing rule as a step, a start that is an end."""
    assert doty.looks_like(text)
    assert ran(doty.parse(text), [word]) == end


def test_through_weights():
    model = api.compile(doty.parse(COUNT))
    for word, steps, outcome in (("aab", 6, "accepted"), ("b", 3, "rejected")):
        check = model.verify(word)
        assert (check.outcome, check.steps, check.divergence) == (outcome, steps, None)


def test_what_the_machine_is():
    machine = doty.parse(COUNT, name="count")
    assert (machine.name, machine.tapes, machine.blank) == ("count", 2, "_")
    assert tuple(machine.first) == ("_", "a", "b", "x", "k", "!")
    assert (machine.accept, machine.reject, machine.start) == (("qA",), ("qR",), "c")
    assert len(machine.notes) == 1
    assert "['a', 'b']" in machine.notes[0]
    assert doty.parse(FLIP).notes == ()
    assert doty.parse(COUNT) == doty.parse(UNQUOTED)


def test_scalars_as_yaml_types_them():
    """What the simulator makes of words without quotes: `00` is "0", `True` is "true"."""
    text = FLIP.replace("'0'", "00").replace("'1'", "0x1").replace("qA", "True")
    machine = doty.parse(text)
    assert (machine.symbols[:3], machine.accept) == (("_", "0", "1"), ("true",))
    assert ran(machine, ["01"]) == ("accepted", "true", 3, ("10",), (1,))
    assert doty.parse(FLIP.replace("qR", "~")).reject == ("null",)
    assert doty.parse(FLIP.replace("qR", "'~'")).reject == ("~",)
    assert doty.parse(FLIP.replace("qR", "'00'")).reject == ("00",)


ERRORS = [
    # the text, what is changed in it, the place, message, hint
    (COUNT, "a_: [c, xk, RR]", "00: [c, xk, RR]", 10, 13, "expected 1 to write", "write '00'"),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, 1e3, RR]", 10, 13, "takes 1e3 for a number", "'1e3'"),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, xk]", 10, 9, "a rule is a list of three", "next"),
    (COUNT, "a_: [c, xk, RR]", "a_: c", 10, 9, "a rule is a list of three", "next"),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, xk, RN]", 10, 17, "unknown move 'N'", ""),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, xy, RR]", 10, 13, "unknown symbol 'y'", ""),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, xkx, RR]", 10, 13, "expected 2 to write", ""),
    (COUNT, "a_: [c, xk, RR]", "a_: [c, '?k', RR]", 10, 13, "'?' is written where 'a'", "leaves"),
    (COUNT, "a_: [c, xk, RR]", "a_: [cc, xk, RR]", 10, 10, "unknown state 'cc'", ""),
    (COUNT, "a_: [c, xk, RR]", "__: [c, xk, RR]", 11, 5, "two rules for '__'", ""),
    (COUNT, "a_: [c, xk, RR]", "a?: [c, x?, RR]", 12, 5, "both match 'a_'", "rule for 'a_'"),
    (COUNT, "a_: [c, xk, RR]", "*_: [c, xk, RR]", 10, 5, "not valid YAML", ""),
    (COUNT, "  w:\n", "  qA:\n", 13, 3, "'qA' accepts or rejects, yet it has a rule", ""),
    (COUNT, "  w:\n", "  c:\n", 13, 3, "state 'c' is given twice", "one key"),
    (COUNT, "[x, k, '!', _]", "[x, k, b, '!']", 4, 29, "'b' is in both alphabets", ""),
    (COUNT, "[x, k, '!', _]", "[x, k, '!', '?']", 4, 34, "'?' is the wildcard", ""),
    (COUNT, "[x, k, '!', _]", "[x, k, '!!']", 4, 29, "a symbol is one character", ""),
    (COUNT, "[x, k, '!', _]", "[x, k, 🙂, '!']", 4, 29, "a symbol is one character", ""),
    (COUNT, "[x, k, '!', _]", "[x, k, k, '!']", 4, 29, "'k' is given twice", ""),
    (COUNT, "[x, k, '!', _]", "k", 4, 22, "tape_alphabet_extra must be a list", "[a, b]"),
    (COUNT, "[a, b]", "[a, b, _]", 3, 24, "the blank '_' cannot be an input symbol", ""),
    (COUNT, "[a, b]", "[]", 3, 17, "input_alphabet is empty", ""),
    (COUNT, "[c, w, qA, qR]", "[c, w, qA, c, qR]", 2, 20, "state 'c' is given twice", ""),
    (COUNT, "[c, w, qA, qR]", "[c, w, qA, '', qR]", 2, 20, "must not be empty", ""),
    (COUNT, "start_state: c", "start_state: C", 5, 14, "unknown state 'C'", ""),
    (COUNT, "start_state: c", "start_states: c", 5, 1, "did you mean 'start_state'", ""),
    (COUNT, "start_state: c\n", "", 2, 1, "the machine has no `start_state:`", ""),
    (COUNT, "# counts", "\ue000: 1\n#", 1, 1, "is not allowed here", ""),
    (EDGE, "a: [t, x, L]", "a: [t, \"\\t\", L]", 8, 14, "unknown symbol '\\t'", ""),
    (OLDER, "q(R)'\nnum", "q-A\nnum", 6, 16, "must differ", ""),
    (OLDER, "num_tapes = 2", "num_tapes = 0", 7, 13, "expected a whole number, 1 or", ""),
    (OLDER, "num_tapes = 2", "num_tapes = 3", 9, 5, "expected 3 to read, one a tape, got 2", ""),
    (OLDER, "accept_state = q-A\n", "", 5, 1, "expected `accept_state =`, got 'r'", "order"),
    (OLDER, "{c, w, q-A, q(R)'}", "?", 2, 10, "the states are not inferred", "list them"),
    (OLDER, " , _ }", "}", 3, 25, "no blank, _", ""),
    (OLDER, "w,?k,LS;", "w,?k,LS", 13, 1, "expected `;`, got the end of the file", "rule"),
    (OLDER, "{c, w,", "{c, w", 2, 16, "expected `,`, got 'q'", ""),
    (OLDER, "{c, w,", "{c, w,,", 2, 16, "expected a state, got ','", ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "old", "new", "line", "column", "message", "hint"), ERRORS)
def test_errors_point_at_the_place(text, old, new, line, column, message, hint):
    assert text.count(old) == 1
    with pytest.raises(FormatError) as error:
        doty.parse(text.replace(old, new), "x.tm")
    assert message in error.value.message
    assert (error.value.line, error.value.column) == (line, column)
    assert hint in (error.value.hint or "")


def test_an_exact_rule_settles_an_overlap():
    """With a rule for every string that two wildcard rules share, the file is right."""
    text = COUNT.replace(
        "    '?_': [c, '?_', RS]\n", "    'a?': [qA, 'b?', SS]\n    '?_': [qR, x_, SS]\n"
    )
    machine = doty.parse(text)
    rules = {key: to for key, to in machine.transitions.items() if key[0] == "c"}
    assert rules["c", ("a", "_")] == Transition("c", ("x", "k"), ("R", "R"))
    assert rules["c", ("a", "x")] == Transition("qA", ("b", "x"), ("S", "S"))
    assert rules["c", ("x", "_")] == Transition("qR", ("x", "_"), ("S", "S"))
    assert rules["c", ("x", "x")] == Transition("qR", ("x", "x"), ("S", "S"))


def wide(tapes):
    rule = f"'{'0' * tapes}': [f, '{'1' * tapes}', {'R' * tapes}]"
    return "\n".join([*FLIP.splitlines()[:-1], f"  f: {{{rule}}}"])


def test_sizes_are_refused():
    assert doty.parse(wide(3)).tapes == 3
    with pytest.raises(FormatError, match="more than 2,000,000 rules"):
        doty.parse(wide(11))  # 6 ** 11
    with pytest.raises(FormatError, match="65 tapes; the limit is 64"):
        doty.parse(wide(65))
    with pytest.raises(FormatError, match="the limit is 16,000,000"):
        doty.parse("states = {a}" + " " * 16_000_000)


# --- detection, and arbitrary text ---------------------------------------------------------------


def test_looks_like():
    """Indented, as JSON, with quotes and comments; not what other formats, or a DFA, look like."""
    indented = "# x\n\n---\n" + "".join(f"  {line}\n" for line in FLIP.splitlines())
    quoted = FLIP.replace("accept_state", '"accept_state"').replace("delta", "'delta'")
    flow = "{" + FLIP.replace("\ndelta:\n  f: ", "\ndelta: {f: ").replace("\n", ",\n")[:-2] + "}}"
    for text in (FLIP, COUNT, EDGE, OLDER, indented, quoted, flow):
        assert formats_like(text)[-1] == "doty"
        assert doty.parse(text).tapes
    native_machine = native.parse(
        "start: delta\nrules:\n  delta:\n    _: R\n  accept_state:\n    _: R\n"
    )
    for text in (
        "", "\n", "{", "1RB1LB_1LA1RZ", "0 _ 1 r halt", "init: q0\naccept: q1\nq0,a\nq1,b,>",
        "blank: ' '\nstart state: a\ntable:\n  a:\n", "<?xml version='1.0'?><structure/>",
        FLIP.replace("accept_state", "accept_states").replace("tape_alphabet_extra", "x"),
        native_text(native_machine), native_text(doty.parse(FLIP)),
    ):  # fmt: skip
        assert not doty.looks_like(text)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_arbitrary_text(data):
    """A machine or a FormatError, nothing else, however a good file is spoilt."""
    text = data.draw(st.sampled_from(["", FLIP, COUNT, UNQUOTED, EDGE, OLDER]))
    for _ in range(data.draw(st.integers(0, 4))):
        begin = data.draw(st.integers(0, len(text)))
        end = begin + data.draw(st.integers(0, 8))
        new = data.draw(
            st.one_of(st.text(max_size=6), st.text("?_'\"[]{}:,;=#!&*|\n ->", max_size=4))
        )
        text = text[:begin] + new + text[end:]
    assert doty.looks_like(text) in (True, False)
    with suppress(FormatError):
        assert doty.parse(text).first
