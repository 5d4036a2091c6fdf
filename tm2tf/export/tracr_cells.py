"""What the words of tracr's model mean: a window's cells, and how the next pass is spelled."""

from __future__ import annotations

from typing import Any

from tm2tf import constructions
from tm2tf.constructions.looped import EDGE, LEFT, RIGHT, YES, cell_token
from tm2tf.errors import ConfigurationError
from tm2tf.export.tracr_step import NAME, Step
from tm2tf.lowering.sops import Word
from tm2tf.lowering.tracr import BOS, numbered
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Configuration, Machine

HERE = "here"
"""Where the head is, from a cell: this, or it lies to the `left` or to the `right`."""

PLACES = {LEFT: LEFT, YES: HERE, RIGHT: RIGHT}


def cells(step: Step) -> dict[str, Any]:
    """Return `cells.json`.

    - `window`, `begin`, `edge`: an input is the word `begin`, so many words of cells, `edge`.
    - `cells`: for each word, the `symbol` there, where the `head` is from there ("here", "left",
      "right"), its `state` if it is here, the `outcome` if the run is over then, and how it can be
      `shown`. A word with neither symbol nor head is the edge, and what the last cells become when
      a head has left the window; one with one of the two comes up then alone.
    - `next`: for each word that comes out, the word to put in at the same place.
    - `start`: for each way to the head, the word of each symbol in a start, whose state is `state`.
    - `example`: the words of an example's window, and its `origin`, the address of the first one.
    """
    machine, words = step.machine, step.words()
    arrows = _arrows(step)
    return {
        "window": step.window,
        "begin": BOS,
        "edge": _word(step, EDGE),
        "cells": {
            word: _cell(machine, dict(zip(step.graph.names, value, strict=True)), arrows)
            for word, value in words.items()
        },
        "next": {
            number: numbered(step.graph.cell)[value]
            for value, number in numbered(step.graph.next_cell).items()
        },
        "start": {
            "state": machine.start,
            "words": {
                place: {s: _word(step, cell_token((s,), way)) for s in machine.symbols}
                for way, place in PLACES.items()
            },
        },
        "example": _example(step),
    }


def spelled(step: Step, configuration: Configuration) -> tuple[list[str], int]:
    """Return the words of a start's window, and the address of its first cell.

    Raises:
        ConfigurationError: its state is not the machine's start state, or it does not fit.
    """
    chosen = constructions.by_name(NAME)
    prompt = chosen.prompt(step.machine, configuration, step.options)
    return [_word(step, name) for name in prompt.tokens[1:-1]], prompt.origins[0]


def _word(step: Step, token: str) -> str:
    """Return tracr's word for a token of the program's."""
    (found,) = (t for t in step.program.tokens if t.name == token)
    return numbered(step.graph.cell)[step.graph.value(found)]


def _arrows(step: Step) -> dict[str, str]:
    """Return which way the head lies, for what `state` is where it is not."""
    named = {token.name: token for token in step.program.tokens}
    symbol = (step.machine.symbols[0],)
    return {str(named[cell_token(symbol, way)].values["state"]): way for way in (LEFT, RIGHT)}


def _cell(machine: Machine, held: dict[str, Word], arrows: dict[str, str]) -> dict[str, Any]:
    """Return what a cell means that holds a combination of features."""
    symbol, word = held["tape0.symbol"], held["state"]
    if word is None or symbol is None:
        shown = "|" if word is symbol else f"{symbol or ''}?"
        return {"symbol": symbol, "head": None, "state": None, "outcome": None, "shown": shown}
    if word in arrows:
        way = arrows[word]
        shown = f"<{symbol}" if way == LEFT else f"{symbol}>"
        return {"symbol": symbol, "head": way, "state": None, "outcome": None, "shown": shown}
    outcome = machine.outcome_of(word)
    if outcome is None and (word, (symbol,)) not in machine.transitions:
        outcome = UNDEFINED_OUTCOME[machine.undefined]
    shown = f"[{word} {symbol}]"
    return {"symbol": symbol, "head": HERE, "state": word, "outcome": outcome, "shown": shown}


def _example(step: Step) -> dict[str, Any]:
    """Return the first example of the machine that fits, else a blank tape."""
    starts = [(e.tapes, step.machine.initial(e.tapes)) for e in step.machine.examples]
    for given, start in [*starts, ((), step.machine.initial([]))]:
        try:
            words, origin = spelled(step, start)
        except ConfigurationError:
            continue
        contents = "".join(start.tapes[0].contents) if given else ""
        return {"input": contents, "origin": origin, "words": words}
    raise ConfigurationError(f"a blank start does not fit into {step.window} cells")
