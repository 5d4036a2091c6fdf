"""Every error that tm2tf raises on purpose. Imports nothing of the package.

The tree::

    Tm2tfError
    ├── InputError            what the user gave cannot be used (exit code 2)
    │   ├── NotFoundError     no such file, bundled machine, example, layer, ...
    │   ├── FormatError       a text does not parse; carries line, column, excerpt
    │   ├── MachineError      a machine breaks a rule of `machine.spec`
    │   ├── ConfigurationError  a start configuration does not fit its machine
    │   ├── BuilderError      a program for the structured assembler is ill-formed
    │   ├── ProgramError      a transformer program breaks a rule of `program.checks`
    │   ├── ConstructionError  a construction cannot take a machine, or lacks an option
    │   ├── ExtraError        something needs a package that an extra of tm2tf installs
    │   ├── TargetError       a target cannot express what a program asks for
    │   ├── BoundError        a run would leave the range in which the weights are exact
    │   └── ArtifactError     an artifact folder is damaged, edited or foreign
    └── InternalError         tm2tf contradicts itself: please report it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Protocol, TypeVar


class Tm2tfError(Exception):
    """Base of all errors raised on purpose."""


class InputError(Tm2tfError):
    """What the user gave cannot be used; the message says what to do next."""


class NotFoundError(InputError):
    """Something named does not exist."""


class FormatError(InputError):
    """A text does not parse as what it should be.

    `line` and `column` count from 1. `str()` shows the place with a caret under it.
    """

    def __init__(
        self,
        message: str,
        *,
        source: str = "<text>",
        text: str | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        self.message = message
        self.source = source
        self.line = line
        self.column = column
        self.hint = hint
        super().__init__(_with_excerpt(message, source, text, line, column, hint))


class MachineError(InputError):
    """A machine breaks a rule.

    `rule` names the rule; `path` says where, as keys from the top of the machine
    (`("rules", "A", "1")`), so that a file format can turn it into line and column.
    """

    def __init__(self, message: str, *, rule: str, path: tuple[str, ...] = ()) -> None:
        self.message = message
        self.rule = rule
        self.path = path
        place = f" (at {' > '.join(path)})" if path else ""
        super().__init__(f"{message}{place} [rule: {rule}]")


class ConfigurationError(InputError):
    """A start configuration (contents, origin, head) does not fit its machine."""


class BuilderError(InputError):
    """A program for the structured assembler cannot become a machine."""


class ProgramError(InputError):
    """A transformer program breaks a rule; `rule` names it."""

    def __init__(self, message: str, *, rule: str) -> None:
        self.rule = rule
        super().__init__(f"{message} [rule: {rule}]")


class ConstructionError(InputError):
    """A construction cannot take a machine, or has no such option."""


class ExtraError(InputError):
    """Something needs a package that is not installed; `extra` names what installs it."""

    def __init__(self, what: str, package: str, extra: str) -> None:
        self.extra = extra
        super().__init__(
            f"{what} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'tm2tf[{extra}]'"
        )


class TargetError(InputError):
    """A target cannot express an operation that a program uses."""


class BoundError(InputError):
    """A run would leave the range in which the weights are exact.

    `bound` names it: "position" (the context is too long), "key" (an address is too far out) or
    "tape" (a head left the tape that the weights have).
    """

    def __init__(self, message: str, *, bound: str) -> None:
        self.bound = bound
        super().__init__(message)


class ArtifactError(InputError):
    """An artifact folder cannot be trusted or read."""


class InternalError(Tm2tfError):
    """tm2tf contradicts itself."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `"; did you mean 'x'?"` for the nearest known word, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


class Named(Protocol):
    """Anything with a name."""

    @property
    def name(self) -> str:
        """What it is called."""


N = TypeVar("N", bound=Named)


def choose(kind: str, name: str, table: Iterable[N]) -> N:
    """Return the entry of a table that is called `name`.

    Raises:
        NotFoundError: there is none; the message lists what there is.
    """
    known = {entry.name: entry for entry in table}
    if name not in known:
        raise NotFoundError(
            f"unknown {kind} {name!r}; known: {', '.join(known)}" + did_you_mean(name, known)
        )
    return known[name]


def _with_excerpt(
    message: str,
    source: str,
    text: str | None,
    line: int | None,
    column: int | None,
    hint: str | None,
) -> str:
    place = source
    if line is not None:
        place += f":{line}" + (f":{column}" if column is not None else "")
    parts = [f"{place}: {message}"]
    if text is not None and line is not None:
        lines = text.splitlines()
        if 1 <= line <= len(lines):
            shown, caret = _clip(lines[line - 1], (column or 1) - 1)
            gutter = f"{line:>5} | "
            parts.append(gutter + shown)
            if column is not None:
                parts.append(" " * (len(gutter) - 2) + "| " + " " * caret + "^")
    if hint:
        parts.append(f"hint: {hint}")
    return "\n".join(parts)


def _clip(line: str, at: int, width: int = 100) -> tuple[str, int]:
    """Cut a long line to `width` characters around `at`; return it and the new place."""
    line = line.replace("\t", " ")
    if len(line) <= width:
        return line, at
    begin = max(0, min(at - width // 2, len(line) - width))
    return line[begin : begin + width], at - begin
