"""Text to program: the inverse of `printer`, whose docstring shows the format.

Every line is one item. What it is shows in its first word and its symbols (`=`, `:`, `->`), not
in its indentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, TypeVar, get_args

from tm2tf.program.features import Categorical, Distribution, Feature, Integer
from tm2tf.program.lines import Line, Lines
from tm2tf.program.operations import (
    Affine,
    Attention,
    CausalSum,
    FeedForward,
    Gather,
    Latest,
    Number,
    Product,
    Relative,
    Row,
    Sign,
    Table,
)
from tm2tf.program.program import Layer, Program, Role, Token, Unembed

T = TypeVar("T")
Types: TypeAlias = Mapping[str, Feature]
Outs: TypeAlias = tuple[Feature, ...]
"""What an operation writes."""
Read: TypeAlias = Callable[[Outs, Line], T]
"""Reads an operation from behind its name on."""

_RANGE = re.compile(r"(-?[0-9]{1,4000})?\.\.(-?[0-9]{1,4000})?")


def parse(text: str, source: str = "<text>") -> Program:
    """Return the program that a text describes; `source` names the text in errors.

    Raises:
        FormatError: the text is not in the format; it carries line and column.
        ProgramError: the program that it describes breaks a rule of `checks`.
    """
    lines = Lines(text, source)
    line = lines.take()
    line.skip("program")
    name = line.name("the program's name")
    line.finish()
    lines.heading("features")
    features = [_feature(line) for line in lines.until(lambda line: line.begins("tokens"))]
    types = {feature.name: feature for feature in features}
    lines.heading("tokens")
    tokens = [_token(line, types) for line in lines.until(_ends_tokens)]
    layers: list[Layer] = []
    while lines.first.begins("layer"):
        layers.append(_layer(lines, len(layers), types))
    loop = _loop(lines) if lines.first.begins("loop") else ()
    unembed = _unembedding(lines)
    lines.take().finish("the end of the text")
    return Program(name, tuple(features), tuple(tokens), tuple(layers), unembed, loop)


def _feature(line: Line) -> Feature:
    name = line.name("a feature's name or 'tokens'")
    line.skip(":")
    if line.sees("one", "of"):
        line.skip("one", "of")
        return Categorical(name, line.names("a value"))
    if line.sees("shares", "of"):
        line.skip("shares", "of")
        return Distribution(name, line.names("a value"))
    if not line.sees("integer"):
        line.wrong("a type ('integer', 'integer 0..1', 'one of A B', 'shares of A B')")
    line.skip("integer")
    if line.next.kind == "end":
        return Integer(name)
    bounds = _RANGE.fullmatch(line.next.text)
    if bounds is None:
        line.wrong("a range such as -1..1, 1.. or ..5")
    line.name("a range")
    low, high = (None if bound is None else int(bound) for bound in bounds.groups())
    return Integer(name, low, high)


def _token(line: Line, types: Types) -> Token:
    roles: tuple[Role, ...] = get_args(Role)
    name = line.name("a token's name, 'layer' or 'unembedding'")
    line.skip(":")
    role = line.one_of({role: role for role in roles}, "a role")
    values: dict[str, str | int] = {}
    outcome = None
    while line.next.kind != "end":
        if line.sees("outcome") and not line.sees("outcome", "="):
            line.skip("outcome")
            outcome = line.name("an outcome")
            break
        if line.next.text in values:
            line.wrong("a feature that is not set yet")
        feature = line.one_of(types, "a feature")
        line.skip("=")
        if isinstance(feature, Integer):
            values[feature.name] = line.integer(f"an integer for {feature.name!r}")
        else:
            values[feature.name] = line.name(f"a value of {feature.name!r}")
    return Token(name, role, values, outcome)


def _ends_tokens(line: Line) -> bool:
    # a token may be called "unembedding": what it embeds holds no arrow
    return line.begins("layer") or (line.sees("unembedding", ":") and "->" in line.symbols)


def _layer(lines: Lines, number: int, types: Types) -> Layer:
    line = lines.take()
    line.skip("layer", str(number))
    line.finish()
    attention: list[Attention] = []
    feed_forward: list[FeedForward] = []
    if lines.first.begins("attention"):
        lines.heading("attention")
        attention = [_operation(line, types, ATTENTION) for line in lines.until(_ends_operations)]
    if lines.first.begins("feed-forward"):
        lines.heading("feed-forward")
        for line in lines.until(_ends_operations):
            if line.sees("table") and not line.sees("table", "="):
                feed_forward.append(_table(line, lines))
            else:
                feed_forward.append(_operation(line, types, FEED_FORWARD))
    return Layer(tuple(attention), tuple(feed_forward))


def _ends_operations(line: Line) -> bool:
    headings = ("feed-forward", "layer", "loop")
    return any(map(line.begins, headings)) or line.sees("unembedding", ":")


def _operation(line: Line, types: Types, known: Mapping[str, Read[T]]) -> T:
    names = [line.name("an operation, 'layer', 'loop' or 'unembedding'")]
    if "latest" in known and "=" in line.symbols:
        names += line.names("a feature", "=")
    else:
        line.skip("=")
    if len(names) > 1 and not line.sees("latest"):
        line.wrong("'latest', the only operation with several outputs")
    # a name without a type is for `checks` to refuse
    outs = tuple(types.get(name, Categorical(name, ())) for name in names)
    return line.one_of(known, "an operation of this part of a layer")(outs, line)


def _causal_sum(outs: Outs, line: Line) -> CausalSum:
    value = line.name("a feature")
    if line.next.kind == "end":
        return CausalSum(outs[0].name, value)
    line.skip("when")
    return CausalSum(outs[0].name, value, line.name("a flag"))


def _latest(outs: Outs, line: Line) -> Latest:
    values = tuple(line.name(f"a feature for {out.name!r}") for out in outs)
    where, key, query = _comparison(line)
    defaults: tuple[str | int, ...] = ()
    if line.next.kind != "end":
        line.skip("else")
        defaults = tuple(_default(out, line) for out in outs)
    return Latest(tuple(out.name for out in outs), values, where, key, query, defaults)


def _gather(outs: Outs, line: Line) -> Gather:
    out, value = outs[0].name, line.name("a feature")
    where, key, query = _comparison(line)
    if line.next.kind == "end":
        return Gather(out, value, where, key, query)
    line.skip("else")
    return Gather(out, value, where, key, query, line.name(f"the default of {out!r}"))


def _comparison(line: Line) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Read which positions a lookup looks for: the flag, keys and queries."""
    line.skip("where")
    where = line.name("a flag")
    if not line.sees("and"):
        return where, (), ()
    line.skip("and")
    key = line.names("a key", "is")
    return where, key, tuple(line.name(f"a query for {name!r}") for name in key)


