"""Reading texts line by line as the simulators on the web do: their white space, their characters.

Those tools are JavaScript. What it takes for white space is not quite what Python does, and what
it counts as one character is one unit of UTF-16.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from tm2tf.errors import FormatError
from tm2tf.formats.sizes import MAX_CHARACTERS, MORE_CHARACTERS

_SPACE = r"\t\n\v\f\r \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\ufeff"
SPACES = re.compile(f"[{_SPACE}]+")
_WORD = re.compile(f"[^{_SPACE}]+")
_VISIBLE = re.compile(f"[^{_SPACE}]")
_BREAKS = re.compile(r"[\v\f\r\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line for Python, and not for those tools."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A text as a list of lines, and the name it goes by in messages."""

    lines: list[str]
    name: str

    def numbered(self) -> Iterator[tuple[int, str]]:
        """Yield each line with its number, from 1."""
        yield from enumerate(self.lines, start=1)

    def error(
        self, message: str, line: int | None = 1, column: int = 1, hint: str | None = None
    ) -> FormatError:
        """Return an error that points at a place."""
        text = "\n".join(_BREAKS.sub(" ", written) for written in self.lines)
        return FormatError(
            message, source=self.name, text=text, line=line, column=column, hint=hint
        )

    def symbol(self, word: str, what: str, line: int | None, column: int) -> str:
        """Return a word that is one character.

        Raises:
            FormatError: it is none, or more, or one that cannot be shown.
        """
        if len(word) != 1:
            hint = "an empty cell is `_`" if not word else None
            raise self.error(f"{what} is one character, got {word!r}", line, column, hint)
        if not single(word):
            raise self.error(
                f"{what} cannot be {word!r} (U+{ord(word):04X})",
                line,
                column,
                "a symbol is a character that is visible and, in UTF-16, one unit: no emoji",
            )
        return word

    def state(self, word: str, line: int, column: int) -> str:
        """Return a word that can be the name of a state."""
        if not word.isprintable():
            raise self.error(f"{word!r} cannot be the name of a state", line, column)
        return word


def checked(text: str, source: str, limit: int = MAX_CHARACTERS) -> str:
    """Return a text, if it is not too long."""
    if len(text) > limit:
        raise FormatError(
            f"the text has {len(text):,} characters; the limit is {limit:,}",
            source=source,
            hint=MORE_CHARACTERS,
        )
    return text


def single(symbol: str) -> bool:
    """Return whether a symbol is one character there, and neither invisible nor white space."""
    return len(symbol) == 1 and ord(symbol) <= 0xFFFF and symbol.isprintable() and symbol != " "


def words(line: str) -> tuple[list[str], list[int]]:
    """Return the words of a line, and the column of each, from 1."""
    found = list(_WORD.finditer(line))
    return [match.group() for match in found], [match.start() + 1 for match in found]


def squeeze(line: str) -> str:
    """Return a line without any white space."""
    return SPACES.sub("", line)


def column(line: str, index: int) -> int:
    """Return the column, from 1, of what is the character `index` once a line is squeezed."""
    place = next(islice(_VISIBLE.finditer(line), index, None), None)
    return (place.start() if place else len(line)) + 1
