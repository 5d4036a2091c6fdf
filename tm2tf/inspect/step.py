"""One forward pass: what every feature, head, neuron and logit was at one step of a run.

A decoder is run token by token, a looped model pass by pass, through the plain torch models, which
are the ones that keep what is shown here.
"""

from __future__ import annotations

from tm2tf.compiler import Compiled
from tm2tf.errors import NotFoundError
from tm2tf.inspect.forms import Term
from tm2tf.inspect.passes import Passes
from tm2tf.inspect.snapshot import BEGAN, FIRST_CELL, LAST_CUT, TOP, StepView
from tm2tf.inspect.walk import Walk
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.threads import few_threads


def step(compiled: Compiled, start: Configuration, number: int) -> StepView:
    """Return the pass that emits step `number`'s token, in a run from a start configuration.

    Where a step is a row of cells, it is the pass that emits the cell with the head. In a looped
    model it is seen from the cell with tape 0's head. A run that ends for want of a transition has
    one pass more than steps; it may be asked for.

    Raises:
        NotFoundError: the run has no such step.
        InputError: it comes too late in the run for the plain models.
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: a token cuts a context that holds no summary.
    """
    if number < 1:
        raise NotFoundError(
            f"no step {number}: steps count from 1, and --step 1 is the pass that emits the first"
        )
    looped = compiled.construction.view == "cells"
    with few_threads(0):
        run = (Passes if looped else Walk)(compiled, start, number)
    seen = run.snapshot()
    tokens, best = compiled.weights.tokens, seen.best()
    emitted = tokens[best[0][0]]
    return StepView(
        step=number,
        number=run.number,
        looped=looped,
        positions=len(run.places),
        cells=run.cells,
        fed=run.fed,
        emits=emitted.name,
        outcome=emitted.outcome,
        starts=run.starts,
        zero=_zero(run, tuple(tape.head for tape in start.tapes)),
        renamed=_renamed(compiled),
        features=seen.features(carried=looped and number > 1),
        heads=tuple(seen.heads),
        neurons=seen.neurons(),
        logits=tuple(Term(tokens[i].name, value) for i, value in best[:TOP]),
        margin=best[0][1] - best[1][1] if len(best) > 1 else None,
    )


def _zero(run: Walk | Passes, heads: tuple[int, ...]) -> str:
    """Return what was, or is, at the weights' address 0, given where the heads began."""
    if run.rebased:
        return LAST_CUT
    return BEGAN if run.cells is None and run.starts == heads else FIRST_CELL


def _renamed(compiled: Compiled) -> dict[str, dict[str, str]]:
    """Return what the machine calls words of the weights that it calls otherwise."""
    naming = compiled.naming
    kinds = {"states": naming.states, "symbols": naming.symbols}
    found = {
        kind: {word: known for word, known in words.items() if known not in ("", word)}
        for kind, words in kinds.items()
    }
    return {kind: words for kind, words in found.items() if words}
