"""A run's last context as the plain torch model sees it: every stream, and who attended to whom.

The fast runtime makes the tokens; then the plain model reads the whole context again, which keeps
what is drawn. Of looped weights it is the last pass over the window.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64

from tm2tf.compiler import Compiled
from tm2tf.errors import ArtifactError, InputError
from tm2tf.inspect.passes import MAX_PASSES
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.cells import CellFollower
from tm2tf.runtime.looped import LoopedTransformer
from tm2tf.runtime.model import LatestHead, MeanHead, RelativeHead, Transformer
from tm2tf.runtime.runner import Context
from tm2tf.runtime.sparse import SparseRunner
from tm2tf.runtime.threads import few_threads
from tm2tf.weights.model import Head, Weights

BLOCK = 256
"""Positions read at once: a block has 256 scores for each position before it, not n^2."""

MOST_ATTENDED = 2_000
"""Positions of the longest context whose attention is kept: 32 MB a head."""

MOST_POSITIONS = 20_000
"""Positions of the longest context that is read: the plain model takes about half a minute."""

AT_FIRST = 48
"""Positions of a context up to which a run goes if no number of steps is asked for: so many labels
can be read beside a square of them."""

MOST_PASSES = 1_000
"""Passes of a looped model if no number of steps is asked for."""

OnProgress = Callable[[int], None]
"""Takes how many positions were read (of looped weights: passes made) so far."""

Square = Float64[np.ndarray, "positions positions"]


@dataclass(frozen=True, slots=True, eq=False)
class Forward:
    """A context, and what the model held and did at each of its positions.

    Attributes:
        looped: whether all positions were there from the beginning: then this is one pass.
        tokens: the name of the token at each position.
        prompt: how many of them were given, or kept when the context was last cut.
        steps: the machine's steps made by then; of looped weights, also the pass that this is.
        over: whether the run ended there.
        streams: the residual stream `[positions, d_model]` after the embedding and each layer.
        attention: how much each position (row) attended to each (column), by layer and head; none
            if that was not asked for.
    """

    looped: bool
    tokens: tuple[str, ...]
    prompt: int
    steps: int
    over: bool
    streams: tuple[Float64[np.ndarray, "positions d_model"], ...]
    attention: tuple[tuple[Square, ...], ...]


def forward(
    compiled: Compiled,
    start: Configuration,
    steps: int | None = None,
    *,
    attention: bool = True,
    on_progress: OnProgress | None = None,
) -> Forward:
    """Return the context after so many steps (fewer if the run ends), as the plain model sees it.

    Without `steps`: as many as fit `AT_FIRST` positions, but one at least.

    Raises:
        InputError: `steps` is less than 1, or more than can be drawn: the context, the window or
            the passes to it would be too many.
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: the weights emit what no run may hold.
    """
    if steps is not None and steps < 1:
        raise InputError(f"a run of {steps} steps has nothing to draw: ask for 1 or more")
    with few_threads(0):
        if compiled.construction.view == "cells":
            return _looped(compiled, start, steps, attention, on_progress)
        return _decoder(compiled, start, steps, attention, on_progress)


def _decoder(
    compiled: Compiled,
    start: Configuration,
    steps: int | None,
    attention: bool,
    on_progress: OnProgress | None,
) -> Forward:
    weights = compiled.weights
    found = _generate(compiled, start, steps, MOST_ATTENDED if attention else MOST_POSITIONS)
    streams, squares = _read(weights, found.ids, attention, on_progress)
    return Forward(
        looped=False,
        tokens=tuple(weights.tokens[i].name for i in found.ids),
        prompt=found.prompt,
        steps=found.steps,
        over=found.over,
        streams=tuple(streams),
        attention=_by_layer(weights, squares),
    )


@dataclass(slots=True)
class _Tokens:
    """The context so far; `prompt` as in `Forward`."""

    ids: list[int]
    prompt: int
    steps: int = 0
    over: bool = False


def _generate(compiled: Compiled, start: Configuration, steps: int | None, most: int) -> _Tokens:
    """Return the context that a decoder's run has after so many steps."""
    weights, begin = compiled.weights, compiled.start(start).ids
    counts = "row" if compiled.construction.view == "rows" else "step"
    runner, context = SparseRunner(weights, begin), Context(weights)
    found = _Tokens(list(begin), len(begin))
    context.feed(len(begin), begin)
    found.over = weights.tokens[begin[-1]].outcome is not None
    while not found.over and found.steps != steps:
        if steps is None and found.steps and _full(found, compiled):
            break
        # a step takes a token at least, and more tokens than can be drawn are not waited for
        wanted = 1 if steps is None else min(steps - found.steps, most + 1 - len(found.ids))
        for emitted in runner.advance(wanted, probe=False).tokens.tolist():
            token = weights.tokens[emitted]
            found.over = token.outcome is not None
            if token.role == "end":
                break
            if token.role == "cut":
                found.ids = context.cut(emitted)
                found.prompt = len(found.ids)
                context.feed(len(found.ids), found.ids)
            else:
                found.ids.append(emitted)
                context.feed(1, [emitted])
            found.steps += token.role == counts
        if len(found.ids) > most:
            raise InputError(
                f"after {found.steps:,} steps the context has {len(found.ids):,} tokens, and "
                f"{most:,} at most are drawn: ask for fewer with --steps"
            )
    return found


