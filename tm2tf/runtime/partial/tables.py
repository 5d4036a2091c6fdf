"""What each token does to the addresses, and what stands for probed features, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Int64, UInt16, UInt64

from tm2tf.program.features import Categorical, Integer
from tm2tf.runtime.partial.back import Back
from tm2tf.runtime.partial.front import Front, front
from tm2tf.runtime.partial.loops import FAR, LEFT, RIGHT
from tm2tf.runtime.partial.split import Split, split, written
from tm2tf.runtime.partial.unfit import Unfit
from tm2tf.runtime.runner import Probe, probed
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import Readout, Weights


@dataclass(frozen=True, slots=True, eq=False)
class Moves:
    """What tokens do, as the inner loops take it. T lookups.

    Attributes:
        fits: whether a token is for the inner loops: it moves each address by a constant, keeps a
            value at a constant distance from where the address was, and ends nothing.
        shift: by how much it moves each address (two's complement).
        sides: the same as LEFT, RIGHT or FAR.
        write: how far from the address before it keeps its value.
        kept: the class of that value.
        reach: the furthest that a token moves or keeps anything.
        slopes: the sum that each lookup's address counts, and by how much.
        usual: what such tokens add to that.
    """

    fits: Bool[np.ndarray, " d_vocab"]
    shift: UInt64[np.ndarray, "d_vocab T"]
    sides: UInt64[np.ndarray, "d_vocab T"]
    write: UInt64[np.ndarray, "d_vocab T"]
    kept: UInt16[np.ndarray, "d_vocab T"]
    reach: int
    slopes: tuple[tuple[int, int], ...]
    usual: Int64[np.ndarray, " T"]


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Weights taken apart, with all that the loops need. Shared by all runs of the same weights."""

    divided: Split
    front: Front
    back: Back
    moves: Moves
    probes: tuple[Probe, ...]


@lru_cache(maxsize=6)
def parts(weights: Weights, features: tuple[str, ...]) -> Parts:
    """Return weights taken apart.

    Raises:
        Unfit: they cannot be, or a feature depends on more than a token, a value or an address.
    """
    for name, tensor in weights.tensors():
        values = tensor.values if isinstance(tensor, Matrix) else tensor
        if not np.isfinite(values).all():
            raise Unfit(f"{name} is not finite")
    readouts = probed(weights, features)
    divided = split(weights)
    found = front(divided, readouts)
    back = Back(divided)
    moves = _moves(weights, found, back)
    return Parts(divided, found, back, moves, _probes(readouts, divided, found, back, moves))


def _moves(weights: Weights, found: Front, back: Back) -> Moves:
    sums = found.query.shape[1]
    slopes: list[tuple[int, int]] = []
    for line in found.query:
        used = np.flatnonzero(line)
        if len(used) != 1 or any(int(used[0]) == other for other, _ in slopes):
            raise Unfit("an address counts several sums, or two addresses count the same")
        slopes.append((int(used[0]), int(line[used[0]])))
    asked = [number for number, _ in slopes]
    others = np.array([i for i in range(sums) if i not in asked], dtype=np.int64)
    kinds = found.kinds
    like = (found.key == found.query).all(axis=2) & np.isnan(found.floor)
    steady = like.all(axis=1)[kinds] & (found.steps[:, others] == 0).all(axis=1)
    steady &= np.array([token.outcome is None for token in weights.tokens], dtype=np.bool_)
    usual = _most_common(found.query_at[kinds[steady]])
    steady &= (found.query_at == usual).all(axis=1)[kinds]
    shift = found.steps @ found.query.T
    write = (found.key_at - found.query_at)[kinds] + shift
    far = np.abs(np.concatenate([shift[steady], write[steady]])).max(initial=1)
    sides = np.where(shift == -1, LEFT, np.where(shift == 1, RIGHT, FAR))
    return Moves(
        fits=steady,
        shift=shift.astype(np.uint64),
        sides=sides.astype(np.uint64),
        write=write.astype(np.uint64),
        kept=np.stack([c.of for c in back.values], axis=1).astype(np.uint16),
        reach=int(far),
        slopes=tuple(slopes),
        usual=usual,
    )


def _most_common(rows: Int64[np.ndarray, "count T"]) -> Int64[np.ndarray, " T"]:
    """Return the row that occurs most often; zeros if there is none."""
    if not len(rows):
        return np.zeros(rows.shape[1], dtype=np.int64)
    found, counts = np.unique(rows, axis=0, return_counts=True)
    common: np.ndarray = found[counts.argmax()]
    return common


def _probes(
    readouts: Sequence[Readout], divided: Split, found: Front, back: Back, moves: Moves
) -> tuple[Probe, ...]:
    probes, number = [], 0
    for readout in readouts:
        if isinstance(readout.feature, Integer):
            probes.append(_integer(readout, number, divided, found, moves))
            number += 1
        elif isinstance(readout.feature, Categorical):
            probes.append(_words(readout, divided, back))
        else:
            raise Unfit(f"the feature {readout.feature.name!r} is a distribution")
    return tuple(probes)


def _integer(readout: Readout, number: int, divided: Split, found: Front, moves: Moves) -> Probe:
    """Return how an integer follows from addresses: the sums that they count, and a constant."""
    name = readout.feature.name
    directions = np.array([d for _, d in readout.terms], dtype=np.int64)
    if _made_late(divided)[directions].any():
        raise Unfit(f"the feature {name!r} depends on what was found")
    told = found.told[:, number]
    ratios = []
    left = told[0].copy()
    for counted, slope in moves.slopes:
        ratio, rest = divmod(int(told[0, counted]), slope)
        if rest:
            raise Unfit(f"the feature {name!r} is no multiple of an address")
        ratios.append(ratio)
        left[counted] = 0
    if left.any() or (told != told[0]).any():
        raise Unfit(f"the feature {name!r} depends on more than the addresses")
    at = found.told_at[:, number] - found.query_at @ np.array(ratios, dtype=np.int64)
    return Probe(-1, at[found.kinds], tuple(ratios))


def _made_late(divided: Split) -> Bool[np.ndarray, " d_model"]:
    """Return the directions that lookups, or neurons after them, write."""
    late = np.zeros_like(divided.history)
    for layer in divided.weights.layers[divided.looking :]:
        late |= written(layer.feed_forward.W_out)
        for head in layer.heads:
            late |= written(head.W_O)
    return late


def _words(readout: Readout, divided: Split, back: Back) -> Probe:
    name = readout.feature.name
    held = np.zeros_like(divided.history)
    held[[direction for _, direction in readout.values]] = True
    neurons = any(held[mlp.W_out.columns].any() for mlp in back.layers)
    if (held & divided.history).any() or neurons:
        raise Unfit(f"the feature {name!r} depends on more than a token or what was found")
    sources = [(-1, divided.weights.W_E), *enumerate(back.brought)]
    writing = [(t, matrix) for t, matrix in sources if held[matrix.columns].any()]
    if len(writing) > 1:
        raise Unfit(f"the feature {name!r} depends on a token and on what was found")
    lookup, matrix = writing[0] if writing else sources[0]
    return Probe(lookup, words(readout, matrix))


def words(readout: Readout, rows: Matrix) -> Int64[np.ndarray, " rows"]:
    """Return what a categorical readout reads in each row: see `Readout.read`."""
    number = np.full(rows.shape[1], -1, dtype=np.int64)
    for i, (_, direction) in enumerate(readout.values):
        number[direction] = i
    of = number[rows.columns]
    kept = (of >= 0) & (np.abs(rows.values) > readout.tolerance)
    where, of, values = rows.rows()[kept], of[kept], rows.values[kept]
    counts = np.bincount(where, minlength=rows.shape[0])
    clear = np.abs(values - 1) <= readout.tolerance
    read = np.where(counts == 0, -1, -2)
    once = counts[where] == 1
    read[where[once & clear]] = of[once & clear]
    return read
