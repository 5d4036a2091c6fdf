"""The kernel's inner loops: one forward pass a token, compiled by numba.

Every pass computes embedding, attention, feed-forward layers and the argmax over all logits from
the tensors. Three things make it fast, and none changes what is computed. Sums skip zeros
(`active` lists the directions that are not 0). A "latest" head of width 3 whose keys have the
form that the hard target gives to addresses is answered from an index by address:

    keys     (w, -w^2, 0), w an integer     or     (0, c, 1), -1 <= c < 0   ("floor")
    queries  (2p, 1, p^2), p an integer
    score    p^2 - (p - w)^2                or     p^2 + c

so the latest key with w = p wins if there is one, and otherwise the floor with the greatest c
(the latest among equals) wins as long as c > -1. That form is checked at every pass, on the
numbers themselves; at the first that lacks it the run is done again without an index for that
head. "mean" heads have an index alike, and a head without one is scanned: see `scans`.
"""

# mypy: disable-error-code="no-untyped-def"
# numba compiles this file: no annotations, plain loops. `advance` is long because what is split off
# counts references to its arrays at each call, which can double the time of a pass.

from __future__ import annotations

import numpy as np
from numba import njit

from tm2tf.jit import cached_njit
from tm2tf.runtime import scans
from tm2tf.runtime.scans import (
    BEYOND,
    DONE,
    FIVE,
    FOUR,
    HEAD,
    INDEX,
    IRREGULAR,
    LOWEST,
    NO_CELL,
    NO_TURN,
    ONE,
    RELATIVE,
    RUNNING,
    SCAN,
    STOPPED,
    THREE,
    TWO,
    UNIFORM,
    WANTED,
    ZERO,
    mean,
    scan,
)

NUMBERS, WORDS, SHARES = range(3)
"""What probed features are: integers, categoricals, distributions."""

SMALL = 128
"""Up to this width the residual stream is cleared whole at each pass, and what feeds a layer is
looked at one by one; beyond it, the directions that are set are kept in a list."""

EMBED, POSITION, DOTS, VALUES, OUTS, GATES, INNER, MLP_OUT, UNEMBED, PROBES = (
    np.uint64(i) for i in range(10)
)
"""Places in a plan's `at`: the first row of each group of rows."""


@njit(forceinline=True)
def _dot(row, start, column, value, bias, x):
    total = bias[row]
    for j in range(start[row], start[row + ONE]):
        total += value[j] * x[column[j]]
    return total


@njit(forceinline=True)
def _scatter(row, scale, start, column, value, x, tracking, active, mark, count, stamp):
    """Add scale * row to x; note directions touched for the first time; return their count."""
    for j in range(start[row], start[row + ONE]):
        d = column[j]
        x[d] += scale * value[j]
        if tracking and mark[d] != stamp:
            mark[d] = stamp
            active[count] = d
            count += ONE
    return count


@cached_njit()
def _keep(row, first, last, source, into):
    for c in range(first, last):
        into[row, c] = source[c]


@njit(forceinline=True)
def _neurons(
    first_gate, first_inner, first_feed, last_feed, feeds, first_always, last_always, always,
    start, column, value, bias, gate_bias, snap, x, dense, tracking, active, count, stamp, pre,
    post, fired, neuron_mark,
):  # fmt: skip
    """Compute a feed-forward layer's neurons into `post`; return how many were looked at.

    Of the others no input is set, and their gate's bias is not positive, so they are 0.
    """
    looked = ZERO
    for j in range(first_always, last_always):
        neuron = always[j]
        neuron_mark[neuron] = stamp
        pre[neuron] = gate_bias[neuron]
        fired[looked] = neuron
        looked += ONE
    few = not tracking or last_feed - first_feed < count
    for i in range(ZERO, last_feed - first_feed if few else count):
        d = feeds[first_feed + i] if few else active[i]
        held = x[d]
        if held == 0.0 and not dense:
            continue
        row = first_gate + d
        for j in range(start[row], start[row + ONE]):
            neuron = column[j]
            if neuron_mark[neuron] != stamp:
                neuron_mark[neuron] = stamp
                pre[neuron] = gate_bias[neuron]
                fired[looked] = neuron
                looked += ONE
            pre[neuron] += value[j] * held
    for i in range(ZERO, looked):
        neuron = fired[i]
        gate = pre[neuron]
        if gate > 0.0:
            product = gate * _dot(first_inner + neuron, start, column, value, bias, x)
            post[neuron] = np.rint(product) if snap[neuron] else product
        else:
            post[neuron] = 0.0
    return looked


