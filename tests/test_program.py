"""Programs: the rules that make them legal, and what they mean."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tm2tf.errors import ProgramError
from tm2tf.program.checks import RULES
from tm2tf.program.features import Categorical, Integer
from tm2tf.program.interpreter import Interpreter
from tm2tf.program.operations import Affine, CausalSum, Latest, Product, Relative, Row, Table
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
    Categorical("short", ("a", "b")),
)
BEGIN = Token("<bos>", "begin", {})
TOKENS = (BEGIN, Token("x", "prompt", {"word": "a", "n": 2, "flag": 1}), Token("y", "step", {}))
Z = Token("z", "step", {})
SMALL = Program("small", FEATURES, TOKENS, (Layer(),), Unembed(("word",), {"x": ("a",)}, "y"))

SUM, AFFINE = CausalSum("number", "n"), Affine("number", ((1, "n"),))
LATEST = Latest("found", query="m", key="n", value="word", where="flag", default="a")
RELATIVE = Relative("found", offset=1, value="word", default="a")
TABLE = Table("copy", ("word", "other"), ("found",), (Row(("a", "b"), ("c",)),))
FAR = Product("another", "number", "n")


def features(*more):
    return {"features": (*FEATURES, *more)}


def tokens(*more):
    return {"tokens": (*TOKENS, *more)}


def heads(*operations):
    return {"layers": (Layer(attention=operations),)}


def mlp(*operations):
    return {"layers": (Layer(feed_forward=operations),)}


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
    ("tokens fit their features", {"tokens": TOKENS[1:]}),
    ("tokens fit their features", tokens(Token("<s>", "begin", {}))),
    ("tokens fit their features", {"tokens": (replace(BEGIN, values={"n": 1}), *TOKENS[1:])}),
    ("tokens fit their features", tokens(Token("a b", "step", {}))),
    ("tokens fit their features", tokens(Token("", "step", {}))),
    ("tokens fit their features", tokens(Token("z", "step", {"n": 4}))),
    ("tokens fit their features", tokens(Token("z", "step", {"n": "a"}))),
    ("tokens fit their features", tokens(Token("z", "step", {"word": "d"}))),
    ("tokens fit their features", tokens(Token("z", "step", {"word": 1}))),
    ("tokens fit their features", tokens(Token("z", "step", {"position": 1}))),
    ("a feature is written once", heads(SUM, SUM)),
    ("a feature is written once", {"layers": (Layer((SUM,)), Layer((SUM,)))}),
    ("a feature is written once", heads(replace(SUM, out="n"))),
    ("a feature is written once", heads(replace(SUM, out="position"))),
    ("a feature is written once", mlp(replace(TABLE, outputs=("found", "found")))),
    ("a feature is read when it is ready", heads(replace(SUM, value="number"))),
    ("a feature is read when it is ready", heads(SUM, replace(LATEST, query="number"))),
    ("a feature is read when it is ready", {"layers": (Layer((), (FAR,)), Layer((SUM,)))}),
    ("a feature is read when it is ready", {"layers": (Layer((SUM,), (FAR,)),)}),
    ("a feature is read when it is ready", mlp(AFFINE, FAR)),
    ("a feature is read when it is ready", mlp(Affine("another", ((1, "number"),)), AFFINE)),
    ("operands have the right type", heads(replace(SUM, value="word"))),
    ("operands have the right type", heads(replace(SUM, out="found"))),
    ("operands have the right type", heads(replace(LATEST, query="word"))),
    ("operands have the right type", heads(replace(LATEST, value="n"))),
    ("operands have the right type", heads(replace(RELATIVE, out="number"))),
    ("operands have the right type", mlp(Affine("number", ((1, "word"),)))),
    ("operands have the right type", mlp(Product("number", "n", "word"))),
    ("operands have the right type", mlp(replace(TABLE, inputs=("word", "n")))),
    ("operations are well-formed", {"layers": ()}),
    ("operations are well-formed", heads(replace(SUM, when="m"))),
    ("operations are well-formed", heads(replace(LATEST, where="m"))),
    ("operations are well-formed", heads(replace(LATEST, default="d"))),
    ("operations are well-formed", heads(replace(RELATIVE, offset=0))),
    ("operations are well-formed", heads(replace(RELATIVE, out="short"))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(Row(("a",), ("a", "a")),)))),
    ("operations are well-formed", mlp(replace(TABLE, rows=(Row(("a", "d"), ("a",)),)))),
    ("operations are well-formed", mlp(replace(TABLE, rows=TABLE.rows * 2))),
    ("the unembedding is well-formed", emits({}, default="z")),
    ("the unembedding is well-formed", emits({}, default="<bos>")),
    ("the unembedding is well-formed", emits({"<bos>": ("a",)})),
    ("the unembedding is well-formed", emits({"z": ("a",)})),
    ("the unembedding is well-formed", emits({"x": ("a", "b")})),
    ("the unembedding is well-formed", emits({"x": ("d",)})),
    ("the unembedding is well-formed", emits({"x": ("1",)}, read=("n",))),
    ("the unembedding is well-formed", emits({"x": ("a",)}, default="x")),
    ("the unembedding is well-formed", emits({"x": ("a",), "z": ("a",)}) | tokens(Z)),
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


def last_written(rows, default):
    """What `Latest` means: look back from the last row, up to the second one."""
    matching = [row for row in rows[1:] if row["flag"] and row["n"] == rows[-1]["m"]]
    return matching[-1]["word"] if matching else default


PAIRS = {("a", "b"): "c", ("a", "c"): "b", ("b", "b"): "a"}
MEANINGS = [
    # an operation, and what it gives at the last of some rows
    (SUM, lambda rows: sum(row["n"] for row in rows)),
    (replace(SUM, when="flag"), lambda rows: rows[-1]["flag"] * sum(row["n"] for row in rows)),
    (replace(SUM, value="position"), lambda rows: len(rows) * (len(rows) + 1) // 2),
    (LATEST, lambda rows: last_written(rows, "a")),
    (replace(LATEST, default="c"), lambda rows: last_written(rows, "c")),
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
    part = heads if isinstance(operation, CausalSum | Latest | Relative) else mlp
    sequence = [BEGIN, *(Token(f"t{i}", "step", row) for i, row in enumerate(rows))]
    program = replace(SMALL, tokens=tuple(sequence), **part(operation), **emits({}, default="t0"))
    interpreter = Interpreter(program)
    blank = {"word": None, "other": None, "m": 0, "n": 0, "flag": 0}
    for count, token in enumerate(sequence, 1):
        interpreter.feed(token.name)
        seen = [blank | dict(token.values) for token in sequence[:count]]
        assert interpreter.position == count
        name = operation.outputs[0] if isinstance(operation, Table) else operation.out
        assert interpreter.values[name] == meaning(seen)


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
