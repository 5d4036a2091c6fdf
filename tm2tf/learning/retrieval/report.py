"""What every part returns, and the numbers that all of them need."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Int64

from tm2tf.learning.contexts import next_word, prompt, weights
from tm2tf.learning.results import mean_interval
from tm2tf.learning.verdicts import FALSE, HOLDS, LOOSELY, Reading

UNIFORM, NEAREST = "uniform", "nearest"
"""How examples are chosen: drawn evenly, without repetition; or nearest to the query first."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was found in one part.

    Attributes:
        part: its name.
        title: in a few words.
        settings: the numbers it was run with.
        tables: rows by the table's name, as CSV has them; the first table has the part's name.
        figures: single numbers, such as fitted exponents beside the theory.
        readings: statements, each with the verdict that the numbers give.
        prompts: how many prompts went through compiled weights.
        tokens: of these prompts.
        counted: how many answers in all, by counting.
        unequal: how many of the prompts were answered otherwise than by counting.
    """

    part: str
    title: str
    settings: Mapping[str, Any]
    tables: Mapping[str, Sequence[Mapping[str, Any]]]
    figures: Mapping[str, float | None]
    readings: tuple[Reading, ...]
    prompts: int
    tokens: int
    counted: int
    unequal: int

    def as_json(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        return asdict(self)


def sizes_between(least: int, most: int) -> list[int]:
    """Return numbers from least to most, each about sqrt 2 times the one before."""
    halves = math.floor(2 * math.log2(most / least))
    return sorted({*(round(least * 2 ** (half / 2)) for half in range(halves + 1)), most})


def interval(name: str, values: Sequence[float]) -> dict[str, float]:
    """Return the mean of values between 0 and 1, and its interval (95%), named as columns."""
    mean, low, high = mean_interval(values)
    return {name: mean, f"{name}_low": max(0.0, low), f"{name}_high": min(1.0, high)}


def exponent(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Return the slope of ln y in ln x by least squares; None with fewer than three points."""
    if len(x) < 3:
        return None
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def reached(
    tokens: Sequence[float], values: Sequence[float], level: float, *, rising: bool
) -> float | None:
    """Return the tokens from which on values stay at a level or beyond it, None if they do not.

    Between two sizes that were tried the value is taken as a line over the logarithm of tokens.
    What holds from the smallest size on was reached by that size.
    """
    beyond = [(value - level) * (1 if rising else -1) for value in values]
    short = [place for place, found in enumerate(beyond) if found < 0]
    if not short:
        return tokens[0]
    i = short[-1]
    if i == len(values) - 1:
        return None
    share = beyond[i] / (beyond[i] - beyond[i + 1])
    return float(tokens[i] * (tokens[i + 1] / tokens[i]) ** share)


@dataclass(frozen=True, slots=True)
class Reach:
    """The tokens from which on a level is reached; None where it is not.

    Attributes:
        tokens: by the means.
        early: by the better ends of the intervals; known wherever `tokens` is.
        late: by the worse ones.
    """

    tokens: float | None
    early: float | None
    late: float | None


def reach(rows: Sequence[Mapping[str, Any]], column: str, level: float, *, rising: bool) -> Reach:
    """Return the tokens with which a column of rows reaches a level, from below if it is rising."""
    tokens = [row["tokens"] for row in rows]

    def by(end: str) -> float | None:
        return reached(tokens, [row[column + end] for row in rows], level, rising=rising)

    better, worse = ("_high", "_low") if rising else ("_low", "_high")
    return Reach(by(""), by(better), by(worse))


SAVING = 0.9
"""Retrieval takes clearly fewer tokens where it takes at most so many times as many as even draws.
Tokens are read off a line between two sizes that are about sqrt 2 apart, which puts them off by
some percent, whatever the intervals of the two sizes say."""


def fewer_tokens(what: str, near: Reach, even: Reach) -> Reading:
    """Return whether retrieval reaches something with fewer tokens than even draws, clearly.

    That is: by the worse ends of its intervals with `SAVING` times the tokens at most that even
    draws take by the better ends of theirs. With fewer tokens, but more than that, it holds
    loosely.
    """
    sense = f"{what}: retrieval clearly takes fewer tokens than even draws"
    verdict = FALSE
    if near.late is not None:
        share = 0.0 if even.early is None else near.late / even.early
        verdict = HOLDS if share <= SAVING else LOOSELY if share < 1 else FALSE
    shown = f"nearest: {_tokens(near)}; even: {_tokens(even)}"
    if near.tokens is not None and even.tokens is not None:
        shown += f"; {near.tokens / even.tokens:.2f} times as many"
    return Reading(sense, verdict, shown)


def _tokens(found: Reach) -> str:
    """Return a number of tokens with the range of its intervals."""
    if found.tokens is None:
        return "not reached"
    late = "more than tried" if found.late is None else f"{found.late:,.0f}"
    return f"{found.tokens:,.0f} tokens ({found.early:,.0f} to {late})"


@dataclass(frozen=True, slots=True)
class Weighed:
    """Prompts answered by compiled weights: how many, their tokens, answers unlike the counts."""

    prompts: int
    tokens: int
    unequal: int


def through_weights(
    prompts: Sequence[Int64[np.ndarray, "examples two"]], contexts: int, words: int
) -> Weighed:
    """Ask the weights for the shares of context 0 in each prompt, and count beside them.

    An answer is unequal if any share differs from c/n in any bit.
    """
    model = weights(contexts, words)
    tokens = unequal = 0
    for pairs in prompts:
        asked = prompt(pairs, 0)
        own = np.bincount(pairs[pairs[:, 0] == 0, 1], minlength=words)
        unequal += bool((next_word(model, asked) != own / max(1, own.sum())).any())
        tokens += len(asked)
    return Weighed(len(prompts), tokens, unequal)
