"""The text of programs: golden, read back, and errors that point at the place."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.program_strategies import ALL_ROLES, ODD_NAMES, programs
from tests.strategies import ODD, machines
from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.errors import FormatError, ProgramError
from tm2tf.machine.library import find
from tm2tf.program.features import Integer
from tm2tf.program.operations import (
    Affine,
    CausalSum,
    Latest,
    Number,
    Product,
    Relative,
    Row,
    Sign,
    Table,
)
from tm2tf.program.printer import dump
from tm2tf.program.program import Layer, Token, Unembed
from tm2tf.program.reader import parse

GOLDEN = Path(__file__).parent / "golden" / "bb2.trace.program.txt"
"""`python -m tests.test_program_text` writes it anew."""


def bb2():
    entry = find("bb2")
    return trace.program(formats.parse(entry.path.read_text(), str(entry.path), entry.name), {})


def assert_reads_back(program):
    again = parse(dump(program))
    assert again == program
    # `==` of mappings does not look at the order of keys
    assert [list(t.values) for t in again.tokens] == [list(t.values) for t in program.tokens]
    assert list(again.unembed.rows) == list(program.unembed.rows)


def test_the_text_of_a_program_is_the_golden_one():
    assert dump(bb2()) == GOLDEN.read_text()


@settings(max_examples=60, deadline=None)
@given(machine=machines(words=ODD))
def test_programs_of_machines_read_back(machine):
    assert_reads_back(trace.program(machine, {}))


@settings(max_examples=100, deadline=None)
@given(program=programs(ODD_NAMES, ALL_ROLES) | programs(ODD_NAMES, looped=True))
def test_programs_with_odd_names_read_back(program):
    assert_reads_back(program)


TEXT = """\
program "of each \\u0041 kind"   # a comment
features
  position: integer 1..
  word: one of a "#" "b c"
  flag: integer 0..1
  mark: integer
tokens
  <bos>: begin
  x: prompt word="#" flag=1 outcome "all over"
  s: summary
  c: cut word="b c"
layer 0
  attention
    sum = causal-sum flag when flag
    old = relative word 2 back else a
    before = relative word 1 back
  feed-forward
    area = product position flag
    form = affine +1 sum -2 position +3
    size = number old a=1 "#"=-20
    side = sign position
layer 1
  attention
    seen = latest word where flag and form is area else a
    last mark = latest word flag where flag and old "is" is before is else "#" -1
    newest = latest old where flag
  feed-forward
    table next: old seen -> after
      a "#" -> "b c"
      "b c" * -> a
unembedding: after -> token
  default: x
"""
MADE = """
  sum: integer
  old: one of a "#" "b c"
  area: integer ..9
  form: integer
  seen: one of a "#" "b c"
  before: one of a "#" "b c"
  last: one of a "#" "b c"
  newest: one of a "#" "b c"
  is: one of a "#" "b c"
  size: integer
  side: one of negative zero positive
  after: one of a "#" "b c"
"""
GOOD = TEXT.replace("\ntokens", MADE + "\n# here\n\ntokens")


def test_a_text_is_read_as_it_is_meant():
    program = parse(GOOD)
    assert_reads_back(program)
    assert program.name == "of each A kind"
    assert program.features[6] == Integer("area", None, 9)
    assert program.tokens == (
        Token("<bos>", "begin", {}),
        Token("x", "prompt", {"word": "#", "flag": 1}, "all over"),
        Token("s", "summary", {}),
        Token("c", "cut", {"word": "b c"}),
    )
    first = Layer(
        (
            CausalSum("sum", "flag", "flag"),
            Relative("old", 2, "word", "a"),
            Relative("before", 1, "word", None),
        ),
        (
            Product("area", "position", "flag"),
            Affine("form", ((1, "sum"), (-2, "position")), 3),
            Number("size", "old", (("a", 1), ("#", -20))),
            Sign("side", "position"),
        ),
    )
    rows = (Row(("a", "#"), ("b c",)), Row(("b c", None), ("a",)))
    second = Layer(
        (
            Latest(("seen",), ("word",), "flag", ("form",), ("area",), ("a",)),
            Latest(
                ("last", "mark"),
                ("word", "flag"),
                "flag",
                key=("old", "is"),
                query=("before", "is"),
                defaults=("#", -1),
            ),
            Latest(("newest",), ("old",), "flag"),
        ),
        (Table("next", ("old", "seen"), ("after",), rows),),
    )
    assert program.layers == (first, second)
    assert program.unembed == Unembed(("after",), {}, "x")
    assert program.loop == ()


def test_the_text_of_a_looped_program_says_what_it_carries():
    text = """\
program wave

features
  position: integer 1..
  cell: one of 0 *
  right: one of 0 *

tokens
  <bos>: begin
  x: cell cell=*

layer 0
  attention
    right = relative cell -1 back else 0

