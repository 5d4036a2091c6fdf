"""The kernel's lookups but for the index of "latest" heads, which `passes` has in its own loop.

A head without an index scans, whatever its weights. Positions with equal keys have equal scores,
so each key is kept once: a "latest" head keeps its latest position and value, a "mean" head how
many positions have it and the sum of their values. The means of an index are kept alike, by
address. Sums of whole numbers are exact in any order, so that they are those of the plain model.

A pass that is broken off is made again. What a "latest" head keeps is then written again as it
was; a mean must not count a position twice, so `added` says which one a head counted last.
"""

# mypy: disable-error-code="no-untyped-def"
# numba compiles this file: no annotations, plain loops.

from __future__ import annotations

import numpy as np
from numba import njit

from tm2tf.jit import cached_njit

RUNNING, STOPPED, IRREGULAR, BEYOND, NO_CELL, NO_ROW, NO_TURN = range(7)
"""How a call of `advance` ended: out of passes; a token with an outcome or one that cuts; in head
`scalars[HEAD]` a key or query without the indexed form, an address beyond the bound up to which
weights are exact, or no room: in the index for the key `scalars[WANTED]`, for another key to scan,
for another value in the ring. A pass that ends in one of the last five can be made again, once the
caller has brought back `sums` and cleared the marks."""

UNIFORM, INDEX, SCAN, RELATIVE, MEAN_INDEX, MEAN_SCAN = (np.uint64(i) for i in range(6))
"""How heads are evaluated, the first number in a plan's `heads`."""

ZERO, ONE, TWO, THREE, FOUR, FIVE = (np.uint64(i) for i in range(6))
"""Indices are unsigned: numba checks signed ones for wrapping around at each use. For the same
reason, speed, inlined functions have one exit each: then numba need not count references."""

DONE, LOWEST, WANTED, HEAD = range(4)
"""Places in `scalars`: the position of the last pass, the lowest address of the index, the key for
which there was no room, the head at which a pass was broken off."""

MIX, HALF, SIGN = np.uint64(0x9E3779B97F4A7C15), np.uint64(32), np.int64(63)
REST = np.int64(2**63 - 1)
"""To hash keys: 2^64 over the golden ratio, odd and without a pattern (Knuth), and half of 64. To
turn negative scores around: the place of a sign, and all bits but that."""


@njit(forceinline=True)
def _enter(h, dot, width, compare, bits, distinct, places, hashes, rows, keys, room):
    """Return where a key is kept, which is past `room` if it is not and there is no room."""
    key, row, hashed = dot + width, dot >> ONE, ZERO
    for c in range(key, key + width):
        hashed = (hashed ^ bits[c]) * MIX
        hashed ^= hashed >> HALF
    count, among = distinct[h], np.uint64(places.shape[1]) - ONE
    place, slot = hashed & among, count
    while slot == count and places[h, place] != ZERO:
        held, same = places[h, place] - ONE, ZERO
        if hashes[h, held] == hashed:
            while same < width and rows[held, row + same] == compare[key + same]:
                same += ONE
            if same == width:
                slot = held
        place = (place + ONE) & among
    if slot == count and slot < room:
        count += ONE
        distinct[h], places[h, place], hashes[h, slot] = count, count, hashed
        for c in range(ZERO, width):
            rows[slot, row + c] = keys[row + c, slot] = compare[key + c]
    return slot


@njit(forceinline=True)
def _score(dot, width, count, compare, keys, scores, ranks):
    """Score each key; return the greatest score, as the integer that `ranks` has."""
    for i in range(ZERO, count):
        scores[i] = 0.0
    for c in range(ZERO, width):
        asked = compare[dot + c]
        if asked != 0.0:
            for i in range(ZERO, count):
                scores[i] += asked * keys[(dot >> ONE) + c, i]
    # No branches, which would keep these loops from being vectors: scores are compared as
    # integers, negative ones turned around; sums that begin at 0.0 are never -0.0.
    best = ~REST
    for i in range(ZERO, count):
        best = max(best, ranks[i] ^ ((ranks[i] >> SIGN) & REST))
    return best ^ ((best >> SIGN) & REST)


@cached_njit()
def scan(
    h, position, dot, width, first, last, compare, bits, distinct, places, hashes, latest, rows,
    keys, vals, scores, ranks, brought,
):  # fmt: skip
    """Keep the key and value of `position`, and bring the value at the greatest score.

    Returns a status.
    """
    room = np.uint64(scores.shape[0])
    slot = _enter(h, dot, width, compare, bits, distinct, places, hashes, rows, keys, room)
    if slot < room:
        latest[h, slot] = position
        for c in range(first, last):
            vals[slot, c] = brought[c]
        count = distinct[h]
        best = _score(dot, width, count, compare, keys, scores, ranks)
        when = np.int64(0)
        for i in range(ZERO, count):
            when = max(when, latest[h, i] if ranks[i] == best else np.int64(0))
        where = ZERO
        for i in range(ZERO, count):
            where += i if latest[h, i] == when else ZERO
        for c in range(first, last):
            brought[c] = vals[where, c]
    return RUNNING if slot < room else NO_ROW


