"""The two grammars of Doty's `.tm` files, read into words with places; `doty` makes the machine.

The simulator's YAML is version 1.2, and numbers, booleans and null in it become strings again only
after YAML has typed them: `0` is "0", and so is `00`. A `?` may stand without quotes inside a list,
which PyYAML takes for a key: another character stands in for it while the text is parsed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import yaml

from tm2tf.errors import FormatError
from tm2tf.formats.sizes import MAX_CHARACTERS, MORE_CHARACTERS
from tm2tf.formats.yaml_nodes import Source

FIELDS = (
    "states",
    "input_alphabet",
    "tape_alphabet_extra",
    "start_state",
    "accept_state",
    "reject_state",
    "delta",
)
ANY = "?"
BLANK = "_"
_STAND_IN = "\ue000"
_NULL = "null"
_INSIDE = re.compile(r"(?<=[^\s,\[\]{}\ufeff])\?|\?(?![\s,\[\]{}]|$)")
"""A `?` that belongs to a word of YAML 1.2: something of the word stands beside it."""

_WHOLE = re.compile(r"[-+]?[0-9]+|0x[0-9a-fA-F]+|0o[0-7]+")
_FRACTION = re.compile(
    r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
    r"|[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+"
)
_MOST_DIGITS = 15


@dataclass(frozen=True, slots=True)
class Word:
    """A word of the file, with its place, and a hint for when it is wrong."""

    text: str
    line: int
    column: int
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule as written, wildcards and all."""

    state: Word
    reads: Word
    target: Word
    writes: Word
    moves: Word


@dataclass(frozen=True, slots=True)
class Written:
    """What a file says, before it is checked. `inputs` and `extra` are the two alphabets."""

    text: str
    source: str
    states: list[Word]
    inputs: list[Word]
    extra: list[Word]
    start: Word
    accept: Word
    reject: Word
    rules: list[Rule]
    tapes: int

    def error(self, message: str, at: Word, hint: str | None = None) -> FormatError:
        """Return an error that points at a word."""
        return FormatError(
            message,
            source=self.source,
            text=self.text,
            line=at.line,
            column=at.column,
            hint=hint or at.hint,
        )


def read_yaml(text: str, source: str) -> Written:
    """Return what a file in the YAML grammar says.

    Raises:
        FormatError: it is no such file.
    """
    return _Yaml(text, source).written()


