"""The fast runtime on the CPU: weights evaluated by compiled loops, one sequence at a time.

Generic over the weights: it reads tensors and the kinds of heads, and knows nothing of the
machine behind them. Memory grows with the addresses used and with the different keys of heads
that are scanned (`passes` says which are), not with the passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float64

from tm2tf.runtime import passes, scans
from tm2tf.runtime.memory import Memory, addresses_of, decode, lookup
from tm2tf.runtime.plan import SCANNED, Plan, make_plan
from tm2tf.runtime.runner import Context, Emitted, Probe, beyond
from tm2tf.weights.model import Weights

FIRST_CELLS = 1024
"""Addresses the index holds at first; it doubles when it must."""

FIRST_ROWS = 256
"""Different keys of a scanned head, and values of a relative head, that there is room for at first:
a power of 2, as it remains when it doubles."""


class State(NamedTuple):
    """What a run keeps between passes, and the scratch space of a pass.

    `sums`: running sums of uniform heads' values (`before`: without this pass). `cells`, `known`:
    the index, a row an address. `floor`, `floor_value`: the best floor key of each head. Of each
    scanned head, in the order in which they came: `distinct` keys, each one in `rows` and as a
    column of `keys`, its value in `vals`, its `latest` position, its hash in `hashes`; `places` is
    a hash table of their numbers from 1. Heads that bring means have sums for values, of as many
    positions as `known`, `floor_known` and `latest` say, and `added` is the last one of these.
    `ring`: the latest values of relative heads. `bits` and `ranks`: what stands in `compare` and
    `scores`, as integers.
    """

    scalars: np.ndarray
    sums: np.ndarray
    before: np.ndarray
    cells: np.ndarray
    known: np.ndarray
    floor: np.ndarray
    floor_value: np.ndarray
    floor_known: np.ndarray
    distinct: np.ndarray
    places: np.ndarray
    hashes: np.ndarray
    latest: np.ndarray
    rows: np.ndarray
    keys: np.ndarray
    vals: np.ndarray
    scores: np.ndarray
    ranks: np.ndarray
    added: np.ndarray
    ring: np.ndarray
    x: np.ndarray
    active: np.ndarray
    mark: np.ndarray
    compare: np.ndarray
    bits: np.ndarray
    brought: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    fired: np.ndarray
    neuron_mark: np.ndarray
    logits: np.ndarray
    token_mark: np.ndarray
    candidates: np.ndarray


def _empty_state(plan: Plan) -> State:
    """Return the state before the first pass."""
    vocab, neurons, width = len(plan.logit_bias), len(plan.gate_bias), plan.d_model
    heads, values = len(plan.heads), int(plan.heads[:, 4].sum())
    compared = int(plan.heads[:, 2].sum())
    compare, scores = np.zeros(2 * compared), np.zeros(FIRST_ROWS)
    return State(
        scalars=np.array([0, -(FIRST_CELLS // 2), 0, 0], dtype=np.int64),
        sums=np.zeros(values),
        before=np.zeros(values),
        cells=np.zeros((FIRST_CELLS, values)),
        known=np.zeros((FIRST_CELLS, heads), dtype=np.int64),
        floor=np.full(heads, -np.inf),
        floor_value=np.zeros(values),
        floor_known=np.zeros(heads, dtype=np.int64),
        distinct=np.zeros(heads, dtype=np.uint64),
        places=np.zeros((heads, 2 * FIRST_ROWS), dtype=np.uint64),
        hashes=np.zeros((heads, FIRST_ROWS), dtype=np.uint64),
        latest=np.zeros((heads, FIRST_ROWS), dtype=np.int64),
        rows=np.zeros((FIRST_ROWS, compared)),
        keys=np.zeros((compared, FIRST_ROWS)),
        vals=np.zeros((FIRST_ROWS, values)),
        scores=scores,
        ranks=scores.view(np.int64),
        added=np.zeros(heads, dtype=np.int64),
        ring=np.zeros((FIRST_ROWS, values)),
        x=np.zeros(width),
        active=np.zeros(width, dtype=np.uint64),
        mark=np.zeros(width, dtype=np.int64),
        compare=compare,
        bits=compare.view(np.uint64),
        brought=np.zeros(values),
        pre=np.zeros(neurons),
        post=np.zeros(neurons),
        fired=np.zeros(neurons, dtype=np.uint64),
        neuron_mark=np.zeros(neurons, dtype=np.int64),
        logits=np.zeros(vocab),
        token_mark=np.zeros(vocab, dtype=np.int64),
        candidates=np.zeros(vocab, dtype=np.uint64),
    )


class SparseRunner:
    """A run of one sequence through the kernel `sparse` or `dense`. See `runner.Runner`.

    `scanning` is whether no head may use the index, whatever its keys; `_begin` heeds it.
    `dense`: no weight and no direction is left out, though it be 0.
    """

    name = "kernel"
    device = "cpu"
    reason: str | None = None
    read_by: tuple[Probe, ...] = ()

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str] = (),
        dense: bool = False,
    ) -> None:
        self.weights = weights
        self.kernel = "dense" if dense else "sparse"
        self.prompt = np.array(prompt, dtype=np.uint64)
        self.probes = tuple(probes)
        self.plan = make_plan(weights, self.probes, dense)
        self._flat_plan = tuple(self.plan)
        self._means = any(head.kind == "mean" for layer in weights.layers for head in layer.heads)
        self._ends = [token.outcome is not None for token in weights.tokens]
        self._context = Context(weights)
        self.scanning = False
        self.emitted = 0
        self._begin()
        self._call(0, np.zeros((0, weights.d_model)))  # compiles the kernel, or loads it

    def _begin(self) -> None:
        """Go back to before the prompt."""
        kinds = self.plan.heads[:, 0]
        if self.scanning:
            kinds[:] = [SCANNED.get(kind, kind) for kind in kinds]
        names = (("index", [*SCANNED]), ("scan", [*SCANNED.values()]))
        found = [name for name, those in names if any(kind in those for kind in kinds)]
        self.attention = " and ".join(found) or "index"
        self.state = _empty_state(self.plan)
        self._context.reset()
        self._pending = self.prompt
        self._cut = False  # the pending token was emitted, and cuts the context

    def _begin_anew(self) -> None:
        """Forget all but what the pending token keeps of the context it cuts."""
        tokens = self._context.cut(int(self._pending[0]))
        self._pending, self._cut = np.array(tokens, dtype=np.uint64), False
        state = self.state
        state.scalars[scans.DONE] = 0
        state.floor.fill(-np.inf)
        for array in (state.known, state.distinct, state.places, state.added):
            array.fill(0)
        state.before.fill(0.0)
        self._undo()

    def _undo(self) -> None:
        """Bring back the sums before the last pass, and let no mark of its position stand."""
        state = self.state
        state.sums[:] = state.before
        for marks in (state.mark, state.neuron_mark, state.token_mark):
            marks.fill(0)

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
        return self._advance(count, np.zeros((0, self.weights.d_model)), probe)

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> None:
        """Return None: every token is listed."""
        return

    def streams(self) -> Float64[np.ndarray, "layers_and_one d_model"]:
        """Emit one more token; return that pass's residual stream, by layer, embedding first."""
        streams = np.zeros((len(self.weights.layers) + 1, self.weights.d_model))
        self._advance(1, streams, probe=False)
        return streams

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        _, probes = self._call(1, np.zeros((0, self.weights.d_model)))
        return dict(zip(self.probes, map(int, probes[0]), strict=True))

    def _advance(self, count: int, streams: np.ndarray, probe: bool) -> Emitted:
        tokens, probes = self._call(count, streams, probe)
        self.emitted += len(tokens)
        return Emitted(tokens.view(np.int64), probes)

    def _call(
        self, count: int, streams: np.ndarray, probe: bool = True
    ) -> tuple[np.ndarray, np.ndarray]:
        """Feed what is pending and emit up to `count` tokens; return them and their probes."""
        tokens = np.zeros(count, dtype=np.uint64)
        probes = np.zeros((count, len(self.probes) if probe else 0), dtype=np.int64)
        done = 0
        while True:
            if self._cut and done < count:
                self._begin_anew()
            # the last token emitted is not fed
            room = self.weights.bounds.position - self.context - len(self._pending) + 1
            if done < count and room <= 0:
                raise beyond(self.weights, "position", self.emitted + done)
            until = min(count, done + max(room, 0))
            state = tuple(self.state)
            fed, emitted, status = passes.advance(
                self._flat_plan,
                state,
                state if self._means else None,
                self._pending,
                tokens[done:until],
                probes[done:until],
                streams,
            )
            self._context.feed(fed, self._pending, tokens[done : done + emitted])
            done += emitted
            if emitted:
                self._pending = tokens[done - 1 : done].copy()
                self._cut = self._context.cuts[tokens[done - 1]]
            else:
                self._pending = self._pending[fed:]
            if status in (scans.RUNNING, scans.STOPPED):
                if done == count or self._ends[tokens[done - 1]]:
                    return tokens[:done], probes[:done]
                continue
            self._undo()
            if status == scans.IRREGULAR:
                return self._again(count, streams, probe)
            if status == scans.BEYOND:
                raise beyond(self.weights, "key", self.emitted + done)
            self._make_room(status)

    def _make_room(self, status: int) -> None:
        """Double what was full."""
        if status == scans.NO_CELL:
            self._make_cells()
        elif status == scans.NO_TURN:
            self.state = self.state._replace(ring=_doubled(self.state.ring))
        else:
            self._make_rows()

    def _make_cells(self) -> None:
        """Double the index towards the key that found no room."""
        scalars, size = self.state.scalars, len(self.state.known)
        wanted = int(scalars[scans.WANTED])
        while not 0 <= wanted - int(scalars[scans.LOWEST]) < size:
            below = size if wanted < scalars[scans.LOWEST] else 0
            more = {name: _doubled(getattr(self.state, name), below) for name in ("cells", "known")}
            self.state = self.state._replace(**more)
            scalars[scans.LOWEST] -= below
            size *= 2

    def _make_rows(self) -> None:
        """Double the room for different keys, and enter them in a hash table of twice the size."""
        by_column, by_row = ("hashes", "latest", "keys"), ("rows", "vals", "scores")
        more = {name: _doubled(getattr(self.state, name).T).T.copy() for name in by_column}
        more |= {name: _doubled(getattr(self.state, name)) for name in by_row}
        more["ranks"] = more["scores"].view(np.int64)
        places = np.zeros((len(self.plan.heads), 4 * len(self.state.scores)), dtype=np.uint64)
        for head, count in enumerate(self.state.distinct):
            for slot, hashed in enumerate(self.state.hashes[head, :count].tolist()):
                place = hashed % places.shape[1]
                while places[head, place]:
                    place = (place + 1) % places.shape[1]
                places[head, place] = slot + 1
        self.state = self.state._replace(places=places, **more)

    def _again(self, count: int, streams: np.ndarray, probe: bool) -> tuple[np.ndarray, np.ndarray]:
        """Start over without an index for the head that made it useless; `count` tokens on."""
        kinds, head = self.plan.heads[:, 0], self.state.scalars[scans.HEAD]
        kinds[head] = SCANNED[kinds[head]]
        self._begin()
        emitted, self.emitted = self.emitted, 0
        while self.emitted < emitted:
            left = emitted - self.emitted
            self.emitted += len(self._call(left, np.zeros((0, self.weights.d_model)))[0])
        return self._call(count, streams, probe)

    def cases(self) -> None:
        """Return None: cases are not counted."""
        return

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        number, label = lookup(self.weights, head)
        state, (kind, dot, _, first, count, _) = self.state, self.plan.heads[number].tolist()
        if kind == scans.SCAN:
            order = np.argsort(state.latest[number, : state.distinct[number]])
            keys = state.keys[dot // 2 : dot // 2 + label.W_Q.shape[1], order].T
            held, found = addresses_of(self.weights, label, keys)
            addresses, slots, values = found[held], order[held], state.vals
        else:
            slots = np.flatnonzero(state.known[:, number])
            addresses, values = slots + state.scalars[scans.LOWEST], state.cells
        return decode(self.weights, label, addresses, values[slots, first : first + count])


def _doubled(rows: np.ndarray, before: int = 0) -> np.ndarray:
    """Return an array twice as long that holds `rows` from row `before` on, and zeros."""
    more = np.zeros((2 * len(rows), *rows.shape[1:]), dtype=rows.dtype)
    more[before : before + len(rows)] = rows
    return more
