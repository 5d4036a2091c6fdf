"""Short reviews with their sentiment, as words to count; the sentences were written for tm2tf.

`reviews.tsv` holds a label and a sentence a line. A review becomes a bag of words: how often each
of some chosen words stands in it. The words are chosen from the training part alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

import numpy as np
from jaxtyping import Int64

from tm2tf.errors import InputError
from tm2tf.learning.labelled import Labelled

_WORD = re.compile(r"[^\W\d_]+")
_LABELS = {"positive": 1, "negative": -1}


@cache
def reviews() -> tuple[tuple[int, str], ...]:
    """Return (label, sentence) for every review; labels are 1 and -1."""
    text = (files("tm2tf.learning") / "reviews.tsv").read_text(encoding="utf-8")
    rows = (line.split("\t") for line in text.splitlines())
    return tuple((_LABELS[label], sentence) for label, sentence in rows)


def words_of(sentence: str) -> tuple[str, ...]:
    """Return the words of a sentence, in lower case."""
    return tuple(_WORD.findall(sentence.lower()))


def telling_words(training: Sequence[tuple[int, str]], count: int) -> tuple[str, ...]:
    """Return the words that tell the labels apart best, at most `count`.

    A word in p positive and n negative reviews is ranked by |p - n| / sqrt(p + n): that many
    standard deviations p - n is from 0 for a word without sentiment, which falls to either side by
    chance. Words with p = n are left out; among equals the first in the alphabet is taken.
    """
    balance: Counter[str] = Counter()
    number: Counter[str] = Counter()
    for label, sentence in training:
        for word in set(words_of(sentence)):
            balance[word] += label
            number[word] += 1
    rank = {word: balance[word] ** 2 / number[word] for word in number if balance[word]}
    return tuple(sorted(rank, key=lambda word: (-rank[word], word))[:count])


def bags(
    sentences: Sequence[str], words: Sequence[str], largest: int
) -> Int64[np.ndarray, "sentences words"]:
    """Return how often each word stands in each sentence, `largest` times at the most."""
    rows = np.zeros((len(sentences), len(words)), dtype=np.int64)
    for row, sentence in zip(rows, sentences, strict=True):
        counts = Counter(words_of(sentence))
        row[:] = [min(counts[word], largest) for word in words]
    return rows


def review_data(
    examples: int, queries: int, *, words: int, largest: int, flip: float, seed: int
) -> Labelled:
    """Return reviews drawn without repetition, to learn from and to label.

    Each example's label, but no query's, is turned round with probability `flip`.

    Raises:
        InputError: there are not so many reviews, or no telling words in those to learn from.
    """
    known = reviews()
    if examples + queries > len(known):
        raise InputError(
            f"there are {len(known)} reviews, but {examples} examples and {queries} queries are "
            f"{examples + queries}: ask for fewer"
        )
    rng = np.random.default_rng([seed, 2])
    drawn = [known[number] for number in rng.permutation(len(known))[: examples + queries]]
    turned = np.where(rng.random(examples) < flip, -1, 1)
    training = [
        (int(sign) * label, text)
        for sign, (label, text) in zip(turned, drawn[:examples], strict=True)
    ]
    chosen = telling_words(training, words)
    if not chosen:
        raise InputError(
            "no word of the reviews to learn from tells their labels apart: give more --examples"
        )
    rest = drawn[examples:]
    return Labelled(
        features=bags([text for _, text in training], chosen, largest),
        labels=np.array([label for label, _ in training]),
        queries=bags([text for _, text in rest], chosen, largest),
        truth=np.array([label for label, _ in rest]),
        names=chosen,
        largest=largest,
    )
