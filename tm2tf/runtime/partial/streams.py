"""Several streams in lockstep on one core: the folded loop, pass by pass for up to eight runs.

A pass waits for two loads, of a cell and of what is remembered, and one stream has nothing else to
do meanwhile. Eight have: each gets further while the others wait. Nothing branches on what was
found, so nothing is foreseen wrongly, and each stream is one word that a pass adds a number to:

    bits 32-63: the place in the pool of cells; 16-31: passes made in this burst; 0-15: the row

A row is of the token that was fed last; the entry in it, of the class of what is found. The entry
is the difference between the word before the pass and after it. Where the token that comes next is
not known, or is none for these loops, the entry is 0 and the cell keeps what it has: the stream
stands still, and its passes are not counted.
"""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"
# numba compiles the functions of this file: no annotations, plain loops. It compiles them for each
# length of a tuple, and keeps all words in registers.

from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem

from tm2tf.jit import cached_njit

WIDTHS = (2, 4, 8)
"""How many lanes the loop is compiled for. On the machine where this was measured (Zen 4), passes a
second of all streams over those of one in the folded loop: 1 lane 0.6, 2 lanes 1.25, 3 lanes 1.8,
4 lanes 2.4, 6 lanes 3.4, 8 lanes 3.8, 10 lanes 2.8, 12 lanes 3.2, 16 lanes 3.1: beyond eight,
words no longer fit the registers."""

LANES = WIDTHS[-1]

BURST = 256
"""Passes between two looks at places and limits; as many as runners leave room for cells."""

PLACE, COUNT, LOW = np.uint64(32), np.uint64(16), np.uint64(0xFFFF)
ENTRIES = 2**16
"""Entries of a table: a row is 16 bits of a word."""


@njit(forceinline=True)
def _pass(cells, entries, kept, words):
    """Make one pass in each lane: look up, keep a value there, and move on."""
    for lane in range(len(words)):
        word = words[lane]
        place = word >> PLACE
        at = (word & LOW) + np.uint64(cells[place])
        cells[place] = kept[at]
        words = tuple_setitem(words, lane, word + entries[at])
    return words


@cached_njit(nogil=True)
def lockstep(cells, entries, kept, words, low, high, left, made, live, bursts):
    """Make up to `bursts` bursts of passes in every lane; return the words then.

    It comes back earlier where a live lane stands still, has no passes `left`, or is at a place
    outside `low` to `high`. Lanes that are not live must stand still. `left` and the passes `made`
    are changed.
    """
    for _ in range(bursts):
        passes = np.uint64(BURST)
        for lane in range(len(words)):
            if live[lane]:
                place = words[lane] >> PLACE
                if place < low[lane] or place >= high[lane]:
                    return words
                passes = min(passes, left[lane])
        if passes == 0:
            return words
        for _ in range(passes):
            words = _pass(cells, entries, kept, words)
        still = False
        for lane in range(len(words)):
            count = (words[lane] >> COUNT) & LOW
            words = tuple_setitem(words, lane, words[lane] - (count << COUNT))
            made[lane] += count
            left[lane] -= count
            still |= live[lane] and count < passes
        if still:
            return words
    return words
