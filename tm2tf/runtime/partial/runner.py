"""A run of one sequence through a fast kernel."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from weakref import finalize

import numpy as np
from jaxtyping import Bool, Int64

from tm2tf.runtime.memory import Memory, decode, lookup
from tm2tf.runtime.partial import loops
from tm2tf.runtime.partial.back import picked, product
from tm2tf.runtime.partial.kernels import POOL, Kernel, Recorded, Window
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.runner import Context, Emitted, Probe, Record, Skipped, beyond
from tm2tf.weights.model import Weights

FIRST_CELLS = 4096
"""Cells of each lookup at first; they double when they must."""

GUARD = 256
"""Passes that a loop can always make, at least, before it looks at its place again."""

UNSURE = 1000
"""Cases settled one by one after which the kernel is given up, if they are the rule: as many as
an eighth of all passes. Each takes some 0.1 ms."""

NOTHING = Recorded.of(0, 1)
NONE = np.zeros(0, dtype=np.int64)


class PartialRunner:
    """A run through the kernel `evaluated` or `folded`. See `runner.Runner` for the methods.

    Raises:
        Unfit: the kernel cannot take the weights or the prompt; from `advance` and `settle`, what
            comes next.
    """

    name = "kernel"
    device = "cpu"
    attention = "index"

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str] = (),
        kernel_name: str = "evaluated",
        counting: bool = False,
    ) -> None:
        self.weights, self.probes = weights, tuple(probes)
        self._kernel = self._taken(kernel_name)
        self._parts = whole = self._kernel.parts
        self._moves, self._front = whole.moves, whole.front
        self._bound = weights.bounds.key
        width = len(whole.back.values)
        self._pending = np.array(prompt, dtype=np.int64)  # what is not fed yet
        self._last = -1  # the token fed last
        self._stood = -1  # the token that stood where the last one was emitted
        self._fed = False  # whether nothing was emitted since
        self._moved = False  # whether the loops have moved addresses since sums were counted
        self._floors = whole.moves.kept[prompt[0]].astype(np.int64)
        self._best = np.full(width, -np.inf)
        floor = self._front.floor[self._front.kinds[prompt[0]]]
        if not (floor > -1).all():  # nan, too
            raise Unfit("the first token of the prompt does not say what is found where nothing is")
        self._sums = np.zeros(self._front.steps.shape[1], dtype=np.int64)
        self._lowest = -(FIRST_CELLS // 2)
        self._cells = np.repeat(whole.moves.kept[prompt[0]][:, None], FIRST_CELLS, axis=1)
        self._places = np.zeros(width, dtype=np.uint64)
        self._counts = np.zeros(self._kernel.cases() if counting else 0, dtype=np.uint64)
        self._apart: Counter[tuple[int, int]] = Counter()  # cases that were settled by themselves
        self._room = NOTHING
        self._settled = self.emitted = 0
        self.swept = 0  # passes of `emitted` that were compared with the one before: see `loops`
        self._context = Context(weights)
        self._ends = np.array([token.outcome is not None for token in weights.tokens])
        self._warm()

    def _taken(self, kernel_name: str) -> Kernel:
        """Return a kernel for this run alone, as long as it lasts."""
        kernel = POOL.take(kernel_name, self.weights, self.probes)
        finalize(self, POOL.give_back, kernel, self.probes)
        return kernel

    def _warm(self) -> None:
        """Compile the loops or load them, before anything is timed."""
        first, self._pending = self._pending, NONE
        self._feed()
        self._kernel.go(
            self._cells, self._places, self._window(), int(first[0]), True, 0, NOTHING, self._counts
        )  # fmt: skip
        self._pending, self._fed = first, False

    @property
    def read_by(self) -> tuple[Probe, ...]:
        """Where each probed feature is found in a record."""
        return self._parts.probes

    @property
    def context(self) -> int:
        """The tokens fed in the present context."""
        return self._context.length

    @property
    def peak_context(self) -> int:
        """The tokens fed in the longest context so far."""
        return self._context.peak

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome."""
        record = self.record(count, self._moves.fits, Recorded.of(count, len(self._places)))
        tokens = record.tokens.astype(np.int64)
        if not probe:
            return Emitted(tokens, np.zeros((len(tokens), 0), dtype=np.int64))
        standing = np.concatenate([[record.standing], tokens])[: len(tokens)]
        return Emitted(tokens, self._read(standing, record.addresses, record.found))

    def record(
        self, count: int, plain: Bool[np.ndarray, " d_vocab"], room: Recorded | None = None
    ) -> Record:
        """Emit as `advance` does, and return what happened at each pass.

        Without `room`, what is returned stands only until the next call.
        """
        if room is None:
            if len(self._room.tokens) < count:
                self._room = Recorded.of(count, len(self._places))
            room = self._room
        standing, done = self._stand(), 0
        odd = not plain[self._moves.fits].all()
        while done < count and not (done and self._over()):
            odd |= done > 0 and not self._fed and not self._moves.fits[self._pending[0]]
            done += self._emit(count - done, room.behind(done))
        tokens, addresses, found = (column[:done] for column in room)
        return Record(standing, tokens, addresses, found, bool(odd))

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> Skipped | None:
        """Emit up to `count` tokens without listing them. See `runner.Runner`."""
        if not through[self._moves.fits].all():
            return None
        done = 0
        stops = self._ends | ~through
        while done < count and not (done and not self._fed and stops[self._pending[0]]):
            done += self._emit(count - done, NOTHING)
        return Skipped(done, self._stood, int(self._last if self._fed else self._pending[0]))

    def _over(self) -> bool:
        """Return whether the last token emitted has an outcome."""
        return not self._fed and bool(self._ends[self._pending[0]])

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        self._feed()
        read = self._read(np.array([self._last]), self._addresses()[None], self._found()[None])
        return dict(zip(self.probes, map(int, read[0]), strict=True))

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address.

        Addresses at which it would bring the same as where nothing was kept are left out.
        """
        _, label = lookup(self.weights, head)
        number = [other.name for other in self._parts.divided.lookups].index(head)
        cells = self._cells[number]
        slots = np.flatnonzero(cells != self._floors[number])
        used, row = np.unique(cells[slots], return_inverse=True)
        tokens = self._parts.back.values[number].example[used]
        values = product(picked(self.weights.W_E, tokens), label.W_V).dense()
        words = decode(self.weights, label, np.arange(len(used)), values)
        addresses = (slots + self._lowest).tolist()
        return {address: words[i] for address, i in zip(addresses, row.tolist(), strict=True)}

    def cases(self) -> dict[tuple[int, int], int] | None:
        """Return how often a token stood where a class of values was found.

        By one of the tokens that the back cannot tell apart, and the class. None unless cases are
        counted, and there is one lookup.
        """
        if not len(self._counts) or len(self._places) > 1:
            return None
        met = self._apart.copy()
        for number in np.flatnonzero(self._counts).tolist():
            met[self._kernel.case(number)] += int(self._counts[number])
        examples = self._parts.back.states.example
        return {(int(examples[state]), value): times for (state, value), times in met.items()}

    def _read(
        self,
        tokens: Int64[np.ndarray, " count"],
        addresses: Int64[np.ndarray, "count lookups"],
        found: np.ndarray,
    ) -> Int64[np.ndarray, "count probes"]:
        """Return the probes of passes by the tokens that stand there."""
        read = np.empty((len(tokens), len(self.probes)), dtype=np.int64)
        for i, probe in enumerate(self._parts.probes):
            if probe.lookup >= 0:
                read[:, i] = probe.table[found[:, probe.lookup]]
                continue
            read[:, i] = probe.table[tokens]
            for t, ratio in enumerate(probe.ratios):
                if ratio:
                    read[:, i] += ratio * addresses[:, t]
        return read

    def _addresses(self) -> Int64[np.ndarray, " lookups"]:
        """Return the present addresses."""
        return self._places.astype(np.int64) + self._lowest

    def _found(self) -> np.ndarray:
        """Return the classes of what is found at the present places."""
        return self._cells[np.arange(len(self._places)), self._places.astype(np.int64)]

    def _stand(self) -> int:
        """Feed what the loops cannot; return the token that the next pass stands at."""
        if not self._fed and (len(self._pending) > 1 or not self._moves.fits[self._pending[0]]):
            self._feed()
        return self._last if self._fed else int(self._pending[0])

    def _feed(self) -> None:
        """Feed what is pending, token by token, whatever they are."""
        if self._moved:  # the loops count addresses, not sums
            counted = self._addresses() - self._moves.usual
            for address, (number, slope) in zip(counted, self._moves.slopes, strict=True):
                self._sums[number] = address // slope
            self._moved = False
        front, wanted = self._front, np.zeros(1, dtype=np.int64)
        while not self._fed:
            room = self.weights.bounds.position - self._context.length
            if room <= 0:
                raise beyond(self.weights, "position", self.emitted)
            given = self._pending[:room]
            done, status = loops.feed(
                given, self._cells, self._lowest, self._sums, self._best, self._floors, wanted,
                self._places, front.kinds, front.steps, front.limits, front.query, front.query_at,
                front.key, front.key_at, front.floor, self._moves.kept, self._bound,
            )  # fmt: skip
            self._context.feed(int(done))
            if done:
                self._last = int(given[done - 1])
            self._pending = self._pending[done:]
            self._fed = not len(self._pending)
            if status == loops.NO_ROOM:
                self._reach(int(wanted[0]))
            elif status == loops.BEYOND:
                raise beyond(self.weights, "key", self.emitted)
            elif status == loops.LIMIT:
                raise Unfit("a sum is so large that the square of an address may be rounded")
            elif status == loops.FLOOR:
                raise Unfit("what is found where nothing was kept changes in the run")

    def _emit(self, count: int, recorded: Recorded) -> int:
        """Emit from 1 to `count` tokens and return how many.

        The last one is pending then, or fed, if what it leads to is not known yet.
        """
        while True:
            room = self.weights.bounds.position - self._context.length + self._fed
            if room <= 0:
                raise beyond(self.weights, "position", self.emitted)
            went = self._kernel.go(
                self._cells, self._places, self._window(), self._stand(), self._fed,
                min(count, room), recorded, self._counts,
            )  # fmt: skip
            fed = went.emitted + went.fed - self._fed
            self._context.feed(fed)
            self._moved |= fed > 0
            self.emitted += went.emitted
            self.swept += went.swept
            self._fed = went.fed
            if went.fed:
                self._last, self._pending = went.pending, NONE
            else:
                self._pending = np.array([went.pending])
            if went.emitted:
                self._stood = went.stood
                return went.emitted
            if went.status == loops.NEW:
                self._kernel.learn(went.case, self._state(), self._found())
            elif went.status == loops.UNSURE or (self._fed and not self._widen()):
                return self._settle_one(recorded)
            elif not self._fed and not self._widen():
                self._feed()  # which looks at every address

    def _settle_one(self, recorded: Recorded) -> int:
        """Emit one token, of the case as it stands."""
        self._settled += 1
        if self._settled > UNSURE and self._settled * 8 > self.emitted:
            raise Unfit("at most passes several neurons fire, or none")
        found = self._found()
        token = self._kernel.settle(self._state(), found.tolist())
        self._apart[self._state(), int(found[0])] += 1
        if len(recorded.tokens):
            recorded.tokens[0], recorded.found[0] = token, found
            recorded.addresses[0] = self._addresses()
        self._pending, self._fed, self._stood = np.array([token]), False, self._last
        self.emitted += 1
        return 1

    def _state(self) -> int:
        """Return the class of the token that was fed last."""
        return int(self._parts.back.states.of[self._last])

    def _window(self) -> Window:
        """Return where the loops may go: where there are cells, and addresses are within bound."""
        reach, size = self._moves.reach, self._cells.shape[1]
        guard = reach * GUARD
        edge = guard + 2 * reach
        least = max(0, -self._bound - self._lowest)
        most = min(size, self._bound - self._lowest + 1)  # the first place beyond
        low, high = least + edge, max(most - edge, least + edge)
        numbers = (low, high, reach, guard)
        return Window(np.int64(self._lowest).astype(np.uint64), *map(np.uint64, numbers))

    def _widen(self) -> bool:
        """Double the cells where a place is too near to their ends; return whether it was so."""
        before = self._cells.shape[1]
        for place in self._places.tolist():
            self._reach(int(place) + self._lowest)
        return bool(self._cells.shape[1] > before)

    def _reach(self, address: int) -> None:
        """Double the cells until the loops may begin at an address."""
        edge = self._moves.reach * (GUARD + 2)
        while not edge <= address - self._lowest < self._cells.shape[1] - edge:
            size = self._cells.shape[1]
            below = size if address - self._lowest < edge else 0
            more = np.repeat(self._floors.astype(np.uint16)[:, None], 2 * size, axis=1)
            more[:, below : below + size] = self._cells
            self._cells, self._lowest = more, self._lowest - below
            self._places += np.uint64(below)