def _full(found: _Tokens, compiled: Compiled) -> bool:
    """Return whether another step would make the context longer than `AT_FIRST`."""
    a_step = compiled.construction.tokens_per_step(compiled.machine, compiled.weights.options)
    return len(found.ids) + (a_step or 1) > AT_FIRST


def _read(
    weights: Weights, ids: Sequence[int], attention: bool, on_progress: OnProgress | None
) -> tuple[list[np.ndarray], list[Square]]:
    """Return the streams of a context, and a square for each head in order."""
    model, n = Transformer(weights), len(ids)
    streams: list[list[np.ndarray]] = [[] for _ in range(len(weights.layers) + 1)]
    squares = [np.zeros((n, n)) for _ in model.heads] if attention else []
    for first in range(0, n, BLOCK):
        block = list(ids[first : first + BLOCK])
        model(torch.tensor([block]))
        for kept, x in zip(streams, model.stream, strict=True):
            kept.append(x[0].numpy())
        for square, head in zip(squares, model.heads, strict=bool(squares)):
            for at in range(len(block)):
                if isinstance(head, MeanHead):
                    chosen = np.flatnonzero(head.attended[0, at].numpy())
                elif isinstance(head, LatestHead | RelativeHead):
                    assert head.attended is not None
                    chosen = np.array([int(head.attended[0, at])])
                else:
                    chosen = np.arange(first + at + 1)
                square[first + at, chosen] = 1 / len(chosen)
        if on_progress is not None:
            on_progress(first + len(block))
    return [np.concatenate(parts) for parts in streams], squares


def _by_layer(weights: Weights, squares: Sequence[Square]) -> tuple[tuple[Square, ...], ...]:
    """Return squares of all heads by layer."""
    if not squares:
        return ()
    left = iter(squares)
    return tuple(tuple(next(left) for _ in layer.heads) for layer in weights.layers)


def _looped(
    compiled: Compiled,
    start: Configuration,
    steps: int | None,
    attention: bool,
    on_progress: OnProgress | None,
) -> Forward:
    weights, last = compiled.weights, MOST_PASSES if steps is None else steps
    if last > MAX_PASSES:
        raise InputError(
            f"{last:,} steps take as many passes, and {MAX_PASSES:,} at most are made: ask for "
            "fewer --steps"
        )
    run = CellFollower(compiled, start, "cpu", "float64", grow=True)
    while run.steps < last and run.outcome is None and run.trouble is None:
        run.advance(min(BLOCK, last - run.steps))
        if on_progress is not None:
            on_progress(run.steps)
    if run.trouble is not None:
        raise ArtifactError(f"{run.trouble}: the weights are damaged or foreign")
    tokens = run.begin.ids
    if attention and len(tokens) > MOST_ATTENDED:
        raise InputError(
            f"the window has {len(tokens):,} positions, and {MOST_ATTENDED:,} at most are drawn: "
            "ask for fewer --steps, or a smaller --window"
        )
    model = LoopedTransformer(weights)
    model.begin(torch.tensor([tokens]))
    for _ in range(max(1, run.steps)):
        model.turn()
    streams = tuple(x[0].numpy() for x in model.stream)
    squares = [
        [shares(streams[layer], head) for head in of_layer.heads]
        for layer, of_layer in enumerate(weights.layers)
    ]
    return Forward(
        looped=True,
        tokens=tuple(weights.tokens[i].name for i in tokens),
        prompt=len(tokens),
        steps=run.steps,
        over=run.outcome is not None,
        streams=streams,
        attention=tuple(map(tuple, squares)) if attention else (),
    )


def shares(x: Float64[np.ndarray, "positions d_model"], head: Head) -> Square:
    """Return how much each position of a looped model attends to each."""
    n = len(x)
    if head.kind == "uniform":
        return np.full((n, n), 1 / n)
    if head.kind == "relative":
        chosen = np.clip(np.arange(n) - head.offset, 0, n - 1)
    else:
        query, key = x @ head.W_Q.dense() + head.b_Q, x @ head.W_K.dense() + head.b_K
        scores = query @ key.T
        if head.kind == "softmax":
            scores = scores / np.sqrt(len(head.b_Q))
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            found: Square = shares / shares.sum(axis=1, keepdims=True)
            return found
        chosen = n - 1 - scores[:, ::-1].argmax(axis=1)
    square = np.zeros((n, n))
    square[np.arange(n), chosen] = 1
    return square
