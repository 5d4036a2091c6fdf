"""What a lookup would bring, by address: the tape as attention holds it, read through labels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float64, Int64

from tm2tf.errors import ArtifactError
from tm2tf.weights.model import Head, Readout, Weights

Memory: TypeAlias = dict[int, str]
"""The value that a lookup would find, by address."""

PARABOLA = 3
"""The width of queries and keys that compare integers: q = (2p, 1, p^2), k = (w, -w^2, 0)."""


def lookup(weights: Weights, name: str) -> tuple[int, Head]:
    """Return the "latest" head called `name`, and its number among all heads.

    Raises:
        ArtifactError: the head of that name is of another kind.
    """
    heads = [head for layer in weights.layers for head in layer.heads]
    number = [head.name for head in heads].index(name)
    if heads[number].kind != "latest":
        raise ArtifactError(
            f"the head {name!r} is of kind {heads[number].kind!r}, and a tape is looked up by "
            "'latest': the weights are damaged or foreign"
        )
    return number, heads[number]


def addresses_of(
    weights: Weights, head: Head, keys: Float64[np.ndarray, "count d_head"]
) -> tuple[Bool[np.ndarray, " count"], Int64[np.ndarray, " count"]]:
    """Return which keys stand for an address, and which address that is (0 for others).

    A key on the parabola holds the address itself. One by words, of a head `tapeN.read`, holds
    the words that the feature `tapeN.address` is read from, and last a flag.
    """
    known = {readout.feature.name: readout for readout in weights.readouts}
    readout = known.get(head.name.removesuffix(".read") + ".address")
    terms = [] if readout is None else list(_compared(readout, head))
    if readout is not None and terms:
        total = np.full(len(keys), readout.constant)
        for weight, component in terms:
            total += weight * keys[:, component]
        held = (keys[:, -1] == 1) & np.isfinite(total)
    elif head.W_Q.shape[1] == PARABOLA:
        total, held = keys[:, 0], keys[:, 2] == 0
    else:
        raise ArtifactError(
            f"the head {head.name!r} looks for no addresses: the weights are damaged or foreign"
        )
    return held, np.where(held, total, 0).astype(np.int64)


def _compared(readout: Readout, head: Head) -> Iterator[tuple[float, int]]:
    """Yield (coefficient, component of the key) for the words that an address is read from."""
    for weight, direction in readout.terms:
        components = [c for c, w in head.W_K.row(direction) if w == 1]
        if len(components) == 1:
            yield weight, components[0]


def decode(
    weights: Weights,
    head: Head,
    addresses: Sequence[int] | Int64[np.ndarray, " count"],
    values: Float64[np.ndarray, "count d_value"],
) -> Memory:
    """Return what values mean: the word whose direction the head's W_O would set to 1.

    Of an address that stands several times the last counts.
    """
    readout = next(r for r in weights.readouts if r.feature.name == head.name)
    word = {direction: value for value, direction in readout.values}
    written: list[list[str]] = [[] for _ in range(head.W_O.shape[0])]
    ones = head.W_O.values == 1.0
    for i, d in zip(head.W_O.rows()[ones].tolist(), head.W_O.columns[ones].tolist(), strict=True):
        if d in word:
            written[i].append(word[d])
    named: list[list[str]] = [[] for _ in addresses]
    for row, i in np.argwhere(values == 1.0).tolist():
        named[row] += written[i]
    names = [each[0] if len(each) == 1 else "?" for each in named]
    return dict(zip(map(int, addresses), names, strict=True))
