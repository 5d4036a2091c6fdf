"""The shares of words among the k of n points nearest to a query: bias, variance, distance.

Points are even over the unit cube of d dimensions. A word w at x has probability

    p_w(x) = (1 + A cos 2 pi (x_1 - w/V)) / V,

so that x_2, ..., x_d only make neighbours more distant. Averaged over x it is 1/V, and D, the
total variation between p(.|x) and its average, is that between every local law and no law.

*Bias.* Given the distance R of the (k+1)-th neighbour, the k nearer ones are independent and even
over the ball of radius R. Their law is the mean of p over the ball: over one of radius R the mean
of u_1^2 / 2 is R^2 / (2 (d+2)), so to the first order in R^2

    bias_w(x) = E[R^2] / (2 (d+2)) * p_w''(x),      p_w'' = -(2 pi)^2 (p_w - 1/V).

With c the volume of the unit ball, c R^d is the (k+1)-th smallest of n even numbers, as long as
the ball stays inside the cube: it has the law Beta(k+1, n-k). So E[R^2] = c^(-2/d) B(k+1+2/d) /
B(k+1), which grows as (k/n)^(2/d). All biases point to 1/V, and their total variation is D times
(2 pi)^2 E[R^2] / (2 (d+2)).

*Variance.* Given R, shares of k independent words: p_w (1 - p_w) / k to the first order.

An even draw of k of all n points has no law but the average: bias D, whatever k is; the same
variance with 1/V for p_w.

Source: Mack (1981), SIAM J. Algebraic and Discrete Methods 2, 311-323, for bias and variance of
nearest neighbours; Biau and Devroye (2015), Lectures on the Nearest Neighbor Method, chapters 1
and 14, for the law of the distances.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

TURN = 2 * math.pi
"""Radians from one end of the cube to the other: the law comes round once."""


def law(
    x: Float64[np.ndarray, " points"], words: int, strength: float
) -> Float64[np.ndarray, "points words"]:
    """Return p_w(x) for first coordinates x; `strength` is A, from 0 to 1."""
    phase = TURN * (x[:, None] - np.arange(words) / words)
    shares: Float64[np.ndarray, "points words"] = (1 + strength * np.cos(phase)) / words
    return shares


def total_variation(
    p: Float64[np.ndarray, "*more words"], q: Float64[np.ndarray, "*more words"]
) -> Float64[np.ndarray, "*more"]:
    """Return half the sum of |p - q| over the last axis."""
    distance: Float64[np.ndarray, ...] = np.abs(p - q).sum(axis=-1) / 2
    return distance


def ball(dimensions: int) -> float:
    """Return the volume of the unit ball, pi^(d/2) / Gamma(d/2 + 1)."""
    return float(math.pi ** (dimensions / 2)) / math.gamma(dimensions / 2 + 1)


def squared_distance(k: int, points: int, dimensions: int) -> float:
    """Return E[R^2] of the (k+1)-th neighbour of n points, for balls inside the cube.

    E[B^s] of Beta(k+1, n-k) is Gamma(k+1+s) Gamma(n+1) / (Gamma(k+1) Gamma(n+1+s)), at s = 2/d.
    """
    s = 2 / dimensions
    logarithm = (
        math.lgamma(k + 1 + s) - math.lgamma(k + 1)
        + math.lgamma(points + 1) - math.lgamma(points + 1 + s)
    )  # fmt: skip
    return math.exp(logarithm - s * math.log(ball(dimensions)))


def radius(k: int, points: int, dimensions: int) -> float:
    """Return the radius of the ball whose part of the cube is k/n."""
    return float((k / (points * ball(dimensions))) ** (1 / dimensions))


def nearest_bias(k: int, points: int, dimensions: int) -> float:
    """Return the share of D by which k nearest neighbours are off, to the first order in R^2."""
    return TURN**2 * squared_distance(k, points, dimensions) / (2 * (dimensions + 2))


def variance(p: Float64[np.ndarray, "points words"], k: int) -> float:
    """Return the variance of the shares of k independent words, summed over words.

    It is (1 - sum of p_w^2) / k, here averaged over points.
    """
    return float(1 - (p**2).sum(axis=1).mean()) / k


def nearest_distance(
    p: Float64[np.ndarray, "points words"], k: int, points: int, dimensions: int
) -> float:
    """Return the mean total variation of k nearest neighbours, averaged over points.

    Each word's share taken as normal with the bias m and the variance s^2 above: the mean of its
    absolute value is s sqrt(2/pi) exp(-m^2 / 2 s^2) + m erf(m / (s sqrt 2)).
    """
    words = p.shape[1]
    mean = nearest_bias(k, points, dimensions) * (1 / words - p)
    deviation = np.sqrt(p * (1 - p) / k)
    ratio = mean / (deviation * math.sqrt(2))
    erf = np.vectorize(math.erf, otypes=[float])
    size = deviation * math.sqrt(2 / math.pi) * np.exp(-(ratio**2)) + mean * erf(ratio)
    return float(size.sum(axis=1).mean() / 2)
