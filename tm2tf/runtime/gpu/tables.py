"""The tables of the two fast kernels as the GPU takes them: a word for each row and tape.

They are filled as on the CPU: a row that is asked for and not known is settled there, from the
weights, and sent. See `partial.kernels`.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Int64

from tm2tf.runtime.partial import kernels
from tm2tf.runtime.partial.loops import STOP, UNKNOWN
from tm2tf.runtime.partial.tables import Parts
from tm2tf.runtime.partial.unfit import Unfit

MOST_TAPES = 3
"""Lookups, at most: each has lines of its own in the kernel."""

NARROW, WIDE = 31, 63
"""Bits of a word of either size, less one, so that none is negative."""


LEARNT = ("top", "slope", "flat", "floor", "rise")
LINES = ("pre", "rest", "inner", *LEARNT)


class FoldedRows(kernels.Folded):
    """Cases, by the class of the token and of what was found."""

    def scale(self) -> int:
        """Return by how much the class of a token is multiplied where it says where to begin."""
        return int(self._strides[0])

    def strides(self) -> tuple[int, ...]:
        """Return what the beginning, and what each lookup finds, counts in a row or a key."""
        return (1, *self._strides[1:].tolist())

    def candidates(self) -> dict[str, np.ndarray]:
        """Return the columns of candidates; empty ones where there are none."""
        return {"first": np.zeros(1, dtype=np.int32), **dict.fromkeys(LINES, np.zeros(1))}

    def shape(self) -> tuple[int, int]:
        """Return which coordinate is left out of the keys, and how many share one at most."""
        return 0, 0


class EvaluatedRows(kernels.Evaluated):
    """Candidates, by key."""

    def scale(self) -> int:
        """Return by how much the class of a token is multiplied where it says where to begin."""
        return 1

    def strides(self) -> tuple[int, ...]:
        """Return what the beginning, and what each lookup finds, counts in a row or a key."""
        return tuple(self._made.strides.tolist())

    def candidates(self) -> dict[str, np.ndarray]:
        """Return the columns of candidates; empty ones where there are none."""
        lines = (
            self._made.pre, self._made.rest.ravel(), self._inner,
            self._top, self._slope, self._flat_, self._base, self._rise,
        )  # fmt: skip
        first = self._made.first.astype(np.int32)
        return {"first": first, **dict(zip(LINES, lines, strict=True))}

    def shape(self) -> tuple[int, int]:
        """Return which coordinate is left out of the keys, and how many share one at most."""
        return self._made.left, int(np.diff(self._made.first).max(initial=1))


Rows: TypeAlias = FoldedRows | EvaluatedRows


class Tables:
    """Tables on a device.

    Attributes:
        constants: what the kernel is compiled for, by the names of its parameters.
        arrays: its other parameters that depend on weights alone.

    Raises:
        Unfit: the kernel cannot take these weights.
    """

    def __init__(self, rows: Rows, device: str) -> None:
        moves = rows.parts.moves
        tapes = len(rows.parts.back.values)
        if tapes > MOST_TAPES:
            raise Unfit(f"there are {tapes} lookups, more than {MOST_TAPES}")
        self.rows, self.device, self.tapes = rows, device, tapes
        self.reach = moves.reach
        move = (2 * self.reach).bit_length()
        classes = [len(found.example) for found in rows.parts.back.values]
        keep = max(1, (max(classes) - 1).bit_length())
        goes = (rows.scale() * (len(rows.parts.back.states.example) - 1)).bit_length()
        bits = 2 + 2 * move + keep + goes
        if bits > WIDE:
            raise Unfit(f"what a case leads to takes {bits} bits, more than {WIDE}")
        self._width = np.int32 if bits <= NARROW else np.int64
        self.cell = torch.uint8 if max(classes) <= 256 else torch.int16
        strides = (*rows.strides(), 0, 0)
        left, most = rows.shape()
        self.constants = {
            "TAPES": tapes, "REACH": self.reach, "MOVE": move, "KEEP": keep,
            "STRIDE0": strides[0], "STRIDE1": strides[1],
            "STRIDE2": strides[2], "STRIDE3": strides[3],
            "EVALUATED": rows.name == "evaluated", "LEFT": left, "MOST": most,
        }  # fmt: skip
        self.arrays: dict[str, torch.Tensor] = {}
        self._send(self.rows.candidates())
        self.send()

    def send(self) -> None:
        """Bring what was learnt to the device."""
        columns = self.rows.candidates()
        learnt = {name: columns[name] for name in LEARNT}
        self._send({
            **learnt, "words": self._words(), "token_of": self.rows.token.astype(np.int32)
        })  # fmt: skip

    def _send(self, columns: dict[str, np.ndarray]) -> None:
        self.arrays |= {name: torch.tensor(it, device=self.device) for name, it in columns.items()}

    def begins(self, token: int) -> int:
        """Return where the pass after a token begins."""
        return int(self.rows.parts.back.states.of[token]) * self.rows.scale()

    def learn(self, row: int, token: int, found: Int64[np.ndarray, " T"]) -> None:
        """Enter a row that was asked for where a token stands; `send` tells the device.

        Raises:
            Unfit: the weights leave open which token follows, but for rounding.
        """
        state = int(self.rows.parts.back.states.of[token])
        self.rows.learn(row, state, found.astype(np.uint64))

    def _words(self) -> np.ndarray:
        """Return the words, [tapes, rows]."""
        rows, moves = self.rows, self.rows.parts.moves
        known = rows.goes != UNKNOWN
        fed = known & (rows.goes != STOP)
        tokens = rows.token.astype(np.int64)
        begins = rows.parts.back.states.of[tokens] * rows.scale()
        words = np.zeros((self.tapes, len(tokens)), dtype=np.int64)
        move, keep = self.constants["MOVE"], self.constants["KEEP"]
        for t in range(self.tapes):
            moved, wrote = (
                it[tokens, t].astype(np.int64) + self.reach for it in (moves.shift, moves.write)
            )
            kept = moves.kept[tokens, t].astype(np.int64)
            packed = moved << 2 | wrote << (2 + move) | kept << (2 + 2 * move)
            if t == 0:
                packed |= begins << (2 + 2 * move + keep)
            words[t] = np.where(fed, packed | 3, np.where(known, 2, 0))
        return words.astype(self._width)


def rows_of(kernel: str, whole: Parts) -> Rows:
    """Return empty tables of a kernel.

    Raises:
        Unfit: it cannot take these weights.
    """
    return EvaluatedRows(whole) if kernel == "evaluated" else FoldedRows(whole)
