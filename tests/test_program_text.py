"""The text of programs: golden, read back, and errors that point at the place."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.program_strategies import ODD_NAMES, programs
from tests.strategies import ODD, machines
from tm2tf import formats
from tm2tf.constructions import trace
from tm2tf.errors import FormatError, ProgramError
from tm2tf.machine.library import find
from tm2tf.program.features import Integer
from tm2tf.program.operations import Affine, CausalSum, Latest, Product, Relative, Row, Table
from tm2tf.program.printer import dump
from tm2tf.program.program import Layer, Token, Unembed
from tm2tf.program.reader import parse

GOLDEN = Path(__file__).parent / "golden" / "bb2.trace.program.txt"
"""`python -m tests.test_program_text` writes it anew."""


def bb2():
    entry = find("bb2")
    return trace.program(formats.parse(entry.path.read_text(), str(entry.path), entry.name))


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
    assert_reads_back(trace.program(machine))


@settings(max_examples=100, deadline=None)
@given(program=programs(names=ODD_NAMES))
def test_programs_with_odd_names_read_back(program):
    assert_reads_back(program)


TEXT = """\
program "of each \\u0041 kind"   # a comment
features
  position: integer 1..
  word: one of a "#" "b c"
  flag: integer 0..1
tokens
  <bos>: begin
  x: prompt word="#" flag=1 outcome "all over"
layer 0
  attention
    sum = causal-sum flag when flag
    old = relative word 2 back else a
  feed-forward
    area = product position flag
    form = affine +1 sum -2 position +3
layer 1
  attention
    seen = latest word where flag and form is area else a
  feed-forward
    table next: old seen -> after
      a "#" -> "b c"
unembedding: after -> token
  default: x
"""
MADE = """
  sum: integer
  old: one of a "#" "b c"
  area: integer ..9
  form: integer
  seen: one of a "#" "b c"
  after: one of a "#" "b c"
"""
GOOD = TEXT.replace("\ntokens", MADE + "\n# here\n\ntokens")


def test_a_text_is_read_as_it_is_meant():
    program = parse(GOOD)
    assert_reads_back(program)
    assert program.name == "of each A kind"
    assert program.features[5] == Integer("area", None, 9)
    x = Token("x", "prompt", {"word": "#", "flag": 1}, "all over")
    assert program.tokens == (Token("<bos>", "begin", {}), x)
    table = Table("next", ("old", "seen"), ("after",), (Row(("a", "#"), ("b c",)),))
    latest = Latest("seen", "area", "form", "word", "flag", "a")
    area, form = Product("area", "position", "flag"), ((1, "sum"), (-2, "position"))
    first = (CausalSum("sum", "flag", "flag"), Relative("old", 2, "word", "a"))
    assert program.layers == (
        Layer(first, (area, Affine("form", form, 3))),
        Layer((latest,), (table,)),
    )
    assert program.unembed == Unembed(("after",), {}, "x")


ERRORS = [
    # what is changed in TEXT (`^` stands before the place pointed at), and the message
    ("program", "^programme", "expected 'program', got 'programme'"),
    ("# a comment", "^kind", "expected the end of the line, got 'kind'"),
    ("features\n  position", "  ^position", "expected 'features', got 'position'"),
    ("one of a", "^some of a", "expected a type ('integer', 'integer 0..1', 'one of A B')"),
    ("0..1", "^0-1", "expected a range such as -1..1, 1.. or ..5, got '0-1'"),
    ("tokens\n  <bos>: ", "  <bos>: ^", "'one of A B'), got 'begin'"),
    ("prompt", "^promt", "expected a role (begin, prompt, step, end), got 'promt'; did you"),
    ("word=", "^words=", "expected a feature (position, word, flag), got 'words'; did you mean"),
    ('word="#" ', "flag=0 ^", "expected a feature that is not set yet, got 'flag'"),
    ("flag=1", "flag=^x", "expected an integer for 'flag', got 'x'"),
    ("flag=1 ", "flag= ^", "expected an integer for 'flag', got 'outcome'"),
    ('"all over"', '^"all over', "this string has no end: expected another"),
    ('"all over"', r'^"\q"', r'expected a JSON string, got "\q": Invalid \escape'),
    ("layer 0", "layer ^1", "expected '0', got '1'"),
    ("attention\n    sum", "  ^sum", "expected 'attention', 'feed-forward', 'layer' or 'unembedd"),
    ("sum = causal", "sum ^causal", "expected '=', got 'causal-sum'"),
    ("when flag", "^if flag", "expected 'when', got 'if'"),
    ("= relative", "= ^affine", "of a layer (causal-sum, latest, relative), got 'affine'"),
    ("word 2 back", "word ^two back", "expected how many positions back, got 'two'"),
    ("position flag", "position^", "expected a second feature, got the end of the line"),
    ("-2 position", "^position", "expected a coefficient such as +1, got 'position'"),
    ("and form is", "and form ^= ", "expected 'is', got '='"),
    ('a "#" ->', 'a = ^"#" ->', "of this part of a layer (affine, product), got '#'"),
    ("-> token", "-> ^word", "expected 'token', got 'word'"),
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
