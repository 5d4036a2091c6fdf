"""Morphett's simulator: one tape, five words a line, `*` for any symbol and any state.

Source: http://morphett.info/turing and github.com/awmorp/jsturing (`jsturing.js`).

Example::

    ; $INITIAL_STATE: right
    ; $INITIAL_TAPE: 1011
    right * * r right       ; state, read, write, move (l, r or *), next state
    right _ _ l carry       ; `_` is the blank; a rule for a symbol goes before one for `*`
    carry 1 0 l carry
    carry * 1 * halt-done   ; a state whose name begins with `halt` halts

In the page, the start state and the kind of tape stand in boxes beside the text. Here they are
comments, in the style of its own for the tape: `$INITIAL_STATE`, and `$VARIANT: 1` for a tape that
begins at the first cell. The file that the page saves (JSON) has them, and is read too.

There, a missing rule is a step: the symbol stays, the head stays, and the state is `halt`. Such
steps are rules here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tm2tf.errors import FormatError, MachineError, did_you_mean
from tm2tf.formats import lines as plain
from tm2tf.formats.lines import Lines
from tm2tf.formats.sizes import MAX_RULES, MORE_RULES
from tm2tf.machine.one_way import one_way
from tm2tf.machine.spec import Example, Machine, Reads, Tape, Transition

BLANK, ANY = "_", "*"
MOVES = {"l": "L", "r": "R", "*": "S"}
_SAVED = re.compile(r'\s*\{(?s:.*)"program"\s*:\s*"')
_STATED = re.compile(r"\$(?:(INITIAL_TAPE):?|(INITIAL_STATE|VARIANT):) *(.*)")
_OTHERS = re.compile(r"""["']?(?:rules|table|delta|init|accept|start state)["']?\s*:""")
_LOOKED_AT = 200
"""How many lines tell what a text is."""


def looks_like(text: str) -> bool:
    """Return whether most lines are rules of five words, or it is a file that the page saved."""
    if _SAVED.match(text):
        return True
    fit = other = 0
    for line in text.split("\n"):
        code, _, comment = line.partition(";")
        words, _ = plain.words(code)
        if len(words) in (5, 6) and len(words[1] + words[2]) == 2 and words[3].lower() in MOVES:
            fit += 1
        elif words:
            if len(words) < 5 and _OTHERS.match(line):
                return False
            other += 1
        elif "$INITIAL_STATE:" in comment:
            fit += 1
        if fit + other == _LOOKED_AT:
            break
    return fit > other


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes; its `$INITIAL_TAPE`s are examples.

    Raises:
        FormatError: for what is wrong in a line (there such a line is left out, with a message
            below the text), for a start state that is not given, and for two rules between which
            chance decides.
    """
    plain.checked(text, source)
    if _SAVED.match(text):
        return _saved(text, source, name)
    return _Reader(_lines(text, source), name).machine()


def _lines(text: str, source: str) -> Lines:
    return Lines(text.replace("\r", "").split("\n"), source)


def _saved(text: str, source: str, name: str) -> Machine:
    """Return the machine of a saved file: its program, and the boxes beside it."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError(
            f"not valid JSON: {error.msg}",
            source=source,
            text=text,
            line=error.lineno,
            column=error.colno,
        ) from None
    except (ValueError, RecursionError) as error:
        raise FormatError(f"not valid JSON: {error}", source=source) from None
    for key in ("program", "initialtape", "initialstate", "tape"):
        if found.get(key) is not None and not isinstance(found[key], str):
            raise FormatError(f"`{key}` is text in a saved machine", source=source)
    if not isinstance(found.get("program"), str):
        raise FormatError("a saved machine has a `program`", source=source)
    variant = found.get("variant") or 0
    if isinstance(variant, bool) or variant not in (0, 1, 2):
        raise FormatError(f"`variant` is 0, 1 or 2, got {variant!r}", source=source)
    reader = _Reader(_lines(found["program"], f"{source} (program)"), name)
    reader.saved, reader.variant = True, int(variant)
    words, _ = plain.words(found.get("initialstate") or "")
    reader.start = words[0] if words else None
    steps = found["steps"] if isinstance(found.get("steps"), int) else 0
    tape = found.get("initialtape") or ("" if steps else found.get("tape"))
    reader.tapes = [(None, 1, tape)] if tape else []
    if steps:
        reader.notes.append(
            f"the file was saved after {steps} steps, in the state {found.get('state')!r}; "
            "runs here begin at the beginning"
        )
    return reader.machine()


@dataclass(frozen=True, slots=True)
class _Rule:
    """What a rule does, as written, and its line."""

    line: int
    write: str
    move: str
    state: str

    def effect(self, state: str, read: str) -> tuple[str, str, str]:
        """Return what it writes, how it moves, and where it goes, having read a symbol."""
        return (
            read if self.write == ANY else self.write,
            self.move,
            state if self.state == ANY else self.state,
        )


