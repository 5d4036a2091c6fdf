"""A looped program as a graph of total sequence operations: what RASP, and so tracr, can say.

An S-op has one value at every cell, a cell being any position but the first, the begin token,
where tracr's S-ops hold nothing. Tokens of cells are told apart by the combination of features
that they embed; after a pass a cell may hold a combination that no token has, so the vocabulary is
every combination that can come up, found by building the graph until no more values do.

    cell, index     what stands at a cell, and its place
    map             a table on one S-op
    pair            a table on two (a SequenceMap)
    bring           the value of an S-op at another place (a Select on indices, and an Aggregate)

A program's table becomes, for each of its outputs, a chain: the first input with the second, what
is then left of the rows with the third, and so on. `Relative` brings the neighbour's value, at the
ends the nearest cell's, and a pair with a flag of the index then says what is beyond the ends: a
Select that finds nothing would make the value absent for good. Absence is a value like others
(None), for the same reason. Last, `next.cell` is the combination that the loop carries on.

Errors. A bring is a softmax over positions, and leaves a share e of its weight elsewhere. Let S-ops
be one-hot vectors x with sum(x) <= 1, whose true entry is 1 - a at least; the others then have a at
most. A map adds up entries: a stays. A pair has the entries relu(x_i + y_j - 1): the true one has
1 - (a + b) at least, and as x + y - 1 <= x y, all together have sum(x) sum(y) <= 1 at most: so the
others have a + b. A bring averages with weights of which 1 - e at least is on the true cell:
(1 - e)(1 - a) >= 1 - (a + e). So a value's error is at most `leaks` times e, where leaks counts
the brings on the way, each as often as it is used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Literal, TypeAlias

from tm2tf.errors import TargetError
from tm2tf.program.features import Categorical
from tm2tf.program.operations import Operation, Relative, Table, reads, writes
from tm2tf.program.program import Program, Token

Word: TypeAlias = str | None
"""What a feature is; None: absent."""

Value: TypeAlias = Word | int | tuple[Word, ...]
"""A word, what several features are, an index, or a number that stands for rules."""

Kind = Literal["cell", "index", "map", "pair", "bring"]

INSIDE, BEGIN, BEYOND = "inside", "begin", "beyond"
"""Where a neighbour is: a cell, the begin token, or nowhere."""


@dataclass(frozen=True, slots=True, eq=False)
class Sop:
    """A sequence operation.

    Attributes:
        values: all that it can be, in order.
        table: of a map, from values; of a pair, from pairs of values; of a bring, whose one input
            it is about, from an index to the index that it looks at.
        leaks: how many softmaxes its value went through.
    """

    name: str
    kind: Kind
    values: tuple[Value, ...]
    inputs: tuple[Sop, ...] = ()
    table: Mapping[Any, Value] = field(default_factory=dict)
    leaks: int = 0

    def label(self, value: Value) -> str:
        """Return what the direction of a value is called."""
        words = value if isinstance(value, tuple) else (value,)
        return f"{self.name}={','.join('absent' if w is None else str(w) for w in words)}"


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """The S-ops that the next pass hangs on, each after those that it reads.

    Attributes:
        cells: how many there are.
        features: the S-op of each feature that has one.
        names: the features that stand at a cell before a pass; combinations are in this order.
    """

    cells: int
    sops: tuple[Sop, ...]
    features: Mapping[str, Sop]
    names: tuple[str, ...]
    cell: Sop
    index: Sop
    next_cell: Sop

    def value(self, token: Token) -> tuple[Word, ...]:
        """Return the value of `cell` where a token stands."""
        return _embedded(self.names, token)


def graph_of(program: Program, cells: int) -> Graph:
    """Return the S-ops of a looped program on so many cells.

    Raises:
        TargetError: something hangs on what the begin token holds, where S-ops hold nothing, or
            the unembedding reads what nothing else does.
    """
    given = [token for token in program.tokens if is_cell(token)]
    made = {name for op in _operations(program) for name in writes(op)}
    read = {name for op in _operations(program) for name in reads(op)}
    read |= {name for pair in program.loop for name in pair} | set(program.unembed.features)
    names = tuple(f.name for f in program.features if f.name in read - made)
    held = {name: {_embedded((name,), t)[0] for t in given} for _, name in program.loop}
    while True:
        builder = _Builder(program, cells, names, held)
        grown = {d: held[d] | _words(builder.features[s].values) for s, d in program.loop}
        if grown == held:
            return builder.graph()
        held = grown


def is_cell(token: Token) -> bool:
    """Return whether a token can stand at a cell."""
    return token.role in ("cell", "prompt")


def _embedded(names: tuple[str, ...], token: Token) -> tuple[Word, ...]:
    found = [token.values.get(name) for name in names]
    return tuple(None if value is None else str(value) for value in found)


def _words(values: Iterable[Value]) -> set[Word]:
    """Return those values that are words, as all of a feature are."""
    return {value for value in values if value is None or isinstance(value, str)}


def _operations(program: Program) -> list[Operation]:
    return [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]


# --- rules --------------------------------------------------------------------------------

Rule: TypeAlias = tuple[frozenset[tuple[str, Value]], Value]
"""What inputs, by name, have to be, and what the output then is."""
Rules: TypeAlias = frozenset[Rule]


def _rules(table: Table, column: int) -> Rules:
    """Return a table's rows as rules for one of its outputs."""
    found = []
    for row in table.rows:
        cells = zip(table.inputs, row.inputs, strict=True)
        asked = frozenset((name, value) for name, value in cells if value is not None)
        found.append((asked, row.outputs[column]))
    return frozenset(found)


