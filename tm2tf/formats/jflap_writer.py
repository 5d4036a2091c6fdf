"""Machine to the XML of JFLAP 7: states in rows, and one transition a rule."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, sqrt
from xml.sax.saxutils import escape, quoteattr

from tm2tf.errors import InputError
from tm2tf.formats.jflap_blocks import MAX_NAME, MAX_STATES
from tm2tf.formats.jflap_labels import BLANK
from tm2tf.formats.limits import refuse
from tm2tf.formats.sizes import MAX_CHARACTERS, MORE_CHARACTERS
from tm2tf.machine.spec import Machine, Reads, Transition

NAME = "JFLAP"
GAP = 120


def dump(machine: Machine) -> str:
    """Return the text of a machine, which `parse` gives back; the blank becomes U+25A1.

    Raises:
        InputError: it has what JFLAP cannot say; the message names it.
    """
    running = len(machine.states) - len(machine.accept) - len(machine.reject) - len(machine.halt)
    total = len(machine.transitions) == running * len(machine.symbols) ** machine.tapes
    undefined = ("reject", "halt", "accept") if total else ("reject",)
    refuse(machine, NAME, most_tapes=5, halts=False, undefined=undefined)
    _refuse_symbols(machine)
    _refuse_names(machine)
    text = "\n".join(_lines(machine)) + "\n"
    if len(text) > MAX_CHARACTERS:
        raise InputError(
            f"{machine.name!r} would fill {len(text):,} characters in the format {NAME}; "
            f"the limit is {MAX_CHARACTERS:,} {MORE_CHARACTERS}"
        )
    return text


def _refuse_symbols(machine: Machine) -> None:
    """Raise where a symbol has a meaning of its own in JFLAP, or cannot stand there."""
    special = "~!}" if machine.tapes == 1 else "~"
    for symbol in machine.symbols:
        wrong = ""
        if symbol == machine.blank:
            continue
        if len(symbol) > 1 or ord(symbol) > 0xFFFF:
            wrong = "its symbols are one character of 16 bits"
        elif symbol in special:
            wrong = "it has a meaning of its own there"
        elif symbol == BLANK:
            wrong = "it is the blank there"
        if wrong:
            raise InputError(
                f"the format {NAME} cannot say the symbol {symbol!r} of {machine.name!r}: {wrong}"
            )


def _refuse_names(machine: Machine) -> None:
    if len(machine.states) > MAX_STATES:
        raise InputError(f"the format {NAME} has {MAX_STATES:,} states at most")
    for state in machine.states:
        if len(state) > MAX_NAME:
            raise InputError(
                f"the format {NAME} has names of states of {MAX_NAME} characters at most, "
                f"got {len(state)}: {state[:20]!r}..."
            )


def _lines(machine: Machine) -> Iterator[str]:
    yield '<?xml version="1.0" encoding="UTF-8" standalone="no"?>'
    yield "<structure>"
    yield "  <type>turing</type>"
    if machine.tapes > 1:
        yield f"  <tapes>{machine.tapes}</tapes>"
    yield "  <automaton>"
    columns = ceil(sqrt(len(machine.states)))
    for number, state in enumerate(machine.states):
        row, column = divmod(number, columns)
        marks = "<initial/>" if state == machine.start else ""
        marks += "<final/>" if state in machine.accept else ""
        yield (
            f'    <state id="{number}" name={quoteattr(state)}>'
            f"<x>{(column + 1) * GAP}.0</x><y>{(row + 1) * GAP}.0</y>{marks}</state>"
        )
    numbers = {state: number for number, state in enumerate(machine.states)}
    ordered = sorted(machine.transitions.items(), key=lambda rule: numbers[rule[0][0]])
    for (state, reads), to in ordered:
        yield f"    <transition><from>{numbers[state]}</from><to>{numbers[to.state]}</to>"
        yield from _labels(machine, reads, to)
        yield "    </transition>"
    yield "  </automaton>"
    yield "</structure>"


def _labels(machine: Machine, reads: Reads, to: Transition) -> Iterator[str]:
    for tape, (read, written, move) in enumerate(zip(reads, to.writes, to.moves, strict=True), 1):
        at = f' tape="{tape}"' if machine.tapes > 1 else ""
        yield (
            f"      {_symbol(machine, 'read', at, read)}"
            f"{_symbol(machine, 'write', at, written)}<move{at}>{move}</move>"
        )


def _symbol(machine: Machine, tag: str, at: str, symbol: str) -> str:
    if symbol == machine.blank:
        return f"<{tag}{at}/>"
    return f"<{tag}{at}>{escape(symbol)}</{tag}>"
