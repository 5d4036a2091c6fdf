"""What every runtime offers, and how runs are decoded through labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.errors import BoundError, NotFoundError
from tm2tf.weights.model import Head, Readout, Weights

Memory: TypeAlias = dict[int, str]
"""The value that a lookup would find, by address."""


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """Tokens in the order emitted, and for each the probed features where it was emitted.

    Probes are integers: a feature's value, or for a categorical the index of its value
    (-1 if absent, -2 if the directions do not hold exactly one 1).
    """

    tokens: Int64[np.ndarray, " count"]
    probes: Int64[np.ndarray, "count features"]


class Runner(Protocol):
    """One sequence being generated, greedily."""

    name: str
    device: str
    attention: str

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome.

        Without `probe`, the probes are left out (no columns).

        Raises:
            BoundError: the run leaves the range in which the weights are exact.
        """
        ...

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        ...

    def streams(self) -> Float64[np.ndarray, "layers_and_one d_model"]:
        """Emit one more token; return that pass's residual stream, by layer, embedding first."""
        ...

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        ...


def probed(weights: Weights, features: Sequence[str]) -> list[Readout]:
    """Return the readouts of features by name."""
    known = {readout.feature.name: readout for readout in weights.readouts}
    for name in features:
        if name not in known:
            raise NotFoundError(f"the weights have no feature {name!r}")
    return [known[name] for name in features]


def beyond(weights: Weights, what: str, steps: int) -> BoundError:
    """Return the error for leaving a bound after `steps` tokens."""
    limit = getattr(weights.bounds, what)
    noun = {"position": "the context is longer than", "key": "a head went further than"}[what]
    return BoundError(
        f"after {steps:,} tokens {noun} {limit:,}, up to which target {weights.target!r} is "
        "exact in float64; stop earlier with --max-steps",
        bound=what,
    )


def decode_memory(
    weights: Weights,
    head: Head,
    addresses: Sequence[float] | np.ndarray,
    values: Float64[np.ndarray, "cells d_value"],
) -> Memory:
    """Return what values mean: the word whose direction the head's W_O would set to 1."""
    readout = next(r for r in weights.readouts if r.feature.name == head.name)
    word = {direction: value for value, direction in readout.values}
    written = {i: [word.get(d) for d, w in head.W_O.row(i) if w == 1.0] for i in range(len(word))}
    decoded: Memory = {}
    for address, row in zip(addresses, values, strict=True):
        held = [i for i in np.flatnonzero(row) if row[i] == 1.0]
        names = [name for i in held for name in written[int(i)] if name is not None]
        decoded[int(address)] = names[0] if len(names) == 1 else "?"
    return decoded
