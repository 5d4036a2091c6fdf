"""The native format: one machine in commented YAML. See docs/machine-format.md.

Example::

    name: binary-increment
    blank: _
    start: right
    halt: done
    rules:
      right:
        0: 0 R right        # what is read: what is written, move, next state
        1: R                # moves alone: write nothing new, stay in the state
        _: L carry          # moves and next state: write nothing new
      carry:
        1: 0 L carry
        0|_: 1 L done       # alternatives; `*` stands for any symbol

With k tapes a rule reads k words and is k written symbols, k moves, then the next state.
Rules of a state are tried from the top: the first that matches is taken.

Each of `examples` has an `input` (one word a tape, or `{contents: "101", origin: -2, head: 1}`)
and what its run ends with: `outcome`, `state`, `steps`, `nonblank`, `tape` or `tapes`. A tape is
a word, a list of symbols, or the wildcard where it does not matter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod

import yaml

from tm2tf.errors import FormatError, MachineError
from tm2tf.formats.native_examples import ExampleReader
from tm2tf.formats.sizes import MAX_RULES, MORE_RULES
from tm2tf.formats.yaml_nodes import Source, count
from tm2tf.machine.spec import (
    OFFSET,
    Machine,
    Reads,
    Transition,
    Undefined,
)

FIELDS = (
    "name",
    "description",
    "source",
    "tapes",
    "blank",
    "symbols",
    "wildcard",
    "start",
    "accept",
    "reject",
    "halt",
    "undefined",
    "first",
    "rules",
    "examples",
)
RULE_FIELDS = ("write", "move", "next")
_RULES = ("rules:", '"rules":')


def has_rules(text: str) -> bool:
    """Return whether a line begins with `rules:`, as in every native machine in block style."""
    return text.startswith(_RULES) or any("\n" + word in text for word in _RULES)


def looks_like(text: str) -> bool:
    """Return whether a text may be a native machine: it has a top-level `rules:`, or is a `{`."""
    return has_rules(text) or any(line.startswith("{") for line in text.splitlines())


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a native YAML text describes.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it.
    """
    return _Reader(Source(text, source), name).machine()


@dataclass(frozen=True, slots=True)
class _Row:
    """One written rule: for each tape the symbols it reads, and what it does."""

    node: yaml.Node
    reads: tuple[tuple[str, ...], ...]
    writes: tuple[str, ...]
    moves: tuple[str, ...]
    state: str


