"""The few statistics that timings need: medians with quartiles, and slopes on log-log axes."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from tm2tf.errors import InternalError


@dataclass(frozen=True, slots=True)
class Spread:
    """Some measurements of one thing: the median, the quartiles around it, and how many."""

    median: float
    low: float
    high: float
    count: int

    def scaled(self, factor: float) -> Spread:
        """Return the spread of the measurements times a positive factor."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.count)


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles of one or more measurements.

    Quartiles are of the measurements as they are, the least and the greatest included: of 1, 2, 3,
    4, 5 they are 2 and 4.
    """
    if not values:
        raise InternalError("a spread of no measurements was asked for")
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], 1)
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, len(values))


def slope(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Return the slope of log y over log x, by least squares: 1 is linear, 0 is flat.

    All numbers must be positive, and two `xs` at least must differ; else it is no number (nan).
    """
    if len(set(xs)) < 2 or min((*xs, *ys)) <= 0:
        return math.nan
    return statistics.linear_regression([*map(math.log, xs)], [*map(math.log, ys)]).slope
