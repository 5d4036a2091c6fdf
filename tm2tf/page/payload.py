"""What a page is given, as plain data: the weights with their labels, prompts, and examples.

The page computes everything it shows of a run from the tensors here. Labels give the names; the
texts of heads and neurons are those of `inspect`, which reads them off the tensors as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.compiler import Start as Begin
from tm2tf.constructions.looped import WINDOW
from tm2tf.errors import ConfigurationError, InputError, InternalError
from tm2tf.inspect.forms import Names
from tm2tf.inspect.heads import summary
from tm2tf.inspect.matching import Lookups
from tm2tf.inspect.neurons import neurons
from tm2tf.machine.simulator import run
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.page.prompts import recipe
from tm2tf.page.tensors import Json, tensors
from tm2tf.pictures.palette import hexadecimal, of_symbols
from tm2tf.program.program import Token
from tm2tf.runtime.rows import GROW
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Layer, Readout

WIDE = 8
"""Cells of a window in which a blank start has cells on both sides of its heads."""

WATCHED = 240
BRIEF, LENGTHY = 20, 2000
"""Steps of runs that are watched: 240 take a minute at 4 a second; under 20 show little."""


@dataclass(frozen=True, slots=True)
class Start:
    """A start that a page offers: its name in the list, and the configuration."""

    label: str
    configuration: Configuration
    note: str = ""


def payload(compiled: Compiled, starts: Sequence[Start]) -> Json:
    """Return what a page is given.

    Raises:
        InputError: the weights hold numbers that are not finite, or no start fits their tape.
    """
    weights = compiled.weights
    if not all(np.isfinite(_values(tensor)).all() for _, tensor in weights.tensors()):
        raise InputError("the weights hold numbers that are not finite: they are damaged")
    fitting = list(_fitting(compiled, starts))
    if not fitting:
        raise InputError(
            f"none of the {len(starts)} starts fits the tape that {compiled.machine.name!r} was "
            "compiled with; give another --input, or compile with a longer --tape"
        )
    return {
        "machine": _machine(compiled.machine),
        "model": _model(compiled),
        "prompts": recipe(compiled),
        "starts": [_start(start, begin) for start, begin in fitting],
        "opens": _opens(compiled.machine, [start for start, _ in fitting]),
    }


def of_examples(machine: Machine) -> list[Start]:
    """Return the starts of a machine's examples, those alike once; the blank tape if none."""
    found: dict[Configuration, Start] = {}
    for example in machine.examples:
        configuration = machine.initial(example.tapes)
        found.setdefault(
            configuration, Start(described(machine, configuration), configuration, example.note)
        )
    if not found:
        blank = machine.initial()
        return [Start(described(machine, blank), blank)]
    return list(found.values())


def described(machine: Machine, configuration: Configuration) -> str:
    """Return a start in one line: the words, and where they and the heads are if not at 0."""
    parts = []
    for tape in configuration.tapes:
        word = machine.join(tape.contents) or "(blank)"
        at = [f"from {tape.origin}"] if tape.contents and tape.origin else []
        at += [f"head at {tape.head}"] if tape.head else []
        parts.append(word + (f" ({', '.join(at)})" if at else ""))
    return " | ".join(parts)


def _fitting(compiled: Compiled, starts: Sequence[Start]) -> Iterator[tuple[Start, Begin]]:
    """Yield the starts that the weights can be put into, with their prompts."""
    for start in starts:
        try:
            yield start, compiled.fitting_start(start.configuration)
        except ConfigurationError:  # it does not fit a bounded tape
            continue


def _start(start: Start, begin: Begin) -> Json:
    return {
        "label": start.label,
        "note": start.note,
        "prompt": list(begin.ids),
        "origins": list(begin.origins),
        "tapes": [
            {"contents": list(tape.contents), "origin": tape.origin, "head": tape.head}
            for tape in start.configuration.tapes
        ],
    }


