"""Tapes that are infinite one way only, for machines whose rules were written for such tapes.

A machine of `spec` learns what is under its heads and nothing else, and so do its weights. So the
first cell has symbols of its own (`Machine.first`), and each rule is there once more for it: with
the symbol that stands for what it writes, and without moving left. Steps, states and words stay
what they were.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from tm2tf.machine.spec import Machine, Reads, Transition


def one_way(machine: Machine) -> Machine:
    """Return the machine on tapes that begin at address 0, where a head that should go on stays.

    Raises:
        ConfigurationError: an example needs other addresses.
    """
    first = dict(zip(machine.symbols, _names(machine), strict=True))
    rules: dict[tuple[str, Reads], Transition] = {}
    for (state, reads), to in machine.transitions.items():
        for at_first in product((False, True), repeat=machine.tapes):
            moves = tuple(
                "S" if there and move == "L" else move
                for there, move in zip(at_first, to.moves, strict=True)
            )
            read = _marked(reads, at_first, first)
            rules[state, read] = Transition(to.state, _marked(to.writes, at_first, first), moves)
    made = replace(
        machine,
        symbols=(*machine.symbols, *first.values()),
        transitions=rules,
        first=first,
        examples=(),
    )
    if not machine.examples:
        return made
    examples = tuple(
        replace(example, tapes=made.initial(example.tapes).tapes) for example in machine.examples
    )
    return replace(made, examples=examples)


def two_way(machine: Machine) -> Machine:
    """Return the rules of a machine of `one_way` as they were written; the edge is left out."""
    if not machine.first:
        return machine
    plain = set(machine.first)
    return replace(
        machine,
        symbols=tuple(symbol for symbol in machine.symbols if symbol in plain),
        transitions={
            (state, reads): to
            for (state, reads), to in machine.transitions.items()
            if plain.issuperset(reads)
        },
        first={},
        examples=tuple(
            replace(example, tapes=tuple(map(machine.plain, example.tapes)))
            for example in machine.examples
        ),
    )


def _marked(words: Reads, at_first: tuple[bool, ...], first: dict[str, str]) -> tuple[str, ...]:
    return tuple(
        first[word] if there else word for word, there in zip(words, at_first, strict=True)
    )


def _names(machine: Machine) -> Iterator[str]:
    """Yield a name for each symbol on a first cell, that nothing else has."""
    taken = set(machine.symbols)
    for symbol in machine.symbols:
        name = symbol + "'"
        while name in taken:
            name += "'"
        taken.add(name)
        yield name
