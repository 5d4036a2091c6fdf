"""Contexts in which all parts of a model have something to say.

The next token is a function of any sequence of tokens, also of one that no run writes, and the
circuit has to carry it all. So, besides the runs of the machine's examples, contexts are drawn:
each from a few tokens of the vocabulary, so that the same addresses come again and the latest of
them has to be found, up to the longest context, so that all bits of a position are read.
"""

from __future__ import annotations

import numpy as np

from tm2tf.errors import ConfigurationError
from tm2tf.export.bundle import Bundle

FEW = (6, 12, 24)
"""Tokens that a context is drawn from: few, for many on one address; more, for many addresses."""

RUNS = 4
"""Examples whose runs are taken, at most."""


def contexts(bundle: Bundle, count: int = 64, seed: int = 0) -> list[list[int]]:
    """Return so many contexts, each as long as the checkpoint's longest.

    A run that is over before is followed by drawn tokens. The begin token is only the first, as
    the checkpoint expects; one context in eight has `<pad>` or `<unk>` late, and one in sixteen
    begins with one of them, as when an engine pads on the left and attends to it.
    """
    rng = np.random.default_rng(seed)
    length = bundle.checkpoint.limits.positions
    tokens = np.array([i for i in range(len(bundle.tokens) - 2) if i != bundle.begin])
    speaking = [i for i in tokens.tolist() if bundle.tokens[i].values]
    found: list[list[int]] = []
    for run in [*_runs(bundle, length)[: min(RUNS, count)], *([[]] * count)][:count]:
        few = rng.choice(speaking, FEW[len(found) % len(FEW)])
        drawn = rng.choice(few, length).tolist()
        # every token of the vocabulary comes now and then, whichever few there are
        for at in rng.integers(1, length, length // 4).tolist():
            drawn[at] = int(rng.choice(tokens))
        drawn[0] = bundle.begin
        none = bundle.pad if len(found) % 16 < 8 else bundle.unknown
        if len(found) % 8 == 7:
            drawn[length * 3 // 4] = none
        if len(found) % 16 == 5:
            drawn[0] = none
        found.append([*run, *drawn[len(run) :]])
    return found


def _runs(bundle: Bundle, length: int) -> list[list[int]]:
    """Return the runs of examples, by the weights on target hard, up to the first cut."""
    found = []
    for example in bundle.machine.examples:
        try:
            prompt = bundle.prompt(bundle.machine.initial(example.tapes))
        except ConfigurationError:  # does not fit on so short a tape
            continue
        if len(prompt) >= length:
            continue
        run = prompt + bundle.expected(prompt, length - len(prompt))
        cut = next((i for i, token in enumerate(run) if token in bundle.cuts), len(run) - 1)
        found.append(run[: min(cut + 1, length)])
    return found