_Rules = dict[tuple[str, str], list[_Rule]]


@dataclass(slots=True)
class _Reader:
    lines: Lines
    name: str
    saved: bool = False
    start: str | None = None
    variant: int | None = None
    tapes: list[tuple[int | None, int, str]] = field(default_factory=list)
    rules: _Rules = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    breakpoints: int = 0

    def machine(self) -> Machine:
        stated: dict[str, tuple[str, int, int]] = {}
        for number, line in self.lines.numbered():
            self.rule(number, line)
            if ";" in line and "$" in line:
                self.comment(number, line, stated)
        variant = self.chosen_variant(stated)
        self.one_rule_each(variant)
        examples = tuple(Example((self.tape(*given),)) for given in self.tapes)
        start = self.chosen_start(stated)
        states = dict.fromkeys(self.named(start))
        running = [state for state in states if not halts(state)]
        symbols = tuple(dict.fromkeys(self.symbols(examples)))
        count = len(running) * len(symbols) * (2 if variant == 1 else 1)
        if count > MAX_RULES:
            raise self.lines.error(
                f"{len(running):,} states with {len(symbols):,} symbols are {count:,} rules once "
                f"`*` and missing rules are spelt out; the limit is {MAX_RULES:,}",
                hint=MORE_RULES,
            )
        transitions = self.spell_out(running, symbols)
        if any(to.state == "halt" for to in transitions.values()):
            states["halt"] = None
        self.remark(symbols)
        try:
            made = Machine(
                name=self.name,
                symbols=symbols,
                blank=BLANK,
                states=tuple(states),
                start=start,
                transitions=transitions,
                halt=tuple(state for state in states if halts(state)),
                examples=examples,
                notes=tuple(self.notes),
            )
        except MachineError as error:
            raise self.lines.error(error.message, hint=f"the rule: {error.rule}") from None
        return one_way(made) if variant == 1 else made

    def rule(self, number: int, line: str) -> None:
        """Add the rule of a line, if it has one."""
        words, columns = plain.words(line.partition(";")[0])
        if not words:
            return
        if len(words) < 5:
            raise self.lines.error(
                f"expected 5 words, got {len(words)}",
                number,
                columns[-1],
                "a rule is: state, symbol read, symbol written, l or r or *, next state",
            )
        if len(words) > 6 or words[5:] not in ([], ["!"]):
            raise self.lines.error(
                f"a rule has 5 words, got {len(words)}",
                number,
                columns[5],
                "a sixth word can be `!` alone; a comment begins with `;`",
            )
        state, read, write, move, target = words[:5]
        if move.lower() not in MOVES:
            raise self.lines.error(f"a move is l, r or *, got {move!r}", number, columns[3])
        self.lines.symbol(read, "the symbol read", number, columns[1])
        self.lines.symbol(write, "the symbol written", number, columns[2])
        self.lines.state(state, number, columns[0])
        self.lines.state(target, number, columns[4])
        self.breakpoints += len(words) == 6
        known = self.rules.setdefault((state, read), [])
        known.append(_Rule(number, write, MOVES[move.lower()], target))

    def comment(self, number: int, line: str, stated: dict[str, tuple[str, int, int]]) -> None:
        """Take what a comment says of the tape, the start state, or the variant."""
        match = _STATED.search(line, line.index(";"))
        if match is None:
            return
        key, value, column = match[1] or match[2], match[3], match.start(3) + 1
        if key == "INITIAL_TAPE":
            if value.strip(" "):
                self.tapes.append((number, column, value))
            return
        words, _ = plain.words(value)
        word = words[0] if words else ""
        if stated.get(key, (word,))[0] != word:
            raise self.lines.error(
                f"${key} is given twice: {stated[key][0]!r} in line {stated[key][1]}, and {word!r}",
                number,
                column,
            )
        stated[key] = (word, number, column)

    def tape(self, number: int | None, column: int, text: str) -> Tape:
        """Return the tape of an input as typed there: the first `*` is left of the head's cell."""
        head = max(text.find(ANY), 0)
        for i, symbol in enumerate(text):
            if symbol != " ":
                self.lines.symbol(symbol, "a symbol of the tape", number, column + i)
        return Tape(tuple(text.replace(ANY, "").replace(" ", BLANK)), 0, head).trimmed(BLANK)

    def chosen_variant(self, stated: dict[str, tuple[str, int, int]]) -> int:
        if self.variant is not None:
            return self.variant
        word, line, column = stated.get("VARIANT", ("0", 1, 1))
        if word not in ("0", "1", "2"):
            raise self.lines.error(
                f"$VARIANT is 0, 1 or 2, got {word!r}",
                line,
                column,
                hint="0: the tape is infinite both ways; 1: one way; 2: chance chooses rules",
            )
        return int(word)

    def chosen_start(self, stated: dict[str, tuple[str, int, int]]) -> str:
        """Return the start state: the box's of a saved file, the comment's, or `0`."""
        known = dict.fromkeys(state for state, _ in self.rules)
        word, line, column = stated.get("INITIAL_STATE", ("0", 1, 1))
        if self.start is not None:
            word, line, column = self.start, 1, 1
        elif "INITIAL_STATE" in stated:
            targets = {rule.state for rules in self.rules.values() for rule in rules}
            if not (word in known or word in targets or ANY in known or halts(word)):
                raise self.lines.error(
                    f"unknown state {word!r}" + did_you_mean(word, known), line, column
                )
        elif not self.saved and "0" not in known:
            first = next((state for state in known if state != ANY), "NAME")
            raise self.lines.error(
                "the start state is not given, and there is no rule of a state `0`",
                min((rule.line for rules in self.rules.values() for rule in rules), default=1),
                hint=f"name it in a comment, as in `; $INITIAL_STATE: {first}`",
            )
        if word in ("", ANY):
            raise self.lines.error(f"the start state cannot be {word!r}", line, column)
        return self.lines.state(word, line, column)

    def one_rule_each(self, variant: int) -> None:
        """Keep the last rule of each key; where chance would choose, refuse."""
        replaced = []
        for (state, read), rules in self.rules.items():
            if len(rules) == 1:
                continue
            last = rules[-1]
            others = [r for r in rules if r.effect(state, read) != last.effect(state, read)]
            if others and variant == 2 and not halts(state):
                raise self.lines.error(
                    f"a second rule for state {state!r} and symbol {read!r}, after line "
                    f"{others[0].line}: in variant 2 chance decides between them",
                    last.line,
                    hint="tm2tf has no nondeterministic machines: keep one of the rules",
                )
            replaced += [f"line {rule.line} by line {last.line}" for rule in others]
            rules[:-1] = []
        if replaced:
            self.notes.append("rules that later ones replace: " + _some(replaced))

    def named(self, start: str) -> Iterator[str]:
        """Yield the states: those that have rules, then those that are only entered."""
        yield from (state for state, _ in self.rules if state != ANY)
        yield start
        for rules in self.rules.values():
            yield from (rule.state for rule in rules if rule.state != ANY)

    def symbols(self, examples: tuple[Example, ...]) -> Iterator[str]:
        yield BLANK
        for (_, read), (rule, *_) in self.rules.items():
            yield from (symbol for symbol in (read, rule.write) if symbol != ANY)
        for example in examples:
            yield from example.tapes[0].contents

    def spell_out(
        self, running: list[str], symbols: tuple[str, ...]
    ) -> dict[tuple[str, Reads], Transition]:
        """Return the rule of each state and symbol: those that the file names first."""
        found: dict[tuple[str, Reads], Transition] = {}
        for (state, read), (rule, *_) in self.rules.items():
            if ANY not in (state, read) and not halts(state):
                found[state, (read,)] = _transition(*rule.effect(state, read))
        for state in running:
            tiers = [(state, True), (state, False), (ANY, True), (ANY, False)]
            for read in symbols:
                if (state, (read,)) in found:
                    continue
                keys = ((of, read if exact else ANY) for of, exact in tiers)
                rules = next((self.rules[key] for key in keys if key in self.rules), None)
                effect = rules[0].effect(state, read) if rules else (read, "S", "halt")
                found[state, (read,)] = _transition(*effect)
        return found

    def remark(self, symbols: tuple[str, ...]) -> None:
        """Note what a machine here cannot say."""
        unused = dict.fromkeys(state for state, _ in self.rules if halts(state))
        if unused:
            self.notes.append("rules of states that halt are never used: " + _some(unused))
        if self.breakpoints:
            self.notes.append("breakpoints (`!`) are left out")
        if any(read == ANY for _, read in self.rules):
            self.notes.append(
                f"`*` reads any symbol there, and one of these here: {_some(symbols, 20)}; "
                "more can be named in a comment, as in `; $INITIAL_TAPE: xyz`"
            )


def _transition(write: str, move: str, state: str) -> Transition:
    return Transition(state, (write,), (move,))


def halts(state: str) -> bool:
    """Return whether a state of that name halts there."""
    return state[:4].lower() == "halt"


def _some(words: Iterable[str], most: int = 5) -> str:
    listed = list(words)
    return ", ".join(listed[:most]) + (f", ... ({len(listed)} in all)" if listed[most:] else "")