class _Yaml:
    def __init__(self, text: str, source: str) -> None:
        self.source = Source(text, source)
        self.root = self.compose()

    def compose(self) -> yaml.Node:
        text, name = self.source.text, self.source.name
        if _STAND_IN in text:
            before = text[: text.index(_STAND_IN)].split("\n")
            raise FormatError(
                f"the character {_STAND_IN!r} is not allowed here",
                source=name,
                text=text,
                line=len(before),
                column=len(before[-1]) + 1,
            )
        try:
            return Source(_INSIDE.sub(_STAND_IN, text), name).compose()
        except FormatError as error:
            raise FormatError(
                error.message.replace(_STAND_IN, ANY),
                source=name,
                text=text,
                line=error.line,
                column=error.column,
                hint=error.hint,
            ) from None

    def written(self) -> Written:
        fields = self.fields()
        rules = self.rules(fields["delta"])
        if not rules:
            raise self.source.error(
                "delta has no rule",
                fields["delta"],
                hint="the symbols that a rule reads say how many tapes there are",
            )
        return Written(
            text=self.source.text,
            source=self.source.name,
            states=self.many("states", fields),
            inputs=self.many("input_alphabet", fields),
            extra=self.many("tape_alphabet_extra", fields, least=0),
            start=self.word(fields["start_state"], "start_state"),
            accept=self.word(fields["accept_state"], "accept_state"),
            reject=self.word(fields["reject_state"], "reject_state"),
            rules=rules,
            tapes=len(rules[0].reads.text),
        )

    def fields(self) -> dict[str, yaml.Node]:
        found = self.source.fields(self.root, "the machine", FIELDS)
        for needed in FIELDS:
            if needed not in found:
                raise self.source.error(f"the machine has no `{needed}:`", self.root)
        return found

    def many(self, key: str, fields: dict[str, yaml.Node], least: int = 1) -> list[Word]:
        node = fields[key]
        if not isinstance(node, yaml.SequenceNode):
            raise self.source.error(f"{key} must be a list", node, hint=f"as in `{key}: [a, b]`")
        if len(node.value) < least:
            raise self.source.error(f"{key} is empty", node)
        return [self.word(item, f"each of {key}") for item in node.value]

    def rules(self, delta: yaml.Node) -> list[Rule]:
        found, seen = [], set()
        for key, body in self.source.items(delta, "delta"):
            state = self.word(key, "a state", key=True)
            if state.text in seen:
                raise self.source.error(
                    f"state {state.text!r} is given twice in delta",
                    key,
                    hint="put its rules under one key",
                )
            seen.add(state.text)
            if isinstance(body, yaml.ScalarNode) and self.typed(body, "")[0] is None:
                continue  # a state with nothing behind it
            for reads, action in self.source.items(body, f"state {state.text!r}"):
                words = action.value if isinstance(action, yaml.SequenceNode) else []
                if len(words) != 3:
                    raise self.source.error(
                        "a rule is a list of three: next state, written symbols, moves",
                        action,
                        hint="as in `'0': [next, '1', R]`",
                    )
                names = ("the next state", "what is written", "the moves")
                target, writes, moves = map(self.word, words, names)
                read = self.word(reads, "what is read", key=True)
                found.append(Rule(state, read, target, writes, moves))
        return found

    def word(self, node: yaml.Node, what: str, *, key: bool = False) -> Word:
        value, hint = self.typed(node, what)
        if value is None:
            value = "" if key else _NULL
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        return Word(value, line, column, hint)

    def typed(self, node: yaml.Node, what: str) -> tuple[str | None, str | None]:
        """Return the string that the simulator has for a scalar (None for null), and a hint."""
        value = self.source.word(node, what).replace(_STAND_IN, ANY)
        at = node.start_mark.index
        styled = isinstance(node, yaml.ScalarNode) and node.style
        if styled or self.source.text.startswith(("'", '"'), at):
            return value, None
        meant: str | None = value
        if value in ("", "~", "null", "Null", "NULL"):
            meant = None
        elif value in ("True", "TRUE", "False", "FALSE"):
            meant = value.lower()
        elif _WHOLE.fullmatch(value) and len(value) <= _MOST_DIGITS:
            meant = str(int(value, {"x": 16, "o": 8}.get(value[1:2], 10)))
        elif _WHOLE.fullmatch(value) or _FRACTION.fullmatch(value):
            raise self.source.error(
                f"YAML takes {value} for a number, and may write it otherwise",
                node,
                hint=f"put quotes around it: '{value}'",
            )
        if meant == value:
            return value, None
        shown = "null" if meant is None else f"the string {meant!r}"
        return meant, f"without quotes YAML makes {shown} of this; write '{value}'"


_STATE = re.compile(r"[A-Za-z0-9_()'-]+")
_SYMBOL = re.compile(r"[A-Za-z0-9/`~!@$%^&*()\-_=+\[\]:;'.<>#|?\"\\]")
_SYMBOLS = re.compile(r"[^\s,;]+")


def read_plain(text: str, source: str) -> Written:
    """Return what a file in the older grammar says: `key = {a,b}`, and rules that end in `;`.

    Raises:
        FormatError: it is no such file.
    """
    return _Plain(text, source).written()


