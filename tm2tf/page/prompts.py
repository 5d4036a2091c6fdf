"""How a page turns typed words into prompts, without knowing any construction.

The prompts of many words are compared, and what they have in common is the recipe:

- "line": `before`, then a token for each symbol of each tape in order, then `after`. Such are the
  constructions whose context is the tape.
- "lengths": for words of each length a prompt, in which the token at `places[i]` is that of symbol
  i. Such are the constructions that write out a tape of so many cells, the input in its middle.
  With `trimmed`, blanks at the end of a word are left out first: such are those that write out no
  cells but those in use.
- "none": neither, and `why` says so. The page then runs the examples that it was given.

A recipe is tried out on other words than those that it was made from before it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import TypeAlias

from tm2tf.compiler import Compiled
from tm2tf.errors import ConfigurationError
from tm2tf.machine.spec import Machine, Tape

LONGEST = 24
"""Symbols of the longest word that a recipe by lengths takes: for one tape of 256 cells that is
25 prompts of 258 tokens, some 30 kB of a page."""

Recipe: TypeAlias = dict[str, object]


def recipe(compiled: Compiled) -> Recipe:
    """Return how typed words become prompts: what `startOf` of assets/run.js reads."""
    line = _line(compiled)
    if line is not None and all(_by_line(line, words) == _prompt(compiled, words)
                                for words in _tried(compiled)):  # fmt: skip
        return {"kind": "line", **line}
    for trimmed in (False, True) if compiled.machine.tapes == 1 else ():
        lengths = _lengths(compiled, trimmed)
        if lengths is not None:
            return {"kind": "lengths", "trimmed": trimmed, "lengths": lengths}
    return {
        "kind": "none",
        "why": f"construction {compiled.construction.name} takes only the inputs of the list here; "
        "a page of construction trace takes any",
    }


def _prompt(compiled: Compiled, words: Sequence[Sequence[str]]) -> list[int]:
    """Return the prompt of words, one a tape, each from address 0, where the head is."""
    tapes = [Tape(tuple(word)) for word in words]
    return list(compiled.start(compiled.machine.initial(tapes)).ids)


def _tried(compiled: Compiled) -> Iterator[list[tuple[str, ...]]]:
    """Yield words for all tapes, in which each symbol stands first, last and in between."""
    symbols, k = compiled.machine.symbols, compiled.machine.tapes
    for shift in range(len(symbols)):
        word = symbols[shift:] + symbols[:shift]
        yield [word] * k
        for tape in range(k):
            yield [word[: 1 + (t + shift) % 3] if t != tape else () for t in range(k)]


def _line(compiled: Compiled) -> dict[str, object] | None:
    """Return the parts of a recipe of the kind "line", None where prompts are not of that kind."""
    machine = compiled.machine
    try:
        empty = _prompt(compiled, [()] * machine.tapes)
        cells, place = [], len(empty)
        for tape in range(machine.tapes):
            tokens = {}
            for symbol in machine.symbols:
                longer = _prompt(compiled, [(symbol,) * (t == tape) for t in range(machine.tapes)])
                pairs = zip(empty, longer, strict=False)
                at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
                if at == len(longer) or longer[:at] + longer[at + 1 :] != empty:
                    return None
                tokens[symbol], place = longer[at], min(place, at)
            cells.append(tokens)
    except ConfigurationError:
        return None
    return {"before": empty[:place], "cells": cells, "after": empty[place:]}


def _by_line(line: Recipe, words: Sequence[Sequence[str]]) -> list[int]:
    """Return the prompt of words by a recipe of the kind "line"."""
    before, cells, after = line["before"], line["cells"], line["after"]
    assert isinstance(before, list) and isinstance(cells, list) and isinstance(after, list)
    typed = [cells[t][symbol] for t, word in enumerate(words) for symbol in word]
    return [*before, *typed, *after]


def _lengths(compiled: Compiled, trimmed: bool) -> list[dict[str, object]] | None:
    """Return the parts of a recipe of the kind "lengths", None where prompts are not of that kind.

    It ends with the length before the first that does not fit the tape.
    """
    machine = compiled.machine
    found: list[dict[str, object]] = []
    for length in range(LONGEST + 1):
        words = [_ending(machine, (symbol,) * length, trimmed) for symbol in machine.symbols]
        try:
            starts = [compiled.start(machine.initial([Tape(word)])) for word in words]
        except ConfigurationError:
            break
        prompts = [start.ids for start in starts]
        if len(set(map(len, prompts))) != 1 or len({start.origins for start in starts}) != 1:
            return None
        places = [i for i, ids in enumerate(zip(*prompts, strict=True)) if len(set(ids)) > 1]
        if len(places) > length:
            return None
        cells = [
            {word[i]: prompt[place] for word, prompt in zip(words, prompts, strict=True)}
            for i, place in enumerate(places)
        ]
        template = {"tokens": list(prompts[0]), "places": places, "cells": cells}
        if not _holds(compiled, template, length, trimmed):
            return None
        found.append({**template, "origins": list(starts[0].origins)})
    return found or None


def _ending(machine: Machine, word: tuple[str, ...], trimmed: bool) -> tuple[str, ...]:
    """Return a word whose last symbol, if it should be none, is not the blank."""
    if not (trimmed and word and word[-1] == machine.blank):
        return word
    other = next((symbol for symbol in machine.symbols if symbol != machine.blank), machine.blank)
    return (*word[:-1], other)


def _holds(compiled: Compiled, template: Recipe, length: int, trimmed: bool) -> bool:
    """Return whether words of all symbols, mixed, give the prompts that a template says."""
    symbols = compiled.machine.symbols
    tokens, places, cells = template["tokens"], template["places"], template["cells"]
    assert isinstance(tokens, list) and isinstance(places, list) and isinstance(cells, list)
    for shift in range(len(symbols)):
        word = tuple(symbols[(i * i + shift) % len(symbols)] for i in range(length))
        word = _ending(compiled.machine, word, trimmed)
        made = list(tokens)
        for place, of_cell, symbol in zip(places, cells, word, strict=False):
            if symbol not in of_cell:
                return False
            made[place] = of_cell[symbol]
        if made != _prompt(compiled, [word]):
            return False
    return True
