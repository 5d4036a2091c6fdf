"""Examples in a prompt, and weights that have never seen them: shares read off by attention.

The prompt is `<bos>` and pairs `context word`; then one context, the query. One head looks back
one token, so that each word knows its context; a `Gather` head attends alike to all words of the
query's context, and so brings c/n for each word: its count over that of its context. These shares
are the logits of the next token: they are the empirical distribution, to the last bit of float64.

Only the prompt tells of the examples. The weights depend on m and V alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64

from tm2tf.lowering import lower
from tm2tf.program.features import POSITION, Categorical, Distribution, Integer
from tm2tf.program.operations import Gather, Relative
from tm2tf.program.program import Layer, Program, Token, Unembed
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.runtime.torch_runner import TorchRunner
from tm2tf.weights.model import Weights

BEGIN, UNKNOWN = "<bos>", "<unknown>"
"""The first token; what comes next after a context without examples."""

RUNNERS = {"kernel": SparseRunner, "torch": TorchRunner}
"""The two evaluators of weights, by name."""


def program(contexts: int, words: int) -> Program:
    """Return the program for m contexts `c0`, `c1`, ... and V words `w0`, `w1`, ..."""
    c, w = _names("c", contexts), _names("w", words)
    return Program(
        name=f"shares of {words} words in {contexts} contexts",
        features=(
            Integer(POSITION, low=1),
            Categorical("context", c),
            Categorical("word", w),
            Integer("is_word", low=0, high=1),
            Categorical("before.context", c),
            Distribution("next", w),
        ),
        tokens=(
            Token(BEGIN, "begin", {}),
            *(Token(name, "prompt", {"context": name}) for name in c),
            *(Token(name, "prompt", {"word": name, "is_word": 1}) for name in w),
            Token(UNKNOWN, "end", {}, "unknown"),
        ),
        layers=(
            Layer((Relative("before.context", 1, "context"),)),
            Layer((Gather("next", "word", "is_word", ("before.context",), ("context",)),)),
        ),
        unembed=Unembed(("next",), {name: (name,) for name in w}, UNKNOWN),
    )


@lru_cache(maxsize=8)
def weights(contexts: int, words: int) -> Weights:
    """Return the program's weights, which see no example."""
    return lower(program(contexts, words), "contexts", "hard", None)


def prompt(pairs: Int64[np.ndarray, "examples two"], query: int) -> list[str]:
    """Return the tokens of examples, each a context and a word by number, and of a query."""
    named = ((f"c{context}", f"w{word}") for context, word in pairs.tolist())
    return [BEGIN, *(token for pair in named for token in pair), f"c{query}"]


def next_word(
    model: Weights, tokens: Sequence[str], runtime: str = "kernel"
) -> Float64[np.ndarray, " words"]:
    """Return the probability of each word after a prompt: the logits of a runtime's last pass.

    They are read where the weights have them before the unembedding, which copies each to its
    token. All are 0 after a context without examples.
    """
    ids = model.ids()
    runner = RUNNERS[runtime](model, [ids[token] for token in tokens])
    readout = next(found for found in model.readouts if found.feature.name == "next")
    shares: Float64[np.ndarray, " words"] = readout.shares(runner.streams()[-1])
    return shares


def _names(letter: str, count: int) -> tuple[str, ...]:
    return tuple(f"{letter}{number}" for number in range(count))
