"""Distributions over words, samples of them that grow, and how far their shares are off."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.learning.monte_carlo import generator
from tm2tf.learning.trials import Outcome, Task

Law = Float64[np.ndarray, " words"]


MOST_WORDS = 2**16
"""Words that are counted at most: contexts times V, or V^l. A block of trials takes 26 MB then."""

ROUNDING = 2.0**-36
"""More than float64 is off in a sum of `MOST_WORDS` differences that adds up to 2, each of them and
each partial sum rounded once: 2^16 * 2 * 2^-53."""


def uniform(words: int) -> Law:
    """Return 1/V for each word: the greatest mean of TV there is, nearly."""
    return np.full(words, 1 / words)


def two_point(words: int) -> Law:
    """Return 1/2 for two words, 0 for the others: the greatest variance of one word."""
    return np.where(np.arange(words) < 2, 0.5, 0.0)


def zipf(words: int) -> Law:
    """Return shares proportional to 1/rank, as words of a language have them."""
    weights = 1 / np.arange(1, words + 1)
    shares: Law = weights / weights.sum()
    return shares


def sparse(words: int) -> Law:
    """Return equal shares for ceil(sqrt(V)) words, 0 for the others."""
    some = math.isqrt(words - 1) + 1
    return np.where(np.arange(words) < some, 1 / some, 0.0)


LAWS: Mapping[str, Callable[[int], Law]] = {
    "uniform": uniform,
    "two-point": two_point,
    "zipf": zipf,
    "sparse": sparse,
}
"""The laws that are tried, by name."""


def total_variation(
    counts: Int64[np.ndarray, "... words"], law: Law
) -> Float64[np.ndarray, " ..."]:
    """Return TV between the shares of counts and a law; 1 where nothing was counted."""
    totals = counts.sum(axis=-1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    far: Float64[np.ndarray, " ..."] = np.abs(shares - law).sum(axis=-1) / 2
    return np.where(totals[..., 0] == 0, 1.0, far)


def largest_gap(counts: Int64[np.ndarray, "... words"], law: Law) -> Float64[np.ndarray, " ..."]:
    """Return the greatest |share - probability| of a word."""
    totals = np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    gap: Float64[np.ndarray, " ..."] = np.abs(counts / totals - law).max(axis=-1)
    return gap


def sums_of(name: str, errors: Float64[np.ndarray, "trials ..."], eps: float) -> Outcome:
    """Return, over trials: how many errors exceed eps, their sum, the sum of their squares.

    An error of exactly eps is no failure. `ROUNDING` decides what is exactly eps.
    """
    return {
        f"{name}_failures": np.atleast_1d((errors > eps + ROUNDING).sum(axis=0)).tolist(),
        name: np.atleast_1d(errors.sum(axis=0)).tolist(),
        f"{name}_squares": np.atleast_1d((errors**2).sum(axis=0)).tolist(),
    }


def text(task: Task) -> Outcome:
    """Draw words in m contexts, more and more of them; return how far shares are off at each size.

    The worst context counts. `tv` is total variation, `sup` the greatest difference of a word.
    The sample of a size contains those of the smaller sizes.
    """
    random, law = generator(task), LAWS[task["law"]](task["words"])
    trials, contexts, sizes = task["trials"], task["contexts"], task["examples"]
    counts = np.zeros((trials, contexts, len(law)), dtype=np.int64)
    tv, sup = np.zeros((trials, len(sizes))), np.zeros((trials, len(sizes)))
    for place, more in enumerate(np.diff(sizes, prepend=0)):
        counts += random.multinomial(more, law, size=(trials, contexts))
        tv[:, place] = total_variation(counts, law).max(axis=1)
        sup[:, place] = largest_gap(counts, law).max(axis=1)
    return sums_of("tv", tv, task["eps"]) | sums_of("sup", sup, task["eps"])


def drawn_text(task: Task) -> Outcome:
    """Draw contexts with equal probability, and a word in each; return how far shares are off."""
    random, law = generator(task), LAWS[task["law"]](task["words"])
    contexts = np.full(task["contexts"], 1 / task["contexts"])
    each = random.multinomial(task["examples"], contexts, size=task["trials"])
    tv = total_variation(random.multinomial(each, law), law).max(axis=1)
    return sums_of("tv", tv, task["eps"])


def fixed(task: Task) -> Outcome:
    """Count the errors of a fixed predictor on more and more examples; return how far shares are.

    The sample of a size contains those of the smaller sizes.
    """
    random, sizes = generator(task), task["examples"]
    shape = (task["trials"], len(sizes))
    wrong = random.binomial(np.diff(sizes, prepend=0), task["error"], size=shape).cumsum(axis=1)
    return sums_of("gap", np.abs(wrong / np.array(sizes) - task["error"]), task["eps"])


def draw(task: Task, sizes: Sequence[int]) -> Int64[np.ndarray, "trials contexts words"]:
    """Return counts of `sizes` words, one size a context, for each trial of a task."""
    law = LAWS[task["law"]](task["words"])
    return generator(task).multinomial(np.array(sizes), law, size=(task["trials"], len(sizes)))
