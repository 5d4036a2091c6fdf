"""What every runtime offers, and how runs are decoded through labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float64, Int64, UInt16, UInt32

from tm2tf.errors import ArtifactError, BoundError, InputError, NotFoundError
from tm2tf.runtime.memory import Memory
from tm2tf.weights.model import Readout, Weights

KERNELS, DEFAULT = ("dense", "sparse", "evaluated", "folded"), "evaluated"
"""The kernels of the runtime "kernel", from the most general on; see `runtime.kernel`."""

DTYPES = {"float64": 53, "float32": 24, "bfloat16": 8, "float16": 11}
"""The floating-point formats that torch computes in, with their significant bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Emitted:
    """Tokens in the order emitted, and for each the probed features where it was emitted.

    Probes are integers: a feature's value, or for a categorical the index of its value
    (-1 if absent, -2 if the directions do not hold exactly one 1).
    """

    tokens: Int64[np.ndarray, " count"]
    probes: Int64[np.ndarray, "count features"]


@dataclass(frozen=True, slots=True, eq=False)
class Probe:
    """Where a probed feature is found.

    Attributes:
        lookup: the lookup that brings it; -1: it depends on the token alone (or is an integer).
        table: by the class of what was found, or by the token.
        ratios: for integers, what each address counts in it; then `table` has the rest.
    """

    lookup: int
    table: Int64[np.ndarray, " values"]
    ratios: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """What happened at each pass of a run, where features depend on little.

    Attributes:
        standing: the token at which the first pass stood; the others stand at the one emitted last.
        tokens: what they emitted.
        addresses: what each lookup asked for; `found`: the class of what it brought.
        odd: whether others than plain tokens may stand among them.
    """

    standing: int
    tokens: UInt32[np.ndarray, " count"]
    addresses: Int64[np.ndarray, "count lookups"]
    found: UInt16[np.ndarray, "count lookups"]
    odd: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """Tokens emitted and not listed: how many, the last one, and where that one's pass stood."""

    count: int
    stood: int
    last: int


class Runner(Protocol):
    """One sequence being generated, greedily.

    An emitted token with the role "cut" is not fed after the others: the context begins anew,
    with the first token and then all from the last "summary" token to the cut. Whatever came
    before is forgotten, and positions count from 1 again.
    """

    name: str
    device: str

    @property
    def kernel(self) -> str | None:
        """The kernel that runs (None: there is one way only)."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it is another one than was asked for."""
        ...

    @property
    def attention(self) -> str:
        """How lookups are evaluated."""
        ...

    @property
    def context(self) -> int:
        """The tokens fed in the present context."""
        ...

    @property
    def peak_context(self) -> int:
        """The tokens fed in the longest context so far."""
        ...

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome.

        Without `probe`, the probes are left out (no columns).

        Raises:
            BoundError: the run leaves the range in which the weights are exact.
            ArtifactError: a token cuts a context that holds no summary.
        """
        ...

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them.

        It stops behind a token that is not among `through`, or has an outcome. None, having done
        nothing, where they must be listed.
        """
        ...

    def record(
        self, count: int, plain: Bool[np.ndarray, " d_vocab"]
    ) -> tuple[Record, tuple[Probe, ...]] | None:
        """Emit as `advance` does; return what happened, and where each probed feature is in it.

        It stands until the next call. None, having done nothing, where features are read off the
        residual stream.
        """
        ...

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        ...

    def streams(self) -> Float64[np.ndarray, "layers_and_one d_model"]:
        """Emit one more token; return that pass's residual stream, by layer, embedding first."""
        ...

    def cases(self) -> dict[tuple[int, int], int] | None:
        """Return how often a token stood where a class of values was found.

        By one of the tokens that lead to the same there, and the class. None if it was not counted.
        """
        ...

    @property
    def read_by(self) -> tuple[Probe, ...]:
        """Where each probed feature is found, if not in the residual stream (then none)."""
        ...

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        ...


class Context:
    """What was fed since the context began: how much, and which tokens if any can cut it."""

    def __init__(self, weights: Weights) -> None:
        roles = [token.role for token in weights.tokens]
        self.cuts = [role == "cut" for role in roles]
        self.length = self.peak = 0
        self._opens = [role == "summary" for role in roles]
        self._names = [token.name for token in weights.tokens]
        self._keeps = any(self.cuts)
        self._ids: list[int] = []

    def feed(self, count: int, *given: Sequence[int] | np.ndarray) -> None:
        """Note that the first `count` of these tokens were fed."""
        self.length += count
        self.peak = max(self.peak, self.length)
        if self._keeps:
            self._ids += np.concatenate(given)[:count].tolist()

    def reset(self) -> None:
        """Forget the present context, but not how long the longest was."""
        self.length, self._ids = 0, []

    def cut(self, token: int) -> list[int]:
        """Begin anew, as `token` was emitted; return the tokens to be fed first.

        Raises:
            ArtifactError: there is no summary.
        """
        summary = next((i for i in reversed(range(self.length)) if self._opens[self._ids[i]]), None)
        if summary is None:
            raise ArtifactError(
                f"{self._names[token]!r} was emitted, which ends a summary, and no token of the "
                f"{self.length:,} before it begins one: the weights are damaged or foreign "
                "(tm2tf verify shows where they part)"
            )
        following = [self._ids[0], *self._ids[summary:], token]
        self.reset()
        return following


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


def check_dtype(weights: Weights, dtype: str) -> None:
    """Refuse a floating-point format that is unknown or cannot hold what the weights compute.

    Raises:
        NotFoundError: it is none of `DTYPES`.
        InputError: it has too few significant bits.
    """
    if dtype not in DTYPES:
        raise NotFoundError(f"unknown dtype {dtype!r}; known: {', '.join(DTYPES)}")
    needed = weights.bounds.bits
    if DTYPES[dtype] < needed:
        enough = [name for name, bits in DTYPES.items() if bits >= needed]
        raise InputError(
            f"{dtype} has {DTYPES[dtype]} significant bits, and target {weights.target!r} is "
            f"exact from {needed} on; take {' or '.join(enough)}"
        )
