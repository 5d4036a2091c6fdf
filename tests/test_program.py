"""Programs: the rules that make them legal, and what they mean."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.errors import ProgramError
from tm2tf.program.checks import RULES
from tm2tf.program.features import Categorical, Distribution, Integer
from tm2tf.program.interpreter import Interpreter, resumed
from tm2tf.program.operations import (
    SIGNS,
    Affine,
    CausalSum,
    Gather,
    Latest,
    Number,
    Product,
    Relative,
    Row,
    Sign,
    Table,
    writes,
)
from tm2tf.program.program import Layer, Program, Token, Unembed

WORDS = ("a", "b", "c")
FEATURES = (
    Integer("position", low=1),
    Categorical("word", WORDS),
    Categorical("other", WORDS),
    Integer("m", -3, 3),
    Integer("n", -3, 3),
    Integer("flag", 0, 1),
    Integer("number"),
    Integer("another"),
    Categorical("found", WORDS),
    Categorical("also", WORDS),
    Categorical("short", ("a", "b")),
    Categorical("sign", SIGNS),
    Distribution("shares", WORDS),
)
BEGIN = Token("<bos>", "begin", {})
TOKENS = (BEGIN, Token("x", "prompt", {"word": "a", "n": 2, "flag": 1}), Token("y", "step", {}))
Z = Token("z", "step", {})
SMALL = Program("small", FEATURES, TOKENS, (Layer(),), Unembed(("word",), {"x": ("a",)}, "y"))

SUM, AFFINE = CausalSum("number", "n"), Affine("number", ((1, "n"),))
LATEST = Latest(("found",), ("word",), "flag", key=("n",), query=("m",), defaults=("a",))
BY_WORD = replace(LATEST, key=("word",), query=("other",))
BOTH = replace(LATEST, outs=("found", "number"), values=("word", "m"), defaults=("a", 7))
LAST = replace(LATEST, key=(), query=(), defaults=())
AFTER = replace(LAST, outs=("also",), values=("found",))
GATHER = Gather("shares", "word", "flag", key=("n",), query=("m",), default="b")
RELATIVE = Relative("found", offset=1, value="word", default="a")
NUMBER, SIGN = Number("number", "word", (("a", -1), ("b", 5))), Sign("sign", "n")
TABLE = Table("copy", ("word", "other"), ("found",), (Row(("a", "b"), ("c",)),))
CROSSED = (Row(("a", None), ("a",)), Row(("b", "c"), ("b",)), Row(("b", "b"), ("c",)))
FAR = Product("another", "number", "n")
S, C = Token("s", "summary", {}), Token("c", "cut", {})


def features(*more):
    return {"features": (*FEATURES, *more)}


def tokens(*more):
    return {"tokens": (*TOKENS, *more)}


def heads(*operations):
    return {"layers": (Layer(attention=operations),)}


def mlp(*operations):
    return {"layers": (Layer(feed_forward=operations),)}


def loops(*pairs, **more):
    return heads(replace(RELATIVE, offset=-1)) | {"loop": pairs} | more


def emits(rows, read=("word",), default="y"):
    return {"unembed": Unembed(read, rows, default)}


BROKEN = [
    ("names are distinct", features(Integer("m"))),
    ("names are distinct", features(Categorical("new", ("a", "a")))),
    ("names are distinct", tokens(Token("x", "step", {}))),
    ("features exist", {"features": FEATURES[1:]}),
    ("features exist", heads(replace(SUM, value="nn"))),
    ("features exist", heads(replace(SUM, out="nn"))),
    ("features exist", tokens(Token("z", "step", {"nn": 1}))),
    ("features exist", emits({}, read=("nn",))),
    ("features exist", heads(replace(BY_WORD, key=("nn",)))),
    ("features exist", mlp(replace(NUMBER, feature="nn"))),
    ("features exist", loops(("found", "nn"))),
    ("features exist", loops(("nn", "word"))),
    ("tokens fit their features", {"tokens": TOKENS[1:]}),
    ("tokens fit their features", tokens(Token("<s>", "begin", {}))),
    ("tokens fit their features", {"tokens": (replace(BEGIN, values={"n": 1}), *TOKENS[1:])}),
    ("tokens fit their features", tokens(Token("a b", "step", {}))),
    ("tokens fit their features", tokens(Token("", "step", {}))),
    ("tokens fit their features", tokens(Token("z", "step", {"n": 4}))),
    ("tokens fit their features", tokens(Token("z", "step", {"n": "a"}))),
    ("tokens fit their features", tokens(Token("z", "step", {"word": "d"}))),
    ("tokens fit their features", tokens(Token("z", "step", {"word": 1}))),
    ("tokens fit their features", tokens(Token("z", "step", {"shares": "a"}))),
    ("names are distinct", features(Distribution("new", ("a", "a")))),
    ("tokens fit their features", tokens(Token("z", "step", {"position": 1}))),
    ("roles go together", tokens(S)),
    ("roles go together", tokens(C)),
    ("roles go together", loops(("found", "word"), **tokens(S, C))),
    ("a feature is written once", heads(SUM, SUM)),
    ("a feature is written once", {"layers": (Layer((SUM,)), Layer((SUM,)))}),
    ("a feature is written once", heads(replace(SUM, out="n"))),
    ("a feature is written once", heads(replace(SUM, out="position"))),
    ("a feature is written once", mlp(replace(TABLE, outputs=("found", "found")))),
    ("a feature is written once", heads(RELATIVE, replace(BOTH, outs=("also", "found")))),
    ("a feature is read when it is ready", heads(replace(SUM, value="number"))),
    ("a feature is read when it is ready", heads(SUM, replace(LATEST, query=("number",)))),
    ("a feature is read when it is ready", heads(RELATIVE, AFTER)),
    ("a feature is read when it is ready", {"layers": (Layer((), (FAR,)), Layer((SUM,)))}),
    ("a feature is read when it is ready", {"layers": (Layer((SUM,), (FAR,)),)}),
    ("a feature is read when it is ready", mlp(AFFINE, FAR)),
    ("a feature is read when it is ready", mlp(NUMBER, FAR)),
    ("a feature is read when it is ready", mlp(AFFINE, Sign("sign", "number"))),
    ("a feature is read when it is ready", {"layers": (Layer((SUM,), (Sign("sign", "number"),)),)}),
    ("a feature is read when it is ready", mlp(replace(NUMBER, feature="found"), TABLE)),
    ("a feature is read when it is ready", mlp(Affine("another", ((1, "number"),)), AFFINE)),
    ("operands have the right type", heads(replace(SUM, value="word"))),
    ("operands have the right type", heads(replace(SUM, out="found"))),
    ("operands have the right type", heads(replace(LATEST, query=("word",)))),
    ("operands have the right type", heads(replace(BY_WORD, query=("n",)))),
    ("operands have the right type", heads(replace(LATEST, key=("n", "n"), query=("m", "m")))),
    ("operands have the right type", heads(replace(LATEST, values=("n",)))),
    ("operands have the right type", heads(replace(BOTH, values=("word", "other")))),
    ("operands have the right type", heads(replace(RELATIVE, out="number"))),
    ("operands have the right type", mlp(Affine("number", ((1, "word"),)))),
    ("operands have the right type", mlp(Product("number", "n", "word"))),
    ("operands have the right type", mlp(replace(TABLE, inputs=("word", "n")))),
    ("operands have the right type", mlp(replace(NUMBER, feature="n"))),
    ("operands have the right type", mlp(replace(NUMBER, out="found"))),
    ("operands have the right type", mlp(replace(SIGN, value="word"))),
    ("operands have the right type", mlp(replace(SIGN, out="number"))),
    ("operands have the right type", heads(replace(GATHER, out="found"))),
    ("operands have the right type", heads(replace(GATHER, value="n"))),
    ("operands have the right type", heads(replace(GATHER, where="word"))),
    ("operands have the right type", heads(replace(GATHER, query=("word",)))),
    ("operands have the right type", heads(replace(LATEST, outs=("shares",)))),
    ("operands have the right type", heads(replace(LATEST, values=("shares",), defaults=()))),
    ("operands have the right type", heads(replace(RELATIVE, value="shares"))),
    ("operands have the right type", mlp(replace(NUMBER, feature="shares"))),
    ("operands have the right type", mlp(replace(TABLE, inputs=("word", "shares")))),
    ("operations are well-formed", heads(replace(GATHER, default="d"))),
    ("operations are well-formed", heads(replace(GATHER, value="short", default=None))),
    ("operations are well-formed", heads(replace(GATHER, where="m"))),
    ("operations are well-formed", heads(replace(GATHER, key=(), query=("other",)))),
    ("operations are well-formed", {"layers": ()}),
    ("operations are well-formed", heads(replace(SUM, when="m"))),
    ("operations are well-formed", heads(replace(LATEST, where="m"))),
    ("operations are well-formed", heads(replace(LATEST, defaults=("d",)))),
    ("operations are well-formed", heads(replace(LATEST, outs=(), values=(), defaults=()))),
    ("operations are well-formed", heads(replace(LATEST, values=("word", "other")))),
    ("operations are well-formed", heads(replace(LATEST, outs=("found", "also")))),
    ("operations are well-formed", heads(replace(LATEST, outs=("short",)))),
    ("operations are well-formed", heads(replace(BOTH, defaults=("a",)))),
    ("operations are well-formed", heads(replace(BOTH, defaults=("a", "7")))),
    ("operations are well-formed", heads(replace(BOTH, defaults=(7, 7)))),
    ("operations are well-formed", heads(replace(BOTH, defaults=()))),
    ("operations are well-formed", heads(replace(LAST, key=("word",)))),
    ("operations are well-formed", heads(replace(LAST, query=("word",)))),
    ("operations are well-formed", heads(replace(BY_WORD, key=("word", "other")))),
    ("operations are well-formed", heads(replace(BY_WORD, query=("short",)))),
    ("operations are well-formed", heads(replace(RELATIVE, offset=0))),
    ("operations are well-formed", heads(replace(RELATIVE, offset=-1))),
    ("operations are well-formed", loops(("found", "word"), **heads(replace(RELATIVE, offset=0)))),
    ("operations are well-formed", heads(replace(RELATIVE, default="d"))),
    ("operations are well-formed", heads(replace(RELATIVE, out="short"))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(Row(("a",), ("a", "a")),)))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(Row(("a", "d"), ("a",)),)))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(Row(("a", "a"), (None,)),)))),
    ("operations are well-formed", mlp(replace(TABLE, rows=TABLE.rows * 2))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(*TABLE.rows, CROSSED[0])))),
    ("operations are well-formed", mlp(replace(NUMBER, numbers=(("a", 1), ("a", 1))))),
    ("operations are well-formed", mlp(replace(NUMBER, numbers=(("d", 1),)))),
    ("operations are well-formed", mlp(replace(SIGN, out="found"))),
    ("the unembedding is well-formed", emits({}, default="z")),
    ("the unembedding is well-formed", emits({}, default="<bos>")),
    ("the unembedding is well-formed", emits({"<bos>": ("a",)})),
    ("the unembedding is well-formed", emits({"z": ("a",)})),
    ("the unembedding is well-formed", emits({"x": ("a", "b")})),
    ("the unembedding is well-formed", emits({"x": ("d",)})),
    ("the unembedding is well-formed", emits({"x": ("1",)}, read=("n",))),
    ("the unembedding is well-formed", emits({"x": ("a",)}, default="x")),
    ("the unembedding is well-formed", emits({"x": ("a",), "z": ("a",)}) | tokens(Z)),
    ("the unembedding is well-formed", emits({"x": ("a",), "z": (None,)}) | tokens(Z)),
    ("the unembedding is well-formed", emits({"x": (None,)}, read=("n",))),
    ("the unembedding is well-formed", emits({"x": ("d",)}, read=("shares",))),
    ("the unembedding is well-formed", emits({"x": (None,)}, read=("shares",))),
    ("the unembedding is well-formed", emits({"x": ("a", "a")}, read=("shares", "word"))),
    ("the loop is well-formed", loops(("found", "word"), **heads(RELATIVE, GATHER))),
    ("the loop is well-formed", loops(("found", "n"))),
    ("the loop is well-formed", loops(("found", "short"))),
    ("the loop is well-formed", loops(("found", "word"), ("found", "word"))),
    ("the loop is well-formed", loops(("other", "word"))),
    ("the loop is well-formed", loops(("found", "found"))),
    ("the loop is well-formed", loops(("number", "position"), **mlp(AFFINE))),
    ("the loop is well-formed", loops(("number", "n"), **heads(SUM))),
]


@pytest.mark.parametrize(("rule", "change"), BROKEN)
def test_a_program_that_breaks_a_rule_is_refused_in_its_name(rule, change):
    with pytest.raises(ProgramError, match="program 'small': ") as caught:
        replace(SMALL, **change)
    assert caught.value.rule == rule


def test_every_rule_can_be_broken():
    assert {rule for rule, _ in BROKEN} == {rule for rule, _ in RULES}


def test_a_token_is_found_by_name():
    assert SMALL.token("x") == TOKENS[1]
    with pytest.raises(KeyError, match="z"):
        SMALL.token("z")


LEGAL = [
    heads(BOTH),
    heads(replace(BOTH, values=("word", "flag"))),
    heads(replace(LATEST, key=("word", "word"), query=("other", "word"))),
    heads(LAST),
    heads(GATHER) | emits({"x": ("a",)}, read=("shares",)),
    heads(replace(RELATIVE, default=None)),
    {"layers": (Layer((SUM,), (Affine("another", ((1, "number"),)),)),)},
    mlp(TABLE, replace(NUMBER, feature="found"), Affine("another", ((1, "number"),))),
    mlp(replace(TABLE, rows=CROSSED)),
    emits({"x": ("a", None), "z": ("b", "b")}, read=("word", "other")) | tokens(Z),
    loops(("found", "word"), ("found", "other")),
    loops(("number", "n"), **mlp(AFFINE)),
    tokens(S, C),
    tokens(*(Token(role, role, {}) for role in ("part", "cell", "row", "end"))),
]


@pytest.mark.parametrize("change", LEGAL)
def test_a_program_that_breaks_no_rule_is_made(change):
    replace(SMALL, **change)


def last_match(rows, key, query):
    """What `Latest` looks for: back from the last row, up to the second one; None if in vain."""
    wanted = [rows[-1][name] for name in query]
    matching = [row for row in rows[1:] if row["flag"] and [row[name] for name in key] == wanted]
    return matching[-1] if matching and None not in wanted else None


def last_written(rows, default, key=("n",), query=("m",)):
    found = last_match(rows, key, query)
    return default if found is None else found["word"]


def shares_among(rows, default, key=("n",), query=("m",)):
    """What `Gather` counts: how many of the matching rows have which word, as one value."""
    wanted = [rows[-1][name] for name in query]
    matching = [row for row in rows[1:] if row["flag"] and [row[name] for name in key] == wanted]
    found = [row["word"] for row in matching if None not in wanted] or [default]
    return [tuple(Fraction(found.count(word), len(found)) for word in WORDS)]


def last_two(rows):
    found = last_match(rows, ["n"], ["m"])
    return ["a", 7] if found is None else [found["word"], found["m"]]


PAIRS = {("a", "b"): "c", ("a", "c"): "b", ("b", "b"): "a"}
MEANINGS = [
    # an operation, and what it gives at the last of some rows
    (SUM, lambda rows: sum(row["n"] for row in rows)),
    (replace(SUM, when="flag"), lambda rows: rows[-1]["flag"] * sum(row["n"] for row in rows)),
    (replace(SUM, value="position"), lambda rows: len(rows) * (len(rows) + 1) // 2),
    (LATEST, lambda rows: last_written(rows, "a")),
    (replace(LATEST, defaults=("c",)), lambda rows: last_written(rows, "c")),
    (replace(LATEST, defaults=()), lambda rows: last_written(rows, None)),
    (BOTH, last_two),
    (BY_WORD, lambda rows: last_written(rows, "a", ["word"], ["other"])),
    (
        replace(BY_WORD, key=("word", "other"), query=("other", "word")),
        lambda rows: last_written(rows, "a", ["word", "other"], ["other", "word"]),
    ),
    (LAST, lambda rows: last_written(rows, None, [], [])),
    (GATHER, lambda rows: shares_among(rows, "b")),
    (replace(GATHER, default=None), lambda rows: shares_among(rows, None)),
    (replace(GATHER, key=(), query=()), lambda rows: shares_among(rows, "b", [], [])),
    (
        replace(GATHER, key=("word", "other"), query=("other", "other")),
        lambda rows: shares_among(rows, "b", ["word", "other"], ["other", "other"]),
    ),
    (replace(RELATIVE, default=None), lambda rows: rows[-2]["word"] if len(rows) > 2 else None),
    (NUMBER, lambda rows: {"a": -1, "b": 5}.get(rows[-1]["word"], 0)),
    (SIGN, lambda rows: ["zero", "positive", "negative"][max(-1, min(1, rows[-1]["n"]))]),
    (RELATIVE, lambda rows: rows[-2]["word"] if len(rows) > 2 else "a"),
    (replace(RELATIVE, offset=4), lambda rows: rows[-5]["word"] if len(rows) > 5 else "a"),
    (
        Affine("number", ((2, "n"), (-3, "m"), (1, "position")), 7),
        lambda rows: 2 * rows[-1]["n"] - 3 * rows[-1]["m"] + len(rows) + 7,
    ),
    (Affine("number", (), -4), lambda rows: -4),
    (Product("number", "n", "m"), lambda rows: rows[-1]["n"] * rows[-1]["m"]),
    (
        replace(TABLE, rows=tuple(Row(case, (word,)) for case, word in PAIRS.items())),
        lambda rows: PAIRS.get((rows[-1]["word"], rows[-1]["other"])),
    ),
    (
        replace(TABLE, rows=CROSSED[:1]),
        lambda rows: rows[-1]["word"] if rows[-1]["word"] == "a" else None,
    ),
]
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
    min_size=1,
    max_size=15,
)


@pytest.mark.parametrize(("operation", "meaning"), MEANINGS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_operations_mean_what_a_few_lines_of_python_say(operation, meaning, rows):
    part = heads if isinstance(operation, CausalSum | Latest | Gather | Relative) else mlp
    sequence = [BEGIN, *(Token(f"t{i}", "step", row) for i, row in enumerate(rows))]
    program = replace(SMALL, tokens=tuple(sequence), **part(operation), **emits({}, default="t0"))
    interpreter = Interpreter(program)
    blank = {"word": None, "other": None, "m": 0, "n": 0, "flag": 0}
    for count, token in enumerate(sequence, 1):
        interpreter.feed(token.name)
        seen = [blank | dict(token.values) for token in sequence[:count]]
        assert interpreter.position == count
        told, meant = [interpreter.values[name] for name in writes(operation)], meaning(seen)
        assert told == (meant if isinstance(meant, list) else [meant])


def test_the_interpreter_emits_until_a_token_with_an_outcome():
    features = (Integer("position", low=1), Categorical("word", WORDS), Categorical("last", WORDS))
    sequence = (BEGIN, *(Token(word, "step", {"word": word}) for word in "ab"))
    end = Token("c", "end", {"word": "c"}, "halted")
    follow = {"b": ("a",), "c": ("b",)}
    program = Program(
        "abc", features, (*sequence, end), (Layer(),), Unembed(("word",), follow, "a")
    )
    assert Interpreter(program).generate(["<bos>"], 9) == ["a", "b", "c"]
    assert Interpreter(program).generate(["<bos>", "b"], 9) == ["c"]
    assert Interpreter(program).generate(["<bos>"], 2) == ["a", "b"]
    assert Interpreter(program).generate(["<bos>", "c"], 9) == []


def counter():
    """Return a program that emits `a` up to position 5, and then a summary, `s c`."""
    features = (
        Integer("position", low=1),
        Categorical("word", WORDS),
        Integer("over"),
        Categorical("side", SIGNS),
        Categorical("next", WORDS),
    )
    tokens = (
        BEGIN,
        Token("a", "step", {"word": "a"}),
        Token("s", "summary", {"word": "b"}),
        Token("c", "cut", {"word": "c"}),
        Token("lost", "end", {}, "lost"),
    )
    follow = {("a", "negative"): "a", ("a", "zero"): "b", ("b", None): "c", ("c", "negative"): "a"}
    rows = tuple(Row(case, (word,)) for case, word in follow.items())
    layers = (
        Layer((), (Affine("over", ((1, "position"),), -5),)),
        Layer((), (Sign("side", "over"),)),
        Layer((), (Table("follow", ("word", "side"), ("next",), rows),)),
    )
    emit = Unembed(("next",), {"a": ("a",), "s": ("b",), "c": ("c",)}, "lost")
    return Program("counter", features, tokens, layers, emit)


def test_after_a_cut_the_program_goes_on_with_the_summary_alone():
    interpreter = Interpreter(counter())
    wanted = [*"aaascaascaasc"]
    assert interpreter.generate(["<bos>", "a"], 13) == wanted
    assert interpreter.position == 3
    assert interpreter.generate(["<bos>", "a"], 7) == wanted[:7]
    assert interpreter.generate(["<bos>", "a", *wanted[:5]], 8) == wanted[5:]
    assert interpreter.generate(["<bos>", "s", "c"], 8) == wanted[5:]
    interpreter.restart()
    fed = [interpreter.feed(token) for token in ["<bos>", "a", *wanted[:5]]]
    assert fed[1:] == [*wanted[:5], "lost"]


@pytest.mark.parametrize(
    ("context", "left"),
    [
        ("<bos> a s a c", "<bos> s a c"),
        ("<bos> s a c s c", "<bos> s c"),
        ("<bos> s c", "<bos> s c"),
        ("<bos> a c", "<bos> a c"),
    ],
)
def test_a_cut_leaves_the_first_token_and_the_last_summary(context, left):
    assert resumed(context.split(), counter()) == left.split()


def test_the_interpreter_begins_anew_after_a_restart():
    program = replace(SMALL, **heads(replace(LAST, key=("word",), query=("word",)), SUM))
    interpreter = Interpreter(program)
    seen = []
    for _ in range(2):
        interpreter.restart()
        assert (interpreter.position, interpreter.values) == (0, {})
        for token in ("<bos>", "x", "x"):
            interpreter.feed(token)
        seen.append(interpreter.values)
    assert seen[0] == seen[1]
    assert seen[0]["number"] == 4
