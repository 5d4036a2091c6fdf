"""The exact interpreter of looped programs: all positions at once, pass after pass.

Like `interpreter`, with which it shares what happens at one position, it works in Python integers
and shares no code with the simulator or the runtimes.
"""

from __future__ import annotations

from collections.abc import Sequence

from tm2tf.errors import InputError
from tm2tf.program.features import POSITION, Value
from tm2tf.program.interpreter import Values, embedding, feed_forward, unembedding
from tm2tf.program.operations import Latest, Relative
from tm2tf.program.program import Program


class LoopedInterpreter:
    """A looped program in motion on some tokens, the first of them at position 1.

    Attributes:
        passes: how many passes through the layers were made.
        values: every feature at every position after the last pass; empty before the first.
        emitted: the token that the program gives at every position then; empty before the first.

    Raises:
        InputError: the program is not looped.
    """

    def __init__(self, program: Program, tokens: Sequence[str]) -> None:
        if not program.loop:
            raise InputError(f"program {program.name!r} is not looped: use Interpreter")
        self.program = program
        self.passes = 0
        self.values: list[Values] = []
        self.emitted: list[str] = []
        embedded = embedding(program)
        self._fixed = [
            embedded[token] | {POSITION: position} for position, token in enumerate(tokens, 1)
        ]
        self._layers = [
            (layer.attention, [feed_forward(op) for op in layer.feed_forward])
            for layer in program.layers
        ]
        self._unembedding = unembedding(program)

    def step(self) -> None:
        """Make one pass through the layers, at all positions."""
        rows = [dict(row) for row in self._fixed]
        for row, before in zip(rows, self.values, strict=False):  # none before the first pass
            row.update((name, before[source]) for source, name in self.program.loop)
        for attention, feed_forwards in self._layers:
            for operation in attention:
                if isinstance(operation, Latest):
                    _latest(operation, rows)
                else:
                    assert isinstance(operation, Relative)  # no looped program has a CausalSum
                    _relative(operation, rows)
            for row in rows:
                for execute in feed_forwards:
                    execute(row)
        self.passes += 1
        self.values = rows
        self.emitted = [self._unembedding(row) for row in rows]


def _latest(op: Latest, rows: list[Values]) -> None:
    """Carry out a `Latest`: where several positions match, the rightmost wins."""
    memory: dict[tuple[Value, ...], tuple[Value, ...]] = {}
    for row in rows:
        key = tuple(row[name] for name in op.key)
        if row[op.where] == 1 and None not in key:  # what is absent equals nothing
            memory[key] = tuple(row[name] for name in op.values)
    defaults = op.defaults or (None,) * len(op.outs)
    for row in rows:
        found = memory.get(tuple(row[name] for name in op.query), defaults)
        row.update(zip(op.outs, found, strict=True))


def _relative(op: Relative, rows: list[Values]) -> None:
    """Carry out a `Relative`, to either side."""
    for place, row in enumerate(rows):
        seen = place - op.offset
        row[op.out] = rows[seen][op.value] if 0 <= seen < len(rows) else op.default
