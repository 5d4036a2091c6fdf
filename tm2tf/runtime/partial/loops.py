"""The inner loops of the fast kernels for one lookup, compiled by numba. `wide` has those for more.

Each pass feeds a token (the address moves, a value is kept), looks up the value at the address and
finds the next token. A run stands either at a token that was emitted and is not fed, or behind one
that was `fed` and has emitted nothing. A place is an address less the lowest one that has a cell.
A loop is begun at places from `low` to below `high`; a token fed at most `guard` beyond these still
finds its cells, as it moves by `reach` at most.

Where the next address depends on what the last pass found, a processor waits for one load after
another. So moves by one are branches: it foresees them, and goes on before the loads are done.
"""

# mypy: disable-error-code="no-untyped-def"
# numba compiles this file: no annotations, plain loops. The same lines stand in several of them:
# split off, even as inlined functions, they made a pass take three times as long.

from __future__ import annotations

import numpy as np

from tm2tf.jit import cached_njit

ZERO, ONE = np.uint64(0), np.uint64(1)
STOP, UNKNOWN = np.uint64(2**63), np.uint64(2**63 + 1)
"""In place of where the next pass goes on: the token is not fed here; the case is not known."""

LEFT, RIGHT, FAR = (np.uint64(i) for i in range(3))
"""How a token moves the address: by -1, by 1, or by another number (or not at all)."""

SWEEP = np.uint64(3)
"""Added to these where a case leads to itself: it comes again as often as its values are found at
the next places, too (by FAR here a lookup stays where it is, and keeps what it found)."""

SOON, BLOCK = np.uint64(32), np.uint64(64)
"""Values found again one by one before it is worth a call (some 10 ns), and then compared at once:
loops of 32 or fewer would be unrolled by the compiler, and no vectors be used."""

RUNNING, STOPPED, NO_ROOM, UNSURE, NEW, BEYOND, LIMIT, FLOOR = range(8)
"""Why a loop came back: all tokens are emitted (or fed); a token is not fed here; an address may
leave the cells; the candidates do not settle this case; the case is not known yet; an address is
beyond the bound; a sum is; the value that a lookup brings where nothing was kept changed."""


