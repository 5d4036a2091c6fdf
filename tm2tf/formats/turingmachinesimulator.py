"""turingmachinesimulator.com (Martin Ugarte): up to three tapes, a rule on two lines, no wildcards.

A run ends where no rule matches, and accepts if the state is one of `accept`. The public source is
a copy of 2017, github.com/diegoauyon/TMS (`assets/TMcode.js`); the site may have changed since. So
what its users and that copy may not agree on is refused: states that accept and have rules.

Example::

    name: Even number of ones
    init: even
    accept: yes
    // state, what is read; then state, what is written, moves: < > or -
    even,1
    odd,1,>

    odd,1
    even,1,>

    even,_      // `_` is the blank
    yes,_,-
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tm2tf.errors import InputError, MachineError, did_you_mean
from tm2tf.formats import lines as plain
from tm2tf.formats.limits import refuse
from tm2tf.formats.lines import Lines
from tm2tf.formats.sizes import MAX_RULES, MORE_RULES
from tm2tf.machine.spec import Machine, Reads, Transition

NAME = "turingmachinesimulator.com"
MOST_TAPES = 3
BLANK = "_"
MOVES = {"<": "L", ">": "R", "-": "S"}
LETTERS = {move: letter for letter, move in MOVES.items()}
KEYS = ("init:", "accept:", "name:")
_LINE = re.compile(r"\r\n|\r|\n")
_OTHERS = re.compile(r"""["']?(?:rules|table|delta|start state)["']?\s*:""")
_LOOKED_AT = 200
"""How many lines tell what a text is."""


def looks_like(text: str) -> bool:
    """Return whether a text has `init:` or `accept:`, and what a rule reads on a line."""
    if text.lstrip()[:1] in ("<", "{"):
        return False
    keyed = rule = False
    for i, line in enumerate(_LINE.split(text)):
        code = _code(line)
        if _OTHERS.match(line) or i == 10 * _LOOKED_AT:
            break
        if _key(code) in ("init:", "accept:"):
            keyed = True
        elif not _key(code):
            state, *reads = code.split(",")
            rule = rule or bool(state and reads and all(len(read) == 1 for read in reads))
        if keyed and rule:
            return True
    return False


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes; its `name:` goes before `name`.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it.
    """
    plain.checked(text, source)
    return _Reader(Lines(_LINE.split(text), source), name).machine()


def _code(line: str) -> str:
    """Return a line without white space and comments, as the site has it."""
    return plain.squeeze(line).partition("//")[0]


def _key(code: str) -> str:
    """Return which of `KEYS` a line begins with; empty for none."""
    return next((key for key in KEYS if code[: len(key)].lower() == key), "")


@dataclass(slots=True)
class _Reader:
    lines: Lines
    name: str
    start: tuple[str, int] = ("", 0)
    accept: tuple[list[str], int] = field(default_factory=lambda: ([], 0))
    tapes: int = 0
    rules: dict[tuple[str, Reads], Transition] = field(default_factory=dict)
    places: dict[tuple[str, Reads], int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def machine(self) -> Machine:
        half: tuple[int, str, Reads] | None = None
        for number, line in self.lines.numbered():
            code = _code(line)
            if not code:
                continue
            if half is not None:
                self.rule(half, number, line, code)
                half = None
            elif _key(code):
                self.keyed(number, line, code)
            else:
                half = (number, *self.reads(number, line, code))
        if half is not None:
            raise self.lines.error(
                "this rule has no second line",
                half[0],
                hint="the second says: state, what is written, moves",
            )
        self.check()
        states = dict.fromkeys([self.start[0], *(state for state, _ in self.rules)])
        states |= dict.fromkeys(to.state for to in self.rules.values())
        symbols = [BLANK]
        for (_, reads), to in self.rules.items():
            symbols += [*reads, *to.writes]
        try:
            return Machine(
                name=self.name,
                symbols=tuple(dict.fromkeys(symbols)),
                blank=BLANK,
                states=tuple(states | dict.fromkeys(self.accept[0])),
                start=self.start[0],
                transitions=self.rules,
                tapes=self.tapes,
                accept=tuple(self.accept[0]),
                undefined="reject",
                notes=tuple(self.notes),
            )
        except MachineError as error:
            raise self.lines.error(error.message, hint=f"the rule: {error.rule}") from None

    def keyed(self, number: int, line: str, code: str) -> None:
        """Take a line such as `init: q0`; of several, the last one counts."""
        key = _key(code)
        value = code.split(":")[1]
        if key == "name:":
            written = line.partition("//")[0].partition(":")[2].partition(":")[0]
            self.name = plain.SPACES.sub(" ", written).strip() or self.name
            return
        words = list(dict.fromkeys(word for word in value.split(",") if word))
        if not words:
            raise self.lines.error(f"`{key}` names no state", number, hint=f"as in `{key} q1`")
        before = self.start[1] if key == "init:" else self.accept[1]
        if before:
            self.notes.append(f"`{key}` of line {number} replaces that of line {before}")
        for word in words:
            self.lines.state(word, number, 1)
        if key == "accept:":
            self.accept = (words, number)
        elif "," in value:
            raise self.lines.error(f"`init:` names one state, got {value!r}", number)
        else:
            self.start = (value, number)

    def fields(self, number: int, line: str, code: str) -> tuple[list[str], list[int]]:
        """Return what stands between the commas, and the column of each."""
        found = code.split(",")
        at = [0]
        for word in found[: 2 * MOST_TAPES + 1]:
            at.append(at[-1] + len(word) + 1)
        columns = [plain.column(line, place) for place in at[: len(found)]]
        if not found[0]:
            raise self.lines.error("a rule begins with a state", number, columns[0])
        self.lines.state(found[0], number, columns[0])
        return found, columns

    def reads(self, number: int, line: str, code: str) -> tuple[str, Reads]:
        """Return the state and what is read, of a rule's first line."""
        found, columns = self.fields(number, line, code)
        count = len(found) - 1
        if not 1 <= count <= MOST_TAPES:
            raise self.lines.error(
                f"a rule's first line is a state and 1 to {MOST_TAPES} symbols, got "
                f"{count or 'no'} symbols",
                number,
                columns[min(count, MOST_TAPES + 1)],
                "as in `q0,1`, and then `q1,0,>`; other lines are `init:`, `accept:`, `name:`",
            )
        self.tapes = self.tapes or count
        if count != self.tapes:
            raise self.lines.error(
                f"expected {self.tapes} symbols to read, as in the first rule, got {count}",
                number,
                columns[-1],
            )
        what = "a symbol read"
        return found[0], tuple(
            self.lines.symbol(word, what, number, place)
            for word, place in zip(found[1:], columns[1:], strict=True)
        )

    def rule(self, half: tuple[int, str, Reads], number: int, line: str, code: str) -> None:
        """Add the rule that a second line completes."""
        found, columns = self.fields(number, line, code)
        k = self.tapes
        if len(found) != 2 * k + 1:
            raise self.lines.error(
                f"expected {2 * k + 1} fields, got {len(found)}",
                number,
                columns[-1],
                f"the second line of a rule, whose first is line {half[0]}: the next state, "
                f"{k} written, {k} of the moves < > -",
            )
        for word, place in zip(found[k + 1 :], columns[k + 1 :], strict=True):
            if word not in MOVES:
                raise self.lines.error(f"a move is <, > or -, got {word!r}", number, place)
        writes = tuple(
            self.lines.symbol(word, "a symbol written", number, place)
            for word, place in zip(found[1 : k + 1], columns[1 : k + 1], strict=True)
        )
        to = Transition(found[0], writes, tuple(MOVES[word] for word in found[k + 1 :]))
        first, state, reads = half
        key = (state, reads)
        if self.rules.setdefault(key, to) != to:
            raise self.lines.error(
                f"a second rule for state {state!r} reading {','.join(reads)}; the first is in "
                f"line {self.places[key]}",
                first,
                hint="keep one of them: machines are deterministic there",
            )
        self.places.setdefault(key, first)
        if len(self.rules) > MAX_RULES:
            raise self.lines.error(f"more than {MAX_RULES:,} rules", first, hint=MORE_RULES)

    def check(self) -> None:
        """Refuse a text without a start, an end or rules, and accepting states that have rules."""
        for found, key in ((self.start, "init:"), (self.accept, "accept:")):
            if not found[1]:
                raise self.lines.error(f"the machine has no `{key}`", hint=f"as in `{key} q1`")
        if not self.rules:
            raise self.lines.error("the machine has no rules", hint="as in `q0,1` and `q1,0,>`")
        accept = set(self.accept[0])
        for state, reads in self.rules:
            if state in accept:
                raise self.lines.error(
                    f"state {state!r} accepts, and has a rule",
                    self.places[state, reads],
                    hint="a run there ends where no rule matches; whether it goes on from a state "
                    "that accepts is not certain, so let that rule lead to, or begin in, another",
                )
        start, line = self.start
        known = {state for state, _ in self.rules} | {to.state for to in self.rules.values()}
        if start not in known | accept:
            raise self.lines.error(
                f"unknown state {start!r}" + did_you_mean(start, known | accept),
                line,
                hint="no rule names it",
            )


def dump(machine: Machine) -> str:
    """Return the text of a machine; the blank becomes `_`.

    Raises:
        InputError: it has what the format cannot say; the message names it.
    """
    missing = next(_unruled(machine), None)
    refuse(
        machine,
        NAME,
        most_tapes=MOST_TAPES,
        halts=False,
        undefined=("reject",) if missing else ("halt", "accept", "reject"),
    )
    lacking = next(_lacks(machine), None)
    if lacking:
        raise InputError(f"the format {NAME} cannot say what {machine.name!r} has: {lacking}")
    symbol = {word: BLANK if word == machine.blank else word for word in machine.symbols}
    accept = list(machine.accept)
    if not accept:  # it wants one
        accept = ["accept"]
        while accept[0] in machine.states:
            accept[0] += "'"
    lines = [f"init: {machine.start}", f"accept: {','.join(accept)}"]
    title = machine.name
    if _sayable(title):
        lines.insert(0, f"name: {title}")
    for (state, reads), to in machine.transitions.items():
        moves = [LETTERS[move] for move in to.moves]
        written = [symbol[word] for word in to.writes]
        lines += ["", ",".join([state, *(symbol[word] for word in reads)])]
        lines.append(",".join([to.state, *written, *moves]))
    return "\n".join(lines) + "\n"


def _sayable(title: str) -> bool:
    """Return whether a name can stand behind `name:`."""
    tidy = plain.SPACES.sub(" ", title).strip() == title != ""
    return tidy and title.isprintable() and ":" not in title and "//" not in title


def _unruled(machine: Machine) -> Iterator[str]:
    """Yield states that lack a rule for something, and do not halt."""
    every = len(machine.symbols) ** machine.tapes
    count = dict.fromkeys(machine.states, 0)
    for state, _ in machine.transitions:
        count[state] += 1
    yield from (s for s, n in count.items() if n < every and machine.outcome_of(s) is None)


def _lacks(machine: Machine) -> Iterator[str]:
    """Yield what the format cannot say."""
    listed = (machine.start, *machine.accept)
    if not machine.transitions:
        yield "no rules"
    for word in machine.symbols:
        if word == BLANK != machine.blank:
            yield "a symbol '_' that is not the blank"
        if word != machine.blank and (word == "," or not plain.single(word)):
            yield f"a symbol {word!r}; symbols are single characters, and not `,`"
    for state in machine.states:
        if "," in state or "//" in state or plain.SPACES.search(state) or _key(state):
            yield (
                f"a state {state!r}; the names of states are words without `,` and `//`, and do "
                f"not begin with {', '.join(KEYS)}"
            )
    yield from (f"a state {state!r}; `:` ends its name there" for state in listed if ":" in state)
    named = {state for state, _ in machine.transitions}
    named |= {to.state for to in machine.transitions.values()}
    if machine.start not in named and machine.start not in machine.accept:
        yield f"a start state, {machine.start!r}, that no rule names"
