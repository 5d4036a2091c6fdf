"""turingmachine.io: one tape in YAML, `blank`, `start state` and a `table` of states.

What it writes to disk wraps that text as `source code`, beside a name and the places of states in
its picture; both are read. A state without rules halts, and so does a symbol without a rule.
Where several keys of a state name a symbol, the site takes digits that stand alone first, then the
others as they are written, and the last one counts. Other keys than these at the top mean nothing.
Source: https://turingmachine.io and github.com/aepsilon/turing-machine-viz.

Example::

    input: '1011'
    blank: ' '
    start state: right
    table:
      right:
        [0, 1]: R               # move; the symbol and the state stay
        ' ': {L: carry}         # move, then the next state
      carry:
        1: {write: 0, L}
        [0, ' ']: {write: 1, L: done}
      done:
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from tm2tf.errors import InputError, MachineError, did_you_mean
from tm2tf.formats.limits import refuse
from tm2tf.formats.yaml_nodes import Source
from tm2tf.machine.spec import Example, Machine, Reads, Tape, Transition

FIELDS = ("blank", "start state", "table", "input", "synonyms")
MOVES = ("L", "R")
_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_-]*|[0-9]")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML 1.1 or 1.2 takes for something else than text."""


def looks_like(text: str) -> bool:
    """Return whether a text has the keys of a machine, or of a file that holds one."""
    lines = [line.strip() for line in text.splitlines()]
    return any(line.startswith(("start state:", "'start state':")) for line in lines) and any(
        line.startswith("table:") for line in lines
    )


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes, with its input as an example.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it.
    """
    outer = Source(text, source)
    root = outer.compose()
    fields = _fields(outer, root, "the file")
    if "source code" not in fields:
        return _Reader(outer, root, name).machine()
    if "name" in fields:
        name = outer.word(fields["name"], "name") or name
    inner = Source(_only(text, fields["source code"]), source)
    return _Reader(inner, inner.compose(), name).machine()


def _fields(source: Source, node: yaml.Node, what: str) -> dict[str, yaml.Node]:
    """Return a mapping's values by key."""
    pairs = list(source.items(node, what))
    return source.fields(node, what, tuple(source.word(key, "a key") for key, _ in pairs))


def _only(text: str, node: yaml.Node) -> str:
    """Return the text with all lines but those of a block blank, so that places stay the same."""
    lines = text.split("\n")
    first, last = node.start_mark.line + 1, node.end_mark.line
    if node.end_mark.column or node.end_mark.index >= len(text):
        last += 1
    return "\n".join(line if first <= i < last else "" for i, line in enumerate(lines))


@dataclass(frozen=True, slots=True)
class _Action:
    """What a rule does: the symbol it writes (None: what it read), the move, the next state."""

    node: yaml.Node
    write: str | None
    move: str
    state: str | None = None