@njit(forceinline=True)
def _argmax(
    first, first_feed, last_feed, feeds, start, column, value, logit_bias, by_bias, x, dense,
    tracking, active, count, stamp, logits, token_mark, candidates,
):  # fmt: skip
    """Return the token with the greatest logit, ties to the lower id."""
    touched = ZERO
    few = not tracking or last_feed - first_feed < count
    for i in range(ZERO, last_feed - first_feed if few else count):
        d = feeds[first_feed + i] if few else active[i]
        held = x[d]
        if held == 0.0 and not dense:
            continue
        for j in range(start[first + d], start[first + d + ONE]):
            token = column[j]
            if token_mark[token] != stamp:
                token_mark[token] = stamp
                logits[token] = logit_bias[token]
                candidates[touched] = token
                touched += ONE
            logits[token] += value[j] * held
    unfed = ZERO  # of the tokens that nothing feeds, the one with the greatest bias
    while unfed < by_bias.shape[0] and token_mark[by_bias[unfed]] == stamp:
        unfed += ONE
    best, winner = -np.inf, by_bias[0]
    if unfed < by_bias.shape[0]:
        best, winner = logit_bias[by_bias[unfed]], by_bias[unfed]
    for i in range(ZERO, touched):
        token = candidates[i]
        logit = logits[token]
        if logit > best or (logit == best and token < winner):
            best, winner = logit, token
    return winner


@njit(forceinline=True)
def _probe(place, first, start, column, value, bias, kinds, x, out):
    """Write each probed feature: an integer, or the index of a value (-1 absent, -2 unclear)."""
    for i in range(out.shape[1]):
        row = first + np.uint64(i)
        if kinds[i] == SHARES:
            found, most = np.int64(-1), 0.0
            for j in range(start[row], start[row + ONE]):
                held = x[column[j]]
                if not 0.0 <= held <= 1.0:
                    found, most = np.int64(-2), np.inf
                elif held > most:
                    found, most = np.int64(value[j]), held
            out[place, i] = found
        elif kinds[i] == WORDS:
            found = np.int64(-1)
            for j in range(start[row], start[row + ONE]):
                held = x[column[j]]
                if held != 0.0:
                    found = np.int64(value[j]) if held == 1.0 and found == -1 else np.int64(-2)
            out[place, i] = found
        else:
            out[place, i] = np.int64(np.rint(_dot(row, start, column, value, bias, x)))


