"""Writing for Morphett's simulator: every rule spelt out; `morphett.parse` reads it back."""

from __future__ import annotations

from collections.abc import Iterator

from tm2tf.errors import InputError
from tm2tf.formats import lines as plain
from tm2tf.formats.limits import refuse
from tm2tf.formats.morphett import ANY, BLANK, MOVES, halts
from tm2tf.machine.one_way import one_way, two_way
from tm2tf.machine.spec import Machine, Reads, Tape, Transition

LETTERS = {move: letter for letter, move in MOVES.items()}


def dump(machine: Machine) -> str:
    """Return the text of a machine, every rule spelt out.

    The blank becomes `_`, and a halting state `Z` becomes `halt-Z`.

    Raises:
        InputError: it has what the format cannot say; the message names it.
    """
    refuse(
        machine,
        "morphett",
        ends=False,
        undefined=("halt", "accept", "reject"),
        one_way=True,
    )
    lacking = next(_lacks(machine), None)
    if lacking:
        raise InputError(f"the format morphett cannot say what {machine.name!r} has: {lacking}")
    names = _names(machine)
    written = two_way(machine)
    symbol = {word: BLANK if word == machine.blank else word for word in written.symbols}
    lines = [f"; $INITIAL_STATE: {names[machine.start]}"]
    if machine.first:
        lines.append("; $VARIANT: 1")
    for example in written.examples:
        tape = example.tapes[0].trimmed(machine.blank)
        if tape.origin >= 0 and tape.head >= 0:
            lines.append(f"; $INITIAL_TAPE: {_typed(tape, symbol)}")
    for (state, (read,)), to in written.transitions.items():
        move = LETTERS[to.moves[0]]
        words = (names[state], symbol[read], symbol[to.writes[0]], move, names[to.state])
        lines.append(" ".join(words))
    return "\n".join(lines) + "\n"


def _lacks(machine: Machine) -> Iterator[str]:
    """Yield what the format cannot say."""
    rules = two_way(machine)
    for word in rules.symbols:
        if word == BLANK != machine.blank:
            yield "a symbol '_' that is not the blank"
        if word != machine.blank and (word in (ANY, ";") or not plain.single(word)):
            yield f"a symbol {word!r}; symbols are single characters, none of them `*` or `;`"
    for state in machine.states:
        if state == ANY or ";" in state or plain.SPACES.search(state):
            yield f"a state {state!r}; the names of states are words without `;`, and not `*`"
        if halts(state) and machine.outcome_of(state) is None:
            yield f"a state {state!r} that does not halt; there, names that begin so do"
    for state in machine.states:
        for read in rules.symbols if machine.outcome_of(state) is None else ():
            if (state, (read,)) not in rules.transitions:
                yield (
                    f"no rule for state {state!r} and symbol {read!r}; there, that is a step, "
                    "into the state 'halt' (write such a rule, if that is meant)"
                )
    if machine.first and dict(one_way(rules).transitions) != _marked(machine):
        yield "rules of their own for the first cell of the tape"


def _marked(machine: Machine) -> dict[tuple[str, Reads], Transition]:
    """Return the rules, with the names that `one_way` gives symbols of the first cell."""
    first = one_way(two_way(machine)).first
    new = {old: first[symbol] for symbol, old in machine.first.items()}
    return {
        (state, (new.get(read, read),)): Transition(
            to.state, (new.get(to.writes[0], to.writes[0]),), to.moves
        )
        for (state, (read,)), to in machine.transitions.items()
    }


def _names(machine: Machine) -> dict[str, str]:
    """Return what each state is called there."""
    taken = {state for state in machine.states if machine.outcome_of(state) is None}
    taken |= {state for state in machine.states if halts(state)}
    names = {state: state for state in taken}
    for state in machine.states:
        if state not in names:
            name = f"halt-{state}"
            while name in taken:
                name += "'"
            taken.add(name)
            names[state] = name
    return names


def _typed(tape: Tape, symbol: dict[str, str]) -> str:
    """Return a tape as it is typed there: from address 0, with a `*` at the head if need be."""
    cells = [BLANK] * tape.origin + [symbol[word] for word in tape.contents]
    cells += [BLANK] * (tape.head - len(cells))
    if tape.head:
        cells.insert(tape.head, ANY)
    return "".join(cells) or BLANK
