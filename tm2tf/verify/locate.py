"""Where weights and program part: the first position, layer and feature that differ."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.machine.spec import Configuration
from tm2tf.program.features import Categorical
from tm2tf.program.interpreter import Interpreter
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


def locate(
    compiled: Compiled, start: Configuration, first: int, mismatch: Mismatch, searched: int
) -> Divergence:
    """Return the earliest difference that led to a mismatch seen `mismatch.row` after `first`.

    The program's interpreter and the plain torch model read the same tokens, up to the pass in
    which the mismatch was seen, and every feature is compared at every position. What was seen is
    returned as it is if it lies beyond `searched` positions, or if all features are right (then the
    unembedding, or a runtime, is at fault).
    """
    at = first + mismatch.row
    readouts = {readout.feature.name: readout for readout in compiled.weights.readouts}
    seen = mismatch.feature
    if seen in readouts and not seen.startswith("next."):
        layer = _layer_name(readouts[seen].layer)
    else:
        layer = "unembedding"
    prompt = [compiled.weights.tokens[i].name for i in compiled.prompt(start)]
    if len(prompt) + at <= searched:
        for position, readout, want, got in _differences(compiled, prompt, at):
            step = max(0, position - len(prompt) + 1)
            return Divergence(step, _layer_name(readout.layer), readout.feature.name, want, got)
    return Divergence(at + 1, layer, seen, mismatch.expected, mismatch.got)


def _layer_name(layer: int) -> str:
    return "embedding" if layer < 0 else f"layer {layer}"


def _differences(
    compiled: Compiled, prompt: list[str], steps: int
) -> Iterator[tuple[int, Readout, str, str]]:
    """Yield each differing feature, by position (from 1) and layer, up to the pass of `steps`."""
    interpreter = Interpreter(compiled.program)
    readouts = sorted(compiled.weights.readouts, key=lambda readout: readout.layer)
    token = ""
    fed: list[str] = []
    expected: list[dict[str, str | int | None]] = []
    for position in range(len(prompt) + steps):
        fed.append(prompt[position] if position < len(prompt) else token)
        token = interpreter.feed(fed[-1])
        expected.append(interpreter.values)
    for position, streams in enumerate(_streams(compiled.weights, fed)):
        for readout in readouts:
            want = _words(readout, expected[position][readout.feature.name])
            got = _read(readout, streams[readout.layer + 1])
            if want != got:
                yield position + 1, readout, want, got


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


def _words(readout: Readout, value: str | int | None) -> str:
    return "absent" if value is None else str(value)


def _read(readout: Readout, x: np.ndarray) -> str:
    number = readout.read(x)
    if not isinstance(readout.feature, Categorical):
        return str(number)
    if number >= 0:
        return readout.values[number][0]
    return "absent" if number == -1 else "unclear"