class _Reader:
    def __init__(self, source: Source, name: str) -> None:
        self.source = source
        self.source_has_no_lost_rules()
        self.root = source.compose()
        self.fields = source.fields(self.root, "the machine", FIELDS)
        for needed in ("start", "rules"):
            if needed not in self.fields:
                raise source.error(
                    f"the machine has no `{needed}:`",
                    self.root,
                    hint="`tm2tf machines bb4` shows a whole file",
                )
        self.name = self.one("name", name)
        self.tapes = source.integer(self.fields["tapes"], "tapes") if "tapes" in self.fields else 1
        if not 1 <= self.tapes <= 64:
            raise source.error(
                f"tapes must be from 1 to 64, got {self.tapes}", self.fields["tapes"]
            )
        self.blank = self.one("blank", "_")
        self.wildcard = self.one("wildcard", "*")
        self.marks: dict[tuple[str, ...], yaml.Node] = {
            (key,): node for key, node in self.fields.items()
        }

    def source_has_no_lost_rules(self) -> None:
        """Refuse a line such as `#: R`: YAML takes it for a comment, so a rule would be lost."""
        for number, line in enumerate(self.source.text.splitlines(), start=1):
            if line.lstrip().startswith("#:"):
                raise FormatError(
                    "this rule is a comment to YAML",
                    source=self.source.name,
                    text=self.source.text,
                    line=number,
                    column=line.index("#") + 1,
                    hint='put the # in quotes: `"#": ...` (or begin a comment with `# `)',
                )

    def one(self, key: str, default: str) -> str:
        return self.source.word(self.fields[key], key) if key in self.fields else default

    def many(self, key: str) -> tuple[str, ...]:
        return self.source.words(self.fields[key], key) if key in self.fields else ()

    def machine(self) -> Machine:
        rows = {
            state: [
                self.row(state, key, value)
                for key, value in self.source.items(body, f"state {state!r}")
            ]
            for state, body in self.states()
        }
        symbols = self.symbols(rows)
        halting = [state for kind in ("accept", "reject", "halt") for state in self.many(kind)]
        states = tuple(dict.fromkeys([*rows, *halting]))
        transitions: dict[tuple[str, Reads], Transition] = {}
        for state, body in rows.items():
            self.spell_out(state, body, symbols, transitions)
        undefined: Undefined = self.one("undefined", "halt")  # type: ignore[assignment]
        try:
            machine = Machine(
                name=self.name,
                symbols=symbols,
                blank=self.blank,
                states=states,
                start=self.one("start", ""),
                transitions=transitions,
                tapes=self.tapes,
                accept=self.many("accept"),
                reject=self.many("reject"),
                halt=self.many("halt"),
                undefined=undefined,
                first=self.first(),
                description=self.one("description", ""),
                source=self.one("source", ""),
            )
        except MachineError as error:
            raise self.source.error(
                error.message, self.place(error.path), hint=f"the rule: {error.rule}"
            ) from None
        if "examples" not in self.fields:
            return machine
        reader = ExampleReader(self.source, machine, self.wildcard)
        return replace(machine, examples=tuple(reader.read(self.fields["examples"])))

    def first(self) -> dict[str, str]:
        if "first" not in self.fields:
            return {}
        pairs = self.source.items(self.fields["first"], "first")
        word = self.source.word
        return {word(key, "a symbol"): word(value, "a symbol") for key, value in pairs}

    def place(self, path: tuple[str, ...]) -> yaml.Node:
        while path and path not in self.marks:
            path = path[:-1]
        return self.marks.get(path, self.root)

    def states(self) -> Iterator[tuple[str, yaml.Node]]:
        seen: set[str] = set()
        for key, body in self.source.items(self.fields["rules"], "rules"):
            state = self.source.word(key, "a state")
            if state in seen:
                raise self.source.error(
                    f"state {state!r} is given twice", key, hint="put its rules under one key"
                )
            seen.add(state)
            self.marks["rules", state] = key
            empty = isinstance(body, yaml.ScalarNode) and not body.value
            yield state, _no_rules(body) if empty else body

    def row(self, state: str, key: yaml.Node, value: yaml.Node) -> _Row:
        reads = self.pattern(key)
        if isinstance(value, yaml.MappingNode):
            writes, moves, target = self.long_action(state, value)
        else:
            writes, moves, target = self.short_action(state, value)
        return _Row(key, reads, writes, moves, target)

    def pattern(self, key: yaml.Node) -> tuple[tuple[str, ...], ...]:
        if isinstance(key, yaml.SequenceNode):
            tapes = [key] if self.tapes == 1 else key.value
            parts = tuple(self.source.words(tape, "what is read") for tape in tapes)
        else:
            words = self.source.word(key, "what is read").split()
            parts = tuple(tuple(word.split("|")) if word.strip("|") else (word,) for word in words)
        if any(not part or "" in part for part in parts):
            raise self.source.error(
                "one of the alternatives to read is empty",
                key,
                hint='a symbol that is or holds `|` is written in a list: `? ["a|b"]`',
            )
        if len(parts) != self.tapes:
            raise self.source.error(
                f"expected {count(self.tapes, 'symbol')} to read, got {len(parts)}",
                key,
                hint='a symbol that is a space is written in a list: `? [" "]`',
            )
        return parts

    def short_action(
        self, state: str, node: yaml.Node
    ) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        if isinstance(node, yaml.SequenceNode):
            words = list(self.source.words(node, "the action"))
        else:
            words = self.source.word(node, "the action").split()
        k = self.tapes
        keep = (self.wildcard,) * k
        if len(words) == k:
            writes, moves, target = keep, tuple(words), state
        elif len(words) == k + 1:
            writes, moves, target = keep, tuple(words[:k]), words[k]
        elif len(words) == 2 * k + 1:
            writes, moves, target = tuple(words[:k]), tuple(words[k : 2 * k]), words[2 * k]
        else:
            raise self.source.error(
                f"expected {count(k, 'written symbol')}, {count(k, 'move')} and the next state, "
                f"got {count(len(words), 'word')}",
                node,
                hint=f"or {count(k, 'move')} and the next state, or {count(k, 'move')} alone",
            )
        self.check_moves(moves, node)
        return writes, moves, target

    def long_action(
        self, state: str, node: yaml.Node
    ) -> tuple[tuple[str, ...], tuple[str, ...], str]:
        fields = self.source.fields(node, "an action", RULE_FIELDS)
        keep = (self.wildcard,) * self.tapes
        writes = self.source.words(fields["write"], "write") if "write" in fields else keep
        stay = ("S",) * self.tapes
        moves = self.source.words(fields["move"], "move") if "move" in fields else stay
        target = self.source.word(fields["next"], "next") if "next" in fields else state
        for what, words in (("write", writes), ("move", moves)):
            if len(words) != self.tapes:
                raise self.source.error(
                    f"expected {self.tapes} of `{what}`, one a tape, got {len(words)}", fields[what]
                )
        self.check_moves(moves, node)
        return writes, moves, target

    def check_moves(self, moves: Sequence[str], node: yaml.Node) -> None:
        for move in moves:
            if move not in OFFSET:
                raise self.source.error(
                    f"unknown move {move!r}: expected L, S or R",
                    node,
                    hint="a rule is: written symbols, moves, next state",
                )

    def symbols(self, rows: dict[str, list[_Row]]) -> tuple[str, ...]:
        if "symbols" in self.fields:
            given = self.many("symbols")
            if self.wildcard in given:
                raise self.source.error(
                    f"{self.wildcard!r} is the wildcard, so it cannot be a symbol too",
                    self.fields["symbols"],
                    hint='choose another wildcard, as in `wildcard: "?"`',
                )
            return given
        found = [self.blank]
        for body in rows.values():
            for row in body:
                found += [symbol for part in row.reads for symbol in part]
                found += row.writes
        return tuple(symbol for symbol in dict.fromkeys(found) if symbol != self.wildcard)

    def spell_out(
        self,
        state: str,
        rows: list[_Row],
        symbols: tuple[str, ...],
        into: dict[tuple[str, Reads], Transition],
    ) -> None:
        """Add to `into` each (state, reads) that `rows` cover, the first row first."""
        for row in rows:
            choices = [symbols if self.wildcard in part else part for part in row.reads]
            if len(into) + prod(map(len, choices)) > MAX_RULES:
                raise self.source.error(
                    f"more than {MAX_RULES:,} rules once the wildcards are spelt out",
                    row.node,
                    hint=MORE_RULES,
                )
            new = 0
            for reads in product(*choices):
                if (state, reads) in into:
                    continue
                writes = tuple(
                    read if write == self.wildcard else write
                    for read, write in zip(reads, row.writes, strict=True)
                )
                into[state, reads] = Transition(row.state, writes, row.moves)
                self.marks["rules", state, " ".join(reads)] = row.node
                new += 1
            if new == 0:
                raise self.source.error(
                    f"this rule of state {state!r} is never taken: rules above it read the same",
                    row.node,
                    hint="the first rule that matches is taken; put the narrower rule first",
                )


def _no_rules(body: yaml.Node) -> yaml.Node:
    return yaml.MappingNode("tag:yaml.org,2002:map", [], body.start_mark, body.end_mark)
