"""Runs that lanes can take over for a while."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Bool

from tm2tf.runtime.partial.kernels import KERNELS, Kernel
from tm2tf.runtime.partial.lanes import Lent, Returned, takes
from tm2tf.runtime.partial.runner import NONE, PartialRunner
from tm2tf.runtime.partial.tables import parts
from tm2tf.runtime.runner import Skipped
from tm2tf.weights.model import Weights

Kernels = Callable[[str, Weights, tuple[str, ...]], Kernel]


def own_kernel(name: str, weights: Weights, probes: tuple[str, ...]) -> Kernel:
    """Return a fast kernel that nobody else uses: for one thread.

    Raises:
        Unfit: it cannot take these weights.
    """
    return KERNELS[name](parts(weights, probes))


class LendingRunner(PartialRunner):
    """A run through a fast kernel that can go on elsewhere, and come back."""

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str],
        kernel_name: str,
        kernels: Kernels,
    ) -> None:
        self._kernels = kernels
        super().__init__(weights, prompt, probes, kernel_name)
        self._untold = 0  # passes made elsewhere of which nobody has heard
        self._listed = True  # whether all that is emitted must be listed

    def _taken(self, kernel_name: str) -> Kernel:
        return self._kernels(kernel_name, self.weights, self.probes)

    @property
    def can_lend(self) -> bool:
        """Whether lanes can take it at all."""
        one = len(self._places) == 1 and self._kernel.name == "folded"
        return one and not self._listed and takes(self._kernel)

    def lend(self) -> Lent | None:
        """Return the run as a lane takes it; None if there is no room around its place.

        The last token is fed for it.

        Raises:
            BoundError, Unfit: the last token cannot be fed.
        """
        self._feed()
        self._widen()
        window, place = self._window(), int(self._places[0])
        if not int(window.low) <= place < int(window.high):
            return None
        return Lent(
            kernel=self._kernel,
            cells=self._cells[0],
            place=place,
            low=int(window.low),
            high=int(window.high),
            token=self._last,
            most=self.weights.bounds.position - self._context.length,
        )

    def come_back(self, returned: Returned) -> None:
        """Go on where a lane has come to."""
        self._cells[0] = returned.cells
        self._places[0] = returned.place
        self._last, self._pending, self._fed = returned.token, NONE, True
        self._moved |= returned.passes > 0
        self._context.feed(returned.passes)
        self.emitted += returned.passes
        self._untold += returned.passes

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them, first those emitted elsewhere."""
        if not self._untold:
            skipped = super().skip(count, through)
            self._listed = skipped is None
            return skipped
        count = min(count, self._untold)
        self._untold -= count
        # tokens that lanes emit end nothing, and are of one kind: which stood does not matter
        return Skipped(count, self._last, self._last)
