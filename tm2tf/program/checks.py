"""What makes a program legal, as a table of named rules. A rule yields what breaks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tm2tf.errors import ProgramError
from tm2tf.program.features import POSITION, Categorical, Feature, Integer
from tm2tf.program.operations import (
    Affine,
    CausalSum,
    Latest,
    Operation,
    Product,
    Relative,
    Table,
    reads,
    writes,
)

if TYPE_CHECKING:
    from tm2tf.program.program import Program


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
        if isinstance(feature, Categorical) and len(set(feature.values)) != len(feature.values):
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


def _tokens_fit(program: Program) -> Iterator[str]:
    types = _types(program)
    begins = [token.name for token in program.tokens if token.role == "begin"]
    if len(begins) != 1:
        yield f"exactly one token must begin sequences, but {begins} do"
    for token in program.tokens:
        if not token.name or any(map(str.isspace, token.name)):
            yield f"token name {token.name!r} is empty or holds a space"
        for name, value in token.values.items():
            if not _fits(types[name], value):
                yield f"token {token.name!r} sets {name!r} to {value!r}, which it cannot be"
        if token.role == "begin" and token.values:
            yield f"the token that begins sequences sets {sorted(token.values)}"
        if POSITION in token.values:
            yield f"token {token.name!r} sets {POSITION!r}, which counts tokens"


def _fits(feature: Feature, value: str | int) -> bool:
    if isinstance(feature, Categorical):
        return value in feature.values
    if not isinstance(value, int):
        return False
    low, high = feature.low, feature.high
    return (low is None or low <= value) and (high is None or value <= high)


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
        now = {op.out for op in layer.attention if not isinstance(op, CausalSum)}
        later = {op.out for op in layer.attention if isinstance(op, CausalSum)}
        for operation in layer.feed_forward:
            known = ready | now | (later if isinstance(operation, Affine) else set())
            yield from _early(number, operation, known)
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
        for name, wanted in _wanted(operation):
            if not isinstance(types[name], wanted):
                kind = "an integer" if wanted is Integer else "categorical"
                yield f"layer {number}: {name!r} must be {kind} in {operation}"


def _wanted(operation: Operation) -> list[tuple[str, type[Feature]]]:
    match operation:
        case CausalSum() | Affine() | Product():
            return [(name, Integer) for name in (*reads(operation), *writes(operation))]
        case Latest():
            numbers: list[tuple[str, type[Feature]]] = [
                (name, Integer) for name in (operation.query, operation.key, operation.where)
            ]
            return [*numbers, (operation.value, Categorical), (operation.out, Categorical)]
        case Relative() | Table():
            return [(name, Categorical) for name in (*reads(operation), *writes(operation))]


def _operations_fit(program: Program) -> Iterator[str]:
    types = _types(program)
    if not program.layers:
        yield "there is no layer"
    for number, operation in _operations(program):
        flag = {CausalSum: "when", Latest: "where"}.get(type(operation))
        name = getattr(operation, flag) if flag else None
        feature = types[name] if name else None
        if isinstance(feature, Integer) and not feature.is_flag:
            yield f"layer {number}: `{flag}` needs a flag (an integer 0..1), not {name!r}"
        if isinstance(operation, Latest | Relative):
            out, value = types[operation.out], types[operation.value]
            assert isinstance(out, Categorical) and isinstance(value, Categorical)
            if out.values != value.values or operation.default not in out.values:
                yield f"layer {number}: the values of {out.name!r} are not those of {value.name!r}"
        if isinstance(operation, Relative) and operation.offset < 1:
            yield f"layer {number}: offset {operation.offset} is not 1 or more"
        if isinstance(operation, Table):
            yield from _table_fits(number, operation, types)


def _table_fits(number: int, table: Table, types: dict[str, Feature]) -> Iterator[str]:
    seen: set[tuple[str, ...]] = set()
    allowed: list[frozenset[str]] = []
    for name in (*table.inputs, *table.outputs):
        feature = types[name]
        allowed.append(frozenset(feature.values if isinstance(feature, Categorical) else ()))
    for row in table.rows:
        cells = (*row.inputs, *row.outputs)
        if len(row.inputs) != len(table.inputs) or len(cells) != len(allowed):
            yield f"layer {number}: table {table.name!r} has a row of another width: {row}"
        elif any(cell not in values for cell, values in zip(cells, allowed, strict=True)):
            yield f"layer {number}: table {table.name!r} has a row with an unknown value: {row}"
        if row.inputs in seen:
            yield f"layer {number}: table {table.name!r} has two rows for {row.inputs}"
        seen.add(row.inputs)


def _unembedding_fits(program: Program) -> Iterator[str]:
    types = _types(program)
    names = {token.name for token in program.tokens}
    unembed = program.unembed
    for token in program.tokens:
        if token.role == "begin" and token.name in (unembed.default, *unembed.rows):
            yield f"the unembedding emits {token.name!r}, which only begins sequences"
    if unembed.default not in names:
        yield f"the default token {unembed.default!r} is not in the vocabulary"
    seen: dict[tuple[str, ...], str] = {}
    for name, row in unembed.rows.items():
        if name not in names:
            yield f"the unembedding names the unknown token {name!r}"
        if len(row) != len(unembed.features):
            yield f"the unembedding's row for {name!r} has another width"
            continue
        for read, value in zip(unembed.features, row, strict=True):
            feature = types[read]
            if not isinstance(feature, Categorical) or value not in feature.values:
                yield f"the unembedding's row for {name!r} sets {read!r} to {value!r}"
        if row in seen:
            yield f"tokens {seen[row]!r} and {name!r} have the same row"
        seen[row] = name
        if name == unembed.default:
            yield f"the default token {name!r} has a row too"


RULES: tuple[tuple[str, Callable[[Program], Iterator[str]]], ...] = (
    ("names are distinct", _names_are_distinct),
    ("features exist", _features_exist),
    ("tokens fit their features", _tokens_fit),
    ("a feature is written once", _written_once),
    ("a feature is read when it is ready", _read_when_ready),
    ("operands have the right type", _types_fit),
    ("operations are well-formed", _operations_fit),
    ("the unembedding is well-formed", _unembedding_fits),
)
"""Tried in this order: a rule may rely on those above it."""
