"""Labels of the reviews that are nearest to the query, against those of reviews drawn evenly.

Each trial holds back some reviews as queries; the others are the data. The prompt holds the labels
of k reviews, the compiled head brings the shares of both, and the answer is the more frequent one;
where both are equally frequent, half an answer counts as right. A review is a bag of words, and
nearness is the cosine of two bags: of all words of the data, or of those words that tell its labels
apart best (`reviews.telling_words`).

Retrieval makes the answer depend on the query. For the same reason its labels do not stand for the
data. Which way they lean is up to the distance: reviews alike in all words are alike in what they
speak of, and many of ours have a counterpart of the other label in nearly the same words.
Intervals are over trials, which all divide the same reviews: they tell nothing of other reviews.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.errors import InputError
from tm2tf.learning.results import CONFIDENCE, Z
from tm2tf.learning.retrieval.neighbours import nearest
from tm2tf.learning.retrieval.report import (
    NEAREST,
    UNIFORM,
    Report,
    fewer_tokens,
    interval,
    reach,
    sizes_between,
    through_weights,
)
from tm2tf.learning.reviews import bags, reviews, telling_words, words_of
from tm2tf.learning.trials import Outcome, Task
from tm2tf.learning.verdicts import FALSE, HOLDS, Reading

TELLING = f"{NEAREST}, telling words"

CHOICES = (UNIFORM, NEAREST, TELLING)
"""How examples are chosen; the last two differ in the words that are counted."""

WORDS = 40
"""Telling words that are counted: a quarter of the number of reviews in the data, about."""

LARGEST = 100
"""How often a word may count: more often than any stands in a sentence."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        seed: of all trials.
        queries: reviews held back in each trial, at least one of each label.
        weighed: how many of them go through the weights, with every prompt.
        trials: each with its own division into queries and data.
    """

    seed: int = 0
    queries: int = 60
    weighed: int = 4
    trials: int = 16

    def sizes(self) -> list[int]:
        """Return the numbers of examples in a prompt."""
        return sizes_between(1, len(reviews()) - self.queries)


def tasks(size: Size) -> list[Task]:
    """Return the trials.

    Raises:
        InputError: there are not enough reviews.
    """
    if not 2 <= size.queries < len(reviews()):
        raise InputError(
            f"{size.queries} queries of {len(reviews())} reviews: take 2 at the least, and leave "
            "some reviews for the prompt"
        )
    same = {name: getattr(size, name) for name in ("seed", "queries", "weighed")}
    return [{**same, "sizes": size.sizes(), "number": number} for number in range(size.trials)]


def trial(task: Task) -> Outcome:
    """Return, for each choice and size, the share of right answers and of positive labels."""
    random = np.random.default_rng([task["seed"], 6, task["number"]])
    sentences, positive, held_out = _split(random, task["queries"])
    data, known = sentences[len(held_out) :], positive[len(held_out) :]
    lengths = np.array([len(words_of(sentence)) for sentence in data], dtype=np.float64)
    every = sorted({word for sentence in data for word in words_of(sentence)})
    telling = telling_words(list(zip((2 * known - 1).tolist(), data, strict=True)), WORDS)
    orders = (
        random.permuted(np.tile(np.arange(len(data)), (len(held_out), 1)), axis=1),
        _by_words(sentences, every, len(held_out)),
        _by_words(sentences, telling, len(held_out)),
    )
    rows, checked = [], []
    for choice, order in zip(CHOICES, orders, strict=True):
        labels = np.stack([np.zeros_like(known), known], axis=1)[order]
        checked += [x[:k] for x in labels[: task["weighed"]] for k in task["sizes"]]
        for k in task["sizes"]:
            share = known[order[:, :k]].mean(axis=1)
            rows.append(
                {
                    "choice": choice,
                    "examples": k,
                    "accuracy": _accuracy(share, held_out),
                    "positive_query": float(share[held_out == 1].mean()),
                    "negative_query": float(share[held_out == 0].mean()),
                    "words": float(lengths[order[:, :k]].sum(axis=1).mean()),
                }
            )
    return {
        "rows": rows,
        "data": float(known.mean()),
        **asdict(through_weights(checked, 1, 2)),
    }


def _by_words(
    sentences: Sequence[str], words: Sequence[str], queries: int
) -> Int64[np.ndarray, "queries examples"]:
    """Return the order of nearness of the other sentences to the first ones, by some words."""
    rows = bags(sentences, words, LARGEST).astype(np.float64)
    return nearest(rows[queries:], rows[:queries], "cosine")


def _split(
    random: np.random.Generator, queries: int
) -> tuple[list[str], Int64[np.ndarray, " sentences"], Int64[np.ndarray, " queries"]]:
    """Return sentences and labels (1 or 0), queries first, and the queries' labels.

    Half of the queries are positive, so that both kinds are asked. The others stand in a random
    order: it decides between equally near ones.
    """
    listed = [reviews()[number] for number in random.permutation(len(reviews()))]
    left = {1: queries // 2, -1: queries - queries // 2}
    first: list[tuple[int, str]] = []
    rest: list[tuple[int, str]] = []
    for row in listed:
        left[row[0]] -= 1
        (first if left[row[0]] >= 0 else rest).append(row)
    positive = np.array([int(label == 1) for label, _ in first + rest])
    return [sentence for _, sentence in first + rest], positive, positive[:queries]


def _accuracy(
    share: Float64[np.ndarray, " queries"], truth: Int64[np.ndarray, " queries"]
) -> float:
    answered = np.where(share == 0.5, 0.5, share > 0.5)
    return float((1 - np.abs(answered - truth)).mean())


def report(size: Size, outcomes: Sequence[Outcome]) -> Report:
    """Return accuracies and shares of labels, and what follows."""
    data = sum(outcome["data"] for outcome in outcomes) / len(outcomes)
    rows = []
    for place, first in enumerate(outcomes[0]["rows"]):
        each = [outcome["rows"][place] for outcome in outcomes]
        k = first["examples"]
        row: dict[str, Any] = {"choice": first["choice"], "examples": k, "tokens": 2 * k + 2}
        row["words"] = sum(found["words"] for found in each) / len(each)
        for name in ("accuracy", "positive_query", "negative_query"):
            row |= interval(name, [found[name] for found in each])
        rows.append(row)
    even, *near = ([row for row in rows if row["choice"] == choice] for choice in CHOICES)
    return Report(
        part="reviews",
        title="labels of reviews that share words with the query",
        settings=asdict(size),
        tables={"reviews": rows},
        figures={
            "share of positive labels in the data": data,
            **{
                f"best accuracy, {listed[0]['choice']}": _best(listed)["accuracy"]
                for listed in (even, *near)
            },
        },
        readings=tuple(reading for listed in near for reading in _readings(even, listed, data)),
        prompts=sum(outcome["prompts"] for outcome in outcomes),
        tokens=sum(outcome["tokens"] for outcome in outcomes),
        counted=size.trials * size.queries * len(rows),
        unequal=sum(outcome["unequal"] for outcome in outcomes),
    )


def _best(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    return max(rows, key=lambda row: row["accuracy"])


def _wider(sizes: int) -> float:
    """Return how much wider an interval is whose level is divided by a number of sizes.

    The best of many sizes is high by chance as well. Of so many intervals at the divided level
    none is off but with the chance that a single one has at the whole (Bonferroni).
    """
    return NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * sizes)) / Z


def _readings(
    even: Sequence[Mapping[str, Any]], near: Sequence[Mapping[str, Any]], data: float
) -> Iterator[Reading]:
    """Yield what follows for one way of retrieval."""
    best, other, first = _best(near), max(even, key=lambda row: row["accuracy_high"]), near[0]
    name = best["choice"]
    low = best["accuracy"] - _wider(len(near)) * (best["accuracy"] - best["accuracy_low"])
    yield Reading(
        f"{name}: with some k labels are right more often than those of even draws with any",
        HOLDS if low > other["accuracy_high"] else FALSE,
        f"accuracy {best['accuracy']:.3f} with k = {best['examples']}, {best['tokens']} tokens; "
        f"even draws {_best(even)['accuracy']:.3f} at the best",
    )
    yield Reading(
        f"{name}: the single nearest review tends to have the query's label",
        HOLDS if first["accuracy_low"] > 0.5 else FALSE,
        f"in {first['accuracy']:.3f} of the queries",
    )
    level = (best["accuracy"] + 0.5) / 2
    sides = (
        reach(rows, "accuracy", level, rising=True) for rows in (near[: near.index(best) + 1], even)
    )
    yield fewer_tokens(f"{name}: accuracy {level:.3f}", *sides)
    for kind in ("positive", "negative"):
        # k = 1, settled beforehand: the greatest bias of all k would be large by chance as well
        column = f"{kind}_query"
        apart = not first[f"{column}_low"] <= data <= first[f"{column}_high"]
        yield Reading(
            f"{name}: retrieval is biased for {kind} queries: its labels are not those of the data",
            HOLDS if apart else FALSE,
            f"{first[column]:.3f} of the labels are positive with k = {first['examples']}, "
            f"in the data {data:.3f}",
        )
