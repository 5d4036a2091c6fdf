"""Looped programs: what a pass does at every position, and what it hands on to the next."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.program_strategies import programs, sequences
from tm2tf.errors import InputError
from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.interpreter import Interpreter
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.program.operations import Affine, Latest, Relative, Row, Table, writes
from tm2tf.program.program import Layer, Program, Token, Unembed

BEGIN = Token("<bos>", "begin", {})
CELLS = (Token("0", "cell", {"cell": "0"}), Token("1", "cell", {"cell": "1"}))
BITS = ("0", "1")


def automaton(rule):
    """Return the elementary cellular automaton with this number; beyond its ends, all is 0."""
    names = ("left", "cell", "right")
    rows = tuple(
        Row(bits, (str(rule >> int("".join(bits), 2) & 1),)) for bits in product(BITS, repeat=3)
    )
    return Program(
        f"rule {rule}",
        (
            Integer(POSITION, low=1),
            *(Categorical(name, BITS) for name in (*names, "next")),
        ),
        (BEGIN, *CELLS, Token("?", "end", {})),
        (
            Layer(
                (Relative("left", 1, "cell", "0"), Relative("right", -1, "cell", "0")),
                (Table("rule", names, ("next",), rows),),
            ),
        ),
        Unembed(("next",), {bit: (bit,) for bit in BITS}, "?"),
        loop=(("next", "cell"),),
    )


@settings(max_examples=50, deadline=None)
@given(rule=st.integers(0, 255), cells=st.lists(st.sampled_from(BITS), max_size=20))
def test_a_cellular_automaton_is_a_looped_program(rule, cells):
    interpreter = LoopedInterpreter(automaton(rule), cells)
    assert (interpreter.passes, interpreter.values, interpreter.emitted) == (0, [], [])
    for passes in range(1, 6):
        interpreter.step()
        padded = ["0", *cells, "0"]
        seen = (padded[place : place + 3] for place in range(len(cells)))
        cells = [str(rule >> int("".join(bits), 2) & 1) for bits in seen]
        assert interpreter.passes == passes
        assert interpreter.emitted == cells
        assert [values["next"] for values in interpreter.values] == cells
        assert [v[POSITION] for v in interpreter.values] == [*range(1, len(cells) + 1)]


def test_a_loop_carries_what_is_absent_and_integers_and_leaves_the_rest():
    features = (
        Integer(POSITION, low=1),
        Categorical("cell", BITS),
        Categorical("mark", BITS),
        Integer("total"),
        Integer("step"),
        Categorical("next", BITS),
        Integer("more"),
    )
    x = Token("x", "cell", {"cell": "1", "mark": "1", "total": 5, "step": -2})
    y = Token("y", "cell", {"cell": "0", "step": 3})
    program = Program(
        "carrier",
        features,
        (BEGIN, x, y),
        (
            Layer(
                (Relative("next", 1, "cell"),),
                (Affine("more", ((1, "total"), (1, "step"), (1, POSITION))),),
            ),
        ),
        Unembed(("cell",), {"x": (None,)}, "y"),
        loop=(("next", "cell"), ("more", "total")),
    )
    interpreter = LoopedInterpreter(program, ["<bos>", "x", "y"])
    told = []
    for _ in range(3):
        interpreter.step()
        told.append([[v["cell"], v["mark"], v["total"], v["step"]] for v in interpreter.values])
    assert told == [
        [[None, None, 0, 0], ["1", "1", 5, -2], ["0", None, 0, 3]],
        [[None, None, 1, 0], [None, "1", 5, -2], ["1", None, 6, 3]],
        [[None, None, 2, 0], [None, "1", 5, -2], [None, None, 12, 3]],
    ]


WORDS = ("a", "b", "c")
OUTS = (Categorical("found", WORDS), Integer("number"), Categorical("next", WORDS))
ROWS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "word": st.sampled_from(WORDS),
            "other": st.sampled_from(WORDS),
            "m": st.integers(-1, 1),
            "n": st.integers(-1, 1),
            "flag": st.integers(0, 1),
        },
    ),
    max_size=10,
)


def matched(key, query, brings, defaults):
    """What `Latest` means: the last of all rows, from the first on."""

    def meaning(rows, place):
        wanted = [rows[place][name] for name in query]
        found = [row for row in rows if row["flag"] and [row[name] for name in key] == wanted]
        return [found[-1][name] for name in brings] if found and None not in wanted else defaults

    return meaning


def seen(offset, default):
    def meaning(rows, place):
        inside = 0 <= place - offset < len(rows)
        return [rows[place - offset]["word"] if inside else default]

    return meaning


LATEST = Latest(("found",), ("word",), "flag")
BOTH = replace(LATEST, outs=("found", "number"), values=("word", "m"), defaults=("b", 7))
MEANINGS = [
    (LATEST, matched([], [], ["word"], [None])),
    (
        replace(LATEST, key=("n",), query=("m",), defaults=("c",)),
        matched(["n"], ["m"], ["word"], ["c"]),
    ),
    (
        replace(LATEST, key=("word", "other"), query=("other", "word")),
        matched(["word", "other"], ["other", "word"], ["word"], [None]),
    ),
    (
        replace(BOTH, key=("word",), query=("other",)),
        matched(["word"], ["other"], ["word", "m"], ["b", 7]),
    ),
    (Relative("found", 1, "word", "c"), seen(1, "c")),
    (Relative("found", -1, "word"), seen(-1, None)),
    (Relative("found", 4, "word"), seen(4, None)),
    (Relative("found", -4, "word", "a"), seen(-4, "a")),
]


@pytest.mark.parametrize(("operation", "meaning"), MEANINGS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_attention_looks_both_ways_and_the_first_position_is_like_others(operation, meaning, rows):
    inputs = (
        Integer(POSITION, low=1),
        *(Categorical(name, WORDS) for name in ("word", "other")),
        *(Integer(name, -1, 1) for name in "mn"),
        Integer("flag", 0, 1),
    )
    tokens = [Token(f"t{i}", "cell", row) for i, row in enumerate(rows)]
    program = Program(
        "looks",
        (*inputs, *OUTS),
        (BEGIN, Token("end", "end", {}), *tokens),
        (Layer((operation,), (Table("copy", ("found",), ("next",), ()),)),),
        Unembed((), {}, "end"),
        loop=(("next", "other"),),
    )
    interpreter = LoopedInterpreter(program, [token.name for token in tokens])
    interpreter.step()
    blank = {"word": None, "other": None, "m": 0, "n": 0, "flag": 0}
    full = [blank | row for row in rows]
    for place, values in enumerate(interpreter.values):
        assert [values[name] for name in writes(operation)] == meaning(full, place)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_looped_program_keeps_what_tokens_fix_and_hands_on_what_it_made(data):
    program = data.draw(programs(looped=True))
    tokens = data.draw(sequences(program))
    carried = {name: source for source, name in program.loop}
    made = {n for x in program.layers for op in (*x.attention, *x.feed_forward) for n in writes(op)}
    interpreter = LoopedInterpreter(program, tokens)
    before = None
    for _ in range(4):
        interpreter.step()
        for place, (token, values) in enumerate(zip(tokens, interpreter.values, strict=True)):
            given = program.token(token).values
            for feature in program.features:
                name, absent = feature.name, 0 if isinstance(feature, Integer) else None
                if before is not None and name in carried:
                    assert values[name] == before[place][carried[name]]
                elif name not in made and name != POSITION:
                    assert values[name] == given.get(name, absent)
        assert set(interpreter.emitted) <= {token.name for token in program.tokens}
        before = interpreter.values


def test_each_interpreter_refuses_programs_of_the_other_kind():
    looped = automaton(110)
    with pytest.raises(InputError, match="program 'rule 110' is looped: use LoopedInterpreter"):
        Interpreter(looped)
    one_way = Layer((Relative("left", 1, "cell", "0"),), looped.layers[0].feed_forward)
    causal = replace(looped, layers=(one_way,), loop=())
    with pytest.raises(InputError, match="program 'rule 110' is not looped: use Interpreter"):
        LoopedInterpreter(causal, ["<bos>"])
