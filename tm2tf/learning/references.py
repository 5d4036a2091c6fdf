"""What scikit-learn says where nothing is trained: nearest neighbour and majority label."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64

from tm2tf.errors import ExtraError


def nearest_labels(
    features: Int64[np.ndarray, "examples features"],
    labels: Int64[np.ndarray, " examples"],
    queries: Int64[np.ndarray, "queries features"],
) -> tuple[int, ...]:
    """Return the label of the example nearest to each query, in the Manhattan distance.

    Among equally near ones the earliest: that is what numpy's argmin takes.

    Raises:
        ExtraError: scikit-learn is not installed.
    """
    _require_sklearn()
    from sklearn.metrics import pairwise_distances

    if len(queries) == 0:  # which scikit-learn refuses
        return ()

    distances = pairwise_distances(queries, features, metric="manhattan")
    return tuple(int(label) for label in labels[np.argmin(distances, axis=1)])


def majority_labels(
    features: Int64[np.ndarray, "examples features"],
    labels: Int64[np.ndarray, " examples"],
    queries: Int64[np.ndarray, "queries features"],
) -> tuple[int, ...]:
    """Return the most frequent label, -1 where both are equally frequent, once for each query.

    Raises:
        ExtraError: scikit-learn is not installed.
    """
    _require_sklearn()
    from sklearn.dummy import DummyClassifier

    guesser = DummyClassifier(strategy="most_frequent").fit(features, labels)
    return tuple(int(label) for label in guesser.predict(queries))


def _require_sklearn() -> None:
    try:
        import sklearn  # noqa: F401 - asked whether it is there
    except ImportError:
        raise ExtraError("comparing with scikit-learn", "scikit-learn", "learn") from None
