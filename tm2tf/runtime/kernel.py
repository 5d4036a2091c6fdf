"""The fast runtime on the CPU: weights evaluated by compiled loops, one sequence at a time.

Generic over the weights: it reads tensors and the kinds of heads, and knows nothing of the
machine behind them. Memory grows with the addresses used, not with the passes, unless the
weights' keys lack the form that `passes` describes; then all positions are kept and scanned.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from tm2tf.runtime import passes
from tm2tf.runtime.plan import make_plan
from tm2tf.runtime.runner import Emitted, Memory, beyond, decode_memory
from tm2tf.weights.model import Weights

FIRST_CELLS = 1024
"""Addresses the index holds at first; it doubles when it must."""


class KernelRunner:
    """A run of one sequence through the kernel. See `runner.Runner` for the methods."""

    name = "kernel"
    device = "cpu"

    def __init__(self, weights: Weights, prompt: Sequence[int], probes: Sequence[str] = ()) -> None:
        self.weights = weights
        self.prompt = np.array(prompt, dtype=np.uint64)
        self.probes = tuple(probes)
        self.plan = make_plan(weights, self.probes)
        self._flat_plan = tuple(self.plan)
        self.scanning = False
        self.attention = "index"
        self.emitted = 0
        self._begin()
        self._call(0, np.zeros((0, weights.d_model)))  # compiles the kernel, or loads it

    def _begin(self) -> None:
        plan, vocab, neurons = self.plan, self.weights.d_vocab, len(self.plan.gate_bias)
        heads, values = len(plan.heads), int(plan.heads[:, 4].sum())
        width, compared = self.weights.d_model, int(2 * plan.heads[:, 2].sum())
        rows = FIRST_CELLS if self.scanning else 1
        cells = 1 if self.scanning else FIRST_CELLS
        self.state = passes.State(
            scalars=np.array([0, -(cells // 2), 0], dtype=np.int64),
            sums=np.zeros(values),
            before=np.zeros(values),
            cells=np.zeros((cells, values)),
            known=np.zeros((cells, heads), dtype=np.bool_),
            floor=np.full(heads, -np.inf),
            floor_value=np.zeros(values),
            keys=np.zeros((rows, compared)),
            vals=np.zeros((rows, values)),
            x=np.zeros(width),
            active=np.zeros(width, dtype=np.uint64),
            mark=np.zeros(width, dtype=np.int64),
            compare=np.zeros(compared),
            brought=np.zeros(values),
            pre=np.zeros(neurons),
            post=np.zeros(neurons),
            fired=np.zeros(neurons, dtype=np.uint64),
            neuron_mark=np.zeros(neurons, dtype=np.int64),
            logits=np.zeros(vocab),
            token_mark=np.zeros(vocab, dtype=np.int64),
            candidates=np.zeros(vocab, dtype=np.uint64),
        )
        self._pending = self.prompt

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome."""
        return self._advance(count, np.zeros((0, self.weights.d_model)), probe)

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
        fed = int(self.state.scalars[passes.DONE]) + len(self._pending)
        room = self.weights.bounds.position - fed + 1  # the last token emitted is not fed
        wanted, count = count, min(count, room)
        if wanted > 0 and count <= 0:
            raise beyond(self.weights, "position", self.emitted)
        tokens = np.zeros(count, dtype=np.uint64)
        probes = np.zeros((count, len(self.probes) if probe else 0), dtype=np.int64)
        done = 0
        while True:
            fed, emitted, status = passes.advance(
                self._flat_plan,
                tuple(self.state),
                self._pending,
                tokens[done:],
                probes[done:],
                streams,
                self.scanning,
            )
            done += emitted
            if emitted:
                self._pending = tokens[done - 1 : done].copy()
            else:
                self._pending = self._pending[fed:]
            if status == passes.FULL:
                self._make_room()
            elif status == passes.IRREGULAR:
                return self._again(wanted, streams, probe)
            elif status == passes.BEYOND:
                raise beyond(self.weights, "key", self.emitted + done)
            else:
                if status != passes.STOPPED and done < wanted:
                    raise beyond(self.weights, "position", self.emitted + done)
                return tokens[:done], probes[:done]

    def _make_room(self) -> None:
        """Double the index towards the key that found no room, or the rows that are scanned."""
        state = self.state
        if self.scanning:
            more = {name: _doubled(getattr(state, name), 0) for name in ("keys", "vals")}
            self.state = state._replace(**more)
            return
        wanted, size = int(state.scalars[passes.WANTED]), len(state.known)
        while not 0 <= wanted - int(state.scalars[passes.LOWEST]) < size:
            below = size if wanted < state.scalars[passes.LOWEST] else 0
            more = {name: _doubled(getattr(self.state, name), below) for name in ("cells", "known")}
            self.state = self.state._replace(**more)
            state.scalars[passes.LOWEST] -= below
            size *= 2

    def _again(self, count: int, streams: np.ndarray, probe: bool) -> tuple[np.ndarray, np.ndarray]:
        """Start over with a scan instead of an index, up to here and then `count` tokens on."""
        self.scanning, self.attention = True, "scan"
        self._begin()
        if self.emitted:
            self._call(self.emitted, np.zeros((0, self.weights.d_model)))
        return self._call(count, streams, probe)

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        heads = [head for layer in self.weights.layers for head in layer.heads]
        number = [h.name for h in heads].index(head)
        _, dot, width, first, count = map(int, self.plan.heads[number])
        if self.scanning:
            length = int(self.state.scalars[0])
            keys, values = (
                self.state.keys[:length, dot + width : dot + 2 * width],
                self.state.vals[:length],
            )
            regular = keys[:, 2] == 0
            found = keys[regular, 0], values[regular, first : first + count]
        else:
            slots = np.flatnonzero(self.state.known[:, number])
            low = int(self.state.scalars[1])
            found = slots + low, self.state.cells[slots, first : first + count]
        return decode_memory(self.weights, heads[number], *found)


def _doubled(rows: np.ndarray, before: int) -> np.ndarray:
    """Return an array twice as long that holds `rows` from row `before` on, and zeros."""
    more = np.zeros((2 * len(rows), *rows.shape[1:]), dtype=rows.dtype)
    more[before : before + len(rows)] = rows
    return more
