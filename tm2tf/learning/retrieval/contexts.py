"""Words of several contexts, of which the query has one: only its own examples count.

N examples each have one of m contexts, evenly, and a word by the context's law, which is drawn
from the flat Dirichlet distribution. The compiled head looks at the words of the query's context
alone. Of k examples drawn evenly about k/m are of that context; retrieval by context (the distance
between contexts is 0 or the root of 2) takes these first, and no others until they are used up.

Here retrieval has no bias: the examples of a context are independent draws from its law, and to
choose them by context tells nothing of their words. It takes 1/m of the tokens for the same total
variation, and adds nothing once all examples of the context are in the prompt.

An answer without any example of the context, `<unknown>`, counts as a total variation of 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

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
from tm2tf.learning.retrieval.theory import total_variation
from tm2tf.learning.trials import Outcome, Task
from tm2tf.learning.verdicts import FALSE, HOLDS, Reading

CHOICES = (UNIFORM, NEAREST)

FACTOR = 0.15
"""How far the ratio of tokens may be from m, as a part of it. With few examples of its own an even
draw loses more by the chance in their number than 1/m says: the mean of c^(-1/2) for a number c
with mean and variance k/m is (1 + 3m/8k) times (k/m)^(-1/2), which is (1 + 3m/4k) times the k."""

OWN = 8
"""Numbers of tokens are compared where retrieval has so many of the context's own examples or more:
at k/m = 8, 3m/4k is below `FACTOR`."""


@dataclass(frozen=True, slots=True)
class Size:
    """How much is done.

    Attributes:
        seed: of all blocks.
        examples: N, in the data.
        contexts: m.
        words: V.
        least: examples in the shortest prompts; the longest have all.
        trials: blocks.
        block: data sets in a block, the first of which goes through the weights.
    """

    seed: int = 0
    examples: int = 1_024
    contexts: int = 8
    words: int = 4
    least: int = 4
    trials: int = 8
    block: int = 200

    def sizes(self) -> list[int]:
        """Return the numbers of examples in a prompt."""
        return sizes_between(self.least, self.examples)


def tasks(size: Size) -> list[Task]:
    """Return the blocks."""
    same = {
        name: getattr(size, name) for name in ("seed", "examples", "contexts", "words", "block")
    }
    return [{**same, "sizes": size.sizes(), "number": number} for number in range(size.trials)]


def trial(task: Task) -> Outcome:
    """Return means over the data sets of a block, for each choice and size; the query's is 0."""
    random = np.random.default_rng([task["seed"], 5, task["number"]])
    n, m, words, sizes = (task[name] for name in ("examples", "contexts", "words", "sizes"))
    distance = np.zeros((len(CHOICES), len(sizes)))
    own = np.zeros_like(distance)
    checked: list[Int64[np.ndarray, "examples two"]] = []
    for number in range(task["block"]):
        laws = random.dirichlet(np.ones(words), size=m)
        contexts = random.integers(m, size=n)
        steps = laws.cumsum(axis=1)[contexts, :-1]
        pairs = np.stack([contexts, (random.random((n, 1)) > steps).sum(axis=1)], axis=1)
        marks = np.eye(m)
        for choice, order in enumerate(
            (random.permutation(n), nearest(marks[contexts], marks[:1])[0])
        ):
            off, count = _distances(pairs[order], laws[0], sizes)
            distance[choice] += off
            own[choice] += count
            if number == 0:
                checked += [pairs[order[:size]] for size in sizes]
    return {
        "distance": (distance / task["block"]).tolist(),
        "own": (own / task["block"]).tolist(),
        **asdict(through_weights(checked, m, words)),
    }


def _distances(
    ordered: Int64[np.ndarray, "examples two"],
    true: Float64[np.ndarray, " words"],
    sizes: Sequence[int],
) -> tuple[Float64[np.ndarray, " sizes"], Float64[np.ndarray, " sizes"]]:
    """Return the total variation of the answers from k examples, and how many were of context 0."""
    own = (ordered[:, :1] == 0) * np.eye(len(true))[ordered[:, 1]]
    counts = own.cumsum(axis=0)[np.array(sizes) - 1]
    number = counts.sum(axis=1)
    off = total_variation(counts / np.maximum(number, 1)[:, None], true)
    return np.where(number == 0, 1.0, off), number


def report(size: Size, outcomes: Sequence[Outcome]) -> Report:
    """Return the distance of both choices, and the tokens they take for the same."""
    rows = [
        {
            "choice": choice,
            "examples": k,
            "tokens": 2 * k + 2,
            "own": sum(outcome["own"][at][place] for outcome in outcomes) / len(outcomes),
            **interval("distance", [outcome["distance"][at][place] for outcome in outcomes]),
        }
        for at, choice in enumerate(CHOICES)
        for place, k in enumerate(size.sizes())
    ]
    ratios = _ratios(rows)
    ratio = math.exp(math.fsum(map(math.log, ratios)) / len(ratios)) if ratios else None
    level = 1.25 * rows[-1]["distance"]  # all data are in the prompt, for both choices
    sides = (
        reach(_of(rows, choice), "distance", level, rising=False) for choice in (NEAREST, UNIFORM)
    )
    return Report(
        part="contexts",
        title=f"words of {size.contexts} contexts, of which the query has one",
        settings=asdict(size),
        tables={"contexts": rows},
        figures={"tokens of even draws over those of retrieval": ratio, "m": float(size.contexts)},
        readings=(
            _as_many(ratio, size.contexts, len(ratios)),
            fewer_tokens(f"total variation {level:.3f}", *sides),
        ),
        prompts=sum(outcome["prompts"] for outcome in outcomes),
        tokens=sum(outcome["tokens"] for outcome in outcomes),
        counted=size.trials * size.block * len(rows),
        unequal=sum(outcome["unequal"] for outcome in outcomes),
    )


def _of(rows: Sequence[dict[str, Any]], choice: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["choice"] == choice]


def _ratios(rows: Sequence[dict[str, Any]]) -> list[float]:
    """Return how many times the tokens even draws take for what retrieval reaches at each size.

    Sizes are those with `OWN` examples of the context or more, as long as retrieval has examples of
    no other.
    """
    ratios = []
    for row in _of(rows, NEAREST):
        if row["examples"] >= OWN and row["own"] == row["examples"]:
            even = reach(_of(rows, UNIFORM), "distance", row["distance"], rising=False).tokens
            if even is not None:
                ratios.append(even / row["tokens"])
    return ratios


def _as_many(ratio: float | None, contexts: int, sizes: int) -> Reading:
    """Return whether even draws take m times the tokens."""
    return Reading(
        "even draws take m times the tokens of retrieval for the same total variation",
        HOLDS if ratio is not None and abs(ratio / contexts - 1) <= FACTOR else FALSE,
        "no size to compare"
        if ratio is None
        else f"{ratio:.2f} times as many at {sizes} sizes, m = {contexts}",
    )
