"""A program as text that people can read and `reader` can read back.

    program "bb2 by trace"

    features
      position: integer 1..
      state: one of A B H
      next: shares of a b

    tokens
      <bos>: begin
      1R>B: step state=B tape0.write=1 tape0.move=1

    layer 0
      attention
        tape0.head = causal-sum tape0.move
        tape0.filled = causal-sum tape0.fill when tape0.is_input
      feed-forward
        tape0.address = affine +1 tape0.head -1 tape0.move

    layer 1
      attention
        tape0.read = latest tape0.write where tape0.writes and tape0.address is tape0.head else 0
        last.state = relative state 1 back else A
        cell.x cell.y = latest x y where is_cell and row column is seen.row seen.column else 0 0
        name = latest word where opens
        next = gather word where is_example and key is query else a
      feed-forward
        area = product width height
        weight = number state A=1 B=-2
        side = sign area
        table transitions: state tape0.read -> next.state next.tape0.write next.tape0.move
          A 0 -> B 1 R
          A * -> B 0 L

    unembedding: next.state next.tape0.write next.tape0.move -> token
      B 1 R -> 1R>B
      default: <stuck>

A looped program has, after its layers, a section that says what a pass hands on to the next:

    loop
      next.state -> state

A token whose run is over ends with `outcome halt`. Without `else`, what is not found is absent.
Left of an arrow, `*` matches anything. Words that could be misread are JSON strings: those with
spaces, quotes, `#`, `=`, `->`, unprintable characters, or a colon at their end; a key that is
called `is`, and a value to be matched that is called `*`.
Indentation and blank lines mean nothing; `#` begins a comment.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence

from tm2tf.program.features import Categorical, Feature, Integer
from tm2tf.program.operations import (
    Affine,
    Attention,
    CausalSum,
    Gather,
    Latest,
    Lookup,
    Number,
    Operation,
    Product,
    Relative,
    Sign,
    Table,
)
from tm2tf.program.program import Layer, Program, Token

_BARE = re.compile(r'(?!.*->)[^\s"#=]*[^\s"#=:]')


def dump(program: Program) -> str:
    """Return the text of a program; `reader.parse` gives back an equal program."""
    parts = [
        [f"program {word(program.name)}"],
        ["features", *(f"  {_feature(feature)}" for feature in program.features)],
        ["tokens", *(f"  {_token(token)}" for token in program.tokens)],
        *(_layer(number, layer) for number, layer in enumerate(program.layers)),
        *([["loop", *(f"  {_row([a], [b])}" for a, b in program.loop)]] if program.loop else []),
        list(_unembedding(program)),
    ]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def word(name: str) -> str:
    """Return a name as it stands in the text: bare, or as a JSON string if it might be misread."""
    if name.isprintable():
        return name if _BARE.fullmatch(name) else json.dumps(name, ensure_ascii=False)
    return json.dumps(name)


def operation(op: Operation) -> str:
    """Return an operation as one line; of a table, the line above its rows."""
    if isinstance(op, CausalSum | Latest | Gather | Relative):
        return _attention(op)
    match op:
        case Affine(out, terms, constant):
            parts = [f"{coefficient:+d} {word(name)}" for coefficient, name in terms]
            parts += [f"{constant:+d}"] if constant or not terms else []
            return f"{word(out)} = affine {' '.join(parts)}"
        case Number(out, feature, numbers):
            cells = (f"{word(value)}={number:d}" for value, number in numbers)
            return " ".join([f"{word(out)} = number {word(feature)}", *cells])
        case Sign(out, value):
            return f"{word(out)} = sign {word(value)}"
        case Product(out, left, right):
            return f"{word(out)} = product {word(left)} {word(right)}"
        case Table(name, inputs, outputs):
            return f"table {word(name)}: {_row(inputs, outputs)}"


def _attention(op: Attention) -> str:
    match op:
        case CausalSum(out, value, when):
            gate = "" if when is None else f" when {word(when)}"
            return f"{word(out)} = causal-sum {word(value)}{gate}"
        case Latest(outs, values, defaults=defaults):
            return _lookup(op, "latest", outs, values, defaults)
        case Gather(out, value, default=default):
            return _lookup(op, "gather", (out,), (value,), () if default is None else (default,))
        case Relative(out, offset, value, default):
            otherwise = "" if default is None else f" else {word(default)}"
            return f"{word(out)} = relative {word(value)} {offset:d} back{otherwise}"


def _lookup(
    op: Lookup,
    kind: str,
    outs: Iterable[str],
    values: Iterable[str],
    defaults: Sequence[str | int],
) -> str:
    parts = [*map(word, outs), "=", kind, *map(word, values), "where", word(op.where)]
    if op.key:
        # how many queries there are is known when they are read; where the keys end is not
        keys = ('"is"' if key == "is" else word(key) for key in op.key)
        parts += ["and", *keys, "is", *map(word, op.query)]
    if defaults:
        parts += ["else", *map(_value, defaults)]
    return " ".join(parts)


def _value(value: str | int) -> str:
    return word(value) if isinstance(value, str) else f"{value:d}"


def _row(inputs: Iterable[str], outputs: Iterable[str]) -> str:
    return " ".join([*map(word, inputs), "->", *map(word, outputs)])


def _matching(inputs: Iterable[str | None], outputs: Iterable[str]) -> str:
    cells = ("*" if cell is None else '"*"' if cell == "*" else word(cell) for cell in inputs)
    return " ".join([*cells, "->", *map(word, outputs)])


def _feature(feature: Feature) -> str:
    name = word(feature.name)
    if not isinstance(feature, Integer):
        kind = "one of" if isinstance(feature, Categorical) else "shares of"
        return " ".join([f"{name}: {kind}", *map(word, feature.values)])
    low, high = ("" if bound is None else str(bound) for bound in (feature.low, feature.high))
    return f"{name}: integer {low}..{high}" if low or high else f"{name}: integer"


def _token(token: Token) -> str:
    parts = [f"{word(token.name)}: {token.role}"]
    parts += [f"{word(name)}={_value(value)}" for name, value in token.values.items()]
    if token.outcome is not None:
        parts.append(f"outcome {word(token.outcome)}")
    return " ".join(parts)


def _layer(number: int, layer: Layer) -> list[str]:
    lines = [f"layer {number}"]
    for heading, operations in (
        ("attention", layer.attention),
        ("feed-forward", layer.feed_forward),
    ):
        if operations:
            lines.append(f"  {heading}")
        for op in operations:
            lines.append(f"    {operation(op)}")
            if isinstance(op, Table):
                lines += [f"      {_matching(row.inputs, row.outputs)}" for row in op.rows]
    return lines


def _unembedding(program: Program) -> Iterator[str]:
    unembed = program.unembed
    yield f"unembedding: {_row(unembed.features, ['token'])}"
    for token, row in unembed.rows.items():
        yield f"  {_matching(row, [token])}"
    yield f"  default: {word(unembed.default)}"
