"""Where weights and program part: the first pass, layer and feature that differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tm2tf.compiler import Compiled, Start
from tm2tf.program.features import Categorical, Distribution, Value
from tm2tf.program.interpreter import Interpreter, Values, resumed
from tm2tf.program.looped_interpreter import LoopedInterpreter
from tm2tf.runtime.told import Follower
from tm2tf.weights.model import Readout, Weights

if TYPE_CHECKING:
    from tm2tf.verify.reader import Mismatch

SEARCHED = 20_000
"""Positions searched from the beginning for the first difference; about three seconds."""

_BLOCK = 256
"""Positions fed to the torch model at once: its scores then take 256 * 20,000 * 8 bytes, 41 MB."""


@dataclass(frozen=True, slots=True)
class Divergence:
    """Where the weights and the machine part first.

    `step` counts from 1 (0: in the prompt); `layer` and `feature` say where in the weights.
    """

    step: int
    layer: str
    feature: str
    expected: str
    got: str


def locate(follower: Follower, first: int, mismatch: Mismatch, searched: int) -> Divergence:
    """Return the earliest difference that led to a mismatch seen `mismatch.row` after `first`.

    The program's interpreter and the plain torch model read the same tokens, up to the pass in
    which the mismatch was seen, and every feature is compared at every position. What was seen is
    returned as it is if it lies beyond `searched` positions, or if all features are right (then the
    unembedding, or a runtime, is at fault).
    """
    compiled = follower.compiled
    readouts = {readout.feature.name: readout for readout in compiled.weights.readouts}
    seen = mismatch.feature
    if seen in readouts and not seen.startswith("next."):
        layer = _layer_name(readouts[seen].layer)
    else:
        layer = "unembedding"
    looped = compiled.construction.view == "cells"
    length = len(follower.begin.ids)
    if (length * (mismatch.at + 1) if looped else length + mismatch.at) <= searched:
        look = _differences_in_a_loop if looped else _differences
        for step, readout, want, got in look(compiled, follower.begin, mismatch.at):
            return Divergence(step, _layer_name(readout.layer), readout.feature.name, want, got)
    step = first + mismatch.row + 1
    return Divergence(step, layer, seen, mismatch.expected, mismatch.got)


def _layer_name(layer: int) -> str:
    return "embedding" if layer < 0 else f"layer {layer}"


@dataclass
class _Context:
    """Tokens fed from position 1 on; for each the features after it, and the step it belongs to."""

    fed: list[str]
    features: list[Values]
    steps: list[int]


def _contexts(compiled: Compiled, begin: Start, last: int) -> list[_Context]:
    """Return the contexts that the interpreter goes through up to pass `last`, from 0."""
    program = compiled.program
    roles = {token.name: token.role for token in program.tokens}
    interpreter, step, emitted = Interpreter(program), 0, ""
    prompt = [compiled.weights.tokens[number].name for number in begin.ids]
    contexts = [_Context([], [], [])]
    waiting, number = prompt, -1
    while number < last:
        for place, name in enumerate(waiting):
            emitted = interpreter.feed(name)
            if step == 0 and place == len(prompt) - 1:
                step = 1
            contexts[-1].fed.append(name)
            contexts[-1].features.append(interpreter.values)
            contexts[-1].steps.append(step)
        number += 1
        step += roles[emitted] in ("step", "row")
        waiting = [emitted]
        if roles[emitted] == "cut":
            waiting = resumed([*contexts[-1].fed, emitted], program)
            interpreter = Interpreter(program)
            contexts.append(_Context([], [], []))
    return contexts


def _differences(
    compiled: Compiled, begin: Start, last: int
) -> Iterator[tuple[int, Readout, str, str]]:
    """Yield each differing feature by step, position and layer, up to pass `last`."""
    readouts = sorted(compiled.weights.readouts, key=lambda readout: readout.layer)
    for context in _contexts(compiled, begin, last):
        for place, streams in enumerate(_streams(compiled.weights, context.fed)):
            for readout in readouts:
                want = _words(readout, context.features[place][readout.feature.name])
                got = _read(readout, streams[readout.layer + 1])
                if want != got:
                    yield context.steps[place], readout, want, got


def _differences_in_a_loop(
    compiled: Compiled, begin: Start, last: int
) -> Iterator[tuple[int, Readout, str, str]]:
    """Yield each differing feature of a looped model by pass, layer and position.

    Weights with a table of positions hold nothing at the begin token, whatever the program has.
    """
    import torch

    from tm2tf.runtime.looped import LoopedTransformer

    readouts = sorted(compiled.weights.readouts, key=lambda readout: readout.layer)
    names = [compiled.weights.tokens[number].name for number in begin.ids]
    first = 0 if compiled.weights.W_positions is None else 1
    interpreter, model = (
        LoopedInterpreter(compiled.program, names),
        LoopedTransformer(compiled.weights),
    )
    model.begin(torch.tensor([begin.ids]))
    for number in range(last + 1):
        interpreter.step()
        model()
        for readout in readouts:
            rows = model.stream[readout.layer + 1][0].numpy()
            for values, x in zip(interpreter.values[first:], rows[first:], strict=True):
                want, got = _words(readout, values[readout.feature.name]), _read(readout, x)
                if want != got:
                    yield number + 1, readout, want, got


def _streams(weights: Weights, tokens: list[str]) -> Iterator[np.ndarray]:
    """Yield the residual stream `[layers + 1, d_model]` of the torch model at each position."""
    import torch

    from tm2tf.runtime.model import Transformer

    model, ids = Transformer(weights), weights.ids()
    for begin in range(0, len(tokens), _BLOCK):
        block = [ids[token] for token in tokens[begin : begin + _BLOCK]]
        model(torch.tensor([block]))
        stacked = np.stack([x[0].numpy() for x in model.stream], axis=1)
        yield from stacked


def _words(readout: Readout, value: Value) -> str:
    if isinstance(value, tuple):
        return _shares(readout, map(float, value))
    return "absent" if value is None else str(value)


def _shares(readout: Readout, shares: Iterable[float]) -> str:
    """Return the shares above 0, each with all of its digits: equal only if they are the same."""
    pairs = zip(readout.values, shares, strict=True)
    return ", ".join(f"{word} {share!r}" for (word, _), share in pairs if share) or "absent"


def _read(readout: Readout, x: np.ndarray) -> str:
    if isinstance(readout.feature, Distribution):
        return _shares(readout, readout.shares(x).tolist())
    number = readout.read(x)
    if not isinstance(readout.feature, Categorical):
        return str(number)
    if number >= 0:
        return readout.values[number][0]
    return "absent" if number == -1 else "unclear"
