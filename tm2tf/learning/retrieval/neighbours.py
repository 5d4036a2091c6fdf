"""Which examples are nearest to a query: scikit-learn's search, with a rule for equal distances."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.errors import ExtraError

Metric: TypeAlias = Literal["euclidean", "cosine"]

ALGORITHMS = {"euclidean": "kd_tree", "cosine": "brute"}
"""How scikit-learn searches. Its `brute` takes Euclidean distances from scalar products, which
leaves errors of 1e-8 between points close together; trees subtract first, but know no cosine."""

DIGITS = 9
"""Distances that agree in so many digits behind the point count as equal: rounding errors are
below 1e-12 here, and different distances of counts, shares and 0/1 features are further apart."""


def nearest(
    data: Float64[np.ndarray, "examples features"],
    queries: Float64[np.ndarray, "queries features"],
    metric: Metric = "euclidean",
) -> Int64[np.ndarray, "queries examples"]:
    """Return the places of all examples for each query, nearest first.

    Of equally near ones the earlier in the data comes first. The cosine distance to a row of zeros
    is 1.

    Raises:
        ExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.neighbors import NearestNeighbors
    except ImportError:
        raise ExtraError("finding nearest examples", "scikit-learn", "learn") from None
    search = NearestNeighbors(n_neighbors=len(data), metric=metric, algorithm=ALGORITHMS[metric])
    distances, places = search.fit(data).kneighbors(queries)
    order = np.lexsort((places, np.round(distances, DIGITS)), axis=-1)
    return np.take_along_axis(places, order, axis=-1).astype(np.int64)