@njit
def _mean_by_scan(
    h, position, dot, width, first, last, compare, bits, distinct, places, hashes, latest, rows,
    keys, vals, scores, ranks, added, brought,
):  # fmt: skip
    """Count the value of `position` to its key, and bring the mean of all at the greatest score.

    `latest` is how many positions have a key. Returns a status.
    """
    room, known = np.uint64(scores.shape[0]), distinct[h]
    slot = _enter(h, dot, width, compare, bits, distinct, places, hashes, rows, keys, room)
    if slot < room:
        if added[h] != position:
            added[h] = position
            latest[h, slot] = np.int64(1) if slot == known else latest[h, slot] + 1
            for c in range(first, last):
                vals[slot, c] = brought[c] if slot == known else vals[slot, c] + brought[c]
        count = distinct[h]
        best = _score(dot, width, count, compare, keys, scores, ranks)
        for c in range(first, last):
            brought[c] = 0.0
        times = np.int64(0)
        for i in range(ZERO, count):
            if ranks[i] == best:
                times += latest[h, i]
                for c in range(first, last):
                    brought[c] += vals[i, c]
        for c in range(first, last):
            brought[c] /= times
    return RUNNING if slot < room else NO_ROW


@njit
def _mean_by_index(
    h, position, dot, first, last, compare, scalars, cells, known, floor, floor_value, floor_known,
    added, brought,
):  # fmt: skip
    """Count the value of `position` to its address, and bring the mean at the one asked for.

    Keys and queries have the form that `passes` describes. Of floors with the greatest c, all
    count. Returns a status.
    """
    slots, lowest = np.uint64(known.shape[0]), scalars[LOWEST]
    k0, k1, k2 = compare[dot + THREE], compare[dot + FOUR], compare[dot + FIVE]
    q0, q1, q2 = compare[dot], compare[dot + ONE], compare[dot + TWO]
    p = 0.5 * q0
    address = k2 == 0.0 and k1 == -k0 * k0 and np.floor(k0) == k0
    if not address and not (k2 == 1.0 and k0 == 0.0 and -1.0 <= k1 < 0.0):
        return IRREGULAR
    if q1 != 1.0 or q2 != p * p or np.floor(p) != p:
        return IRREGULAR
    slot = np.uint64(np.int64(k0) - lowest)  # below the lowest: wraps, is huge
    if address and slot >= slots:
        scalars[WANTED] = np.int64(k0)
        return NO_CELL
    if added[h] != position:
        added[h] = position
        if address:
            known[slot, h] += 1
            for c in range(first, last):
                cells[slot, c] = brought[c] + (cells[slot, c] if known[slot, h] > 1 else 0.0)
        elif k1 >= floor[h]:
            floor_known[h] = 1 if k1 > floor[h] else floor_known[h] + 1
            floor[h] = k1
            for c in range(first, last):
                before = floor_value[c] if floor_known[h] > 1 else 0.0
                floor_value[c] = before + brought[c]
    slot = np.uint64(np.int64(p) - lowest)
    found = slot < slots and known[slot, h] > 0
    if not found and floor[h] <= -1.0:
        return IRREGULAR
    for c in range(first, last):
        if found:
            brought[c] = cells[slot, c] / known[slot, h]
        else:
            brought[c] = floor_value[c] / floor_known[h]
    return RUNNING


@cached_njit()
def mean(h, kind, position, dot, width, first, last, state):
    """Count the value of `position` in, and bring the mean that a head looks for.

    Returns a status.
    """
    (
        scalars, _, _, cells, known, floor, floor_value, floor_known, distinct, places, hashes,
        latest, rows, keys, vals, scores, ranks, added, _, _, _, _, compare, bits, brought, _, _,
        _, _, _, _, _,
    ) = state  # fmt: skip
    if kind == MEAN_SCAN:
        return _mean_by_scan(
            h, position, dot, width, first, last, compare, bits, distinct, places, hashes, latest,
            rows, keys, vals, scores, ranks, added, brought,
        )  # fmt: skip
    return _mean_by_index(
        h, position, dot, first, last, compare, scalars, cells, known, floor, floor_value,
        floor_known, added, brought,
    )  # fmt: skip