@cached_njit(nogil=True, uses=[scans.__file__])
def advance(plan, state, means, given, tokens, probes, streams):  # noqa: C901, PLR0912, PLR0915
    """Feed the `given` tokens, then what is emitted, until `tokens` is full or a token stops.

    `given` begins with the tokens not yet fed. Emitted tokens go to `tokens`, probed features at
    the positions that emitted them to `probes`. `streams`, if it has rows, receives the residual
    stream of the last pass: after the embedding and after each layer. `means` is the state once
    more if some head brings means, else None: numba then leaves the call out, which alone costs a
    sixth of a pass by a small machine, as it counts references.

    Returns how many of `given` were fed (and passed on from), how many tokens were emitted, status.
    """
    # Plain tuples, not the named ones: numba's cache on disk holds the types of arguments, and
    # would break on a class that a later version has moved.
    (
        start, column, value, bias, at, heads, layer_heads, gate_bias, always, layer_always, feeds,
        layer_feeds, snap, logit_bias, by_bias, stops, probe_kinds, bound, d_model, dense,
    ) = plan  # fmt: skip
    (
        scalars, sums, before, cells, known, floor, floor_value, _, distinct, places,
        hashes, latest, rows, keys, vals, scores, ranks, _, ring, x, active, mark, compare, bits,
        brought, pre, post, fired, neuron_mark, logits, token_mark, candidates,
    ) = state  # fmt: skip

    fed, emitted, status = 0, 0, RUNNING
    layers, width = np.uint64(layer_heads.shape[0] - 1), np.uint64(d_model)
    slots, lowest, turns = np.uint64(known.shape[0]), scalars[LOWEST], np.uint64(ring.shape[0])
    recording, tracking = streams.shape[0] > 0, d_model > SMALL and not dense
    token = given[0]
    while emitted < tokens.shape[0] and status == RUNNING:
        position = scalars[DONE] + 1
        n = np.float64(position)
        for c in range(sums.shape[0]):
            before[c] = sums[c]
        count = _scatter(
            at[EMBED] + token, 1.0, start, column, value, x, tracking, active, mark, ZERO, position
        )
        count = _scatter(
            at[POSITION], n, start, column, value, x, tracking, active, mark, count, position
        )
        if recording:
            _keep(0, 0, d_model, x, streams)
        for layer in range(ZERO, layers):
            for h in range(layer_heads[layer], layer_heads[layer + ONE]):
                kind, dot, wide = heads[h, ZERO], heads[h, ONE], heads[h, TWO]
                first, last = heads[h, THREE], heads[h, THREE] + heads[h, FOUR]
                for c in range(first, last):
                    brought[c] = _dot(at[VALUES] + c, start, column, value, bias, x)
                if kind == UNIFORM:
                    for c in range(first, last):
                        sums[c] += brought[c]
                        brought[c] = sums[c] / n
                    continue
                if kind == RELATIVE:
                    # the ring's length is a power of 2: numba would check a remainder for 0
                    now, size = np.uint64(position), heads[h, FIVE]
                    if now > turns and size > turns:
                        status = NO_TURN
                        break
                    back = now - size if now > size else ZERO
                    for c in range(first, last):
                        ring[(now - ONE) & (turns - ONE), c] = brought[c]
                    for c in range(first, last):
                        brought[c] = ring[back & (turns - ONE), c]
                    continue
                for c in range(dot, dot + wide + wide):
                    compare[c] = _dot(at[DOTS] + c, start, column, value, bias, x)
                if kind != INDEX:
                    # the same bound as below: past it, the scores would be rounded
                    if wide == THREE and (
                        abs(compare[dot + THREE]) > bound or abs(0.5 * compare[dot]) > bound
                    ):
                        status = BEYOND
                    elif kind == SCAN:
                        status = scan(
                            h, position, dot, wide, first, last, compare, bits, distinct, places,
                            hashes, latest, rows, keys, vals, scores, ranks, brought,
                        )  # fmt: skip
                    elif means is not None:
                        status = mean(h, kind, position, dot, wide, first, last, means)
                    if status != RUNNING:
                        break
                    continue
                status = IRREGULAR
                k0, k1, k2 = compare[dot + THREE], compare[dot + FOUR], compare[dot + FIVE]
                if k2 == 0.0 and k1 == -k0 * k0 and np.floor(k0) == k0:
                    if abs(k0) > bound:
                        status = BEYOND
                        break
                    slot = np.uint64(np.int64(k0) - lowest)  # below the lowest: wraps, is huge
                    if slot >= slots:
                        scalars[WANTED] = np.int64(k0)
                        status = NO_CELL
                        break
                    known[slot, h] = 1
                    for c in range(first, last):
                        cells[slot, c] = brought[c]
                elif k2 == 1.0 and k0 == 0.0 and -1.0 <= k1 < 0.0:
                    if k1 >= floor[h]:
                        floor[h] = k1
                        for c in range(first, last):
                            floor_value[c] = brought[c]
                else:
                    break
                q0, q1, q2 = compare[dot], compare[dot + ONE], compare[dot + TWO]
                p = 0.5 * q0
                if q1 != 1.0 or q2 != p * p or np.floor(p) != p:
                    break
                if abs(p) > bound:
                    status = BEYOND
                    break
                slot = np.uint64(np.int64(p) - lowest)
                found = slot < slots and known[slot, h] != 0
                if not found and floor[h] <= -1.0:
                    break
                for c in range(first, last):
                    brought[c] = cells[slot, c] if found else floor_value[c]
                status = RUNNING
            if status != RUNNING:
                scalars[HEAD] = np.int64(h)
                break
            for h in range(layer_heads[layer], layer_heads[layer + ONE]):
                for c in range(heads[h, THREE], heads[h, THREE] + heads[h, FOUR]):
                    if brought[c] != 0.0 or dense:
                        count = _scatter(
                            at[OUTS] + c, brought[c], start, column, value, x, tracking, active,
                            mark, count, position,
                        )  # fmt: skip
            looked = _neurons(
                at[GATES] + layer * width, at[INNER], layer_feeds[layer], layer_feeds[layer + ONE],
                feeds, layer_always[layer], layer_always[layer + ONE], always, start, column,
                value, bias, gate_bias, snap, x, dense, tracking, active, count, position, pre,
                post, fired, neuron_mark,
            )  # fmt: skip
            for i in range(ZERO, looked):
                neuron = fired[i]
                if post[neuron] != 0.0 or dense:
                    count = _scatter(
                        at[MLP_OUT] + neuron, post[neuron], start, column, value, x, tracking,
                        active, mark, count, position,
                    )  # fmt: skip
            if recording:
                _keep(layer + ONE, 0, d_model, x, streams)
        if status == RUNNING:
            scalars[DONE] = position
            winner = _argmax(
                at[UNEMBED], layer_feeds[layers], layer_feeds[layers + ONE], feeds, start, column,
                value, logit_bias, by_bias, x, dense, tracking, active, count, position, logits,
                token_mark, candidates,
            )  # fmt: skip
            fed += 1
            if fed < given.shape[0]:
                token = given[fed]
            else:
                _probe(emitted, at[PROBES], start, column, value, bias, probe_kinds, x, probes)
                tokens[emitted] = winner
                emitted += 1
                token = winner
                if stops[winner]:
                    status = STOPPED
        for i in range(ZERO, count if tracking else width):
            x[active[i] if tracking else i] = 0.0
    return fed, emitted, status