def _asked(rules: Rules, names: Iterable[str]) -> tuple[str, ...]:
    """Return those names that some rule asks for."""
    found = {name for asked, _ in rules for name, _ in asked}
    return tuple(dict.fromkeys(name for name in names if name in found))


def _left(rules: Rules, name: str, value: Value) -> Rules:
    """Return what is left of rules when an input has a value."""
    return frozenset(
        (frozenset(each for each in asked if each[0] != name), out)
        for asked, out in rules
        if all(wanted == value for asking, wanted in asked if asking == name)
    )


def _result(rules: Rules) -> Value:
    """Return what comes out when nothing more is asked; absent where no rule is left."""
    return next((out for _, out in rules), None)


def _results(rules: Rules, values: Mapping[str, Iterable[Value]]) -> set[Value]:
    """Return all that can come out, where inputs have any of some values."""
    sets = {rules}
    for name, some in values.items():
        sets = {_left(rest, name, value) for rest in sets for value in some}
    return {_result(rest) for rest in sets}


# --- building -----------------------------------------------------------------------------


class _Builder:
    """Makes the S-ops of a program, given what the features that it carries can be."""

    def __init__(
        self,
        program: Program,
        cells: int,
        names: tuple[str, ...],
        held: Mapping[str, set[Word]],
    ) -> None:
        self.program, self.cells, self.names = program, cells, names
        self.features: dict[str, Sop] = {}
        self._order = {
            feature.name: {word: place for place, word in enumerate(feature.values)}
            for feature in program.features
            if isinstance(feature, Categorical)
        }
        self._begin: dict[str, set[Word]] = {name: {None} for name in names}
        self._sops: list[Sop] = []
        self._flags: dict[int, Sop] = {}
        words = self._words(held)
        self.cell = self._add(Sop("cell", "cell", words))
        self.index = self._add(Sop("index", "index", tuple(range(cells))))
        for place, name in enumerate(names):
            self._map(name, self.cell, {word: word[place] for word in words}, name)
        for op in _operations(program):
            if isinstance(op, Relative):
                self._relative(op)
            elif isinstance(op, Table):
                self._table(op)

    def graph(self) -> Graph:
        """Return all S-ops, with what a cell holds next."""
        for source, destination in self.program.loop:
            if self._begin[source] != {None}:
                raise TargetError(
                    f"{source!r} can have a value at the begin token, and the loop carries it to "
                    f"{destination!r}; target 'tracr' has no values there"
                )
        carried = {destination: source for source, destination in self.program.loop}
        sources = [carried.get(name, name) for name in self.names]
        rules = frozenset(
            (frozenset(zip(sources, word, strict=True)), word)
            for word in self.cell.values
            if isinstance(word, tuple)
        )
        next_cell = self._chain("next.cell", sources, rules)
        needed, waiting = {self.cell, self.index}, [next_cell]
        while waiting:
            sop = waiting.pop()
            waiting += [] if sop in needed else sop.inputs
            needed.add(sop)
        kept = {name: sop for name, sop in self.features.items() if sop in needed}
        for name in self.program.unembed.features:
            if name not in kept:
                raise TargetError(
                    f"the unembedding reads {name!r}, which the next pass does not hang on; "
                    "target 'tracr' has nothing else"
                )
        sops = tuple(sop for sop in self._sops if sop in needed)
        return Graph(self.cells, sops, kept, self.names, self.cell, self.index, next_cell)

    def _words(self, held: Mapping[str, set[Word]]) -> tuple[tuple[Word, ...], ...]:
        """Return every combination that can stand at a cell."""
        found: dict[tuple[Word, ...], None] = {}
        for token in self.program.tokens:
            if is_cell(token):
                fixed = _embedded(self.names, token)
                choices = [
                    self._sorted(held[name], self._order[name]) if name in held else (value,)
                    for name, value in zip(self.names, fixed, strict=True)
                ]
                found |= dict.fromkeys(product(*choices))
        return tuple(found)

    def _sorted(self, values: Iterable[Any], order: Mapping[Any, int]) -> tuple[Any, ...]:
        """Return distinct values in a given order, absence last, others in their own."""
        return tuple(sorted(dict.fromkeys(values), key=lambda value: order.get(value, len(order))))

    def _add(self, sop: Sop, feature: str | None = None) -> Sop:
        self._sops.append(sop)
        if feature is not None:
            self.features[feature] = sop
        return sop

    def _map(
        self, name: str, inner: Sop, table: Mapping[Any, Value], feature: str | None = None
    ) -> Sop:
        values = self._sorted(table.values(), self._order.get(name, {}))
        return self._add(Sop(name, "map", values, (inner,), table, inner.leaks), feature)

    def _pair(
        self,
        name: str,
        one: Sop,
        other: Sop,
        table: Mapping[Any, Value],
        feature: str | None = None,
    ) -> Sop:
        values = self._sorted(table.values(), self._order.get(name, {}))
        leaks = one.leaks + other.leaks
        return self._add(Sop(name, "pair", values, (one, other), table, leaks), feature)

    def _relative(self, op: Relative) -> None:
        source, last = self.features[op.value], self.cells - 1
        if op.offset > 0 and self._begin[op.value] != {None}:
            raise TargetError(
                f"{op.out!r} can be what {op.value!r} is at the begin token; target 'tracr' has "
                "no values there"
            )
        self._begin[op.out] = {op.default} | (_words(source.values) if op.offset < 0 else set())
        seen = [place - op.offset for place in range(self.cells)]
        if op.offset not in self._flags:
            where = [INSIDE if 0 <= p <= last else BEGIN if p == -1 else BEYOND for p in seen]
            name = f"{'back' if op.offset > 0 else 'on'}.{abs(op.offset)}"
            self._flags[op.offset] = self._map(name, self.index, dict(enumerate(where)))
        flag = self._flags[op.offset]
        places = dict(enumerate(min(max(place, 0), last) for place in seen))
        name, leaks = f"{op.out}.brought", source.leaks + 1
        brought = self._add(Sop(name, "bring", source.values, (source,), places, leaks))
        beyond = {BEGIN: None, BEYOND: op.default}
        table = {
            (at, value): value if at == INSIDE else beyond[str(at)]
            for at in flag.values
            for value in brought.values
        }
        self._pair(op.out, flag, brought, table, op.out)

    def _table(self, op: Table) -> None:
        for column, out in enumerate(op.outputs):
            rules = _rules(op, column)
            asked = _asked(rules, op.inputs)
            begin = _results(rules, {name: self._begin[name] for name in asked})
            self._begin[out] = _words(begin)
            self._chain(out, asked, rules, out)

    def _chain(
        self, name: str, inputs: Sequence[str], rules: Rules, feature: str | None = None
    ) -> Sop:
        """Add what rules make of some features, and return it; two by two if they are several."""
        distinct = list(dict.fromkeys(inputs))
        table: dict[Any, Value]
        if len(distinct) < 2:
            inner = self.features[distinct[0]] if distinct else self.cell
            only = distinct[0] if distinct else ""
            table = {value: _result(_left(rules, only, value)) for value in inner.values}
            return self._map(name, inner, table, feature)
        found = self.features[distinct[0]]
        left = {value: _left(rules, distinct[0], value) for value in found.values}
        for number, following in enumerate(distinct[1:-1], 2):
            rests = self._rests(found, left, following)
            numbers = {rest: i for i, rest in enumerate(dict.fromkeys(rests.values()))}
            table = {pair: numbers[rest] for pair, rest in rests.items()}
            part = f"{name}.part{number}"
            found = self._pair(part, found, self.features[following], table)
            left = {i: rest for rest, i in numbers.items()}
        rests = self._rests(found, left, distinct[-1])
        table = {pair: _result(rest) for pair, rest in rests.items()}
        return self._pair(name, found, self.features[distinct[-1]], table, feature)

    def _rests(
        self, found: Sop, left: Mapping[Value, Rules], following: str
    ) -> dict[tuple[Value, Value], Rules]:
        """Return what is left of rules when one more input has each of its values."""
        return {
            (one, other): _left(left[one], following, other)
            for one in found.values
            for other in self.features[following].values
        }
