"""Doty's `.tm` files: k tapes that begin somewhere, one accepting and one rejecting state.

There are two grammars: YAML, and the older `key = {...}` with rules that end in `;`; `dump` writes
the YAML. A `?` reads any symbol and, where it is written, leaves what was read; a rule without it
goes first. A head on the first cell that should go left stays. Where no rule matches, the machine
enters the rejecting state in one step, so every rule that is missing is spelt out here.
Source: https://github.com/UC-Davis-molecular-computing/automata-solid and, for the older grammar,
https://github.com/dave-doty/automata.

Example::

    states: [flip, yes, no]
    input_alphabet: ['0', '1']
    tape_alphabet_extra: []
    start_state: flip
    accept_state: yes
    reject_state: no
    delta:
      flip:
        '0': [flip, '1', R]     # read: next state, written, move
        '1': [flip, '0', R]
        _: [yes, _, L]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product

from tm2tf.errors import InputError, MachineError, did_you_mean
from tm2tf.formats.doty_grammars import ANY, BLANK, Rule, Word, Written, read_plain, read_yaml
from tm2tf.formats.limits import refuse
from tm2tf.formats.sizes import MAX_RULES, MORE_RULES
from tm2tf.machine.one_way import one_way, two_way
from tm2tf.machine.spec import OFFSET, Machine, Reads, Transition

MAX_TAPES = 64
_FIRST_KEY = re.compile(r"^( *)(?![ #\n\r]|---)", re.MULTILINE)
_PLAIN_KEY = re.compile(r"^[ \t]*states\s*=", re.MULTILINE)
_ONE_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
"""Words that YAML 1.1 or 1.2 takes for something else than text."""


def looks_like(text: str) -> bool:
    """Return whether a text has the keys of a machine, in one of the two grammars."""
    if _PLAIN_KEY.search(text):
        return all(re.search(rf"\b{key}\s*=", text) for key in ("accept_state", "delta"))
    first = _FIRST_KEY.search(text)
    if first is None:
        return False
    if text.startswith("{", first.end()):
        before = r"[{,\s]"
    else:
        before = "^" + first[1]
    return all(
        re.search(rf"{before}[\"']?{key}[\"']?\s*:", text, re.MULTILINE)
        for key in ("(?:accept_state|tape_alphabet_extra)", "delta")
    )


def parse(text: str, source: str = "<text>", name: str = "machine") -> Machine:
    """Return the machine that a text describes, on tapes that begin at address 0.

    Raises:
        FormatError: with line, column and excerpt, for anything that is wrong in it.
    """
    read = read_plain if _PLAIN_KEY.search(text) else read_yaml
    return _Maker(read(text, source), name).machine()


@dataclass(slots=True)
class _Maker:
    """Checks what was written, as the simulator does, and spells it out."""

    written: Written
    name: str
    states: dict[str, Word] = field(default_factory=dict)
    symbols: dict[str, Word | None] = field(default_factory=lambda: {BLANK: None})

    def machine(self) -> Machine:
        written = self.written
        self.states = self.distinct(written.states, "state")
        self.alphabet()
        start, accept, reject = written.start, written.accept, written.reject
        for word in (start, accept, reject):
            self.known(word)
        ends = {accept.text, reject.text}
        for rule in written.rules:
            self.check(rule, ends)
        running = [state for state in self.states if state not in ends]
        self.small_enough(len(running))
        try:
            made = Machine(
                name=self.name,
                symbols=tuple(self.symbols),
                blank=BLANK,
                states=tuple(self.states),
                start=start.text,
                transitions=self.spelt_out(running),
                tapes=written.tapes,
                accept=(accept.text,),
                reject=() if reject.text == accept.text else (reject.text,),
                undefined="reject",
                notes=self.notes(),
            )
        except MachineError as error:
            at = written.states[0]
            raise written.error(error.message, at, hint=f"the rule: {error.rule}") from None
        return one_way(made)

    def notes(self) -> tuple[str, ...]:
        inputs = [word.text for word in self.written.inputs]
        if len(inputs) + 1 == len(self.symbols):
            return ()
        return (f"input_alphabet: words on the first tape have no other symbols than {inputs}",)

    def distinct(self, words: list[Word], what: str) -> dict[str, Word]:
        found: dict[str, Word] = {}
        for word in words:
            if word.text in found:
                raise self.written.error(f"{what} {word.text!r} is given twice", word)
            if not word.text:
                raise self.written.error(f"a {what} must not be empty", word)
            found[word.text] = word
        return found

    def alphabet(self) -> None:
        inputs = self.distinct(self.written.inputs, "symbol")
        extra = self.distinct(self.written.extra, "symbol")
        for text, word in (inputs | extra).items():
            if len(text) != 1 or ord(text) > 0xFFFF:
                raise self.written.error(f"a symbol is one character, got {text!r}", word)
            if text == ANY:
                raise self.written.error(f"{ANY!r} is the wildcard: it cannot be a symbol", word)
            self.symbols[text] = word
        if BLANK in inputs:
            raise self.written.error(
                f"the blank {BLANK!r} cannot be an input symbol", inputs[BLANK]
            )
        for text, word in extra.items():
            if text in inputs:
                raise self.written.error(f"symbol {text!r} is in both alphabets", word)

    def known(self, word: Word) -> None:
        if word.text not in self.states:
            raise self.written.error(
                f"unknown state {word.text!r}" + did_you_mean(word.text, self.states), word
            )

    def check(self, rule: Rule, ends: set[str]) -> None:
        """Require that a rule is well-formed by itself."""
        error, tapes = self.written.error, self.written.tapes
        self.known(rule.state)
        self.known(rule.target)
        if rule.state.text in ends:
            raise error(f"{rule.state.text!r} accepts or rejects, yet it has a rule", rule.state)
        for what, word in (
            ("to read", rule.reads),
            ("to write", rule.writes),
            ("of the moves", rule.moves),
        ):
            if len(word.text) != tapes:
                raise error(
                    f"expected {tapes} {what}, one a tape, got {len(word.text)}: {word.text!r}",
                    word,
                    hint=word.hint or self.written.rules[0].reads.hint,
                )
        for read, write, move in zip(
            rule.reads.text, rule.writes.text, rule.moves.text, strict=True
        ):
            for symbol, word in ((read, rule.reads), (write, rule.writes)):
                if symbol not in self.symbols and symbol != ANY:
                    raise error(f"unknown symbol {symbol!r}: it is in neither alphabet", word)
            if write == ANY != read:
                raise error(
                    f"{ANY!r} is written where {read!r} is read",
                    rule.writes,
                    hint=f"written, {ANY!r} leaves what {ANY!r} has read on the same tape",
                )
            if move not in OFFSET:
                raise error(f"unknown move {move!r}: expected L, S or R", rule.moves)

    def small_enough(self, running: int) -> None:
        tapes, symbols = self.written.tapes, len(self.symbols)
        at = self.written.rules[0].reads if self.written.rules else self.written.start
        if tapes > MAX_TAPES:
            raise self.written.error(f"{tapes} tapes; the limit is {MAX_TAPES}", at)
        if running * (2 * symbols) ** tapes > MAX_RULES:
            raise self.written.error(
                f"more than {MAX_RULES:,} rules once all that is read is spelt out", at,
                hint=f"{running} states, {symbols} symbols and as many for first cells, "
                f"{tapes} tapes {MORE_RULES}",
            )  # fmt: skip

    def spelt_out(self, running: list[str]) -> dict[tuple[str, Reads], Transition]:
        """Return a rule for every state that runs and everything it can read."""
        rules: dict[tuple[str, Reads], Transition] = {}
        by: dict[tuple[str, Reads], Rule] = {}
        given: set[tuple[str, str]] = set()
        # those without a wildcard go first
        for rule in sorted(self.written.rules, key=lambda rule: ANY in rule.reads.text):
            key = (rule.state.text, rule.reads.text)
            if key in given:
                raise self.written.error(
                    f"state {key[0]!r} has two rules for {key[1]!r}", rule.reads
                )
            given.add(key)
            for reads in self.matches(rule.reads.text):
                before = by.get((rule.state.text, reads))
                if before is None:
                    writes = tuple(
                        read if write == ANY else write
                        for read, write in zip(reads, rule.writes.text, strict=True)
                    )
                    by[rule.state.text, reads] = rule
                    moves = tuple(rule.moves.text)
                    rules[rule.state.text, reads] = Transition(rule.target.text, writes, moves)
                elif ANY in before.reads.text:
                    raise self.written.error(
                        f"{before.reads.text!r} and {rule.reads.text!r} both match "
                        f"{''.join(reads)!r}, and neither goes first",
                        rule.reads,
                        hint=f"give state {key[0]!r} a rule for {''.join(reads)!r} itself",
                    )
        reject, stay = self.written.reject.text, ("S",) * self.written.tapes
        for state in running:
            for reads in product(self.symbols, repeat=self.written.tapes):
                rules.setdefault((state, reads), Transition(reject, reads, stay))
        return rules

    def matches(self, pattern: str) -> Iterator[Reads]:
        return product(*[self.symbols if symbol == ANY else symbol for symbol in pattern])


def dump(machine: Machine) -> str:
    """Return the YAML text of a machine on one-way tapes, which `parse` gives back.

    A state that accepts, or rejects, is added where the machine has none; it is never entered.
    Rules that a missing one stands for are left out.

    Raises:
        InputError: it has what the format cannot say; the message names it.
    """
    plain = _sayable(machine)
    (accept,) = plain.accept or (_unused("qA", plain),)
    (reject,) = plain.reject or (_unused("qR", plain),)
    rules = _written(plain, reject)
    states = list(dict.fromkeys((*plain.states, accept, reject)))
    symbols = [symbol for symbol in plain.symbols if symbol != BLANK]
    lines = [
        f"states: {_list(states)}",
        f"input_alphabet: {_list(symbols)}",
        "tape_alphabet_extra: []",
        f"start_state: {_text(plain.start)}",
        f"accept_state: {_text(accept)}",
        f"reject_state: {_text(reject)}",
        "delta:",
    ]
    by_state: dict[str, list[str]] = {}
    for (state, reads), to in rules.items():
        words = (to.state, "".join(to.writes), "".join(to.moves))
        by_state.setdefault(state, []).append(f"    {_text(''.join(reads))}: {_list(words)}")
    for state, body in by_state.items():
        lines += [f"  {_text(state)}:", *body]
    return "\n".join(lines) + "\n"


def _sayable(machine: Machine) -> Machine:
    """Return the machine's rules away from the edge, if the format can say all it has."""
    refuse(machine, "doty", most_tapes=MAX_TAPES, undefined=("halt", "accept", "reject"),
           one_way=True)  # fmt: skip
    plain = two_way(machine)
    symbols = len(plain.symbols)
    ends = {*machine.accept, *machine.reject, *machine.halt}
    running = [state for state in machine.states if state not in ends]
    found = [
        (not machine.first, "tapes that are infinite both ways; its tapes begin somewhere"),
        (bool(machine.halt), "states that halt; it has only states that accept or reject"),
        (len(machine.accept) > 1, f"{len(machine.accept)} states that accept; it has one"),
        (len(machine.reject) > 1, f"{len(machine.reject)} states that reject; it has one"),
        (machine.blank != BLANK, f"the blank {machine.blank!r}; its blank is {BLANK!r}"),
        (symbols < 2, "no symbol but the blank; it has another one"),
        (
            any(len(symbol) > 1 or symbol > "\uffff" for symbol in plain.symbols),
            "symbols of more than one character (of UTF-16)",
        ),
        (ANY in plain.symbols, f"the symbol {ANY!r}, which is its wildcard"),
        (not running, "no state that runs; it has a rule at least"),
        (
            len(plain.transitions) < len(running) * symbols**machine.tapes,
            "missing rules, where a run stops without a step; there it takes one, and rejects",
        ),
    ]
    for lacks, what in found:
        if lacks:
            raise InputError(f"the format doty cannot say what {machine.name!r} has: {what}")
    if not _edge_as_here(machine, plain):
        raise InputError(
            f"the format doty cannot say what {machine.name!r} has: rules of its own for the first "
            "cell; there it does as elsewhere, but a head that should go left stays"
        )
    return plain