@cached_njit(nogil=True)
def evaluated(  # noqa: C901, PLR0912, PLR0915
    cells, place, lowest, low, high, reach, guard, pending, fed, count,
    state, shift, write, kept, fits,
    by_value, first, begin, pre, rest, inner, top, slope, flat, base, rise, token,
    goes, ends, side, moved, wrote, keeps, tokens, addresses, found, counts,
):  # fmt: skip
    """Emit up to `count` tokens, evaluating the candidates at every pass.

    Candidates are sorted by value (`by_value`) or by the class of the token; `rest` holds what the
    other one adds, row after row. Where one candidate fires alone, by r, the token `token` gets the
    logit top + slope r, and all others have at most flat, or base + rise r. `goes` and `ends`:
    between which candidates the next pass looks, or `by_value` the row of `rest`.

    Returns tokens emitted, the place, the last token, whether it was fed, why it came back, which
    candidate is not known, and the token that stood where the last one was emitted.
    """
    n, status, wide = ZERO, RUNNING, np.uint64(pre.shape[0])
    recording, counting = tokens.shape[0] > 0, counts.shape[0] > 0
    a, b, row, i, stood = ZERO, ZERO, ZERO, ZERO, pending
    while status == RUNNING and n < count:
        if not fed:
            if not fits[pending]:
                status = STOPPED
                break
            if place < low or place >= high:
                status = NO_ROOM
                break
            cells[place + write[pending]] = kept[pending]
            place += shift[pending]
            fed = True
        if place < low or place >= high:
            status = NO_ROOM
            break
        stop = min(count, n + ONE + (min(place - low, high - ONE - place) + guard) // reach)
        if by_value:
            row = begin[state[pending]]
        else:
            a, b = first[state[pending]], first[state[pending] + ONE]
        while True:
            c = np.uint64(cells[place])
            if by_value:
                a, b = first[c], first[c + ONE]
            else:
                row = c * wide
            i = a
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
                tokens[n], addresses[n], found[n] = token[i], np.int64(place + lowest), c
            if counting:
                counts[row + i] += ONE
            n += ONE
            if goes[i] == STOP or n == stop:
                stood, pending, fed = pending, token[i], False
                break
            if by_value:
                row = goes[i]
            else:
                a, b = goes[i], ends[i]
            cells[place + wrote[i]] = keeps[i]
            if side[i] == LEFT:
                place -= ONE
            elif side[i] == RIGHT:
                place += ONE
            else:
                place += moved[i]
            pending = token[i]
    return n, place, pending, fed, status, i, stood


@cached_njit(nogil=True)
def alike(cells, place, right, same, most):
    """Return how many cells from a place on to one side hold the same, up to `most`."""
    m = ZERO
    while m + BLOCK <= most:
        first = place + m if right else place - m - BLOCK + ONE
        differs = np.uint16(0)
        for k in range(BLOCK):
            differs |= np.uint16(cells[first + k] ^ same)
        if differs:
            break
        m += BLOCK
    while m < most and cells[place + m if right else place - m] == same:
        m += ONE
    return m


@cached_njit(nogil=True)
def folded(  # noqa: C901, PLR0912, PLR0915
    cells, place, lowest, low, high, reach, guard, pending, fed, count,
    state, shift, write, kept, fits,
    begin, token, goes, side, moved, wrote, keeps, tokens, addresses, found, counts,
):  # fmt: skip
    """Emit up to `count` tokens, one remembered case a pass.

    A case is `begin` of the class of the token, or what `goes` says, plus the value that is found.
    Where a case leads to itself (`SWEEP`), what is found next is compared with what it found, many
    values at once: as long as they are the same, every pass emits the same token.

    Returns as `evaluated` does, and how many of the passes were compared so.
    """
    n, status = ZERO, RUNNING
    recording, counting = tokens.shape[0] > 0, counts.shape[0] > 0
    case, stood, swept = ZERO, pending, ZERO
    while status == RUNNING and n < count:
        if not fed:
            if not fits[pending]:
                status = STOPPED
                break
            if place < low or place >= high:
                status = NO_ROOM
                break
            cells[place + write[pending]] = kept[pending]
            place += shift[pending]
            fed = True
        if place < low or place >= high:
            status = NO_ROOM
            break
        stop = min(count, n + ONE + (min(place - low, high - ONE - place) + guard) // reach)
        start = begin[state[pending]]
        while True:
            c = np.uint64(cells[place])
            case = start + c
            start = goes[case]
            if start == UNKNOWN:
                status = NEW
                break
            if recording:
                tokens[n], addresses[n], found[n] = token[case], np.int64(place + lowest), c
            if counting:
                counts[case] += ONE
            n += ONE
            if start == STOP or n == stop:
                fed = False
                break
            pending = token[case]
            where, keep = side[case], keeps[case]
            cells[place + wrote[case]] = keep
            if where == LEFT:
                place -= ONE
                continue
            if where == RIGHT:
                place += ONE
                continue
            if where == FAR:
                place += moved[case]
                continue
            same, most, m = np.uint16(c), stop - n - ONE, ZERO  # a sweep
            if where == RIGHT + SWEEP:
                first = place + ONE
                while m < most and cells[first + m] == same:
                    m += ONE
                    if m == SOON:
                        m += alike(cells, first + m, True, same, most - m)
                place = first + m
            else:
                first = place - ONE
                while m < most and cells[first - m] == same:
                    m += ONE
                    if m == SOON:
                        m += alike(cells, first - m, False, same, most - m)
                place = first - m
                first = place + ONE
            if keep != same:
                for k in range(m):
                    cells[first + k] = keep
            if recording:
                for k in range(m):
                    tokens[n + k], found[n + k] = pending, c
                here = np.int64(first + lowest)
                if where == RIGHT + SWEEP:
                    for k in range(m):
                        addresses[n + k] = here + np.int64(k)
                else:
                    for k in range(m):
                        addresses[n + k] = here + np.int64(m - ONE - k)
            if counting:
                counts[case] += m
            n += m
            swept += m
        if not fed:
            stood, pending = pending, token[case]
    return n, place, pending, fed, status, case, stood, swept


@cached_njit(nogil=True)
def feed(  # noqa: C901, PLR0912
    given, cells, lowest, sums, best, floors, wanted, places,
    kinds, steps, limits, query, query_at, key, key_at, floor, kept, bound,
):  # fmt: skip
    """Feed tokens one by one, whatever they are; keep the places that the last one asks for.

    `best` and `floors`: the greatest floor of each lookup and its value. Returns how many were
    fed, and why it stopped; `wanted` is the address that has no cell.
    """
    lookups, size = cells.shape
    for done in range(given.shape[0]):
        token = given[done]
        kind = kinds[token]
        status = RUNNING
        for i in range(sums.shape[0]):
            sums[i] += steps[token, i]
            if abs(sums[i]) > limits[i]:
                status = LIMIT
        for t in range(lookups):
            w, p = key_at[kind, t], query_at[kind, t]
            for i in range(sums.shape[0]):
                w += key[kind, t, i] * sums[i]
                p += query[t, i] * sums[i]
            keeps = np.isnan(floor[kind, t])
            for address in (w, p):
                if (keeps or address == p) and not 0 <= address - lowest < size:
                    status = NO_ROOM
                    wanted[0] = address
            if max(abs(w) if keeps else 0, abs(p)) > bound:
                status = BEYOND
                break
            if not keeps and floor[kind, t] >= best[t] and floors[t] != kept[token, t]:
                status = FLOOR
        if status != RUNNING:
            for i in range(sums.shape[0]):
                sums[i] -= steps[token, i]
            return done, status
        for t in range(lookups):
            w, p = key_at[kind, t], query_at[kind, t]
            for i in range(sums.shape[0]):
                w += key[kind, t, i] * sums[i]
                p += query[t, i] * sums[i]
            if np.isnan(floor[kind, t]):
                cells[t, w - lowest] = kept[token, t]
            else:
                best[t] = max(best[t], floor[kind, t])
            places[t] = np.uint64(p - lowest)
    return given.shape[0], RUNNING