def _default(out: Feature, line: Line) -> str | int:
    wanted = f"the default of {out.name!r}"
    return line.integer(wanted) if isinstance(out, Integer) else line.name(wanted)


def _relative(outs: Outs, line: Line) -> Relative:
    value = line.name("a feature")
    offset = line.integer("how many positions back")
    line.skip("back")
    if line.next.kind == "end":
        return Relative(outs[0].name, offset, value)
    line.skip("else")
    return Relative(outs[0].name, offset, value, line.name("the default"))


def _affine(outs: Outs, line: Line) -> Affine:
    out = outs[0].name
    terms: list[tuple[int, str]] = []
    while True:
        number = line.integer("a coefficient such as +1")
        if line.next.kind == "end":
            return Affine(out, tuple(terms), number)
        terms.append((number, line.name("a feature")))
        if line.next.kind == "end":
            return Affine(out, tuple(terms))


def _number(outs: Outs, line: Line) -> Number:
    feature = line.name("a feature")
    numbers: list[tuple[str, int]] = []
    while line.next.kind != "end":
        value = line.name(f"a value of {feature!r}")
        line.skip("=")
        numbers.append((value, line.integer(f"an integer for {value!r}")))
    return Number(outs[0].name, feature, tuple(numbers))


def _sign(outs: Outs, line: Line) -> Sign:
    return Sign(outs[0].name, line.name("a feature"))


def _product(outs: Outs, line: Line) -> Product:
    return Product(outs[0].name, line.name("a feature"), line.name("a second feature"))


ATTENTION: Mapping[str, Read[Attention]] = {
    "causal-sum": _causal_sum,
    "latest": _latest,
    "gather": _gather,
    "relative": _relative,
}
FEED_FORWARD: Mapping[str, Read[FeedForward]] = {
    "affine": _affine,
    "number": _number,
    "sign": _sign,
    "product": _product,
}


def _table(line: Line, lines: Lines) -> Table:
    line.skip("table")
    name = line.name("the table's name")
    line.skip(":")
    inputs, outputs = line.names("a feature", "->"), line.names("a feature")
    rows = []
    while lines.first.symbols == ["->"]:
        row = lines.take()
        rows.append(Row(_matched(row), row.names("a value")))
    return Table(name, inputs, outputs, tuple(rows))


def _loop(lines: Lines) -> tuple[tuple[str, str], ...]:
    lines.heading("loop")
    pairs = []
    for line in lines.until(lambda line: line.sees("unembedding", ":")):
        source = line.name("a feature or 'unembedding:'")
        line.skip("->")
        pairs.append((source, line.name("a feature")))
    return tuple(pairs)


def _unembedding(lines: Lines) -> Unembed:
    line = lines.take()
    if not line.sees("unembedding", ":"):
        line.wrong("'attention', 'feed-forward', 'layer', 'loop' or 'unembedding:'")
    line.skip("unembedding", ":")
    features = line.names("a feature", "->")
    line.skip("token")
    line.finish()
    rows: dict[str, tuple[str | None, ...]] = {}
    for line in lines.until(lambda line: line.sees("default", ":")):
        row = _matched(line)
        if line.next.text in rows:
            line.wrong("a token without a row yet")
        rows[line.name("a token")] = row
    line = lines.take()
    line.skip("default", ":")
    default = line.name("a token")
    line.finish()
    return Unembed(features, rows, default)


def _matched(line: Line) -> tuple[str | None, ...]:
    """Read what a row matches, and the arrow behind it."""
    cells: list[str | None] = []
    while not line.sees("->"):
        anything = line.sees("*")  # a value with that name is a string
        cell = line.name("a value or '->'")
        cells.append(None if anything else cell)
    line.skip("->")
    return tuple(cells)
