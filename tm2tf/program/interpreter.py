"""The exact interpreter: what a program means, in Python integers, one position at a time.

Shares are exact as well: fractions.

Shares no code with the simulator (it knows no machines) or the runtimes (it knows no weights).
Looped programs have an interpreter of their own, `looped_interpreter`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TypeAlias, TypeVar

from tm2tf.errors import InputError
from tm2tf.program.features import POSITION, Categorical, Distribution, Integer, Shares, Value
from tm2tf.program.operations import (
    SIGNS,
    Affine,
    Attention,
    CausalSum,
    FeedForward,
    Gather,
    Latest,
    Lookup,
    Number,
    Product,
    Relative,
    Sign,
    Table,
)
from tm2tf.program.program import Program

T = TypeVar("T")
Values: TypeAlias = dict[str, Value]
Execute: TypeAlias = Callable[[Values], None]
"""Carries out one operation at one position, whose values it is given."""


class Interpreter:
    """A program in motion: feed it tokens, read features and the next token.

    Memory grows with the distinct keys that `Latest` and `Gather` have seen and the largest offset
    that `Relative` reaches, not with the positions fed.

    Attributes:
        position: how many tokens were fed since the last restart.
        values: every feature at the last position.

    Raises:
        InputError: the program is looped.
    """

    def __init__(self, program: Program) -> None:
        if program.loop:
            raise InputError(f"program {program.name!r} is looped: use LoopedInterpreter")
        self.program = program
        self._embedding = embedding(program)
        self._unembedding = unembedding(program)
        self._words = {f.name: f.values for f in program.features if isinstance(f, Distribution)}
        self.restart()

    def restart(self) -> None:
        """Forget all tokens fed."""
        self.position = 0
        self.values: Values = {}
        self._layers = [
            [
                *(_attention(op, self._words) for op in layer.attention),
                *map(feed_forward, layer.feed_forward),
            ]
            for layer in self.program.layers
        ]

    def feed(self, token: str) -> str:
        """Process one more token; return the token that the program emits after it.

        A token that cuts the context is like others here: what to feed next, after a restart,
        `resumed` tells.
        """
        self.position += 1
        values = dict(self._embedding[token])
        values[POSITION] = self.position
        for layer in self._layers:
            for execute in layer:
                execute(values)
        self.values = values
        return self._unembedding(values)

    def generate(self, prompt: Sequence[str], max_tokens: int) -> list[str]:
        """Restart, feed a prompt and then what the program emits; return the emitted tokens.

        Stops after a token with an outcome, or after `max_tokens`. After a token that cuts the
        context, the program goes on with what is left of it.
        """
        tokens = {token.name: token for token in self.program.tokens}
        context: list[str] = []
        emitted: list[str] = []

        def follow(token: str) -> str:
            context.append(token)
            if tokens[token].role != "cut":
                return self.feed(token)
            context[:] = resumed(context, self.program)
            self.restart()
            return [self.feed(kept) for kept in context][-1]

        self.restart()
        following = [follow(token) for token in prompt][-1]
        if tokens[prompt[-1]].outcome is not None:
            return emitted
        while len(emitted) < max_tokens:
            emitted.append(following)
            if tokens[following].outcome is not None:
                break
            following = follow(following)
        return emitted


def resumed(context: Sequence[str], program: Program) -> list[str]:
    """Return what is left of a context that ends in a token that cuts it.

    That is its first token, and then all from the last token that opens a summary. Without such
    a token nothing is forgotten.
    """
    summaries = {token.name for token in program.tokens if token.role == "summary"}
    opened = [place for place, token in enumerate(context) if place and token in summaries]
    return [*context[:1], *context[opened[-1] if opened else 1 :]]


def embedding(program: Program) -> dict[str, Values]:
    """Return, for each token, all features before the first layer; the position is still 0."""
    blank: Values = {}
    for feature in program.features:
        match feature:
            case Integer(name):
                blank[name] = 0
            case Categorical(name):
                blank[name] = None
            case Distribution(name, words):
                blank[name] = (Fraction(0),) * len(words)
    return {token.name: blank | dict(token.values) for token in program.tokens}


def unembedding(program: Program) -> Callable[[Values], str]:
    """Return the function from the features after the last layer to the next token."""
    unembed = program.unembed
    for feature in program.features:
        if isinstance(feature, Distribution) and unembed.features == (feature.name,):
            return _greatest_share(program, feature)
    rows = ((row, token) for token, row in unembed.rows.items())
    look_up = _matcher(rows, unembed.default)

    def emit(values: Values) -> str:
        return look_up([values[name] for name in unembed.features])

    return emit


def _greatest_share(program: Program, read: Distribution) -> Callable[[Values], str]:
    """Return the function to the token of the greatest share, the first of equal ones."""
    unembed = program.unembed
    places = {
        token.name: read.values.index(str(unembed.rows[token.name][0]))
        for token in program.tokens
        if token.name in unembed.rows
    }

    def emit(values: Values) -> str:
        shares = _shares(values[read.name])
        best = max(places, key=lambda token: shares[places[token]], default=unembed.default)
        return best if places and shares[places[best]] else unembed.default

    return emit


def feed_forward(operation: FeedForward) -> Execute:
    """Return what carries out an operation that sees one position alone."""
    match operation:
        case Affine():
            return _affine(operation)
        case Number():
            return _numbers(operation)
        case Sign():
            return _sign(operation)
        case Product():
            return _product(operation)
        case Table():
            return _table(operation)


def _attention(operation: Attention, words: Mapping[str, Sequence[str]]) -> Execute:
    """Return what carries out an operation at one position after another, from the first on.

    `words` are those of each distribution.
    """
    match operation:
        case CausalSum():
            return _causal_sum(operation)
        case Latest():
            return _latest(operation)
        case Gather():
            return _gather(operation, words[operation.out])
        case Relative():
            return _relative(operation)


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value


def _shares(value: Value) -> Shares:
    assert isinstance(value, tuple)
    return value


def _causal_sum(op: CausalSum) -> Execute:
    total = 0

    def execute(values: Values) -> None:
        nonlocal total
        total += _number(values[op.value])
        values[op.out] = total if op.when is None or values[op.when] == 1 else 0

    return execute


def _latest(op: Latest) -> Execute:
    memory: dict[tuple[Value, ...], tuple[Value, ...]] = {}
    defaults = op.defaults or (None,) * len(op.outs)

    def execute(values: Values) -> None:
        key = _key(op, values)
        if key is not None:
            memory[key] = tuple(values[name] for name in op.values)
        found = memory.get(tuple(values[name] for name in op.query), defaults)
        values.update(zip(op.outs, found, strict=True))

    return execute


def _gather(op: Gather, words: Sequence[str]) -> Execute:
    memory: dict[tuple[Value, ...], Counter[Value]] = {}
    otherwise = Counter([op.default])  # None, which is none of the words, if there is no default

    def execute(values: Values) -> None:
        key = _key(op, values)
        if key is not None:
            memory.setdefault(key, Counter())[values[op.value]] += 1
        found = memory.get(tuple(values[name] for name in op.query), otherwise)
        values[op.out] = tuple(Fraction(found[word], found.total()) for word in words)

    return execute


def _key(op: Lookup, values: Values) -> tuple[Value, ...] | None:
    """Return the key that a position is found by, None if it does not count.

    What is absent equals nothing: such a key is not kept, and so such a query finds none.
    """
    key = tuple(values[name] for name in op.key)
    counts = values[op.where] == 1 and values[POSITION] != 1 and None not in key
    return key if counts else None


def _relative(op: Relative) -> Execute:
    recent: list[Value] = []

    def execute(values: Values) -> None:
        first = values[POSITION] == 1
        recent.append(op.default if first else values[op.value])
        values[op.out] = op.default if len(recent) <= op.offset else recent[-1 - op.offset]
        del recent[: -1 - op.offset]

    return execute


def _affine(op: Affine) -> Execute:
    def execute(values: Values) -> None:
        values[op.out] = op.constant + sum(c * _number(values[name]) for c, name in op.terms)

    return execute


def _numbers(op: Number) -> Execute:
    numbers: dict[Value, int] = dict(op.numbers)

    def execute(values: Values) -> None:
        values[op.out] = numbers.get(values[op.feature], 0)

    return execute


def _sign(op: Sign) -> Execute:
    negative, zero, positive = SIGNS

    def execute(values: Values) -> None:
        value = _number(values[op.value])
        values[op.out] = negative if value < 0 else positive if value > 0 else zero

    return execute


def _product(op: Product) -> Execute:
    def execute(values: Values) -> None:
        values[op.out] = _number(values[op.left]) * _number(values[op.right])

    return execute


def _table(op: Table) -> Execute:
    none: tuple[Value, ...] = (None,) * len(op.outputs)
    look_up = _matcher(((row.inputs, row.outputs) for row in op.rows), none)

    def execute(values: Values) -> None:
        outputs = look_up([values[name] for name in op.inputs])
        values.update(zip(op.outputs, outputs, strict=True))

    return execute


def _matcher(
    rows: Iterable[tuple[tuple[str | None, ...], T]], default: T
) -> Callable[[Sequence[Value]], T]:
    """Return the function from values to what belongs to the row they match, else `default`."""
    # rows that ask for the same places are told apart by what they ask for there
    by_places: dict[tuple[int, ...], dict[tuple[Value, ...], T]] = {}
    for cells, result in rows:
        asked = tuple(place for place, cell in enumerate(cells) if cell is not None)
        by_places.setdefault(asked, {})[tuple(cells[place] for place in asked)] = result

    def look_up(values: Sequence[Value]) -> T:
        for asked, results in by_places.items():
            seen = tuple(values[place] for place in asked)
            if seen in results:
                return results[seen]
        return default

    return look_up