class _Plain:
    """Reads from `at` on, one word after the other; white space and comments mean nothing."""

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source, self.at = text, source, 0
        if len(text) > MAX_CHARACTERS:
            raise FormatError(
                f"the text has {len(text):,} characters; the limit is {MAX_CHARACTERS:,}",
                hint=MORE_CHARACTERS,
                source=source,
            )
        self.line, self.begin = 1, 0  # of the line that was reached, and where it begins

    def written(self) -> Written:
        self.key("states")
        if self.text.startswith(ANY, self.skip()):
            raise self.error("the states are not inferred", "list them, as in `states = {a, b}`")
        states = self.braces(_STATE, "a state")
        self.key("input_alphabet")
        inputs = self.braces(_SYMBOL, "a symbol")
        self.key("tape_alphabet_extra")
        extra = self.braces(_SYMBOL, "a symbol")
        ends = []
        for key in ("start_state", "accept_state", "reject_state"):
            self.key(key)
            ends.append(self.take(_STATE, "a state"))
        tapes = self.tapes()
        self.key("delta")
        start, accept, reject = ends
        rules: list[Rule] = []
        while self.skip() < len(self.text):
            rules.append(self.rule(tapes))
            tapes = tapes or len(rules[0].reads.text)
        made = Written(
            self.text, self.source, states, inputs, extra, start, accept, reject, rules, tapes or 1
        )
        if accept.text == reject.text:
            raise made.error("the accept state and the reject state must differ", reject)
        if BLANK not in [word.text for word in extra]:
            raise made.error(
                f"tape_alphabet_extra has no blank, {BLANK}", (extra or inputs or [start])[0]
            )
        return made

    def tapes(self) -> int:
        """Return what `num_tapes` says; 0 where it is left out, as in an example of theirs."""
        if not self.text.startswith("num_tapes", self.skip()):
            return 0
        self.key("num_tapes")
        number = self.take(re.compile(r"[1-9][0-9]{0,8}"), "a whole number, 1 or more")
        return int(number.text)

    def error(self, message: str, hint: str) -> FormatError:
        """Return an error that points at where the reader is."""
        return FormatError(
            message,
            source=self.source,
            text=self.text,
            line=self.line,
            column=self.at - self.begin + 1,
            hint=hint,
        )

    def skip(self) -> int:
        """Go on to the next word, and return where it is."""
        while self.at < len(self.text):
            if self.text[self.at].isspace():
                if self.text[self.at] == "\n":
                    self.line, self.begin = self.line + 1, self.at + 1
                self.at += 1
            elif self.text.startswith("//", self.at):
                end = self.text.find("\n", self.at)
                self.at = end if end >= 0 else len(self.text)
            else:
                break
        return self.at

    def take(self, pattern: re.Pattern[str], what: str) -> Word:
        found = pattern.match(self.text, self.skip())
        column = self.at - self.begin + 1
        if not found:
            got = repr(self.text[self.at]) if self.at < len(self.text) else "the end of the file"
            raise self.error(
                f"expected {what}, got {got}",
                "keys come in the order of the simulator's examples, with `=`; "
                "a rule is `state,reads -> next,writes,moves;`",
            )
        self.at = found.end()
        return Word(found[0], self.line, column)

    def sign(self, sign: str) -> None:
        self.take(re.compile(re.escape(sign)), f"`{sign}`")

    def key(self, key: str) -> None:
        self.take(re.compile(rf"{key}(?![\w])"), f"`{key} =`")
        self.sign("=")

    def braces(self, pattern: re.Pattern[str], what: str) -> list[Word]:
        self.sign("{")
        found: list[Word] = []
        while not self.text.startswith("}", self.skip()):
            if found:
                self.sign(",")
            found.append(self.take(pattern, what))
        self.sign("}")
        return found

    def symbols(self, tapes: int, what: str) -> Word:
        """Return what is read, which an arrow may follow at once, or begin with its signs."""
        word = self.take(_SYMBOLS, what)
        cut = tapes if tapes and word.text[tapes:].startswith("->") else word.text.find("->")
        if cut <= 0:
            return word
        self.at -= len(word.text) - cut
        return Word(word.text[:cut], word.line, word.column)

    def rule(self, tapes: int) -> Rule:
        state = self.take(_STATE, "the state of a rule")
        self.sign(",")
        reads = self.symbols(tapes, "what is read")
        self.sign("->")
        target = self.take(_STATE, "the next state")
        self.sign(",")
        writes = self.take(_SYMBOLS, "what is written")
        self.sign(",")
        moves = self.take(_SYMBOLS, "the moves")
        self.sign(";")
        return Rule(state, reads, target, writes, moves)