def _opens(machine: Machine, starts: Sequence[Start]) -> int:
    """Return which start a page opens with: the longest run of up to `WATCHED` steps.

    If that is shorter than `BRIEF`, or there is none, the shortest of the longer runs, up to
    `LENGTHY` steps; else the first.
    """
    ended = [run(machine, start.configuration, LENGTHY) for start in starts]
    steps = {i: it.steps for i, it in enumerate(ended) if it.outcome != "step-limit"}
    watched = [i for i in steps if steps[i] <= WATCHED]
    longer = [i for i in steps if steps[i] > WATCHED]
    best = max(watched, key=lambda i: steps[i], default=None)
    if longer and (best is None or steps[best] < BRIEF):
        best = min(longer, key=lambda i: steps[i])
    return best or 0


def _machine(machine: Machine) -> Json:
    colours = of_symbols(machine.symbols, machine.blank)
    outcomes = {state: machine.outcome_of(state) for state in machine.states}
    return {
        "name": machine.name,
        "description": machine.description,
        "tapes": machine.tapes,
        "states": list(machine.states),
        "start": machine.start,
        "symbols": list(machine.symbols),
        "blank": machine.blank,
        "colours": [hexadecimal(colours[symbol]) for symbol in machine.symbols],
        "outcomes": {state: outcome for state, outcome in outcomes.items() if outcome},
    }


def _model(compiled: Compiled) -> object:
    weights = compiled.weights
    lookups = Lookups(weights, Names(weights))
    named = {
        "construction": weights.construction,
        "view": compiled.construction.view,
        "directions": list(weights.directions),
        "features": [_feature(readout) for readout in weights.readouts],
        "tokens": [_token(compiled, token) for token in weights.tokens],
        "layers": [_named_layer(lookups, i, layer) for i, layer in enumerate(weights.layers)],
        **({"blanks": _blanks(compiled)} if weights.W_loop is not None else {}),
    }
    return _merged(named, tensors(weights))


def _blanks(compiled: Compiled) -> Json:
    """Return the tokens of blank cells to the left and to the right of all heads.

    They are the outermost cells of a blank start in a window that leaves room on both sides.
    """
    ids = compiled.start(compiled.machine.initial(), **{WINDOW.name: WIDE}).ids
    return {"left": ids[1], "right": ids[-2]}


def _token(compiled: Compiled, token: Token) -> Json:
    """Return a token, with the machine step or the cell that it says, in the machine's words."""
    naming, k = compiled.naming, compiled.machine.tapes
    found: Json = {"name": token.name, "role": token.role, "outcome": token.outcome}
    if token.role == "step":
        found["step"] = {
            "state": naming.state(str(token.values.get("state"))),
            "writes": [naming.symbol(str(token.values.get(f"tape{t}.write"))) for t in range(k)],
            "moves": [token.values.get(f"tape{t}.move", 0) for t in range(k)],
        }
    if token.role == "cell" and compiled.construction.view == "rows":
        state = token.values.get("state")
        found["cell"] = {
            "symbol": naming.symbol(str(token.values.get("tape0.symbol"))),
            "state": None if state is None else naming.state(str(state)),
            "grows": token.values.get(GROW) == -1,
        }
    return found


def _feature(readout: Readout) -> Json:
    """Return the directions that a feature is read from."""
    directions = [d for _, d in (*readout.values, *readout.terms)]
    return {"name": readout.feature.name, "directions": directions}


def _named_layer(lookups: Lookups, number: int, layer: Layer) -> Json:
    """Return what a layer, its heads and its neurons are called, and what they do in words."""
    heads = [summary(lookups, number, index) for index in range(len(layer.heads))]
    texts = [neuron.text for neuron in neurons(lookups.weights, lookups.names, number)]
    return {
        "purpose": layer.purpose,
        "heads": [{"name": it.name, "attends": it.attends, "brings": it.brings} for it in heads],
        "mlp": {"names": list(layer.feed_forward.neurons), "texts": texts},
    }


def _merged(one: object, other: object) -> object:
    """Return nested data with the entries of both, where neither has an entry of the other."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = one.keys() & other.keys()
        return {**one, **other, **{key: _merged(one[key], other[key]) for key in both}}
    if isinstance(one, list) and isinstance(other, list):
        return [_merged(left, right) for left, right in zip(one, other, strict=True)]
    raise InternalError(f"two values in one place: {one!r}, {other!r}")


def _values(tensor: Matrix | np.ndarray) -> np.ndarray:
    return tensor.values if isinstance(tensor, Matrix) else tensor
