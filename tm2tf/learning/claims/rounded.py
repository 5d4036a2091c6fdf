"""Halfspaces on whole numbers: Gaussian inputs rounded, a perceptron on them, its exact error."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.learning.claims.laws import sums_of
from tm2tf.learning.labelled import Labelled
from tm2tf.learning.monte_carlo import generator
from tm2tf.learning.tape.layout import with_bias
from tm2tf.learning.trials import Outcome, Task

SCALE = 4
"""An input's coordinate is a normal number times this, rounded to the nearest whole number."""

REACH = 10 * SCALE
"""No coordinate is greater: one that is has a probability below 10^-23, which float64 cannot tell
from 0 beside 1."""

EPOCHS = 20
"""Samples on which the perceptron still errs after so many epochs are passed over, and counted: the
tape's runs are as long as their epochs are many. Of 39 examples in 3 dimensions, one sample in
fifty is; of 29 in 2, fewer."""

QUERIES = 5
"""Inputs that are not learned from, and whose labels the machine gives too."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Examples that the perceptron has learned.

    Attributes:
        data: the examples, and queries from the same distribution.
        weights: what numpy's perceptron holds after each update; the bias is the last of `fields`.
        epochs: in how many it errs; it errs in none that comes after them.
    """

    data: Labelled
    weights: Int64[np.ndarray, "updates fields"]
    epochs: int


def label(x: Int64[np.ndarray, "items d"]) -> Int64[np.ndarray, " items"]:
    """Return 1 where the first coordinate is 1 or more, else -1: a halfspace, with threshold 1/2.

    It is that of `halfspaces` up to the rounding, and it separates the rounded inputs.
    """
    return np.where(x[:, 0] > 0, 1, -1)


def perceptron(
    x: Int64[np.ndarray, "n d"], y: Int64[np.ndarray, " n"], most: int
) -> tuple[Int64[np.ndarray, "updates fields"], int | None]:
    """Return the weights after each update, and in how many epochs there are any.

    From 0, rate 1, the examples in order. None where there still are some after `most` epochs.

    Source: Rosenblatt (1958), Psychological Review 65, 386-408.
    """
    fields = with_bias(x)
    w = np.zeros(fields.shape[1], dtype=np.int64)
    rows: list[Int64[np.ndarray, " fields"]] = []
    epoch, seen, converged = 0, 0, False
    while epoch < most and not converged:
        wrong = np.flatnonzero(y[seen:] * (fields[seen:] @ w) <= 0)
        if len(wrong):
            seen += int(wrong[0]) + 1
            w = w + y[seen - 1] * fields[seen - 1]
            rows.append(w)
        else:  # a whole epoch without an error, or the rest of one
            converged = seen == 0
            epoch, seen = epoch + (not converged), 0
    learned = converged or bool((y * (fields @ w) > 0).all())
    return np.array(rows).reshape(len(rows), len(w)), epoch if learned else None


def samples(task: Task) -> tuple[list[Sample], int]:
    """Return as many samples as there are trials, and how many were passed over (`EPOCHS`)."""
    random, n = generator(task), task["examples"]
    found: list[Sample] = []
    drawn = 0
    while len(found) < task["trials"]:
        normal = random.standard_normal((n + QUERIES, task["dimensions"]))
        x = np.rint(SCALE * normal).astype(np.int64)
        drawn += 1
        rows, epochs = perceptron(x[:n], label(x[:n]), EPOCHS)
        if epochs is not None:
            names = tuple(f"x{j}" for j in range(1, x.shape[1] + 1))
            data = Labelled(
                x[:n], label(x[:n]), x[n:], label(x[n:]), names, int(np.abs(x).max())
            )  # fmt: skip
            found.append(Sample(data, rows, epochs))
    return found, drawn - len(found)


def error(w: Int64[np.ndarray, " fields"]) -> float:
    """Return the chance that the label 1 where w.x + b > 0, else -1, is not that of the halfspace.

    b is the last of w. A coordinate is k with probability Phi((k + 1/2)/s) - Phi((k - 1/2)/s), s
    being `SCALE`. With S the sum of w_j x_j over all coordinates but the first, the label is -1
    where S <= -b - w_1 x_1. S is a sum of independent whole numbers, so its probabilities are a
    convolution of theirs; nothing is left to sampling.
    """
    first, *others, bias = (int(number) for number in w)
    k = np.arange(-REACH, REACH + 1)
    edges = [NormalDist().cdf((edge - 0.5) / SCALE) for edge in range(-REACH, REACH + 2)]
    shares = np.diff(edges)
    law: Float64[np.ndarray, " sums"] = np.ones(1)
    for weight in others:
        times = np.zeros(2 * REACH * abs(weight) + 1)
        times[:: max(1, abs(weight))] = shares if weight else 1.0
        law = np.convolve(law, times)
    greatest = len(law) // 2
    highest = -bias - first * k
    below = np.cumsum(law)[np.clip(highest + greatest, 0, 2 * greatest)]
    minus = np.where(highest < -greatest, 0.0, np.minimum(below, 1.0))
    return float(shares @ np.where(k > 0, minus, 1 - minus))


def rounded(task: Task) -> Outcome:
    """Train numpy's perceptron on every trial's sample; return its errors.

    `passed_over` is the number of samples that were.
    """
    found, passed_over = samples(task)
    off = np.array([error(sample.weights[-1]) for sample in found])
    return {**sums_of("perceptron", off, task["eps"]), "passed_over": passed_over}
