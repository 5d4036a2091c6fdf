"""Morphett's simulator: read as its page runs it, written so that the page would run it."""

import json
import random
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.strategies import machines
from tm2tf import api
from tm2tf.errors import FormatError, InputError
from tm2tf.formats import bbchallenge, lines, morphett, native, turingmachine_io
from tm2tf.formats.morphett_writer import dump
from tm2tf.machine.one_way import one_way
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Example, Machine, Tape, Transition

COPY = "0 1 1 r 0\n0 _ 1 * halt\n"
STARS = """\
; $INITIAL_STATE: a
; $INITIAL_TAPE: q*xz
a x y l *      ; the state stays
a * * r b      ; goes before a rule of any state that names the symbol
* q w r halt-q ; so this is never used
* * * * haltEnd
"""
ALL = """\
; a comment

0 a b r 0 ! ; a breakpoint
\t0\u00a0* * L back\r
back * * l back2
back2 * c * HALT-ok
* _ # r halt
"""


def there(text, word, variant=0, start="0", limit=200):
    """Return steps, state, tape and head of a run, looked up in the text as the page does it."""
    rules = {}
    for line in text.replace("\r", "").split("\n"):
        found = line.split(";")[0].split()
        if found:
            rules[found[0], found[1]] = found
    head = max(word.find("*"), 0)
    cells = dict(enumerate(word.replace("*", "").replace(" ", "_")))
    state, steps = start, 0
    while not state.lower().startswith("halt") and steps < limit:
        read = cells.get(head, "_")
        keys = [(state, read), (state, "*"), ("*", read), ("*", "*")]
        rule = next((rules[key] for key in keys if key in rules), ["", "", "*", "*", "halt"])
        cells[head] = read if rule[2] == "*" else rule[2]
        move = {"l": -1, "r": 1, "*": 0}[rule[3].lower()]
        head += 0 if variant == 1 and head == 0 and move == -1 else move
        state = state if rule[4] == "*" else rule[4]
        steps += 1
    return steps, state, trimmed(cells), head


def here(machine, tape, limit=200):
    """Return the same of the machine that was read, and its outcome."""
    simulation = Simulation(machine, machine.initial([tape]))
    while simulation.outcome is None and simulation.steps < limit:
        simulation.step()
    back = {marked: symbol for symbol, marked in machine.first.items()}
    cells = {at: back.get(symbol, symbol) for at, symbol in simulation.cells[0].items()}
    run = (simulation.steps, simulation.state, trimmed(cells, machine.blank), simulation.heads[0])
    return run, simulation.outcome


def trimmed(cells, blank="_"):
    return {at: symbol for at, symbol in cells.items() if symbol != blank}


def typed(word):
    return Tape(tuple(word.replace("*", "").replace(" ", "_")), 0, max(word.find("*"), 0))


def test_by_hand():
    """The runs that were worked out by hand: steps, end, tape and head."""
    machine = morphett.parse(COPY, "copy.txt", "copy")
    assert (machine.name, machine.start, machine.symbols) == ("copy", "0", ("_", "1"))
    assert here(machine, "11") == ((3, "halt", dict(enumerate("111")), 2), "halted")
    stars = morphett.parse(STARS)
    assert stars.examples[0].tapes == (Tape(tuple("qxz"), 0, 1),)
    run = here(stars, stars.examples[0].tapes[0])
    assert run == ((3, "haltEnd", dict(enumerate("qyz")), 1), "halted")
    # any state: also the one that only other rules enter, and it is never in `halt-q`
    assert stars.transitions["b", ("q",)] == Transition("halt-q", ("w",), ("R",))
    assert "halt-q" in stars.halt
    both = morphett.parse(ALL)
    assert here(both, "a") == ((4, "HALT-ok", {-1: "c", 0: "b"}, -1), "halted")
    # `0` has a `*` of its own, which goes before the `_` of any state; the head stays at the edge
    edge = morphett.parse("; $VARIANT: 1\n" + ALL)
    assert here(edge, "a") == ((4, "HALT-ok", {0: "c"}, 0), "halted")
    missing = morphett.parse("0 a b r 1")
    assert here(missing, "a") == ((2, "halt", {0: "b"}, 1), "halted")
    assert here(missing, "") == ((1, "halt", {}, 0), "halted")
    check = api.compile(both).verify("a")
    assert (check.outcome, check.steps, check.divergence) == ("halted", 4, None)


WORDS = {"state": "0ab*", "read": "01_*", "move": "lr*LR", "next": ["0", "a", "b", "halt", "Halt2"]}


