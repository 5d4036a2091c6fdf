"""The inner loops of the fast kernels for several lookups: as in `loops`, with a place for each.

Places are a tuple: numba compiles the loops anew for each number of lookups, and keeps all places
in registers. `tuple_setitem` is numba's own way to change one of them.
"""

# mypy: disable-error-code="no-untyped-def, call-arg, unreachable"
# numba compiles this file: no annotations, plain loops. The same lines stand in several of them:
# split off, even as inlined functions, they made a pass take three times as long.

from __future__ import annotations

import numpy as np
from numba import njit
from numba.cpython.unsafe.tuple import tuple_setitem

from tm2tf.jit import cached_njit
from tm2tf.runtime.partial import loops
from tm2tf.runtime.partial.loops import (
    FAR,
    LEFT,
    NEW,
    NO_ROOM,
    ONE,
    RIGHT,
    RUNNING,
    STOP,
    STOPPED,
    SWEEP,
    UNKNOWN,
    UNSURE,
    ZERO,
    alike,
)

FEW = np.uint64(4)
"""Passes of a sweep made one by one before it is worth a call: see `loops.SOON`."""


@njit(forceinline=True)
def _room(places, low, high):
    """Return how far the place nearest to an end is from it, and one more; 0 if one is beyond."""
    least = high
    for place in places:
        if place < low or place >= high:
            return ZERO
        least = min(least, place - low + ONE, high - place)
    return least


@njit(forceinline=True)
def _move(cells, places, row, side, moved, wrote, keeps):
    """Keep a value for each lookup; return the places that the addresses then move to."""
    at = row * np.uint64(len(places))
    for t in range(len(places)):
        place = places[t]
        cells[t, place + wrote[at]] = keeps[at]
        if side[at] == LEFT:
            place -= ONE
        elif side[at] == RIGHT:
            place += ONE
        else:
            place += moved[at]
        places = tuple_setitem(places, t, place)
        at += ONE
    return places


@njit(forceinline=True)
def _found(cells, places, values):
    """Return whether these values are found."""
    same = True
    for t in range(len(places)):
        same &= np.uint64(cells[t, places[t]]) == values[t]
    return same


@njit(forceinline=True)
def _along(cells, places, values, at, moved, keeps, count):
    """Make so many passes of a sweep, in which these values are found; return the places then."""
    for t in range(len(places)):
        by, keep, first = moved[at + np.uint64(t)], keeps[at + np.uint64(t)], places[t]
        places = tuple_setitem(places, t, first + count * by)
        if by != ZERO and keep != values[t]:
            if by != ONE:
                first -= count - ONE
            for k in range(count):
                cells[t, first + k] = keep
    return places


@cached_njit(nogil=True, uses=[loops.__file__])
def _alike(cells, places, values, at, side, most):
    """Return in how many passes of a sweep these values are found, up to `most`."""
    for t in range(len(places)):
        where = side[at + np.uint64(t)]
        if where != FAR + SWEEP:
            right = where == RIGHT + SWEEP
            most = min(most, alike(cells[t], places[t], right, np.uint16(values[t]), most))
    return most