def _edge_as_here(machine: Machine, plain: Machine) -> bool:
    """Return whether the rules for first cells are those that `one_way` makes."""
    made = one_way(plain)
    called = {symbol: symbol for symbol in plain.symbols}
    called |= {made.first[symbol]: machine.first[symbol] for symbol in plain.symbols}
    return dict(machine.transitions) == {
        (state, tuple(called[symbol] for symbol in reads)): Transition(
            to.state, tuple(called[symbol] for symbol in to.writes), to.moves
        )
        for (state, reads), to in made.transitions.items()
    }


def _written(plain: Machine, reject: str) -> dict[tuple[str, Reads], Transition]:
    """Return the rules without those that the format implies, one at least."""
    stay = ("S",) * plain.tapes
    rules = {
        (state, reads): to
        for (state, reads), to in plain.transitions.items()
        if to != Transition(reject, reads, stay)
    }
    return rules or dict([next(iter(plain.transitions.items()))])


def _unused(name: str, machine: Machine) -> str:
    while name in machine.states:
        name += "'"
    return name


def _list(words: tuple[str, ...] | list[str]) -> str:
    return "[" + ", ".join(map(_text, words)) + "]"


def _text(word: str) -> str:
    """Return a scalar, in quotes where it would be read as something else."""
    if _ONE_WORD.fullmatch(word) and word.lower() not in _RESERVED:
        return word
    return "'" + word.replace("'", "''") + "'"
