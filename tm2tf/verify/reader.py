"""What weights told of steps, compared with the machine's steps: the first difference in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from tm2tf.jit import cached_njit
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.runtime.configurations import NOWHERE
from tm2tf.runtime.told import FOREIGN, NO_MOVE, NOTHING, UNCLEAR, Key, Spoken, Told
from tm2tf.verify.table_simulator import Steps, Table

ZERO, ONE, BLOCK = np.uint64(0), np.uint64(1), np.uint64(64)

_MOVES = {-1: "L", 0: "S", 1: "R", NO_MOVE: "none"}
_WORDS = {NOTHING: "none", UNCLEAR: "unclear", FOREIGN: "unknown"}


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first difference in a chunk: its row, and a feature with both values, in words.

    `at` is the number of the pass that emitted the step (from 0).
    """

    row: int
    at: int
    feature: str
    expected: str
    got: str


def furthest(steps: Steps, start: Configuration) -> int:
    """Return how far a head was from where it began, at the most, in these steps."""
    begun = np.array([tape.head for tape in start.tapes], dtype=np.int64)
    return int(np.abs(steps.heads - begun).max(initial=0))


def compare(machine: Machine, steps: Steps, told: Told) -> Mismatch | None:
    """Return the first difference between steps and what weights told of as many, or fewer."""
    found: list[Mismatch] = []
    rows = min(len(told.states), len(steps.states))
    for name, kind, want, got in _columns(machine, steps, told, rows):
        differ = np.flatnonzero(want != got)
        if len(differ):
            row = int(differ[0])
            words = (_word(machine, kind, int(want[row])), _word(machine, kind, int(got[row])))
            found.append(Mismatch(row, int(told.passes[row]), name, *words))
    return min(found, key=lambda mismatch: mismatch.row) if found else None


class Codes:
    """Steps as one number each, of the machine's table and of what weights say: they agree or not.

    Digits are the state, the symbols read, the next state, the symbols written and the moves. Heads
    are compared by themselves.
    """

    LEAST = -9
    """The least digit: `NO_MOVE`. All that is less or too large counts as one more."""

    def __init__(self, machine: Machine, table: Table) -> None:
        k = machine.tapes
        states, symbols = len(machine.states), len(machine.symbols)
        sizes = [states, *[symbols] * k, states, *[symbols] * k, *[2] * k]
        self._sizes = [size - self.LEAST + 1 for size in sizes]
        self._weights = [math.prod(self._sizes[:i]) for i in range(len(sizes))]
        self.exact = math.prod(self._sizes) < 2**63
        self._k = k
        if self.exact:
            columns = (table.states, *table.reads.T, table.next_states, *table.writes.T)
            self._rows = self._sum(0, (*columns, *table.moves.T))
        self._tables: tuple[Key, tuple[Any, ...]] | None = None

    def _sum(self, first: int, columns: Sequence[np.ndarray]) -> Int64[np.ndarray, " rows"]:
        """Return digits from number `first` on as one number."""
        total = np.zeros(len(columns[0]), dtype=np.int64)
        pairs = zip(columns, self._sizes[first:], self._weights[first:], strict=False)
        for column, size, weight in pairs:
            total += np.clip(column.astype(np.int64) - self.LEAST, 0, size - 1) * weight
        return total

    def agreed(self, steps: Steps, spoken: Spoken) -> int:
        """Return how many steps agree before the first that differs; steps not spoken do not."""
        record, key = spoken.record, spoken.key
        if self._tables is None or self._tables[0] is not key:
            reads = np.zeros((self._k, max(map(len, key.reads))), dtype=np.int64)
            for t, table in enumerate(key.reads):
                reads[t, : len(table)] = self._sum(1 + t, [table])
            emitted = (key.next_states, *key.writes.T, *key.moves.T)
            tables = (self._sum(0, [key.states]), self._sum(1 + self._k, emitted), reads)
            lookups = (tuple(map(np.uint64, key.read_by)), tuple(map(np.uint64, key.headed_by)))
            self._tables = key, (*tables, *lookups, key.heads_at)
        return int(
            _agreed(
                self._rows, steps.rows, steps.heads, record.standing, record.tokens, record.found,
                record.addresses, *self._tables[1],
            )
        )  # fmt: skip


@cached_njit(nogil=True)
def _agreed(  # type: ignore[no-untyped-def]
    codes, rows, heads, standing, tokens, found, addresses, by_standing, by_token, by_found,
    read_by, headed_by, heads_at,
):  # fmt: skip
    """Return how many rows agree with what was recorded.

    `read_by` and `headed_by` are tuples: numba unrolls the loops over them.
    """
    token, count, i = np.uint64(standing), np.uint64(min(rows.shape[0], tokens.shape[0])), ZERO
    while i < count:
        code, away = by_standing[token], np.int64(0)
        for t in range(len(read_by)):
            code += by_found[t, np.uint64(found[i, read_by[t]])]
            away |= heads[i, t] - addresses[i, headed_by[t]] - heads_at[token, t]
        last, token = token, np.uint64(tokens[i])
        if away != 0 or code + by_token[token] != codes[np.uint64(rows[i])]:
            return np.int64(i)
        i += ONE
        while last == token and i + BLOCK <= count:
            # all may be the same again, so that but the heads need be looked at
            differs, row = np.int64(0), np.int64(rows[i - ONE])
            for j in range(BLOCK):
                differs |= np.int64(rows[i + j]) ^ row
                differs |= np.int64(tokens[i + j]) ^ np.int64(token)
            for t in range(len(read_by)):
                value, at = np.int64(found[i - ONE, read_by[t]]), heads_at[token, t]
                for j in range(BLOCK):
                    differs |= np.int64(found[i + j, read_by[t]]) ^ value
                    differs |= heads[i + j, t] - addresses[i + j, headed_by[t]] - at
            if differs != 0:
                break
            i += BLOCK
    return np.int64(count)


def _columns(
    machine: Machine, steps: Steps, told: Told, rows: int
) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Return (feature, kind of value, expected, got) in the order in which they are made."""
    k = range(machine.tapes)
    kinds = (
        *((f"tape{t}.head", "integer", "heads", t) for t in k),
        ("state", "state", "states", None),
        *((f"tape{t}.read", "symbol", "reads", t) for t in k),
        ("next.state", "state", "next_states", None),
        *((f"next.tape{t}.write", "symbol", "writes", t) for t in k),
        *((f"next.tape{t}.move", "move", "moves", t) for t in k),
    )
    columns = []
    for name, kind, field, t in kinds:
        want, got = getattr(steps, field)[:rows], getattr(told, field)[:rows]
        columns.append(
            (name, kind, want, got) if t is None else (name, kind, want[:, t], got[:, t])
        )
    return columns


def _word(machine: Machine, kind: str, number: int) -> str:
    if kind == "integer":
        return "none" if number == NOWHERE else str(number)
    if kind == "move":
        return _MOVES.get(number, str(number))
    names = machine.states if kind == "state" else machine.symbols
    return names[number] if number >= 0 else _WORDS[number]
