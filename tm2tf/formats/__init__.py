"""Text to machine and back, one module a format, in the explicit table `FORMATS`.

A format has `looks_like(text)`, `parse(text, source, name)` and `dump(machine)`. Imports
`machine` and `errors` only. `machine.notes` are what a text says that a machine cannot; what a
format cannot say of a machine is an error that names it (`limits`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import FormatError, choose
from tm2tf.formats import (
    automata_lib,
    bbchallenge,
    doty,
    jflap,
    morphett,
    morphett_writer,
    native,
    native_writer,
    turingmachine_io,
    turingmachinesimulator,
)
from tm2tf.machine.spec import Machine


@dataclass(frozen=True, slots=True)
class Format:
    """One text format for machines. `parse` is None for one that is written only."""

    name: str
    summary: str
    looks_like: Callable[[str], bool]
    parse: Callable[..., Machine] | None
    dump: Callable[[Machine], str]


def _never(text: str) -> bool:
    del text
    return False


BBCHALLENGE = Format(
    "bbchallenge",
    "one-line codes such as 1RB1LB_1LA1RZ",
    bbchallenge.looks_like,
    bbchallenge.parse,
    bbchallenge.dump,
)

FORMATS = (
    Format(
        "native",
        "commented YAML, k tapes, wildcards, examples",
        native.looks_like,
        native.parse,
        native_writer.dump,
    ),
    BBCHALLENGE,
    Format(
        "turingmachine.io",
        "YAML of one tape: blank, start state, table",
        turingmachine_io.looks_like,
        turingmachine_io.parse,
        turingmachine_io.dump,
    ),
    Format(
        "morphett",
        "Morphett's simulator: five words a line",
        morphett.looks_like,
        morphett.parse,
        morphett_writer.dump,
    ),
    Format(
        "turingmachinesimulator.com",
        "Ugarte's simulator: init, accept, and rules of two lines",
        turingmachinesimulator.looks_like,
        turingmachinesimulator.parse,
        turingmachinesimulator.dump,
    ),
    Format(
        "doty",
        "Doty's simulator: .tm files of k tapes, in YAML or the older grammar",
        doty.looks_like,
        doty.parse,
        doty.dump,
    ),
    Format(
        "jflap",
        "JFLAP 4 to 8: .jff files of 1 to 5 tapes",
        jflap.looks_like,
        jflap.parse,
        jflap.dump,
    ),
    Format(
        "automata-lib",
        "Python that makes a DTM or an MNTM; written, not read: see `from_automaton`",
        _never,
        None,
        automata_lib.dump,
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
    if found is BBCHALLENGE:
        return bbchallenge.parse(text, source)  # which is its own name
    assert found.parse is not None  # nothing looks like a format that is written only
    return found.parse(text, source, name)
