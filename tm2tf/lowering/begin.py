"""What features are at the first position, where every sequence has the begin token.

It is the same in every run, so lookups can take what stands there away and put defaults there.
"""

from __future__ import annotations

from dataclasses import dataclass

from tm2tf.program.features import POSITION, Categorical, Integer
from tm2tf.program.operations import (
    SIGNS,
    Affine,
    CausalSum,
    Latest,
    Number,
    Operation,
    Product,
    Relative,
    Sign,
    Table,
)
from tm2tf.program.program import Program


@dataclass(frozen=True, slots=True)
class Begin:
    """Integers and words (None: absent) at the first position; the direction that is 1 there."""

    direction: int
    numbers: dict[str, int]
    words: dict[str, str | None]


def at_begin(program: Program, direction: int) -> Begin:
    """Return what the features are at the first position.

    In a looped program in pass 1: what lookups compare or test must stay as it is there.
    """
    numbers = {f.name: 0 for f in program.features if isinstance(f, Integer)} | {POSITION: 1}
    words = dict.fromkeys(f.name for f in program.features if isinstance(f, Categorical))
    begin = Begin(direction, numbers, words)
    for layer in program.layers:
        for op in (*layer.attention, *layer.feed_forward):
            match op:
                case CausalSum() | Affine() | Product() | Number():
                    numbers[op.out] = _number(op, begin)
                case _:
                    _add_words(op, begin)
    return begin


def _number(op: CausalSum | Affine | Product | Number, begin: Begin) -> int:
    numbers = begin.numbers
    match op:
        case CausalSum(_, value, when):
            return numbers[value] if when is None or numbers[when] else 0
        case Affine(_, terms, offset):
            return offset + sum(c * numbers[name] for c, name in terms)
        case Product(_, left, right):
            return numbers[left] * numbers[right]
        case Number(_, feature, known):
            return dict(known).get(begin.words[feature] or "", 0)


def _add_words(op: Operation, begin: Begin) -> None:
    numbers, words = begin.numbers, begin.words
    match op:
        case Latest(outs=outs, defaults=defaults):
            for name, default in zip(outs, defaults, strict=bool(defaults)):
                if isinstance(default, int):
                    numbers[name] = default
                else:
                    words[name] = default
        case Relative(out=out, default=default):
            words[out] = default
        case Sign(out, value):
            words[out] = SIGNS[(numbers[value] > 0) - (numbers[value] < 0) + 1]
        case Table(_, inputs, outputs, rows):
            here = tuple(words[name] for name in inputs)
            for row in rows:
                if row.inputs == here or (None in row.inputs and _matches(row.inputs, here)):
                    words |= zip(outputs, row.outputs, strict=True)


def _matches(asked: tuple[str | None, ...], words: tuple[str | None, ...]) -> bool:
    pairs = zip(asked, words, strict=True)
    return all(one is None or one == word for one, word in pairs)