@dataclass(slots=True)
class _Reader:
    source: Source
    root: yaml.Node
    name: str
    synonyms: dict[str, _Action] = field(default_factory=dict)

    def machine(self) -> Machine:
        source = self.source
        fields = _fields(source, self.root, "the machine")
        notes = [f"`{key}` means nothing there" for key in fields if key not in FIELDS]
        for needed in ("blank", "start state", "table"):
            if needed not in fields:
                raise source.error(f"the machine has no `{needed}:`", self.root)
        if "synonyms" in fields and not _empty(fields["synonyms"]):
            for key, value in source.items(fields["synonyms"], "synonyms"):
                self.synonyms[source.word(key, "a synonym")] = self.action(value, {})
        blank = self.symbol(fields["blank"], "the blank")
        table = {
            source.word(key, "a state"): (key, body)
            for key, body in source.items(fields["table"], "the table")
        }
        if len(table) < len(fields["table"].value):
            raise source.error("a state is given twice in the table", fields["table"])
        rules: dict[tuple[str, Reads], Transition] = {}
        for state, (_, body) in table.items():
            rules |= self.rules(state, body, table)
        start = source.word(fields["start state"], "the start state")
        self.known(start, table, fields["start state"])
        given = source.word(fields["input"], "the input") if "input" in fields else ""
        found = [blank, *given]
        for (_, reads), to in rules.items():
            found += [*reads, *to.writes]
        ruled = {state for state, _ in rules}
        try:
            made = Machine(
                name=self.name,
                symbols=tuple(dict.fromkeys(found)),
                blank=blank,
                states=tuple(table),
                start=start,
                transitions=rules,
                halt=tuple(state for state in table if state not in ruled),
                examples=(Example((Tape(tuple(given)),)),) if given else (),
                notes=tuple(notes),
            )
        except MachineError as error:
            raise source.error(error.message, self.root, hint=f"the rule: {error.rule}") from None
        return made

    def rules(
        self, state: str, body: yaml.Node, table: dict[str, tuple[yaml.Node, yaml.Node]]
    ) -> dict[tuple[str, Reads], Transition]:
        """Return the rules of a state; none where it halts."""
        if _empty(body):
            return {}
        written: dict[str, Transition] = {}
        counts: dict[str, tuple[bool, int, int]] = {}
        for place, (key, value) in enumerate(self.source.items(body, f"state {state!r}")):
            action = self.action(value, self.synonyms)
            if action.state is not None:
                self.known(action.state, table, action.node)
            digits = _digits(key)
            rank = (not digits, int(key.value) if digits else 0, place)
            for read in self.reads(key):
                if counts.get(read, rank) <= rank:
                    counts[read] = rank
                    written[read] = Transition(
                        state if action.state is None else action.state,
                        (read if action.write is None else action.write,),
                        (action.move,),
                    )
        return {(state, (read,)): to for read, to in written.items()}

    def reads(self, key: yaml.Node) -> Iterator[str]:
        """Yield the symbols of a rule's key: one, a list, or a text with commas between them."""
        if isinstance(key, yaml.SequenceNode):
            for node in key.value:
                yield self.symbol(node, "a symbol")
            return
        word = self.source.word(key, "a symbol")
        if len(word) < 2 or "," not in word:
            yield self.symbol(key, "a symbol")
            return
        pieces = word.split(",")
        for piece, following in zip(pieces, [*pieces[1:], "the end"], strict=True):
            if len(piece) > 1:
                raise self.source.error(f"a symbol is one character, got {piece!r}", key)
            if piece or not following:
                yield piece or ","  # nothing between two commas, and once more: a comma

    def symbol(self, node: yaml.Node, what: str) -> str:
        word = self.source.word(node, what)
        if len(word) != 1:
            raise self.source.error(
                f"{what} is one character, got {word!r}", node, hint="a space needs quotes: ' '"
            )
        return word

    def known(
        self, state: str, table: dict[str, tuple[yaml.Node, yaml.Node]], node: yaml.Node
    ) -> None:
        if state not in table:
            raise self.source.error(
                f"unknown state {state!r}" + did_you_mean(state, table),
                node,
                hint="every state has a line in the table; one that halts is followed by nothing",
            )

    def action(self, node: yaml.Node, synonyms: dict[str, _Action]) -> _Action:
        """Return what a rule does."""
        if isinstance(node, yaml.ScalarNode):
            word = str(node.value)
            if word in MOVES:
                return _Action(node, None, word)
            if word in synonyms:
                known = synonyms[word]
                return _Action(node, known.write, known.move, known.state)
            raise self.source.error(
                f"unknown action {word!r}" + did_you_mean(word, [*MOVES, *synonyms]),
                node,
                hint="a rule is L, R, a synonym, or as in {write: 1, R: next}",
            )
        fields = self.source.fields(node, "an action", ("write", *MOVES))
        moves = [move for move in MOVES if move in fields]
        if len(moves) != 1:
            raise self.source.error(
                "an action moves L or R, one of them", node, hint="as in {write: 1, R: next}"
            )
        target = fields[moves[0]]
        write = self.symbol(fields["write"], "what is written") if "write" in fields else None
        state = None if _empty(target) else self.source.word(target, "the next state")
        return _Action(target if state is not None else node, write, moves[0], state)


def _digits(node: yaml.Node) -> bool:
    """Return whether a key is a number there: digits that do not begin with a 0, or a 0."""
    text = node.value if isinstance(node, yaml.ScalarNode) else ""
    return bool(re.fullmatch("0|[1-9][0-9]*", text))


def _empty(node: yaml.Node) -> bool:
    """Return whether nothing stands there: nothing at all, `null`, `~`, or `{}`."""
    if isinstance(node, yaml.MappingNode):
        return not node.value
    plain = isinstance(node, yaml.ScalarNode) and not node.style
    return plain and node.value in ("", "null", "Null", "NULL", "~")


def dump(machine: Machine) -> str:
    """Return the text of a machine, which `parse` gives back, the first example's input with it.

    Raises:
        InputError: it has what the format cannot say; the message names it.
    """
    refuse(machine, "turingmachine.io", stays=False, ends=False)
    if any(len(symbol) > 1 for symbol in machine.symbols):
        raise InputError("turingmachine.io has symbols of one character only")
    lines = []
    if machine.examples:
        (tape,) = machine.examples[0].tapes
        if tape.origin == tape.head == 0:
            lines.append(f"input: {_text(''.join(tape.contents))}")
    lines += [f"blank: {_text(machine.blank)}", f"start state: {_text(machine.start)}", "table:"]
    rules: dict[str, list[str]] = {state: [] for state in machine.states}
    for (state, (read,)), to in machine.transitions.items():
        written = "" if to.writes == (read,) else f"write: {_text(to.writes[0])}, "
        moved = to.moves[0] if to.state == state else f"{to.moves[0]}: {_text(to.state)}"
        rules[state].append(f"    {_text(read)}: {{{written}{moved}}}")
    for state, body in rules.items():
        lines += [f"  {_text(state)}:", *body]
    return "\n".join(lines) + "\n"


def _text(word: str) -> str:
    """Return a scalar, in quotes where it would be read as something else."""
    if _PLAIN.fullmatch(word) and word.lower() not in _RESERVED:
        return word
    return "'" + word.replace("'", "''") + "'"
