"""The runtime on the CPU: one of four kernels, the fastest that weights are fit for.

- `dense`: every weight meets every number, zeros too;
- `sparse`: zeros are skipped; heads that look up addresses have an index;
- `evaluated`: sums of addresses are kept as integers; behind the lookups, the neurons that can fire
  and the logits are computed at every pass;
- `folded`: what emerges behind the lookups is computed once for each case, and remembered.

All of them are made of tensors and the kinds of heads alone, and emit the same tokens. The latter
two (`partial`) check what weights must be like for that; where they are not, or no longer in the
middle of a run, the next general kernel takes over, and `reason` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Bool, Float64

from tm2tf.runtime.memory import Memory
from tm2tf.runtime.partial.runner import PartialRunner
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.runner import DEFAULT, KERNELS, Emitted, Probe, Record, Skipped
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.weights.model import Weights

REPEATED = 2**20
"""Tokens emitted at once where a run is repeated on another kernel: some ten MB."""

Answer = TypeVar("Answer")


class KernelRunner:
    """A run of one sequence through a kernel. See `runner.Runner` for the methods.

    Attributes:
        kernel: the kernel that runs; `asked`: the one that was asked for.
        reason: why it is another one; None if it is not.
        counting: whether cases are counted, where the kernel can.
    """

    name = "kernel"
    device = "cpu"

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str] = (),
        kernel: str = DEFAULT,
        counting: bool = False,
    ) -> None:
        self.asked = self.kernel = kernel
        self._given = (weights, tuple(prompt), tuple(probes))
        self._counting = counting
        self.reason: str | None = None
        self._runner = self._begin(kernel)

    def _begin(self, kernel: str) -> PartialRunner | SparseRunner:
        """Return a runner at the end of the prompt: of this kernel, or the next general one."""
        self.kernel = kernel
        if kernel in ("dense", "sparse"):
            return SparseRunner(*self._given, dense=kernel == "dense")
        try:
            return PartialRunner(*self._given, kernel, self._counting)
        except Unfit as unfit:
            return self._begin_next(unfit)

    def _begin_next(self, unfit: Unfit) -> PartialRunner | SparseRunner:
        self.reason = str(unfit) if self.reason is None else self.reason
        return self._begin(KERNELS[KERNELS.index(self.kernel) - 1])

    def _try(self, ask: Callable[[PartialRunner | SparseRunner], Answer]) -> Answer:
        """Return what the runner answers; if it cannot go on, from the next one, at that place."""
        emitted = self._runner.emitted
        while True:
            try:
                while self._runner.emitted < emitted:
                    left = emitted - self._runner.emitted
                    self._runner.advance(min(left, REPEATED), probe=False)
                return ask(self._runner)
            except Unfit as unfit:
                self._runner = self._begin_next(unfit)

    @property
    def attention(self) -> str:
        """How lookups are evaluated."""
        return self._runner.attention

    @property
    def context(self) -> int:
        """The tokens fed in the present context."""
        return self._runner.context

    @property
    def peak_context(self) -> int:
        """The tokens fed in the longest context so far."""
        return self._runner.peak_context

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome."""
        return self._try(lambda runner: runner.advance(count, probe=probe))

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them. See `Runner`."""
        return self._try(lambda runner: runner.skip(count, through))

    def record(
        self, count: int, plain: Bool[np.ndarray, " d_vocab"]
    ) -> tuple[Record, tuple[Probe, ...]] | None:
        """Emit as `advance` does; return what happened. See `Runner`."""
        return self._try(lambda runner: _record(runner, count, plain))

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        return self._try(lambda runner: runner.settle())

    def streams(self) -> Float64[np.ndarray, "layers_and_one d_model"]:
        """Emit one more token; return that pass's residual stream, by layer, embedding first."""
        return self._try(_streams)

    def cases(self) -> dict[tuple[int, int], int] | None:
        """Return how often a token stood where a value was found. See `PartialRunner`."""
        return None if isinstance(self._runner, SparseRunner) else self._runner.cases()

    @property
    def read_by(self) -> tuple[Probe, ...]:
        """Where each probed feature is found, if not in the residual stream (then none)."""
        return () if isinstance(self._runner, SparseRunner) else self._runner.read_by

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        return self._runner.memory(head)


def _record(
    runner: PartialRunner | SparseRunner, count: int, plain: Bool[np.ndarray, " d_vocab"]
) -> tuple[Record, tuple[Probe, ...]] | None:
    if isinstance(runner, SparseRunner):
        return None
    return runner.record(count, plain), runner.read_by


def _streams(runner: PartialRunner | SparseRunner) -> np.ndarray:
    if isinstance(runner, PartialRunner):
        raise Unfit("residual streams are asked for")
    return runner.streams()
