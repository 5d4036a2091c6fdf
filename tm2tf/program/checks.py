"""What makes a program legal, as a table of named rules. A rule yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import combinations
from operator import contains
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from tm2tf.errors import ProgramError
from tm2tf.program.features import POSITION, Categorical, Distribution, Feature, Integer
from tm2tf.program.operations import (
    SIGNS,
    Affine,
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
    reads,
    writes,
)

if TYPE_CHECKING:
    from tm2tf.program.program import Program, Unembed

T = TypeVar("T")
Cells: TypeAlias = tuple[str | None, ...]
"""What a row matches; None: anything."""

KINDS = {Integer: "an integer", Categorical: "categorical", Distribution: "a distribution"}
"""What messages call the kinds of features."""


def check(program: Program) -> None:
    """Raise `ProgramError` at the first rule that the program breaks."""
    for name, rule in RULES:
        for problem in rule(program):
            raise ProgramError(f"program {program.name!r}: {problem}", rule=name)


def _operations(program: Program) -> Iterator[tuple[int, Operation]]:
    for number, layer in enumerate(program.layers):
        for operation in (*layer.attention, *layer.feed_forward):
            yield number, operation


def _types(program: Program) -> dict[str, Feature]:
    return {feature.name: feature for feature in program.features}


def _words(feature: Feature) -> frozenset[str | None]:
    """Return what a feature can be, as a set: a large machine has thousands of words."""
    return frozenset(() if isinstance(feature, Integer) else feature.values)


def _names_are_distinct(program: Program) -> Iterator[str]:
    for kind, names in (
        ("feature", [feature.name for feature in program.features]),
        ("token", [token.name for token in program.tokens]),
    ):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                yield f"two {kind}s are called {name!r}"
            seen.add(name)
    for feature in program.features:
        if isinstance(feature, Integer):
            continue
        if len(set(feature.values)) != len(feature.values):
            yield f"feature {feature.name!r} lists a value twice"


def _features_exist(program: Program) -> Iterator[str]:
    types = _types(program)
    if not isinstance(types.get(POSITION), Integer):
        yield f"there is no integer feature {POSITION!r}"
    for number, operation in _operations(program):
        for name in (*reads(operation), *writes(operation)):
            if name not in types:
                yield f"layer {number}: {operation} names the unknown feature {name!r}"
    for token in program.tokens:
        for name in token.values:
            if name not in types:
                yield f"token {token.name!r} sets the unknown feature {name!r}"
    for name in program.unembed.features:
        if name not in types:
            yield f"the unembedding reads the unknown feature {name!r}"
    for name in (name for pair in program.loop for name in pair):
        if name not in types:
            yield f"the loop names the unknown feature {name!r}"


def _tokens_fit(program: Program) -> Iterator[str]:
    types = _types(program)
    words = {f.name: _words(f) for f in program.features if isinstance(f, Categorical)}
    begins = [token.name for token in program.tokens if token.role == "begin"]
    if len(begins) != 1:
        yield f"exactly one token must begin sequences, but {begins} do"
    for token in program.tokens:
        if token.name.split() != [token.name]:
            yield f"token name {token.name!r} is empty or holds a space"
        for name, value in token.values.items():
            fits = value in words[name] if name in words else _fits(types[name], value)
            if not fits:
                yield f"token {token.name!r} sets {name!r} to {value!r}, which it cannot be"
        if token.role == "begin" and token.values:
            yield f"the token that begins sequences sets {sorted(token.values)}"
        if POSITION in token.values:
            yield f"token {token.name!r} sets {POSITION!r}, which counts tokens"


def _fits(feature: Feature, value: str | int) -> bool:
    if isinstance(feature, Categorical):
        return value in feature.values
    if not isinstance(feature, Integer) or not isinstance(value, int):
        return False  # shares are only ever gathered
    low, high = feature.low, feature.high
    return (low is None or low <= value) and (high is None or value <= high)


def _roles_go_together(program: Program) -> Iterator[str]:
    roles = {token.role for token in program.tokens}
    for role, other in (("cut", "summary"), ("summary", "cut")):
        if role in roles and other not in roles:
            yield f"there is a token of role {role!r}, but none of role {other!r}"
        if role in roles and program.loop:
            yield f"a looped program has a token of role {role!r}, but no context to be cut"


def _written_once(program: Program) -> Iterator[str]:
    owner = {name: "a token" for token in program.tokens for name in token.values}
    owner[POSITION] = "the position"
    for number, operation in _operations(program):
        for name in writes(operation):
            if name in owner:
                yield f"layer {number}: {name!r} is written here and by {owner[name]}"
            owner[name] = f"layer {number}"


def _read_when_ready(program: Program) -> Iterator[str]:
    made = {name for _, operation in _operations(program) for name in writes(operation)}
    ready = {feature.name for feature in program.features} - made
    for number, layer in enumerate(program.layers):
        for attention in layer.attention:
            yield from _early(number, attention, ready)
        sums = {op.out for op in layer.attention if isinstance(op, CausalSum)}
        now = {name for op in layer.attention for name in writes(op)} - sums
        later = sums
        for operation in layer.feed_forward:
            linear = isinstance(operation, Affine | Number)  # a name for what others write
            yield from _early(number, operation, ready | now | (later if linear else set()))
            later |= set(writes(operation))
        ready |= now | later
    for name in program.unembed.features:
        if name not in ready:
            yield f"the unembedding reads {name!r}, which nothing writes"


def _early(number: int, operation: Operation, ready: set[str]) -> Iterator[str]:
    for name in reads(operation):
        if name not in ready:
            yield f"layer {number}: {operation} reads {name!r} before it is ready"


def _types_fit(program: Program) -> Iterator[str]:
    types = _types(program)
    for number, operation in _operations(program):
        for name, wanted in _wanted(operation, types):
            if not isinstance(types[name], wanted):
                yield f"layer {number}: {name!r} must be {KINDS[wanted]} in {operation}"


def _wanted(operation: Operation, types: dict[str, Feature]) -> list[tuple[str, type[Feature]]]:
    match operation:
        case CausalSum() | Affine() | Product():
            return [(name, Integer) for name in (*reads(operation), *writes(operation))]
        case Latest(outs, values):
            kinds = [Integer if isinstance(types[v], Integer) else Categorical for v in values]
            # how many outs and values there are is compared by a later rule
            sides = (zip(names, kinds, strict=False) for names in (values, outs))
            return [*_compared(operation, types), *(pair for side in sides for pair in side)]
        case Gather(out, value):
            return [*_compared(operation, types), (value, Categorical), (out, Distribution)]
        case Relative() | Table():
            return [(name, Categorical) for name in (*reads(operation), *writes(operation))]
        case Number(out, feature):
            return [(feature, Categorical), (out, Integer)]
        case Sign(out, value):
            return [(value, Integer), (out, Categorical)]


def _compared(op: Lookup, types: dict[str, Feature]) -> list[tuple[str, type[Feature]]]:
    """Return the kinds of what a lookup compares, and of its flag."""
    one = len(op.key) == len(op.query) == 1 and isinstance(types[op.key[0]], Integer)
    kind = Integer if one else Categorical
    return [(op.where, Integer), *((name, kind) for name in (*op.key, *op.query))]


def _operations_fit(program: Program) -> Iterator[str]:
    types = _types(program)
    if not program.layers:
        yield "there is no layer"
    for number, operation in _operations(program):
        for problem in _misfits(operation, types, looped=bool(program.loop)):
            yield f"layer {number}: {problem}"


def _misfits(operation: Operation, types: dict[str, Feature], looped: bool) -> Iterator[str]:
    match operation:
        case CausalSum(when=when) if when is not None:
            yield from _flag_fits("when", types[when])
        case Latest():
            yield from _latest_fits(operation, types)
        case Gather(out, value, default=default):
            yield from _comparison_fits(operation, types)
            yield from _same_words(types[out], types[value])
            if default is not None and not _fits(types[value], default):
                yield f"{out!r} is all {default!r} by default, which it cannot be"
        case Relative(out, offset, value, default):
            yield from _same_words(types[out], types[value])
            if default is not None and not _fits(types[out], default):
                yield f"{out!r} is {default!r} by default, which it cannot be"
            if offset == 0 or (offset < 0 and not looped):
                yield f"offset {offset} is not {'another position' if looped else '1 or more'}"
        case Number(_, name, numbers):
            words = [word for word, _ in numbers]
            if len(set(words)) != len(words) or not _words(types[name]).issuperset(words):
                yield f"{operation} has two numbers for a value of {name!r}, or an unknown value"
        case Sign(out):
            yield from _same_words(types[out], Categorical("the sign", SIGNS))
        case Table():
            yield from _table_fits(operation, types)


def _flag_fits(role: str, feature: Feature) -> Iterator[str]:
    if not (isinstance(feature, Integer) and feature.is_flag):
        yield f"`{role}` needs a flag (an integer 0..1), not {feature.name!r}"


def _same_words(one: Feature, other: Feature) -> Iterator[str]:
    words = [f.values for f in (one, other) if not isinstance(f, Integer)]
    if len(set(words)) > 1:
        yield f"the values of {one.name!r} are not those of {other.name!r}"


def _comparison_fits(op: Lookup, types: dict[str, Feature]) -> Iterator[str]:
    yield from _flag_fits("where", types[op.where])
    if len(op.key) != len(op.query):
        yield f"{op} does not compare one key with each query"
    for pair in zip(op.key, op.query, strict=False):
        yield from _same_words(*(types[name] for name in pair))


def _latest_fits(op: Latest, types: dict[str, Feature]) -> Iterator[str]:
    yield from _comparison_fits(op, types)
    if not op.outs or len(op.outs) != len(op.values):
        yield f"{op} does not bring one value for each output"
    if len(op.defaults) not in (0, len(op.outs)):
        yield f"{op} does not have one default for each output"
    for pair in zip(op.outs, op.values, strict=False):
        yield from _same_words(*(types[name] for name in pair))
    for out in op.outs:
        if isinstance(types[out], Integer) and not op.defaults:
            yield f"{out!r} has no default, and an integer cannot be absent"
    for out, default in zip(op.outs, op.defaults, strict=False):
        if not _fits(types[out], default):
            yield f"{out!r} is {default!r} by default, which it cannot be"


def _table_fits(table: Table, types: dict[str, Feature]) -> Iterator[str]:
    width = (len(table.inputs), len(table.outputs))
    asked = [_words(types[name]) | {None} for name in table.inputs]
    given = [_words(types[name]) for name in table.outputs]
    for row in table.rows:
        if (len(row.inputs), len(row.outputs)) != width:
            yield f"table {table.name!r} has a row of another width: {row}"
            continue
        if not (_known(row.inputs, asked) and _known(row.outputs, given)):
            yield f"table {table.name!r} has a row with an unknown value: {row}"
    for one, other in _matching_at_once((row.inputs, row.inputs) for row in table.rows):
        yield f"table {table.name!r} has two rows that can match at once, {one} and {other}"


def _known(cells: Cells, words: list[frozenset[str | None]]) -> bool:
    """Return whether each cell of a row is among the words of its column."""
    return all(map(contains, words, cells))


def _matching_at_once(rows: Iterable[tuple[T, Cells]]) -> Iterator[tuple[T, T]]:
    """Yield pairs of rows, given with a name each, that can match at once."""
    by_places: dict[tuple[int, ...], dict[Cells, T]] = {}
    for name, cells in rows:
        asked = tuple(range(len(cells)))
        if None in cells:
            asked = tuple(place for place in asked if cells[place] is not None)
        same = by_places.setdefault(asked, {})
        if cells in same:
            yield same[cells], name
        same[cells] = name
    for (asked, some), (also, others) in combinations(by_places.items(), 2):
        both = [place for place in asked if place in also]
        seen = {tuple(cells[place] for place in both): name for cells, name in some.items()}
        for cells, name in others.items():
            shared = tuple(cells[place] for place in both)
            if shared in seen:
                yield seen[shared], name


def _unembedding_fits(program: Program) -> Iterator[str]:
    types = _types(program)
    names = {token.name for token in program.tokens}
    unembed = program.unembed
    shares = [name for name in unembed.features if isinstance(types[name], Distribution)]
    if shares and len(unembed.features) > 1:
        yield f"the unembedding reads the distribution {shares[0]!r}, and others beside it"
    for token in program.tokens:
        if token.role == "begin" and token.name in (unembed.default, *unembed.rows):
            yield f"the unembedding emits {token.name!r}, which only begins sequences"
    if unembed.default not in names:
        yield f"the default token {unembed.default!r} is not in the vocabulary"
    yield from _unembedding_rows_fit(unembed, types, names)
    for one, other in _matching_at_once(unembed.rows.items()):
        yield f"the rows of tokens {one!r} and {other!r} can match at once"


def _unembedding_rows_fit(
    unembed: Unembed, types: dict[str, Feature], names: set[str]
) -> Iterator[str]:
    words = [
        # of a distribution, a token's probability is the share of one word: none means anything
        _words(types[name]) | ({None} if isinstance(types[name], Categorical) else set())
        for name in unembed.features
    ]
    for name, row in unembed.rows.items():
        if name not in names:
            yield f"the unembedding names the unknown token {name!r}"
        if len(row) != len(unembed.features):
            yield f"the unembedding's row for {name!r} has another width"
            continue
        for read, value, known in zip(unembed.features, row, words, strict=True):
            if value not in known:
                yield f"the unembedding's row for {name!r} sets {read!r} to {value!r}"
        if name == unembed.default:
            yield f"the default token {name!r} has a row too"


def _loop_fits(program: Program) -> Iterator[str]:
    if not program.loop:
        return
    types = _types(program)
    made = {name for _, operation in _operations(program) for name in writes(operation)}
    taken = made | {POSITION}
    for source, out in program.loop:
        pair = f"the loop carries {source!r} to {out!r}"
        if source not in made:
            yield f"{pair}, but no operation writes {source!r}"
        if out in taken:
            yield f"{pair}, which an operation, the position or another line of the loop sets"
        taken.add(out)
        if type(types[source]) is not type(types[out]):
            yield f"{pair}, and one is an integer and the other is not"
        for problem in _same_words(types[source], types[out]):
            yield f"{pair}, but {problem}"
    for number, operation in _operations(program):
        if isinstance(operation, CausalSum):
            yield f"layer {number}: {operation} sums what came before, but all is there at once"
        if isinstance(operation, Gather):
            yield f"layer {number}: {operation} is for decoders; looped programs have no such head"


RULES: tuple[tuple[str, Callable[[Program], Iterator[str]]], ...] = (
    ("names are distinct", _names_are_distinct),
    ("features exist", _features_exist),
    ("tokens fit their features", _tokens_fit),
    ("roles go together", _roles_go_together),
    ("a feature is written once", _written_once),
    ("a feature is read when it is ready", _read_when_ready),
    ("operands have the right type", _types_fit),
    ("operations are well-formed", _operations_fit),
    ("the unembedding is well-formed", _unembedding_fits),
    ("the loop is well-formed", _loop_fits),
)
"""Tried in this order: a rule may rely on those above it."""
