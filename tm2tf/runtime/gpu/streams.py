"""A stream: the run of one sequence that stands on the CPU, or makes its passes on the GPU.

On the CPU it is a `PartialRunner`, which feeds the prompt, whatever tokens the kernel does not
take, and the last one. In between it is a row of a batch: see `jobs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int64, UInt16

from tm2tf.runtime.gpu.tables import Tables
from tm2tf.runtime.kernel import KernelRunner
from tm2tf.runtime.partial.runner import PartialRunner
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.runner import Emitted, Skipped
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.weights.model import Weights

NONE = np.zeros(0, dtype=np.int64)

FIRST_CELLS = 256
"""Cells of a stream on the GPU at first."""

GROWTH = 4
"""By how much they grow when they must: a stream that visits n cells is moved log_4(n / 256) times,
and has at most four times the cells that it needs, twice over as the tape is kept centred."""


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """How a stream stands on the GPU, its last token fed. T lookups.

    Attributes:
        cells: the class of the value at each place; place 0 is the address `lowest`.
        places: the present ones.
        last: the token fed last.
    """

    cells: UInt16[np.ndarray, "T size"]
    lowest: int
    places: Int64[np.ndarray, " T"]
    last: int


@dataclass(frozen=True, slots=True, eq=False)
class Left:
    """How a stream left the GPU.

    Attributes:
        count: how many tokens it emitted there.
        last, stood: the last of them, and the one before that (-1: not known).
        fed: whether the last one was fed.
        asked: the row that it could not go on without: -1 if none, -2 if the candidates do not
            settle what follows.
    """

    cells: UInt16[np.ndarray, "T size"]
    places: Int64[np.ndarray, " T"]
    count: int
    last: int
    stood: int
    fed: bool
    asked: int = -1


class Stream(PartialRunner):
    """A run that can be moved to the GPU and back. See `runner.Runner` for the methods.

    Raises:
        Unfit: the kernel cannot take the weights or the prompt; from `advance` and `settle`, what
            comes next.
    """

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str],
        tables: Tables,
    ) -> None:
        super().__init__(weights, prompt, probes, tables.rows.name)
        self._kernel = tables.rows  # what is learnt here, the device need not ask for
        self.unread = 0
        self._tail = -1  # the last token that the GPU emitted
        self._begun = 0  # the address of place 0 on the GPU

    def room(self) -> int:
        """Return how many tokens fit into the context: what can be emitted from here on."""
        return self.weights.bounds.position - self._context.length + self._fed

    def stand(self, least: int = FIRST_CELLS) -> Standing | None:
        """Feed what is pending; return how the stream stands, in `least` cells or more.

        None: addresses are too close to their bound for the GPU, which does not watch it.

        Raises:
            BoundError: the stream leaves the range in which the weights are exact.
        """
        if not self._fed:
            self._feed()
        used = np.flatnonzero((self._cells != self._floors[:, None]).any(axis=0))
        ends = np.concatenate([used, self._places.astype(np.int64)])
        low, high = int(ends.min()), int(ends.max()) + 1
        size = least
        while size < 2 * (high - low + 2 * self._moves.reach):
            size *= GROWTH
        begin = (low + high - size) // 2
        if max(-(begin + self._lowest), begin + self._lowest + size) > self._bound:
            return None
        cells = np.repeat(self._floors.astype(np.uint16)[:, None], size, axis=1)
        cells[:, low - begin : high - begin] = self._cells[:, low:high]
        self._begun = begin + self._lowest
        return Standing(cells, self._begun, self._places.astype(np.int64) - begin, self._last)

    def take(self, left: Left) -> None:
        """Go on here from how the stream left the GPU."""
        self._cells, self._lowest = left.cells, self._begun
        self._places = left.places.astype(np.uint64)
        if not left.count:
            return
        fed = left.count - (not left.fed)
        self._context.feed(fed)
        self._moved |= fed > 0
        self._stood = left.stood if left.count > 1 and left.stood >= 0 else self._last
        self._fed = left.fed
        if left.fed:
            self._last, self._pending = left.last, NONE
        else:
            self._pending = np.array([left.last])
        self._tail = left.last
        self.emitted += left.count
        self.unread += left.count

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them: first those that the GPU emitted."""
        if not self.unread:
            return super().skip(count, through)
        done, self.unread = self.unread, 0
        return Skipped(done, self._stood, self._tail)


class StreamRunner(KernelRunner):
    """A run that makes its passes on the GPU while it can, else through a kernel on the CPU.

    Attributes:
        last: the token emitted last; -1 before any.
    """

    def __init__(
        self, weights: Weights, prompt: Sequence[int], probes: Sequence[str], tables: Tables
    ) -> None:
        self._tables = tables
        self.device = tables.device
        self.last = -1
        super().__init__(weights, prompt, probes, tables.rows.name)

    def _begin(self, kernel: str) -> PartialRunner | SparseRunner:
        if kernel != self._tables.rows.name:
            self.device = "cpu"
            return super()._begin(kernel)
        self.kernel = kernel
        try:
            return Stream(*self._given, self._tables)
        except Unfit as unfit:
            return self._begin_next(unfit)

    @property
    def stream(self) -> Stream | None:
        """The stream that can be moved to the GPU; None if the CPU has taken over."""
        return self._runner if isinstance(self._runner, Stream) else None

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them. See `runner.Runner`."""
        skipped = super().skip(count, through)
        self.last = self.last if skipped is None else skipped.last
        return skipped

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome."""
        emitted = super().advance(count, probe=probe)
        self.last = int(emitted.tokens[-1]) if len(emitted.tokens) else self.last
        return emitted
