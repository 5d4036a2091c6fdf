"""Labelled examples and queries: drawn at random with a teacher's labels, or given."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int64


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Examples to learn from, and queries with the labels that one hopes for; labels are -1 and 1.

    `names` are the features' names. No feature is greater than `largest`, or less than its
    negative.
    """

    features: Int64[np.ndarray, "examples features"]
    labels: Int64[np.ndarray, " examples"]
    queries: Int64[np.ndarray, "queries features"]
    truth: Int64[np.ndarray, " queries"]
    names: tuple[str, ...]
    largest: int


def random_data(
    features: int, examples: int, queries: int, *, largest: int, flip: float, seed: int
) -> Labelled:
    """Return features drawn evenly from -largest to largest, labelled by a random teacher.

    The teacher is a halfspace with bias, its numbers drawn in the same way; on its border the label
    is -1. Each example's label, but no query's, is turned round with probability `flip`.
    """
    rng = np.random.default_rng([seed, 0])
    teacher, bias = rng.integers(-largest, largest + 1, features), rng.integers(-largest, largest)
    x = rng.integers(-largest, largest + 1, (examples + queries, features))
    labels = np.where(x @ teacher + bias > 0, 1, -1)
    turned = np.where(rng.random(examples) < flip, -1, 1)
    names = tuple(f"x{number}" for number in range(1, features + 1))
    return Labelled(
        x[:examples], labels[:examples] * turned, x[examples:], labels[examples:], names, largest
    )
