"""Text to machine and back, one module a format, in the explicit table `FORMATS`.

A format has `looks_like(text)`, `parse(text, source, name)` and `dump(machine)`. Imports
`machine` and `errors` only. `machine.notes` are what a text says that a machine cannot; what a
format cannot say of a machine is an error that names it (`limits`). Modules are imported when they
are asked: most runs are of bundled machines, which are native.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from tm2tf.errors import FormatError, choose
from tm2tf.formats import native
from tm2tf.machine.spec import Machine


@dataclass(frozen=True, slots=True)
class Format:
    """One text format for machines.

    Attributes:
        reads, writes: the modules that do so; None: it is written only.
    """

    name: str
    summary: str
    reads: str | None
    writes: str

    def looks_like(self, text: str) -> bool:
        """Return whether a text may be in this format."""
        return self.reads is not None and bool(_module(self.reads).looks_like(text))

    def parse(self, text: str, source: str = "<text>", name: str = "machine") -> Machine:
        """Return the machine of a text.

        Raises:
            FormatError: there is none; with the place.
        """
        if self.reads is None:
            raise FormatError(f"the format {self.name} is written only", source=source)
        if self.reads == "bbchallenge":
            name = text.strip()  # a code is its own name
        machine: Machine = _module(self.reads).parse(text, source, name)
        return machine

    def dump(self, machine: Machine) -> str:
        """Return the text of a machine.

        Raises:
            InputError: the format cannot say something that the machine has.
        """
        text: str = _module(self.writes).dump(machine)
        return text


def _module(name: str) -> Any:
    return import_module(f"tm2tf.formats.{name}")


NATIVE = Format("native", "commented YAML, k tapes, wildcards, examples", "native", "native_writer")

FORMATS = (
    NATIVE,
    Format("bbchallenge", "one-line codes such as 1RB1LB_1LA1RZ", "bbchallenge", "bbchallenge"),
    Format(
        "turingmachine.io",
        "YAML of one tape: blank, start state, table",
        "turingmachine_io",
        "turingmachine_io",
    ),
    Format("morphett", "Morphett's simulator: five words a line", "morphett", "morphett_writer"),
    Format(
        "turingmachinesimulator.com",
        "Ugarte's simulator: init, accept, and rules of two lines",
        "turingmachinesimulator",
        "turingmachinesimulator",
    ),
    Format(
        "doty",
        "Doty's simulator: .tm files of k tapes, in YAML or the older grammar",
        "doty",
        "doty",
    ),
    Format("jflap", "JFLAP 4 to 8: .jff files of 1 to 5 tapes", "jflap", "jflap_writer"),
    Format(
        "automata-lib",
        "Python that makes a DTM or an MNTM; for reading see `automata_lib.from_automaton`",
        None,
        "automata_lib",
    ),
)


def by_name(name: str) -> Format:
    """Return the format called `name`."""
    return choose("format", name, FORMATS)


def detect(text: str, source: str = "<text>") -> Format:
    """Return the format that a text looks like."""
    if native.has_rules(text):
        return NATIVE
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
    return detect(text, source).parse(text, source, name)