@cached_njit(nogil=True)
def evaluated(  # noqa: C901, PLR0912, PLR0915
    cells, places, lowest, low, high, reach, guard, pending, fed, count,
    state, shift, write, kept, fits, sides,
    strides, left, first, pre, rest, inner, top, slope, flat, base, rise, token,
    goes, side, moved, wrote, keeps, tokens, addresses, found,
):  # fmt: skip
    """Emit up to `count` tokens, evaluating the candidates at every pass.

    The key of the candidates is the sum of `strides` times the coordinates of a case: the class of
    the token, and what each lookup finds. The one that is `left` adds to the gates a row of `rest`.
    """
    n, status, size = ZERO, RUNNING, np.uint64(pre.shape[0])
    recording = tokens.shape[0] > 0
    i, start, stood = ZERO, ZERO, pending
    while status == RUNNING and n < count:
        if not fed:
            if not fits[pending]:
                status = STOPPED
                break
            if _room(places, low, high) == ZERO:
                status = NO_ROOM
                break
            places = _move(cells, places, pending, sides, shift, write, kept)
            fed = True
        room = _room(places, low, high)
        if room == ZERO:
            status = NO_ROOM
            break
        stop = min(count, n + ONE + (room - ONE + guard) // reach)
        start = state[pending]
        while True:
            key, row = strides[0] * start, start
            for t in range(len(places)):
                c = np.uint64(cells[t, places[t]])
                key += strides[t + 1] * c
                row = c if left == t + 1 else row
            row *= size
            i, b = first[key], first[key + ONE]
            gate = 0.0
            while i < b:
                gate = pre[i] + rest[row + i]
                if gate > 0.0:
                    break
                i += ONE
            if i == b:
                status = UNSURE
                break
            j = i + ONE
            while j < b:
                if pre[j] + rest[row + j] > 0.0:
                    break
                j += ONE
            if j < b:
                status = UNSURE
                break
            r = gate * inner[i]
            logit = top[i] + r * slope[i]
            if not (logit > flat[i] and logit > base[i] + r * rise[i]):
                status = NEW if goes[i] == UNKNOWN else UNSURE
                break
            if recording:
                tokens[n] = token[i]
                for t in range(len(places)):
                    addresses[n, t] = np.int64(places[t] + lowest)
                    found[n, t] = cells[t, places[t]]
            n += ONE
            if goes[i] == STOP or n == stop:
                stood, pending, fed = pending, token[i], False
                break
            start = goes[i]
            places = _move(cells, places, i, side, moved, wrote, keeps)
            pending = token[i]
    return n, places, pending, fed, status, i, stood


@cached_njit(nogil=True, uses=[loops.__file__])
def folded(  # noqa: C901, PLR0912, PLR0915
    cells, places, lowest, low, high, reach, guard, pending, fed, count,
    state, shift, write, kept, fits, sides,
    strides, token, goes, side, moved, wrote, keeps, tokens, addresses, found,
):  # fmt: skip
    """Emit up to `count` tokens, one remembered case a pass; as `loops.folded`.

    A case is `strides` times its coordinates; `goes` is already multiplied.
    """
    n, status = ZERO, RUNNING
    recording = tokens.shape[0] > 0
    case, stood, swept = ZERO, pending, ZERO
    begun, was = ZERO, places
    while status == RUNNING and n < count:
        if not fed:
            if not fits[pending]:
                status = STOPPED
                break
            if _room(places, low, high) == ZERO:
                status = NO_ROOM
                break
            places = _move(cells, places, pending, sides, shift, write, kept)
            fed = True
        room = _room(places, low, high)
        if room == ZERO:
            status = NO_ROOM
            break
        stop = min(count, n + ONE + (room - ONE + guard) // reach)
        start = strides[0] * state[pending]
        while True:
            case = start
            for t in range(len(places)):
                case += strides[t + 1] * np.uint64(cells[t, places[t]])
            start = goes[case]
            if start == UNKNOWN:
                status = NEW
                break
            if recording:
                tokens[n] = token[case]
                for t in range(len(places)):
                    addresses[n, t] = np.int64(places[t] + lowest)
                    found[n, t] = cells[t, places[t]]
            n += ONE
            if start == STOP or n == stop:
                fed = False
                break
            pending = token[case]
            at = case * np.uint64(len(places))
            if side[at] < SWEEP:
                places = _move(cells, places, case, side, moved, wrote, keeps)
                continue
            begun, was = n, places  # a sweep
            for t in range(len(places)):
                was = tuple_setitem(was, t, np.uint64(cells[t, places[t]]))
            places = _along(cells, places, was, at, moved, keeps, ONE)
            while n + ONE < stop and _found(cells, places, was):
                places = _along(cells, places, was, at, moved, keeps, ONE)
                n += ONE
                if n == begun + FEW:
                    m = _alike(cells, places, was, at, side, stop - n - ONE)
                    places = _along(cells, places, was, at, moved, keeps, m)
                    n += m
            swept += n - begun
            if recording:
                for k in range(n - begun):
                    tokens[begun + k] = pending
                    for t in range(len(places)):
                        back = moved[at + np.uint64(t)] * (n - begun - k)
                        addresses[begun + k, t] = np.int64(places[t] - back + lowest)
                        found[begun + k, t] = was[t]
        if not fed:
            stood, pending = pending, token[case]
    return n, places, pending, fed, status, case, stood, swept
