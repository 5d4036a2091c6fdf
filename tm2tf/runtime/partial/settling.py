"""One case of the back, computed as the weights say: compiled, and with zeros skipped.

`fold` runs through the folded loop, and settles what that does not know.
"""

# mypy: disable-error-code="no-untyped-def"
# numba compiles the functions of this file: no annotations, plain loops.

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from tm2tf.jit import cached_njit
from tm2tf.runtime.partial import loops
from tm2tf.runtime.partial.loops import FAR, NEW, STOP, SWEEP, ZERO, folded
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward

SLACK = 2.0**-30
"""How much greater than all others a logit must be, relative to what they are made of. Different
orders of summation change sums of a million terms by less than 2^-32 of them."""

TIED = -1
"""In place of a token: another one has the same logit but for rounding."""


def stacked(matrices: Sequence[Matrix]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return starts, columns and values of all rows of matrices, one after another."""
    counts = [np.diff(matrix.starts) for matrix in matrices]
    starts = np.concatenate([np.zeros(1, dtype=np.int64), *counts]).cumsum()
    columns = np.concatenate([np.zeros(0, dtype=np.int64), *(m.columns for m in matrices)])
    return starts, columns, np.concatenate([np.zeros(0), *(m.values for m in matrices)])


def arrays_of(
    rows: Sequence[Matrix],
    layers: Sequence[FeedForward],
    W_U: Matrix,
    b_U: Float64[np.ndarray, " d_vocab"],
) -> tuple[np.ndarray, ...]:
    """Return weights laid out flat, as `settle` takes them; scratch space follows.

    `rows` are what may be added to the stream: see `settle`.
    """
    counts = [len(mlp.neurons) for mlp in layers]
    first = np.cumsum([0, *counts])
    gates = [
        Matrix(mlp.W_gate.shape, mlp.W_gate.starts, mlp.W_gate.columns + shift, mlp.W_gate.values)
        for mlp, shift in zip(layers, first, strict=False)
    ]
    always = [
        np.flatnonzero(mlp.b_gate > 0) + shift for mlp, shift in zip(layers, first, strict=False)
    ]
    none = np.zeros(0)
    return (
        *stacked(rows),
        *stacked(gates),
        *stacked([mlp.W_in.transposed() for mlp in layers]),
        *stacked([mlp.W_out for mlp in layers]),
        *stacked([W_U]),
        np.concatenate([none, *(mlp.b_gate for mlp in layers)]),
        np.concatenate([none, *(mlp.b_in for mlp in layers)]),
        np.concatenate([none, *(mlp.snap for mlp in layers)]).astype(np.bool_),
        np.concatenate([np.zeros(0, dtype=np.int64), *always]),
        np.cumsum([0, *map(len, always)]),
        b_U.astype(np.float64),
        np.argsort(-b_U, kind="stable"),
    )


def scratch(width: int, neurons: int, vocab: int) -> tuple[np.ndarray, ...]:
    """Return scratch space for `settle`, for one thread at a time."""
    return (
        np.zeros(width),
        np.zeros(width + 1, dtype=np.int64),
        np.zeros(width, dtype=np.bool_),
        np.zeros(neurons),
        np.zeros(neurons + 1, dtype=np.int64),
        np.zeros(neurons, dtype=np.bool_),
        np.zeros(vocab),
        np.zeros(vocab + 1, dtype=np.int64),
        np.zeros(vocab, dtype=np.bool_),
    )


@cached_njit()
def settle(case, arrays):  # noqa: C901
    """Return the token that a case emits, or `TIED`.

    `case` are the rows that make up the stream before the layers: one for the token, one for each
    lookup.
    """
    (
        row_at, row_to, row_by, gate_at, gate_to, gate_by, inner_at, inner_to, inner_by,
        out_at, out_to, out_by, logit_at, logit_to, logit_by,
        gate_bias, inner_bias, snap, always, always_at, logit_bias, by_bias,
        x, set_, is_set, pre, looked, is_looked, logits, fed, is_fed,
    ) = arrays  # fmt: skip
    count = 0
    for i in range(case.shape[0]):
        for j in range(row_at[case[i]], row_at[case[i] + 1]):
            count = _put(row_to[j], row_by[j], x, set_, is_set, count)
    width, layers = x.shape[0], always_at.shape[0] - 1
    for layer in range(layers):
        found = 0
        for j in range(always_at[layer], always_at[layer + 1]):
            found = _put(always[j], gate_bias[always[j]], pre, looked, is_looked, found)
        for i in range(count):
            row = layer * width + set_[i]
            for j in range(gate_at[row], gate_at[row + 1]):
                neuron = gate_to[j]
                if not is_looked[neuron]:
                    found = _put(neuron, gate_bias[neuron], pre, looked, is_looked, found)
                pre[neuron] += gate_by[j] * x[set_[i]]
        for i in range(found):
            neuron = looked[i]
            gate = pre[neuron]
            pre[neuron] = 0.0
            if gate > 0.0:
                total = inner_bias[neuron]
                for j in range(inner_at[neuron], inner_at[neuron + 1]):
                    total += inner_by[j] * x[inner_to[j]]
                pre[neuron] = np.rint(gate * total) if snap[neuron] else gate * total
        for i in range(found):
            neuron = looked[i]
            if pre[neuron] != 0.0:
                for j in range(out_at[neuron], out_at[neuron + 1]):
                    value = pre[neuron] * out_by[j]
                    count = _put(out_to[j], value, x, set_, is_set, count)
            pre[neuron], is_looked[neuron] = 0.0, False
    return _emitted(
        count, x, set_, is_set, logit_at, logit_to, logit_by, logit_bias, by_bias, logits, fed,
        is_fed,
    )  # fmt: skip


@cached_njit()
def _put(place, value, values, listed, is_listed, count):
    """Add a value in its place, which is listed if it is not; return how many are."""
    if not is_listed[place]:
        is_listed[place] = True
        listed[count] = place
        count += 1
    values[place] += value
    return count


@cached_njit()
def _emitted(
    count, x, set_, is_set, logit_at, logit_to, logit_by, logit_bias, by_bias, logits, fed, is_fed
):
    """Return the token with the greatest logit, or `TIED`; clear what is set."""
    size, found = 1.0, 0
    for i in range(count):
        d = set_[i]
        for j in range(logit_at[d], logit_at[d + 1]):
            token = logit_to[j]
            if not is_fed[token]:
                found = _put(token, logit_bias[token], logits, fed, is_fed, found)
            value = logit_by[j] * x[d]
            size = max(size, abs(value), abs(logit_bias[token]))
            logits[token] += value
        x[d], is_set[d] = 0.0, False
    best, second, winner = -np.inf, -np.inf, 0
    unfed = 0
    for i in range(by_bias.shape[0]):  # of the tokens that nothing feeds, the first two
        token = by_bias[i]
        if unfed == 2:
            break
        if not is_fed[token]:
            unfed += 1
            if logit_bias[token] > best:
                best, second, winner = logit_bias[token], best, token
            else:
                second = max(second, logit_bias[token])
    for i in range(found):
        token = fed[i]
        if logits[token] > best:
            best, second, winner = logits[token], best, token
        else:
            second = max(second, logits[token])
        logits[token], is_fed[token] = 0.0, False
    return winner if best - second > SLACK * size and np.isfinite(best) else TIED


@cached_njit(nogil=True, uses=[loops.__file__])
def fold(
    cells, place, lowest, low, high, reach, guard, pending, fed, count,
    state, shift, write, kept, fits, sides,
    begin, token, goes, side, moved, wrote, keeps, tokens, addresses, found, counts,
    first_rows, arrays,
):  # fmt: skip
    """Do as `loops.folded` does, and settle cases that are not known on the way, but for ties."""
    n, stood, swept = ZERO, pending, ZERO
    case = first_rows.copy()
    while True:
        done, place, last, fed, status, new, before, more = folded(
            cells, place, lowest, low, high, reach, guard, pending, fed, count - n,
            state, shift, write, kept, fits,
            begin, token, goes, side, moved, wrote, keeps, tokens[n:], addresses[n:], found[n:],
            counts,
        )  # fmt: skip
        if done > ZERO:
            stood = before
        n, pending, swept = n + done, last, swept + more
        if status != NEW:
            return n, place, pending, fed, status, new, stood, swept
        case[0] = first_rows[0] + np.int64(state[pending])
        case[1] = first_rows[1] + np.int64(cells[place])
        emitted = settle(case, arrays)
        if emitted == TIED:
            return n, place, pending, fed, status, new, stood, swept
        token[new], side[new], moved[new] = emitted, sides[emitted], shift[emitted]
        wrote[new], keeps[new] = write[emitted], kept[emitted]
        goes[new] = begin[state[emitted]] if fits[emitted] else STOP
        itself = goes[new] + np.uint64(cells[place]) == new
        if itself and wrote[new] == ZERO and side[new] != FAR:
            side[new] += SWEEP
