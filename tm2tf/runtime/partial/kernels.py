"""The tables of the two fast kernels, which fill as cases occur, and the calls of their loops."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt16, UInt32, UInt64

from tm2tf.runtime.partial import loops, wide
from tm2tf.runtime.partial.back import picked, product
from tm2tf.runtime.partial.candidates import candidates
from tm2tf.runtime.partial.loops import FAR, STOP, SWEEP, UNKNOWN
from tm2tf.runtime.partial.settling import SLACK, TIED, fold, settle
from tm2tf.runtime.partial.tables import Parts, parts
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.weights.model import Weights

MOST_CASES = 2**20
"""Cases that the folded kernel remembers, at most: a hundred MB with all their columns."""


class Window(NamedTuple):
    """Where the loops may go: places from `low` to below `high`, and `guard` beyond either.

    `lowest` is the address of place 0 (two's complement).
    """

    lowest: np.uint64
    low: np.uint64
    high: np.uint64
    reach: np.uint64
    guard: np.uint64


class Recorded(NamedTuple):
    """Room for what happens at each pass (none: not recorded): the token, addresses, classes."""

    tokens: UInt32[np.ndarray, " count"]
    addresses: Int64[np.ndarray, "count T"]
    found: UInt16[np.ndarray, "count T"]

    @staticmethod
    def of(count: int, lookups: int) -> Recorded:
        """Return room for so many passes."""
        return Recorded(
            np.zeros(count, dtype=np.uint32),
            np.zeros((count, lookups), dtype=np.int64),
            np.zeros((count, lookups), dtype=np.uint16),
        )

    def behind(self, passes: int) -> Recorded:
        """Return the room behind so many passes."""
        return Recorded(*(column[passes:] for column in self))


class Went(NamedTuple):
    """What a loop did: see `loops`."""

    emitted: int
    pending: int
    fed: bool
    status: int
    case: int
    stood: int
    swept: int

    @staticmethod
    def of(emitted: Any, last: Any, fed: Any, *others: Any) -> Went:
        """Return what a loop returned, but for the places."""
        status, case, stood, swept = map(int, (*others, 0)[:4])
        return Went(int(emitted), int(last), bool(fed), status, case, stood, swept)


class Kernel(ABC):
    """Tables by case, or by candidate: what is emitted there, and what its token then does."""

    name: str

    def __init__(self, whole: Parts, rows: int) -> None:
        self.parts = whole
        moves = whole.moves
        width = moves.shift.shape[1]
        self.token = np.zeros(rows, dtype=np.uint64)
        self.goes = np.full(rows, UNKNOWN, dtype=np.uint64)
        self.side = np.zeros(rows * width, dtype=np.uint64)
        self.moved = np.zeros(rows * width, dtype=np.uint64)
        self.wrote = np.zeros(rows * width, dtype=np.uint64)
        self.keeps = np.zeros(rows * width, dtype=np.uint16)
        self.state = whole.back.states.of.astype(np.uint64)
        self.arrays = whole.back.arrays()
        self._flat = (
            np.ascontiguousarray(moves.shift).ravel(),
            np.ascontiguousarray(moves.write).ravel(),
            np.ascontiguousarray(moves.kept).ravel(),
            moves.fits,
        )
        self._sides = np.ascontiguousarray(moves.sides).ravel()

    def _note(self, row: int, token: int, goes: np.uint64) -> None:
        """Enter what is emitted in a row, and that the next pass goes on there."""
        moves = self.parts.moves
        width = moves.shift.shape[1]
        part = slice(row * width, (row + 1) * width)
        self.token[row] = token
        self.side[part] = moves.sides[token]
        self.moved[part] = moves.shift[token]
        self.wrote[part] = moves.write[token]
        self.keeps[part] = moves.kept[token]
        self.goes[row] = goes if moves.fits[token] else STOP

    def settle(self, state: int, found: Sequence[int]) -> int:
        """Return the token that a case emits.

        Raises:
            Unfit: another token has the same logit but for rounding.
        """
        token = settle(self.parts.back.first_rows + np.array([state, *found]), self.arrays)
        if token == TIED:
            raise Unfit("two tokens have the same logit but for rounding")
        return int(token)

    @abstractmethod
    def go(
        self,
        cells: np.ndarray,
        places: UInt64[np.ndarray, " T"],
        window: Window,
        pending: int,
        fed: bool,
        count: int,
        recorded: Recorded,
        counts: UInt64[np.ndarray, " cases"],
    ) -> Went:
        """Emit up to `count` tokens; `places` are changed."""

    @abstractmethod
    def learn(self, case: int, state: int, found: UInt64[np.ndarray, " T"]) -> None:
        """Enter a case that was not known."""

    @abstractmethod
    def cases(self) -> int:
        """Return how many cases can be counted."""

    @abstractmethod
    def case(self, number: int) -> tuple[int, int]:
        """Return the class of tokens and of values of a case, where there is one lookup."""


class Evaluated(Kernel):
    """Neurons and logits are computed at every pass. See `candidates`."""

    name = "evaluated"

    def __init__(self, whole: Parts) -> None:
        made = candidates(whole.back)
        super().__init__(whole, len(made.pre))
        (mlp,) = whole.back.layers
        self._made = made
        self._inner = mlp.b_in[made.neuron]
        self._first = made.first.astype(np.uint64)
        self._ends = np.zeros(len(made.pre), dtype=np.uint64)
        self._rest = made.rest.ravel()
        self._left = np.uint64(made.left)
        self._strides = made.strides.astype(np.uint64)
        self._by_value = made.left == 0
        lines = (np.full(len(made.pre), -np.inf) for _ in range(5))
        self._top, self._slope, self._flat_, self._base, self._rise = lines
        self._slope[:] = self._rise[:] = 0.0
        states = np.arange(len(whole.back.states.example), dtype=np.uint64)
        self._begin = states * np.uint64(len(made.pre))

    def go(  # noqa: D102
        self, cells: np.ndarray, places: np.ndarray, window: Window, pending: int, fed: bool,
        count: int, recorded: Recorded, counts: np.ndarray,
    ) -> Went:  # fmt: skip
        lines = (self._top, self._slope, self._flat_, self._base, self._rise)
        if len(places) == 1:
            n, places[0], *rest = loops.evaluated(
                cells[0], places[0], *window, np.uint64(pending), fed, np.uint64(count),
                self.state, *self._flat,
                self._by_value, self._first, self._begin, self._made.pre, self._rest, self._inner,
                *lines, self.token, self.goes, self._ends, self.side, self.moved, self.wrote,
                self.keeps, recorded.tokens, recorded.addresses.ravel(), recorded.found.ravel(),
                counts,
            )  # fmt: skip
            return Went.of(n, *rest)
        n, places[:], *rest = wide.evaluated(
            cells, tuple(places), *window, np.uint64(pending), fed, np.uint64(count),
            self.state, *self._flat, self._sides,
            self._strides, self._left, self._first, self._made.pre, self._rest, self._inner,
            *lines, self.token, self.goes, self.side, self.moved, self.wrote,
            self.keeps, recorded.tokens, recorded.addresses, recorded.found,
        )  # fmt: skip
        return Went.of(n, *rest)

    def learn(self, case: int, state: int, found: np.ndarray) -> None:
        """Enter which token a candidate leads to when it fires alone, and how far the others are.

        Where a token gets a_v + g_v r from it, and r > 0, the others have at most the greatest a
        of those with g <= 0, or the greatest a plus the greatest g times r of the rest.
        """
        weights = self.parts.back.weights
        (mlp,) = self.parts.back.layers
        neuron = self._made.neuron[case : case + 1]
        gains = product(picked(mlp.W_out, neuron), weights.W_U).dense()[0]
        token = int((weights.b_U + gains * self._fires(case, state, found)).argmax())
        self._note(case, token, self._next(token))
        if self._inner[case] <= 0:
            return  # the bounds would not hold; it stays at -inf, and each pass is settled
        others = np.arange(len(gains)) != token
        low, rising = others & (gains <= 0), others & (gains > 0)
        bias = SLACK * max(1.0, float(np.abs(weights.b_U).max()))
        gain = SLACK * max(1.0, float(np.abs(gains).max()))
        self._top[case] = weights.b_U[token] - bias
        self._slope[case] = gains[token] - gain
        self._flat_[case] = weights.b_U[low].max(initial=-np.inf)
        self._base[case] = weights.b_U[rising].max(initial=-np.inf)
        self._rise[case] = gains[rising].max(initial=0.0)

    def _fires(self, case: int, state: int, found: np.ndarray) -> float:
        left = (state, *found.tolist())[self._made.left]
        gate = float(self._made.pre[case] + self._made.rest[left, case])
        return gate * float(self._inner[case])

    def _next(self, token: int) -> np.uint64:
        state = self.parts.back.states.of[token]
        if len(self.parts.back.values) > 1:
            return np.uint64(state)
        return np.uint64((self._begin if self._by_value else self._first)[state])

    def _note(self, row: int, token: int, goes: np.uint64) -> None:
        if len(self.parts.back.values) == 1 and not self._by_value:
            self._ends[row] = self._first[self.parts.back.states.of[token] + 1]
        super()._note(row, token, goes)

    def cases(self) -> int:  # noqa: D102
        return len(self._rest)

    def case(self, number: int) -> tuple[int, int]:  # noqa: D102
        other, entry = divmod(number, len(self._made.pre))
        key = int(np.searchsorted(self._first, entry, side="right")) - 1
        return (other, key) if self._by_value else (key, other)


class Folded(Kernel):
    """What a case emits is computed once, and remembered: constant folding."""

    name = "folded"

    def __init__(self, whole: Parts) -> None:
        sizes = [len(c.example) for c in (whole.back.states, *whole.back.values)]
        if np.prod([float(size) for size in sizes]) > MOST_CASES:
            raise Unfit(f"there are more than {MOST_CASES:,} cases to remember")
        super().__init__(whole, int(np.prod(sizes)))
        strides = np.cumprod([1, *sizes[:0:-1]])[::-1]
        self._sizes = sizes
        self._strides = strides.astype(np.uint64)
        self._begin = np.arange(sizes[0], dtype=np.uint64) * self._strides[0]

    def go(  # noqa: D102
        self, cells: np.ndarray, places: np.ndarray, window: Window, pending: int, fed: bool,
        count: int, recorded: Recorded, counts: np.ndarray,
    ) -> Went:  # fmt: skip
        columns = (self.token, self.goes, self.side, self.moved, self.wrote, self.keeps)
        if len(places) == 1:
            back = self.parts.back
            n, places[0], *rest = fold(
                cells[0], places[0], *window, np.uint64(pending), fed, np.uint64(count),
                self.state, *self._flat, self._sides, self._begin, *columns,
                recorded.tokens, recorded.addresses.ravel(), recorded.found.ravel(), counts,
                back.first_rows, self.arrays,
            )  # fmt: skip
            return Went.of(n, *rest)
        n, places[:], *rest = wide.folded(
            cells, tuple(places), *window, np.uint64(pending), fed, np.uint64(count),
            self.state, *self._flat, self._sides, self._strides, *columns,
            recorded.tokens, recorded.addresses, recorded.found,
        )  # fmt: skip
        return Went.of(n, *rest)

    def learn(self, case: int, state: int, found: np.ndarray) -> None:  # noqa: D102
        token = self.settle(state, found.tolist())
        goes = self._begin[self.parts.back.states.of[token]]
        self._note(case, token, goes)
        part = slice(case * len(found), (case + 1) * len(found))
        far = self.side[part] == FAR
        still = (self.moved[part] == 0) & (self.keeps[part] == found)
        if int(goes) + int(self._strides[1:] @ found) == case and not (
            self.wrote[part].any() or far.all() or (far & ~still).any()
        ):
            self.side[part] += SWEEP

    def cases(self) -> int:  # noqa: D102
        return len(self.token)

    def case(self, number: int) -> tuple[int, int]:  # noqa: D102
        state, value = divmod(number, self._sizes[1])
        return state, value


KERNELS: dict[str, type[Evaluated] | type[Folded]] = {"evaluated": Evaluated, "folded": Folded}


class Pool:
    """Kernels that no run uses now, whose tables the next run of the same weights can use.

    A kernel comes back when its run is collected, which may be at any moment, in any thread, and
    within `take`, too: so there is no lock, and each operation on the deque is one that others
    cannot come between. Who looks while another holds a kernel in its hands makes a new one.
    """

    MOST = 6
    """Kernels kept, at most: those that came back last."""

    def __init__(self) -> None:
        self._idle: deque[tuple[tuple[str, ...], Kernel]] = deque(maxlen=self.MOST)

    def take(self, name: str, weights: Weights, probes: tuple[str, ...]) -> Kernel:
        """Return a fast kernel for weights, which nobody else uses.

        Raises:
            Unfit: it cannot take these weights.
        """
        for _ in range(self.MOST):
            try:
                given, kernel = self._idle.popleft()
            except IndexError:
                break
            if (kernel.name, given) == (name, probes) and kernel.parts.back.weights is weights:
                return kernel
            self._idle.append((given, kernel))
        return KERNELS[name](parts(weights, probes))

    def give_back(self, kernel: Kernel, probes: tuple[str, ...]) -> None:
        """Keep a kernel for others."""
        self._idle.append((probes, kernel))


POOL = Pool()