loop
  right -> cell

unembedding: right cell -> token
  * "*" -> x
  default: x
"""
    with pytest.raises(ProgramError, match="the default token 'x' has a row too"):
        parse(text)
    program = parse(
        text.replace("default: x", "default: y").replace("x: cell", "y: row\n  x: cell")
    )
    assert program.loop == (("right", "cell"),)
    assert program.layers == (Layer((Relative("right", -1, "cell", "0"),)),)
    assert program.unembed.rows == {"x": (None, "*")}
    assert_reads_back(program)


ERRORS = [
    # what is changed in TEXT (`^` stands before the place pointed at), and the message
    ("program", "^programme", "expected 'program', got 'programme'"),
    ("# a comment", "^kind", "expected the end of the line, got 'kind'"),
    ("features\n  position", "  ^position", "expected 'features', got 'position'"),
    ("one of a", "^some of a", "expected a type ('integer', 'integer 0..1', 'one of"),
    ("0..1", "^0-1", "expected a range such as -1..1, 1.. or ..5, got '0-1'"),
    ("tokens\n  <bos>: ", "  <bos>: ^", "'shares of A B'), got 'begin'"),
    ("prompt", "^promt", "expected a role, got 'promt'; did you mean 'prompt'?"),
    (
        "word=",
        "^words=",
        "expected a feature (position, word, flag, mark), got 'words'; did you mean",
    ),
    ('word="#" ', "flag=0 ^", "expected a feature that is not set yet, got 'flag'"),
    ("flag=1", "flag=^x", "expected an integer for 'flag', got 'x'"),
    ("flag=1 ", "flag= ^", "expected an integer for 'flag', got 'outcome'"),
    ('"all over"', '^"all over', "this string has no end: expected another"),
    ('"all over"', r'^"\q"', r'expected a JSON string, got "\q": Invalid \escape'),
    ("layer 0", "layer ^1", "expected '0', got '1'"),
    ("attention\n    sum", "  ^sum", "expected 'attention', 'feed-forward', 'layer', 'loop' or"),
    ("sum = causal", "sum ^causal", "expected '=', got 'causal-sum'"),
    ("when flag", "^if flag", "expected 'when', got 'if'"),
    ("= relative", "= ^affine", "(causal-sum, latest, gather, relative), got 'affine'"),
    ("word 2 back", "word ^two back", "expected how many positions back, got 'two'"),
    (
        "old = relative",
        "old older = ^relative",
        "'latest', the only operation with several outputs",
    ),
    ("position flag", "position^", "expected a second feature, got the end of the line"),
    ("= product", "^more = product", "expected '=', got 'more'"),
    ("a=1 ", "a ^", "expected '=', got '#'"),
    ('#"=-20', '#"=^ten', "expected an integer for '#', got 'ten'"),
    ("word flag where flag", "word where ^flag", "expected 'where', got 'flag'"),
    ('"is" is before', "is is ^before", "expected 'else', got 'before'"),
    ("is before is else", "is before ^=", "expected a query for 'is', got '='"),
    ('"#" -1', '"#" ^"-1"', "expected the default of 'mark', got '-1'"),
    ('"#" -1', '"#"^', "expected the default of 'mark', got the end of the line"),
    (
        "newest = latest old where flag",
        "newest = latest old where flag ^if",
        "expected 'else', got",
    ),
    ("-2 position", "^position", "expected a coefficient such as +1, got 'position'"),
    ("and form is", "and form ^= ", "expected a key or 'is', got '='"),
    ('a "#" ->', 'a = ^"#" ->', "of this part of a layer (affine, number, sign, product), got '#'"),
    ("-> token", "-> ^word", "expected 'token', got 'word'"),
    ("unembedding", "loop\n  word ^is word\nunembedding", "expected '->', got 'is'"),
    ("unembedding", "loop\n  word -> word ^word\nunembedding", "expected the end of the line"),
    ("  default", "  a -> x\n\n  b -> ^x\n  default", "expected a token without a row yet"),
    ("  default: x\n", "^", "expected a value or '->', got the end of the text"),
    ("default: x", "default: x\n^more", "expected the end of the text, got 'more'"),
]


@pytest.mark.parametrize(("old", "new", "message"), ERRORS)
def test_errors_point_at_the_place(old, new, message):
    before, mark, after = TEXT.replace(old, new, 1).partition("^")
    assert mark
    with pytest.raises(FormatError) as caught:
        parse(before + after, "a.txt")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    assert (caught.value.line, caught.value.column) == (line, column)
    assert message in caught.value.message
    assert str(caught.value).startswith(f"a.txt:{line}:{column}: ")


def test_a_text_that_breaks_a_rule_is_no_program():
    with pytest.raises(ProgramError, match="names the unknown feature 'sum'"):
        parse(TEXT)


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(dump(bb2()))
