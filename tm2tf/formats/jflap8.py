"""Turing machines as JFLAP 8 writes them: exact symbols of any length, any number of tapes.

It follows all rules that match, and accepts where the state is final and no rule matches. That is
what a machine does here if one rule at most matches, and final states have none; other files are
refused. So are its building blocks: a rule into one applies only if the block's machine accepts
from there, and the whole run of that machine is one step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tm2tf.errors import MachineError
from tm2tf.formats.jflap_blocks import MAX_NAME, clean
from tm2tf.formats.jflap_labels import BLANK
from tm2tf.formats.xml_nodes import Element, XmlSource
from tm2tf.machine.spec import Machine, Reads, Transition

MOST_TAPES = 100
MOVES = ("L", "R", "S")


def is_one(root: Element) -> bool:
    """Return whether a file has the shape of JFLAP 8, whatever it holds."""
    return root.tag == "structure" and "type" in root.attributes


def machine(source: XmlSource, root: Element, name: str) -> Machine:
    """Return the machine of a file.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it, and for what
            cannot be run here exactly as in JFLAP 8.
    """
    structures = [root, *(each for each in root.below() if each.tag == "structure")]
    for structure in structures:
        kind = structure.attributes.get("type", "")
        if kind == "block_tm":
            raise source.error(
                "building blocks of JFLAP 8 are not read: there a rule into a block is taken only "
                "if the block's machine accepts, and its whole run is one step",
                structure,
                hint="building blocks of JFLAP 7 are read",
            )
        if kind == "turing":
            return _Reader(source, structure, name).machine()
    kinds = ", ".join(dict.fromkeys(each.attributes.get("type", "") for each in structures[:9]))
    raise source.error(
        f"JFLAP 8 has no Turing machine in this file, but: {kinds}",
        root,
        hint='a Turing machine is a <structure type="turing">',
    )


@dataclass(slots=True)
class _Reader:
    source: XmlSource
    root: Element
    name: str
    states: dict[int, str] = field(default_factory=dict)
    written: dict[int, str] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    taken: set[str] = field(default_factory=set)

    def machine(self) -> Machine:
        tapes = self.tapes(self.root)
        if not 1 <= tapes <= MOST_TAPES:
            raise self.source.error(f"expected 1 to {MOST_TAPES} tapes, got {tapes}", self.root)
        for element in self.inside("state_set", "state"):
            self.add(element)
        starts = self.inside("start_state", "state")
        if not starts:
            raise self.source.error(
                "the machine has no start state",
                self.root,
                hint='<structure type="start_state"> holds a <state>',
            )
        final = tuple(
            dict.fromkeys(self.known(each) for each in self.inside("final_states", "state"))
        )
        blank = next(
            (self.symbol(element) for element in self.inside("blank_symbol", "value")), BLANK
        )
        found = {blank: None}
        for kind in ("input_alph", "tape_alph"):
            found |= dict.fromkeys(self.symbol(each) for each in self.inside(kind, "symbol"))
        rules = self.rules(tapes, final)
        for (_, reads), to in rules.items():
            found |= dict.fromkeys((*reads, *to.writes))
        renamed = f"states renamed, as their names were taken: {', '.join(self.renamed[:3])}"
        try:
            return Machine(
                name=self.name,
                symbols=tuple(found),
                blank=blank,
                states=tuple(self.states.values()),
                start=self.known(starts[0]),
                transitions=rules,
                tapes=tapes,
                accept=final,
                undefined="reject",
                notes=(renamed,) if self.renamed else (),
            )
        except MachineError as error:
            hint = f"the rule: {error.rule}"
            raise self.source.error(error.message, self.root, hint=hint) from None

    def inside(self, kind: str, tag: str) -> list[Element]:
        """Return the elements of one tag in the part of the machine that has one type."""
        parts = [each for each in self.root.all("structure") if each.attributes.get("type") == kind]
        return [element for part in parts for element in part.all(tag)]

    def tapes(self, element: Element) -> int:
        """Return how many tapes a machine or a rule says it has."""
        given = element.last("tapes")
        if given is None:
            raise self.source.error(f"a <{element.tag}> has no <tapes>", element)
        return self.source.integer(given.text, "<tapes>", given)

    def add(self, element: Element) -> None:
        """Add a state, under a name that no other state has."""
        number, written = self.identity(element)
        if number in self.states:
            raise self.source.error(f"two states have the id {number}", element)
        name = clean(written) or f"q{number}"
        if len(name) > MAX_NAME:
            raise self.source.error(f"the name of a state is longer than {MAX_NAME}", element)
        if name in self.taken:
            name = f"{name}_{number}"
            while name in self.taken:
                name += "_"
            self.renamed.append(name)
        self.taken.add(name)
        self.states[number] = name
        self.written[number] = written

    def identity(self, element: Element) -> tuple[int, str]:
        """Return the id and the name of a state."""
        number = element.last("id")
        if number is None:
            raise self.source.error(f"a <{element.tag}> has no <id>", element)
        name = element.last("name")
        return self.source.integer(number.text, "<id>", number), "" if name is None else name.text

    def known(self, element: Element) -> str:
        """Return the name here of a state that an element refers to by id and name."""
        number, written = self.identity(element)
        if number not in self.states or self.written[number] != written:
            raise self.source.error(
                f"no state has the id {number} and the name {written!r}",
                element,
                hint='the states are those of <structure type="state_set">',
            )
        return self.states[number]

    def symbol(self, element: Element) -> str:
        """Return the symbol that an element holds."""
        if not element.text or not element.text.isprintable():
            raise self.source.error(
                f"<{element.tag}> holds no symbol, but {element.text!r}",
                element,
                hint=f"the blank is written {BLANK}",
            )
        return element.text

    def rules(self, tapes: int, final: tuple[str, ...]) -> dict[tuple[str, Reads], Transition]:
        """Return the rules, of which one at most matches."""
        rules: dict[tuple[str, Reads], Transition] = {}
        for element in self.inside("transition_set", "transition"):
            state, to = (self.known(self.part(element, tag)) for tag in ("from", "to"))
            if self.tapes(element) != tapes:
                raise self.source.error(
                    f"a rule for {self.tapes(element)} tapes in a machine of {tapes}", element
                )
            reads = tuple(self.symbol(self.part(element, f"read{i}")) for i in range(tapes))
            writes = tuple(self.symbol(self.part(element, f"write{i}")) for i in range(tapes))
            moves = tuple(self.move(self.part(element, f"move{i}")) for i in range(tapes))
            rule = Transition(to, writes, moves)
            if state in final:
                raise self.source.error(
                    f"the final state {state!r} has a rule: JFLAP 8 goes on there, and accepts "
                    "only where no rule matches",
                    element,
                    hint="let the rules of that state end in a final state without rules",
                )
            if rules.setdefault((state, reads), rule) != rule:
                raise self.source.error(
                    f"state {state!r} has two rules for {' '.join(reads)!r}: JFLAP 8 follows "
                    "both, and the machines here are deterministic",
                    element,
                )
        return rules

    def part(self, element: Element, tag: str) -> Element:
        """Return the element in a rule that has a tag."""
        found = element.last(tag)
        if found is None:
            raise self.source.error(f"a <{element.tag}> has no <{tag}>", element)
        return found

    def move(self, element: Element) -> str:
        """Return a move; JFLAP 8 looks at its first letter."""
        if element.text[:1] not in MOVES:
            raise self.source.error(f"a move is L, R or S, got {element.text!r}", element)
        return element.text[0]