@st.composite
def programs(draw):
    """Return texts of rules over few states and symbols, so that wildcards and repeats meet."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    rows = [
        " ".join(
            [
                rng.choice(WORDS["state"]),
                rng.choice(WORDS["read"]),
                rng.choice(WORDS["read"]),
                rng.choice(WORDS["move"]),
                rng.choice([*WORDS["next"], "*"]),
            ]
        )
        for _ in range(draw(st.integers(0, 12)))
    ]
    return "\n".join(["0 1 0 r a", *rows])


@settings(max_examples=150, deadline=None)
@given(text=programs(), word=st.text("01_* ", max_size=6), variant=st.sampled_from([0, 1]))
def test_runs_as_there(text, word, variant):
    """Wildcards, missing rules, repeated rules, halting states, both kinds of tape."""
    given = f"; $VARIANT: {variant}\n; $INITIAL_TAPE: 01\n{text}"
    machine = morphett.parse(given)
    run, outcome = here(machine, typed(word))
    assert run == there(text, word, variant)
    assert outcome == ("halted" if run[1].lower().startswith("halt") else None)
    if outcome is None:
        assert run[0] == 200
    written = dump(machine)
    back = morphett.parse(written)
    assert morphett.looks_like(given)
    assert morphett.looks_like(written)
    assert dump(back) == written
    assert here(back, typed(word))[0] == run
    assert there(written, word, variant) == run  # its wildcards are all spelt out
    assert back.examples == machine.examples


SPELT = st.sampled_from(["_", "0", "1", "b", " ", "é", "%", "'"])


@settings(max_examples=80, deadline=None)
@given(
    machine=machines((1, 1), words=SPELT, halting=("halt",), undefined=("halt", "reject")),
    data=st.data(),
    edge=st.booleans(),
)
def test_there_and_back(machine, data, edge):
    """Runs stay what they are, but for the names of the blank and of states that halt."""
    known = {**{state: state for state in machine.states}}
    known |= {state: f"halt-{state}" for state in machine.halt}
    word = data.draw(st.lists(st.sampled_from(machine.symbols), max_size=6))
    tape = Tape(tuple(word), data.draw(st.integers(0, 2)), data.draw(st.integers(0, 8)))
    example = (Example((tape,)),)
    full = replaced(machine, transitions=complete(machine), examples=example)
    if " " in machine.states or any(not plainly(machine, symbol) for symbol in machine.symbols):
        with pytest.raises(InputError, match=r"('_' that is not the blank|a symbol ' '|state ' ')"):
            dump(full)
        return
    given = one_way(full) if edge else full
    text = dump(given)
    back = morphett.parse(text)
    assert morphett.looks_like(text)
    assert dump(back) == text
    symbol = {word: "_" if word == machine.blank else word for word in machine.symbols}
    other = Tape(tuple(symbol[word] for word in tape.contents), tape.origin, tape.head)
    if set(other.contents) <= set(back.symbols):
        (steps, state, cells, head), outcome = here(given, tape)
        cells = {at: symbol[word] for at, word in cells.items()}
        assert here(back, other) == ((steps, known[state], cells, head), outcome)
        again = back.plain(back.examples[0].tapes[0])
        assert again.trimmed("_") == other.trimmed("_")
    if len(full.transitions) > len(machine.transitions):
        with pytest.raises(InputError, match=r"has: no rule for state .* and symbol"):
            dump(machine)


def plainly(machine, symbol):
    return symbol == machine.blank or symbol not in ("_", " ")


def complete(machine):
    """Return the rules with one for all that is missing, which goes right."""
    running = [state for state in machine.states if machine.outcome_of(state) is None]
    every = {(s, (c,)): Transition(s, (c,), ("R",)) for s in running for c in machine.symbols}
    return every | dict(machine.transitions)


def replaced(machine, **changes):
    given = {name: getattr(machine, name) for name in machine.__dataclass_fields__}
    return Machine(**(given | changes))


ERRORS = [
    # the line that is put first in ALL, the column pointed at, the message
    ("0 1 1 r", 7, "expected 5 words, got 4"),
    ("0 1 1 r 0 !!", 11, "a rule has 5 words, got 6"),
    ("0 1 1 r 0 ! 0", 11, "a rule has 5 words, got 7"),
    ("0 10 1 r 0", 3, "the symbol read is one character, got '10'"),
    ("0 1  10 r 0", 6, "the symbol written is one character, got '10'"),
    ("0 1 🙂 r 0", 5, "the symbol written cannot be '🙂' (U+1F642)"),
    ("0 1 1 s 0", 7, "a move is l, r or *, got 's'"),
    ("0 1 1 r a\x07", 9, r"'a\x07' cannot be the name of a state"),
    ("; $VARIANT: 3", 13, "$VARIANT is 0, 1 or 2, got '3'"),
    ("; $INITIAL_STATE: bak", 19, "unknown state 'bak'"),
    ("; $INITIAL_STATE: *", 19, "the start state cannot be '*'"),
    ("; $INITIAL_STATE:", 18, "the start state cannot be ''"),
    ("; $INITIAL_TAPE: 1\t2", 19, r"a symbol of the tape cannot be '\t' (U+0009)"),
]


@pytest.mark.parametrize(("line", "column", "message"), ERRORS)
def test_errors_point_at_the_place(line, column, message):
    text = ALL if "bak" not in line else ALL.replace("* _ #", "b _ #")
    with pytest.raises(FormatError) as error:
        morphett.parse(f"; first\n{line}\n{text}", "all.txt")
    assert message in str(error.value)
    assert (error.value.line, error.value.column) == (2, column)


def test_the_start_state():
    """`0` where it has rules; else a comment has to say it, and the box of a saved file."""
    text = "a 0 1 r b\nb * * * halt\n"
    with pytest.raises(FormatError, match=r"INITIAL_STATE: a`") as error:
        morphett.parse("; none\n\n" + text)
    assert error.value.line == 3
    with pytest.raises(FormatError, match="no rule of a state `0`"):
        morphett.parse("* 0 1 r *")
    with pytest.raises(FormatError, match="given twice: 'a' in line 1, and 'b'"):
        morphett.parse("; $INITIAL_STATE: a\n; $INITIAL_STATE: b\n" + text)
    assert morphett.parse(text + "; as in $INITIAL_STATE: b ;").start == "b"
    assert morphett.parse("; $INITIAL_STATE: 7\n* 0 1 r *").start == "7"
    assert morphett.parse("; $INITIAL_STATE: Halted\n" + text).outcome_of("Halted") == "halted"
    saved = {"program": text, "initialstate": "", "variant": 0}
    machine = morphett.parse(json.dumps(saved))
    assert here(machine, "0") == ((1, "halt", {0: "0"}, 0), "halted")  # it has no rule for 0


def test_later_rules_and_chance():
    """A later rule for the same state and symbol replaces; in variant 2 chance would choose."""
    text = "0 1 0 r 0\n0 1 1 r halt\n0 _ _ * halt"
    machine = morphett.parse(text)
    assert here(machine, "1")[0] == (1, "halt", {0: "1"}, 1)
    assert machine.notes == ("rules that later ones replace: line 1 by line 2",)
    with pytest.raises(FormatError, match="after line 2: in variant 2 chance") as error:
        morphett.parse("; $VARIANT: 2\n" + text)
    assert error.value.line == 3
    same = "0 1 1 r 0\n0 1 * R *\nhalt 1 1 r 0\nhalt 1 0 r 0"
    machine = morphett.parse("; $VARIANT: 2\n" + same)
    assert machine.transitions["0", ("1",)] == Transition("0", ("1",), ("R",))
    assert not machine.first


def test_white_space_and_comments_as_there():
    """Carriage returns and marks of byte order vanish; blanks of an input can be spaces."""
    text = "\ufeff0 1 1 r ha\rlt\r\n; $INITIAL_TAPE:  1 0_ \r\n$VARIANT: 1 1 r 0 ; $5"
    machine = morphett.parse(text)
    assert machine.transitions["0", ("1",)].state == "halt"
    assert machine.examples[0].tapes == (Tape(("1", "_", "0")),)
    assert "$VARIANT:" in machine.states
    assert not machine.first
    (far,) = morphett.parse(COPY + "; $INITIAL_TAPE: _1*1").examples
    assert far.tapes == (Tape(("1", "1"), 1, 2),)


def test_what_is_only_noted():
    """What has no influence on runs, and what `*` may read there."""
    notes = morphett.parse(ALL + "halt-no 1 1 r 0\n").notes
    assert [note.split(";")[0].split(":")[0] for note in notes] == [
        "rules of states that halt are never used",
        "breakpoints (`!`) are left out",
        "`*` reads any symbol there, and one of these here",
    ]
    assert "halt-no" in notes[0]
    assert "_, a, b, c, #, 1;" in notes[2]
    assert morphett.parse(COPY).notes == ()
    more = morphett.parse(ALL + "; $INITIAL_TAPE: xy*\n; $INITIAL_TAPE  z\n")
    assert {"x", "y", "z"} <= set(more.symbols)
    assert [e.tapes[0].head for e in more.examples] == [2, 0]


def test_too_large(monkeypatch):
    monkeypatch.setattr(morphett, "MAX_RULES", 11)
    text = "; $VARIANT: {}\n0 1 2 r a\na 3 4 r halt"
    assert len(morphett.parse(text.format(0)).transitions) == 2 * 5
    with pytest.raises(FormatError, match=r"2 states with 5 symbols are 20 rules .* limit is 11"):
        morphett.parse(text.format(1))
    with pytest.raises(FormatError, match="characters; the limit is 16,000,000"):
        morphett.parse(";" * (lines.MAX_CHARACTERS + 1))
    assert morphett.parse("0 1 1 r 0" + "\n;$ ; $" * 200_000).start == "0"


LEFT = bbchallenge.parse("1LB0LB_0RA1LZ")


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ("palindrome-2tape", "2 tapes; it has 1 at most"),
        ("palindrome", "states that accept or reject"),
        (bbchallenge.parse("1RB1LB_1LA---"), "no rule for state 'B' and symbol '1'"),
        (replaced(LEFT, states=("A", "B", "Z", "a b")), "a state 'a b'; the names of states"),
        (replaced(LEFT, states=("A", "B", "Z", "a;b")), "a state 'a;b'; the names of states"),
        (replaced(LEFT, states=("A", "B", "Z", "Halts")), "a state 'Halts' that does not halt"),
        (replaced(LEFT, symbols=("0", "1", "*")), r"a symbol '\*'; symbols are single"),
        (replaced(LEFT, symbols=("0", "1", "ab")), "a symbol 'ab'; symbols are single"),
        (replaced(LEFT, symbols=("0", "1", "🙂")), "a symbol '🙂'; symbols are single"),
        (
            replaced(
                one_way(LEFT),
                transitions={
                    **one_way(LEFT).transitions,
                    ("A", ("0'",)): Transition("A", ("1'",), ("R",)),
                },
            ),
            "rules of their own for the first cell",
        ),
    ],
)
def test_what_it_cannot_say(machine, message):
    with pytest.raises(InputError, match=message):
        dump(api.load(machine) if isinstance(machine, str) else machine)


def test_names_of_states_that_halt():
    """They begin with `halt`; names that do already stay, and no two become one."""
    made = replaced(
        LEFT, states=("A", "B", "Z", "HALT", "halt-Z"), halt=("Z", "HALT", "halt-Z"), start="Z"
    )
    assert dump(made).startswith("; $INITIAL_STATE: halt-Z'\nA _ 1 l B\n")
    assert dump(replaced(made, start="HALT")).startswith("; $INITIAL_STATE: HALT\n")
    ended = Machine("m", ("_",), "_", ("Z",), "Z", {}, halt=("Z",))
    assert dump(ended) == "; $INITIAL_STATE: halt-Z\n"
    assert morphett.looks_like(dump(ended))
    assert morphett.parse(dump(ended)).halt == ("halt-Z",)


OTHERS = [
    "start: A\nhalt: Z\nrules:\n  A:\n    0: 1 R B\n    0 : 1 R B\n    1 : 1 L B\n    _ : 1 L B\n"
    "    a : 1 R B\n    b : 1 L B\n    c : 1 L B\n    d : 1 L B\n",
    "input: '1'\nblank: ' '\nstart state: a\ntable:\n  a: {1: R}\n",
    "1RB1LB_1LA1RZ",
    "name: m\ninit: go\naccept: fin\ngo,1\ngo,1,>\n\nq , l , r\n",
    "<structure><type>turing</type>\n<automaton>\n</automaton></structure>",
    "states: [f, qA, qR]\ndelta:\n  f: {'0': [f, '1', R]}\n",
    "states = {f, qA}\ndelta =\nf, 0 -> f, 1, R;\n",
    '{"name": "m", "rules": {"A": {"0": "R"}}, "start": "A"}',
    "",
    "; nothing but a comment",
    "This is a plain text, and no machine at all.\nAs\nVitamin C b l u\n",
]


@pytest.mark.parametrize("text", OTHERS)
def test_other_texts_do_not_look_like_it(text):
    assert not morphett.looks_like(text)


@pytest.mark.parametrize("text", [COPY, STARS, ALL, ";c\n" * 999 + COPY, COPY + "0 1 1 r\n"])
def test_its_texts_look_like_it_alone(text):
    """Also one with a mistake in it, so that the message is about the mistake."""
    assert morphett.looks_like(text)
    for other in (native, bbchallenge, turingmachine_io):
        assert not other.looks_like(text)


@settings(max_examples=200, deadline=None)
@given(
    text=st.one_of(
        st.text(),
        st.text("01a*_lrLR !;\n\r\t$\u2028\x1c"),
        st.text("0*lr \n").map(lambda t: "; $INITIAL_STATE: 0\n" + t),
        st.builds(
            lambda old, at, new: old[:at] + new + old[at + 1 :],
            st.sampled_from([COPY, STARS, ALL, json.dumps({"program": ALL, "initialtape": "a"})]),
            st.integers(0, 150),
            st.text(max_size=3),
        ),
    )
)
def test_any_text_is_a_machine_or_an_error(text):
    morphett.looks_like(text)
    with suppress(FormatError):
        assert isinstance(morphett.parse(text, "x.txt"), Machine)
