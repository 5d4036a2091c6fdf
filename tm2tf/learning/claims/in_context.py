"""The in-context side of claims A, B and D: examples in a prompt, read by compiled weights."""

from __future__ import annotations

import numpy as np

from tm2tf.learning.claims.laws import LAWS, draw, sums_of
from tm2tf.learning.contexts import RUNNERS, next_word, prompt, weights
from tm2tf.learning.monte_carlo import generator
from tm2tf.learning.trials import Outcome, Task


def in_context(task: Task) -> Outcome:
    """Put examples into a prompt, in random order, and ask for each context in both runtimes.

    `unequal` is the number of distributions that are not the shares c/n of the examples, in any
    bit of any word; `read` of how many. `tokens` are those of all prompts.
    """
    law = LAWS[task["law"]](task["words"])
    counts = draw(task, [task["examples"]] * task["contexts"])
    model, random = weights(task["contexts"], task["words"]), generator({**task, "order": True})
    found = np.zeros(counts.shape)
    unequal, tokens = 0, 0
    for trial, table in enumerate(counts):
        pairs = np.repeat(np.argwhere(table >= 0), table.ravel(), axis=0)
        random.shuffle(pairs)
        for query, counted in enumerate(table):
            asked = prompt(pairs, query)
            read = {runtime: next_word(model, asked, runtime) for runtime in RUNNERS}
            unequal += sum((shares != counted / counted.sum()).any() for shares in read.values())
            found[trial, query] = read["kernel"]
            tokens += len(asked)
    off = np.abs(found - law)
    return {
        **sums_of("tv", off.sum(axis=-1).max(axis=1) / 2, task["eps"]),
        **sums_of("sup", off.max(axis=(1, 2)), task["eps"]),
        "unequal": int(unequal),
        "read": counts.shape[0] * counts.shape[1] * len(RUNNERS),
        "tokens": tokens,
    }
