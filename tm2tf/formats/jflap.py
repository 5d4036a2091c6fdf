"""JFLAP: Turing machines of one to five tapes in XML, read as versions 4 to 7 and 8 run them.

Read are files of type `turing` (and `turingbb`), with `~`, `!`, variables and building blocks, and
the Turing machines that JFLAP 8 writes (`jflap8`). A run accepts where it enters a final state,
and rejects where no rule matches; that is how JFLAP runs unless its preferences are changed.
Source: https://www.jflap.org; the semantics are those of github.com/citiususc/jflap-lib (JFLAP 7:
TMSimulator, TMTransition, TMTransducer, AutomatonTransducer) and github.com/lawrencelin/JFLAP_v8.0.

Example::

    <structure><type>turing</type><automaton>
    <state id="0" name="go"><initial/></state>
    <state id="1" name="end"><final/></state>
    <transition><from>0</from><to>0</to><read>1</read><write>1</write><move>R</move></transition>
    <transition><from>0</from><to>1</to><read/><write>1</write><move>S</move></transition>
    </automaton></structure>
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tm2tf.errors import MachineError
from tm2tf.formats import jflap8
from tm2tf.formats.jflap_blocks import Level, Reader, Rule
from tm2tf.formats.jflap_labels import BLANK
from tm2tf.formats.jflap_rules import Speller
from tm2tf.formats.jflap_writer import dump
from tm2tf.formats.xml_nodes import Element, XmlSource
from tm2tf.machine.spec import Machine

__all__ = ["dump", "looks_like", "parse"]

TYPES = ("turing", "turingbb")
MOST_TAPES = 5
SHOWN = 3
_STRUCTURE = re.compile(r"<structure[\s/>]")


def looks_like(text: str) -> bool:
    """Return whether a text is XML with the element that all files of JFLAP have."""
    begins = text[:100].lstrip("\ufeff \t\r\n").startswith("<")
    return begins and _STRUCTURE.search(text) is not None


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it, and for what
            cannot be run here exactly as in JFLAP.
    """
    xml = XmlSource(text, source)
    root = xml.root()
    kind = root.first_below("type")
    if root.tag != "structure" or (kind is None and not jflap8.is_one(root)):
        raise xml.error(
            "this is no file of JFLAP",
            root,
            hint="one begins with <structure>, and holds <type>turing</type>",
        )
    if kind is None:
        return jflap8.machine(xml, root, name)
    if kind.text not in TYPES:
        raise xml.error(
            f"JFLAP has no Turing machine in this file, but the type {kind.text!r}",
            kind,
            hint="a Turing machine has <type>turing</type>, without spaces",
        )
    return _machine(xml, root, name)


def _machine(xml: XmlSource, root: Element, name: str) -> Machine:
    reader = Reader(xml, root, _tapes(xml, root))
    start = reader.flatten()
    speller = Speller(reader)
    rules = speller.spell_out(start)
    order = {path: index for index, path in enumerate(reader.places)}
    states = sorted(speller.names, key=lambda now: order[now[0]])
    try:
        return Machine(
            name=name,
            symbols=speller.alphabet,
            blank=BLANK,
            states=tuple(speller.names[now] for now in states),
            start=speller.names[start, ()],
            transitions=rules,
            tapes=reader.tapes,
            accept=tuple(speller.names[now] for now in states if reader.places[now[0]].accepts),
            undefined="reject",
            notes=tuple(_notes(reader, speller)),
        )
    except MachineError as error:
        raise xml.error(error.message, root, hint=f"the rule: {error.rule}") from None


def _tapes(xml: XmlSource, root: Element) -> int:
    given = root.last("tapes")
    if given is None or not given.text:
        return 1
    tapes = xml.integer(given.text, "<tapes>", given)
    if not 1 <= tapes <= MOST_TAPES:
        raise xml.error(f"JFLAP has 1 to {MOST_TAPES} tapes, got {tapes}", given)
    return tapes


def _notes(reader: Reader, speller: Speller) -> Iterator[str]:
    """Yield what the file says that the machine does not."""
    top = reader.levels[()]
    rules = list(speller.all_rules())
    reads = [read for rule in rules for read in rule.reads]
    if reader.renamed:
        yield f"states renamed, as their names were taken: {_some(reader.renamed)}"
    yield from _about_initial(reader.levels.values())
    final = [number for number, state in top.states.items() if state.final]
    dropped = [rule for number in final for rule in top.rules.get(number, ())]
    if dropped:
        yield f"rules out of final states are never taken, and left out: {_places(dropped)}"
    known = speller.used | set(map(id, dropped))
    hidden = [rule for rule in rules if id(rule) not in known]
    if hidden:
        yield (
            "the first rule that matches is taken, so these rules never are, and are left out: "
            + _places(hidden)
        )
    if any(read.others for read in reads):
        yield (
            "in JFLAP, `~` and `!` also read symbols that the file does not name; "
            "an input has symbols of the file only"
        )
    if any(read.variable for read in reads):
        yield (
            "variables are spelt out: in a state called put{w=c}, the variable w holds c; "
            "a rule with a variable is taken for the symbols that it lists"
        )
    if any(read.literal for read in reads):
        literal = [rule for rule in rules if any(read.literal for read in rule.reads)]
        yield (
            "with several tapes, `!` and `}` have no meaning in JFLAP, which reads the first "
            f"character of the label as it stands: {_places(literal)}"
        )
    if any(place.enters is not None for place in reader.places.values()):
        yield "building blocks are flattened: the state r in the block seek is called seek.r"
    if any(element.tag in ("label", "note") for element in reader.root.below()):
        yield "labels of states and notes in the picture are left out"


def _about_initial(levels: Iterable[Level]) -> Iterator[str]:
    for level in {id(level): level for level in levels}.values():
        if len(level.initials) > 1:
            yield (
                f"{len(level.initials)} states are initial; JFLAP begins in the last one that it "
                f"reads: {level.initials[-1]}"
            )


def _places(rules: Sequence[Rule]) -> str:
    return _some([f"line {line}" for line in sorted({rule.element.line for rule in rules})])


def _some(words: Sequence[str]) -> str:
    shown = ", ".join(words[:SHOWN])
    return shown + (f" and {len(words) - SHOWN} more" if len(words) > SHOWN else "")
