"""What stands on the tapes of the learners: examples and queries in, weights and answers out.

Example (2, -1) with label `+` in fields of three trits is `-+0|-00=+`; as a query it ends in `?`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby, pairwise

import numpy as np
from jaxtyping import Int64

from tm2tf.learning.tape.blocks import END, LAST, MARK, UNKNOWN
from tm2tf.learning.ternary import TRITS, decode, encode, greatest, width_for
from tm2tf.machine.spec import Tape

LABEL = {1: "+", -1: "-"}


def perceptron_width(
    fields: int, largest: int, steps: int, theta: int = 0, averaged: bool = False
) -> int:
    """Return how many trits keep a perceptron's numbers from overflowing.

    With |x_j| <= `largest` and |theta_0| <= `theta`, each of the `steps` = examples * epochs adds
    at most `largest` to a weight: |w_j| <= w = theta + steps * largest. Where sums of weights are
    kept, each is at most (theta + largest) + (theta + 2 largest) + ... = steps * theta + largest *
    steps (steps + 1) / 2: take that for w if it is more.

    A score is added up from parts t_i 3^i w_j, one for each trit t_i of x_j. As x_j has its nonzero
    trits among the first width_for(largest), sum_i |t_i| 3^i <= P = greatest(width_for(largest)),
    and every partial sum is at most fields * P * w in absolute value. Let W trits hold that. Then
    no addition leaves a carry: it would stand in cell W of tape 2 or beyond, but numbers that W
    trits hold have zeros there, and each number has one form. Weights and sums, at most w, fit too.
    """
    weight = theta + steps * largest
    if averaged:
        weight = max(weight, steps * theta + largest * steps * (steps + 1) // 2)
    parts = greatest(width_for(largest))
    return width_for(max(largest, fields * parts * weight))


def nearest_width(fields: int, largest: int) -> int:
    """Return how many trits hold a sum of `fields` distances between numbers up to `largest`.

    The greatest number of that width must be one more: it stands for no distance yet.
    """
    return width_for(2 * fields * largest + 1)


def input_tape(
    examples: Int64[np.ndarray, "examples fields"],
    labels: Int64[np.ndarray, " examples"],
    queries: Int64[np.ndarray, "queries fields"],
    *,
    width: int,
    epochs: int = 0,
) -> Tape:
    """Return tape 0; its first cell is at address 0, and so is the head.

    Raises:
        InputError: a feature does not fit into `width` trits.
    """
    word = MARK * epochs
    word += "".join(
        _fields(x, width) + LABEL[int(label)] for x, label in zip(examples, labels, strict=True)
    )
    word += MARK + "".join(_fields(x, width) + UNKNOWN for x in queries)
    return Tape(tuple(word))


def fields_tape(numbers: Iterable[int], width: int) -> Tape:
    """Return a tape of fields, such as theta_0 on tape 1.

    Raises:
        InputError: a number does not fit into `width` trits.
    """
    return Tape(tuple("".join(encode(int(number), width) + END for number in numbers)))


def _fields(numbers: Iterable[int], width: int) -> str:
    return END.join(encode(int(number), width) for number in numbers) + LAST


def read_fields(cells: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers in cells of a tape of fields, blanks around them left out."""
    return tuple(decode(trits) for is_trit, trits in groupby(cells, TRITS.__contains__) if is_trit)


def read_answers(cells: Sequence[str], queries: int) -> tuple[int, ...]:
    """Return the labels of the queries as they stand on tape 0: 1, -1, or 0 for none."""
    value = {"+": 1, "-": -1}
    labels = [value.get(after, 0) for cell, after in pairwise(cells) if cell == LAST]
    return tuple(([0] * queries + labels)[len(labels) :])


def with_bias(features: Int64[np.ndarray, "items features"]) -> Int64[np.ndarray, "items fields"]:
    """Return the features with one more, which is always 1: its weight is the bias."""
    return np.hstack([features, np.ones((len(features), 1), dtype=np.int64)])


def with_room(fields: Int64[np.ndarray, "items fields"]) -> Int64[np.ndarray, "items doubled"]:
    """Return the fields each followed by 0, for learners that keep a sum beside each weight."""
    doubled = np.zeros((fields.shape[0], 2 * fields.shape[1]), dtype=np.int64)
    doubled[:, ::2] = fields
    return doubled
