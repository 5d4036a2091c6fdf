"""The labels of JFLAP 4 to 7: what a rule reads, writes, and how it moves.

With one tape, a rule may read `~` (any symbol), `!x` (any but x) or `a,b}w` (a or b, which the
variable w then holds, and which writing w writes). With several tapes `~` alone has a meaning.
Written, `~` leaves the symbol. Nothing at all, and U+25A1, are the blank.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tm2tf.errors import FormatError

BLANK = "\u25a1"
ANY = KEEP = "~"
MOVES = ("L", "R", "S")
Fail = Callable[[str, str | None], FormatError]
"""What makes an error of a message and a hint, with the place of the label."""


@dataclass(frozen=True, slots=True)
class Read:
    """What a rule reads on one tape: these symbols, or all others; and where it is kept.

    `literal` says that the label has a meaning with one tape that it lacks with several.
    """

    symbols: tuple[str, ...]
    others: bool = False
    variable: str = ""
    literal: bool = False

    def choices(self, alphabet: Sequence[str]) -> Sequence[str]:
        """Return the symbols of an alphabet that are read."""
        if not self.others:
            return self.symbols
        return [symbol for symbol in alphabet if symbol not in self.symbols]


def read(label: str, tapes: int, fail: Fail) -> Read:
    """Return what a label reads; `fail` makes the error where it is none."""
    written, label = len(label), label or BLANK
    if label == "!":
        label += BLANK
    if len(label) > 1 and not label.startswith("!") and "}" not in label:
        raise fail(
            f"what is read is one character, `!x` or `a,b}}w`, got {label!r}",
            "spaces and line breaks count; nothing at all is the blank",
        )
    if "!" in label and "}" in label:
        raise fail(f"`!` and `}}` in one label: {label!r}", "JFLAP refuses it as well")
    if tapes > 1:
        first = _symbol(label[0], fail)
        return Read((), True) if first == ANY else Read((first,), literal=written > 1)
    if label == ANY:
        return Read((), True)
    if label.startswith("!"):
        return Read((_symbol(label[1], fail),), True)
    if "}" in label:
        return _assignment(label, fail)
    return Read((_symbol(label, fail),))


def _assignment(label: str, fail: Fail) -> Read:
    """Return what `a,b}w` reads."""
    listed, _, variable = label.partition("}")
    symbols = listed.rstrip(",").split(",")
    if not variable or any(len(symbol) != 1 for symbol in symbols):
        raise fail(
            f"expected symbols of one character, `}}` and a variable, as in `a,b}}w`; "
            f"got {label!r}",
            "with one tape the symbol `}` cannot be read",
        )
    kept = tuple(dict.fromkeys(_symbol(symbol, fail) for symbol in symbols))
    return Read(kept, variable=_symbol(variable[0], fail))


def write(label: str, fail: Fail) -> str:
    """Return the character that a label writes; `KEEP` leaves what is there."""
    label = label or BLANK
    if len(label) != 1:
        raise fail(
            f"what is written is one character, got {label!r}",
            "spaces and line breaks count; nothing at all is the blank",
        )
    return _symbol(label, fail)


def move(label: str, fail: Fail) -> str:
    """Return a move."""
    if label not in MOVES:
        raise fail(f"a move is L, R or S, got {label!r}", None)
    return label


def _symbol(symbol: str, fail: Fail) -> str:
    """Return a symbol that JFLAP can have: one character of 16 bits, and printable for us."""
    if ord(symbol) > 0xFFFF:
        raise fail(f"the character {symbol!r} is two for JFLAP, which has symbols of one", None)
    if not symbol.isprintable():
        raise fail(f"{symbol!r} cannot be a symbol here: it is not printable", None)
    return symbol
