"""Text to machine and back, one module a format, in the explicit table `FORMATS`.

A format has `looks_like(text)`, `parse(text, source, name)` and `dump(machine)`. Imports
`machine` and `errors` only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import FormatError, choose
from tm2tf.formats import bbchallenge, native, native_writer, turingmachine_io
from tm2tf.machine.spec import Machine


@dataclass(frozen=True, slots=True)
class Format:
    """One text format for machines."""

    name: str
    summary: str
    looks_like: Callable[[str], bool]
    parse: Callable[..., Machine]
    dump: Callable[[Machine], str]


FORMATS = (
    Format(
        "native",
        "commented YAML, k tapes, wildcards, examples",
        native.looks_like,
        native.parse,
        native_writer.dump,
    ),
    Format(
        "bbchallenge",
        "one-line codes such as 1RB1LB_1LA1RZ",
        bbchallenge.looks_like,
        bbchallenge.parse,
        bbchallenge.dump,
    ),
    Format(
        "turingmachine.io",
        "YAML of one tape: blank, start state, table",
        turingmachine_io.looks_like,
        turingmachine_io.parse,
        turingmachine_io.dump,
    ),
)


def by_name(name: str) -> Format:
    """Return the format called `name`."""
    return choose("format", name, FORMATS)


def detect(text: str, source: str = "<text>") -> Format:
    """Return the format that a text looks like."""
    for known in reversed(FORMATS):
        if known.looks_like(text):
            return known
    raise FormatError(
        "this is no machine in a format that tm2tf knows",
        source=source,
        text=text,
        line=1,
        column=1,
        hint="a native machine has `start:` and `rules:`; `tm2tf machines bb4` shows one",
    )


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes, whichever format it is in."""
    found = detect(text, source)
    if found.name == "bbchallenge":
        return found.parse(text, source)  # which is its own name
    return found.parse(text, source, name)
