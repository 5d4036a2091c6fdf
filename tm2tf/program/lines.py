"""Lines of words and symbols: what `reader` reads a program's text from.

A word stands bare or as a JSON string; the symbols are `=`, `->`, and `:` at the end of a word.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeVar

from tm2tf.errors import FormatError, did_you_mean

T = TypeVar("T")

_LEXEME = re.compile(
    r"""(?P<space>\s+|\#.*) | (?P<string>"(?:[^"\\]|\\.)*") | (?P<symbol>->|=|:(?![^\s"#=]))
    | (?P<word>(?:(?!->|:(?![^\s"#=]))[^\s"#=])+)""",
    re.VERBOSE,
)
_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")  # Python refuses to read much longer ones


class Lexeme(NamedTuple):
    """A piece of a line: `kind` is "word", "string", "symbol" or "end" (`text` says of what)."""

    kind: str
    text: str
    column: int

    def __str__(self) -> str:
        return self.text if self.kind == "end" else repr(self.text)


@dataclass
class Line:
    """A line, read from left to right: `at` is the place of the lexeme to be read next."""

    fail: Callable[[str, int, int], NoReturn]
    number: int
    lexemes: list[Lexeme]
    at: int = 0

    @property
    def next(self) -> Lexeme:
        """The lexeme to be read next."""
        return self.lexemes[self.at]

    @property
    def symbols(self) -> list[str]:
        """All symbols of the line."""
        return [lexeme.text for lexeme in self.lexemes if lexeme.kind == "symbol"]

    def begins(self, word: str) -> bool:
        """Whether this is the heading that begins with `word`."""
        return self.sees(word) and not self.symbols

    def sees(self, *texts: str) -> bool:
        """Whether these bare words and symbols come next."""
        ahead = self.lexemes[self.at : self.at + len(texts)]
        return [x.text if x.kind in ("word", "symbol") else None for x in ahead] == list(texts)

    def wrong(self, expected: str, more: str = "") -> NoReturn:
        """Raise: something else was expected next."""
        self.fail(f"expected {expected}, got {self.next}{more}", self.number, self.next.column)

    def skip(self, *texts: str) -> None:
        """Read these bare words and symbols."""
        for text in texts:
            if not self.sees(text):
                self.wrong(repr(text))
            self.at += 1

    def finish(self, expected: str = "the end of the line") -> None:
        """Raise unless the line is read to its end."""
        if self.next.kind != "end":
            self.wrong(expected)

    def name(self, what: str) -> str:
        """Read a word or string."""
        if self.next.kind not in ("word", "string"):
            self.wrong(what)
        self.at += 1
        return self.lexemes[self.at - 1].text

    def names(self, what: str, stop: str | None = None) -> tuple[str, ...]:
        """Read words and strings to the symbol `stop`, which is read too, or to the end."""
        found = []
        while not (self.next.kind == "end" if stop is None else self.sees(stop)):
            found.append(self.name(what if stop is None else f"{what} or {stop!r}"))
        if stop is not None:
            self.skip(stop)
        return tuple(found)

    def integer(self, what: str) -> int:
        """Read a whole number."""
        if self.next.kind != "word" or not _INTEGER.fullmatch(self.next.text):
            self.wrong(what)
        return int(self.name(what))

    def one_of(self, table: Mapping[str, T], what: str) -> T:
        """Read a key of a table; return what it stands for."""
        if self.next.text not in table or self.next.kind not in ("word", "string"):
            known = f" ({', '.join(table)})" if len(table) < 5 else ""
            self.wrong(what + known, did_you_mean(self.next.text, table))
        return table[self.name(what)]


class Lines:
    """The lines of a text that hold anything, and a last one that stands for its end."""

    def __init__(self, text: str, source: str) -> None:
        self.text, self.source = text, source
        self.lines = list(self._read())
        self.at = 0

    def _fail(self, message: str, line: int, column: int) -> NoReturn:
        raise FormatError(message, source=self.source, text=self.text, line=line, column=column)

    def _read(self) -> Iterator[Line]:
        number = 0
        for number, text in enumerate(self.text.splitlines(), 1):
            lexemes, at = [], 0
            while at < len(text):
                match = _LEXEME.match(text, at)
                if match is None:
                    self._fail("this string has no end: expected another '\"'", number, at + 1)
                kind, word = str(match.lastgroup), match[0]
                if kind == "string":
                    word = self._string(word, number, at + 1)
                if kind != "space":
                    lexemes.append(Lexeme(kind, word, at + 1))
                at = match.end()
            if lexemes:
                end = Lexeme("end", "the end of the line", len(text) + 1)
                yield Line(self._fail, number, [*lexemes, end])
        yield Line(self._fail, number + 1, [Lexeme("end", "the end of the text", 1)])

    def _string(self, quoted: str, line: int, column: int) -> str:
        try:
            return str(json.loads(quoted))
        except json.JSONDecodeError as error:
            self._fail(f"expected a JSON string, got {quoted}: {error.msg}", line, column)

    @property
    def first(self) -> Line:
        """The line to be read next."""
        return self.lines[self.at]

    def take(self) -> Line:
        """Return the line to be read next, and go on."""
        line = self.first
        self.at = min(self.at + 1, len(self.lines) - 1)
        return line

    def heading(self, word: str) -> None:
        """Read a line that holds one word."""
        line = self.take()
        line.skip(word)
        line.finish()

    def until(self, end: Callable[[Line], bool]) -> Iterator[Line]:
        """Yield lines up to one that `end` accepts. What reads them refuses the text's end."""
        while not end(self.first):
            line = self.take()
            yield line
            line.finish()
