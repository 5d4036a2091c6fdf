"""States, blocks and rules of JFLAP 4 to 7, and blocks flattened into the states within them.

A block is a state with a machine inside. Entering it costs no step: the next rule is one of the
inner machine's initial state. If none of those matches, the rules out of the block itself are
tried, then those of the block around it, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tm2tf.errors import FormatError
from tm2tf.formats import jflap_labels
from tm2tf.formats.jflap_labels import KEEP, Read
from tm2tf.formats.xml_nodes import Element, XmlSource

MAX_STATES = 100_000
MAX_BLOCK_DEPTH = 20
MAX_NAME = 200
Path = tuple[int, ...]
"""The id of a state, after those of the blocks around it."""


@dataclass(frozen=True, slots=True)
class State:
    """A state as it is written: `inner` is the element of the machine in it."""

    element: Element
    number: int
    name: str
    final: bool
    inner: Element | None


@dataclass(frozen=True, slots=True)
class Rule:
    """A transition; `late` ones, which read `!` on the first tape, come after all others."""

    element: Element = field(compare=False)
    start: int
    to: int
    reads: tuple[Read, ...]
    writes: tuple[str, ...]
    moves: tuple[str, ...]
    late: bool


@dataclass(frozen=True, slots=True)
class Level:
    """One machine: the whole, or that in a block. `rules` are in the order in which they apply."""

    states: dict[int, State]
    rules: dict[int, list[Rule]]
    initial: int | None
    initials: tuple[str, ...]


@dataclass(slots=True)
class Place:
    """A state of the flattened machine; `enters` is the one that a block goes on in."""

    state: State
    name: str
    accepts: bool
    enters: Path | None = None


@dataclass(slots=True)
class Reader:
    """Reads levels, and flattens them into `places`."""

    source: XmlSource
    root: Element
    tapes: int
    places: dict[Path, Place] = field(default_factory=dict)
    levels: dict[Path, Level] = field(default_factory=dict)
    renamed: list[str] = field(default_factory=list)
    named: dict[str, Element] = field(default_factory=dict)
    read: dict[int, Level] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)

    def flatten(self) -> Path:
        """Fill `places` and `levels`; return the path of the initial state."""
        for element in self.root.below():
            self.named.setdefault(element.tag, element)
        top = self.named.get("automaton", self.root)
        level = self.level(top)
        if not level.states:
            raise self.source.error("the machine has no states", top)
        if level.initial is None:
            raise self.source.error(
                "no state is initial", top, hint="one state holds the element <initial/>"
            )
        self.add((), level, "", (top,))
        return (level.initial,)

    def add(self, prefix: Path, level: Level, name: str, around: tuple[Element, ...]) -> None:
        """Add the states of a level, and of the levels in it; `around` are those it is in."""
        self.levels[prefix] = level
        for number, state in level.states.items():
            path = (*prefix, number)
            place = Place(state, self.name(name + state.name, number), state.final and not prefix)
            self.places[path] = place
            if len(self.places) > MAX_STATES:
                raise self.source.error(f"more than {MAX_STATES:,} states", state.element)
            if place.accepts or state.inner is None:
                continue
            if state.inner in around or len(around) > MAX_BLOCK_DEPTH:
                deep = f"is nested deeper than {MAX_BLOCK_DEPTH} blocks"
                what = "holds itself" if state.inner in around else deep
                raise self.source.error(f"the block {state.name!r} {what}", state.element)
            inner = self.level(state.inner)
            if not inner.states:
                continue
            if inner.initial is None:
                raise self.source.error(
                    f"no state in the block {state.name!r} is initial",
                    state.inner,
                    hint="one state in it holds the element <initial/>",
                )
            place.enters = (*path, inner.initial)
            self.add(path, inner, place.name + ".", (*around, state.inner))

    def name(self, name: str, number: int) -> str:
        """Return a name that no other state has."""
        found = name
        if found in self.taken:
            found = f"{name}_{number}"
            while found in self.taken:
                found += "_"
            self.renamed.append(found)
        self.taken.add(found)
        return found

    def rules(self, path: Path) -> Iterator[tuple[Rule, Path]]:
        """Yield the rules of a state and the states they lead to; the first that matches is taken.

        A state that accepts has none.
        """
        while (enters := self.places[path].enters) is not None:
            path = enters
        if self.places[path].accepts:
            return
        for depth in range(len(path) - 1, -1, -1):
            prefix, number = path[:depth], path[depth]
            for rule in self.levels[prefix].rules.get(number, ()):
                yield rule, (*prefix, rule.to)

    def level(self, element: Element) -> Level:
        """Return the machine that an element holds."""
        if id(element) not in self.read:
            self.read[id(element)] = self._level(element)
        return self.read[id(element)]

    def _level(self, element: Element) -> Level:
        elements = [child for child in element.children if child.tag in ("state", "block")]
        states: dict[int, State] = {}
        initials: list[tuple[bool, int]] = []
        for child in elements:
            state = self.state(child)
            if state.number in states:
                raise self.source.error(f"two states have the id {state.number}", child)
            states[state.number] = state
            if child.last("initial") is not None:
                initials.append((child.tag == "state", state.number))
        initials.sort()  # JFLAP reads blocks before states, each by their ids
        found: dict[Rule, None] = {}
        for child in element.all("transition"):
            found.setdefault(self.rule(child, states))
        rules: dict[int, list[Rule]] = {}
        for rule in found:
            rules.setdefault(rule.start, []).append(rule)
        for group in rules.values():
            group.sort(key=lambda rule: rule.late)
        return Level(
            states,
            rules,
            initials[-1][1] if initials else None,
            tuple(states[number].name for _, number in initials),
        )

    def state(self, element: Element) -> State:
        """Return a state, or a block."""
        number = self.number(element.attributes.get("id", ""), "the id of a state", element)
        name = element.attributes.get("name", "")
        inside = element.last("name")
        name = clean(name if inside is None else inside.text) or f"q{number}"
        if len(name) > MAX_NAME:
            raise self.source.error(
                f"the name of a state has {len(name):,} characters; the limit is {MAX_NAME}",
                element,
            )
        tag = element.last("tag")
        if tag is not None and not tag.text:
            raise self.source.error("a block's <tag> is empty", tag)
        inner = None if tag is None else self.named.get(tag.text)
        return State(element, number, name, element.last("final") is not None, inner)

    def number(self, text: str, what: str, element: Element) -> int:
        """Return a whole number."""
        return self.source.integer(text, what, element)

    def rule(self, element: Element, states: dict[int, State]) -> Rule:
        """Return a transition between the states of its level."""
        ends = [self.end(element, tag, states) for tag in ("from", "to")]
        labels = {tag: self.labels(element, tag) for tag in ("read", "write", "move")}
        blank: tuple[Element, str] = (element, "")
        reads, writes, moves = [], [], []
        for tape in range(1, self.tapes + 1):
            at, label = labels["read"].get(tape, blank)
            reads.append(jflap_labels.read(label, self.tapes, self.fail(at)))
            at, label = labels["write"].get(tape, blank)
            writes.append(jflap_labels.write(label, self.fail(at)))
            at, label = labels["move"].get(tape, (element, "R"))
            moves.append(jflap_labels.move(label, self.fail(at)))
        if element.attributes.get("block") == "true":
            if self.tapes > 1:
                raise self.source.error(
                    'a transition with block="true" on several tapes: JFLAP keeps what it reads '
                    "on the first tape only",
                    element,
                    hint="give it all of <read>, <write> and <move> in place of the attribute",
                )
            if any(labels.values()):
                writes, moves = [KEEP], ["S"]
        late = labels["read"].get(1, blank)[1].startswith("!")
        return Rule(element, ends[0], ends[1], tuple(reads), tuple(writes), tuple(moves), late)

    def end(self, element: Element, tag: str, states: dict[int, State]) -> int:
        """Return the id of a state that a transition begins or ends in."""
        inside = element.last(tag)
        if inside is None:
            raise self.source.error(f"a transition has no <{tag}>", element)
        number = self.number(inside.text, f"<{tag}>", inside)
        if number not in states:
            known = ", ".join(map(str, list(states)[:12])) + (", ..." if len(states) > 12 else "")
            raise self.source.error(
                f"no state has the id {number}", inside, hint=f"the ids are {known}"
            )
        return number

    def labels(self, element: Element, tag: str) -> dict[int, tuple[Element, str]]:
        """Return the labels of one kind by tape; the last that is given counts."""
        found = {}
        for inside in element.all(tag):
            text = inside.attributes.get("tape", "") or "1"
            tape = self.number(text, "the attribute tape", inside)
            if not 1 <= tape <= self.tapes:
                raise self.source.error(
                    f"tape {tape} in a machine of {self.tapes} tape{'s' * (self.tapes > 1)}",
                    inside,
                    hint="<tapes>n</tapes> in <structure> says how many there are",
                )
            found[tape] = (inside, inside.text)
        return found

    def fail(self, element: Element) -> jflap_labels.Fail:
        """Return what makes errors that point at an element."""

        def error(message: str, hint: str | None) -> FormatError:
            return self.source.error(message, element, hint)

        return error


def clean(name: str) -> str:
    """Return a name with spaces for what cannot be printed."""
    return "".join(char if char.isprintable() else " " for char in name)
