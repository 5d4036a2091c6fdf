"""Rules of JFLAP 4 to 7 spelt out over an alphabet, and variables spelt out as states.

In JFLAP the first rule that matches is taken. A variable holds a symbol from one rule to the next,
so a state stands here once for each value that may still be written; a variable without a value
is the letter itself. `put{w=c}` is the state put, with c in w.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from math import prod

from tm2tf.errors import FormatError
from tm2tf.formats.jflap_blocks import MAX_STATES, Path, Reader, Rule
from tm2tf.formats.jflap_labels import BLANK, KEEP
from tm2tf.formats.sizes import MAX_RULES, MORE_RULES
from tm2tf.machine.spec import Reads, Transition

MAX_VARIABLES = 16
Values = tuple[tuple[str, str], ...]
"""Variables that may still be written, and hold something else than their own letter."""

Taken = tuple[Rule, Path]
"""A rule, and the state that it leads to."""


@dataclass(slots=True)
class Speller:
    """Spells out the rules of all states that a reader has flattened."""

    reader: Reader
    alphabet: tuple[str, ...] = ()
    tables: dict[Path, dict[Reads, Taken]] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    live: dict[Path, set[str]] = field(default_factory=dict)
    names: dict[tuple[Path, Values], str] = field(default_factory=dict)
    work: int = 0

    def all_rules(self) -> Iterable[Rule]:
        """Yield each rule of each level once."""
        levels = {id(level): level for level in self.reader.levels.values()}
        for level in levels.values():
            for rules in level.rules.values():
                yield from rules

    def spell_out(self, start: Path) -> dict[tuple[str, Reads], Transition]:
        """Return the transitions between the states in `names`, the start state first."""
        found: dict[str, None] = {BLANK: None}
        for rule in self.all_rules():
            for read in rule.reads:
                found |= dict.fromkeys(read.symbols)
            found |= dict.fromkeys(symbol for symbol in rule.writes if symbol != KEEP)
        self.alphabet = tuple(found)
        for path in self.reader.places:
            self.tables[path] = self.table(path)
        self.find_live()
        return self.transitions(start)

    def table(self, path: Path) -> dict[Reads, Taken]:
        """Return which rule is taken in a state, by what is read."""
        table: dict[Reads, Taken] = {}
        everything = len(self.alphabet) ** self.reader.tapes
        for rule, to in self.reader.rules(path):
            if len(table) == everything:
                break
            choices = [read.choices(self.alphabet) for read in rule.reads]
            self.count(1 + prod(map(len, choices)), rule)
            for reads in product(*choices):
                if reads not in table:
                    table[reads] = (rule, to)
                    self.used.add(id(rule))
        return table

    def count(self, number: int, rule: Rule) -> None:
        """Count rules, and those that others hide: what is too much is an error."""
        self.work += number
        if self.work > MAX_RULES:
            raise self.too_many(rule)

    def too_many(self, rule: Rule) -> FormatError:
        """Return the error for too many rules."""
        return self.reader.source.error(
            f"more than {MAX_RULES:,} rules once `~`, `!`, blocks and variables are spelt out",
            rule.element,
            hint=MORE_RULES,
        )

    def find_live(self) -> None:
        """Find which variables may still be written from each state on, before they change."""
        self.live = {path: set() for path in self.tables}
        variables = {
            read.variable for rule in self.all_rules() for read in rule.reads if read.variable
        }
        if len(variables) > MAX_VARIABLES:
            raise self.reader.source.error(
                f"{len(variables)} variables; the limit is {MAX_VARIABLES}", self.reader.root
            )
        if not variables:
            return
        before: dict[Path, set[tuple[Path, str]]] = {path: set() for path in self.tables}
        waiting: list[tuple[Path, str]] = []
        for path, table in self.tables.items():
            for rule, to in {(id(rule), to): (rule, to) for rule, to in table.values()}.values():
                kept, written = rule.reads[0].variable, rule.writes[0]
                before[to].add((path, kept))
                if written in variables - {kept}:
                    waiting.append((path, written))
        while waiting:
            path, variable = waiting.pop()
            if variable in self.live[path]:
                continue
            self.live[path].add(variable)
            waiting += [(place, variable) for place, kept in before[path] if kept != variable]

    def transitions(self, start: Path) -> dict[tuple[str, Reads], Transition]:
        """Walk through all states that are reached, with all values; then through the others."""
        found: dict[tuple[str, Reads], Transition] = {}
        seen: set[tuple[Path, Values]] = set()
        reached: set[Path] = set()
        for first in (start, *self.tables):
            waiting: list[tuple[Path, Values]] = [] if first in reached else [(first, ())]
            while waiting:
                now = waiting.pop()
                if now in seen:
                    continue
                seen.add(now)
                reached.add(now[0])
                name = self.name(now)
                for reads, (rule, _) in self.tables[now[0]].items():
                    after, writes = self.step(now, reads)
                    found[name, reads] = Transition(self.name(after), writes, rule.moves)
                    if len(found) > MAX_RULES:
                        raise self.too_many(rule)
                    if after not in seen:
                        waiting.append(after)
        return found

    def step(
        self, now: tuple[Path, Values], reads: Reads
    ) -> tuple[tuple[Path, Values], tuple[str, ...]]:
        """Return where a state leads, with the values of variables, and what is written."""
        rule, to = self.tables[now[0]][reads]
        holds = dict(now[1])
        if rule.reads[0].variable:
            holds[rule.reads[0].variable] = reads[0]
        writes = tuple(
            read if write == KEEP else holds.get(write, write)
            for read, write in zip(reads, rule.writes, strict=True)
        )
        return (to, self.kept(holds, to)), writes

    def kept(self, holds: dict[str, str], path: Path) -> Values:
        """Return what is worth keeping of variables on the way into a state."""
        live = self.live[path]
        return tuple(sorted((v, held) for v, held in holds.items() if v in live and v != held))

    def name(self, now: tuple[Path, Values]) -> str:
        """Return the name of a state with the values of variables in it."""
        if now not in self.names:
            path, values = now
            name = self.reader.places[path].name
            if values:
                held = ",".join(f"{variable}={symbol}" for variable, symbol in values)
                name = self.reader.name(f"{name}{{{held}}}", len(self.names))
            self.names[now] = name
            if len(self.names) > MAX_STATES:
                raise self.reader.source.error(
                    f"more than {MAX_STATES:,} states once the values of variables are spelt out",
                    self.reader.places[path].state.element,
                )
        return self.names[now]
