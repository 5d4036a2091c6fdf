"""A run of weights as it was: any of its passes again, forward or back, in any order.

`step.step` is the view of one pass; a recording is for those who look at many. The run is read
once, as far as was asked for. A pass that was made can be had again at about the cost of one pass;
what is kept for it is bounded by `walk.MAX_POSITIONS` and `passes.ROOM`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from tm2tf.compiler import Compiled
from tm2tf.errors import NotFoundError
from tm2tf.inspect.forms import Term
from tm2tf.inspect.passes import Passes
from tm2tf.inspect.snapshot import BEGAN, FIRST_CELL, LAST_CUT, TOP, Place, Seen, StepView
from tm2tf.inspect.walk import Walk
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.threads import few_threads


@dataclass(frozen=True, slots=True, eq=False)
class Attention:
    """The rows of attention of a pass: what share each position had, a row a head, in order.

    `places` are all positions of the context, in order.
    """

    places: tuple[Place, ...]
    rows: Float64[np.ndarray, "heads positions"]


class Recording:
    """A run from a start configuration, seen pass by pass."""

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self._compiled, self._start = compiled, start
        self._looped = compiled.construction.view == "cells"
        with few_threads(0):
            self._run = (Passes if self._looped else Walk)(compiled, start)

    @property
    def known(self) -> int:
        """How many steps' passes can be had without reading on."""
        return self._run.known

    def reach(self, number: int, most: int | None = None) -> bool:
        """Read on towards the pass of a step; return whether it can be had now.

        Args:
            number: the step.
            most: tokens that are read at most (in a looped model: passes that are made).

        Raises:
            InputError: as `view` does.
        """
        _check_number(number)
        with few_threads(0):
            return self._run.reach(number, most)

    def view(self, number: int) -> StepView:
        """Return the pass that emits step `number`'s token.

        Where a step is a row of cells, it is the pass that emits the cell with the head. In a
        looped model it is seen from the cell with tape 0's head. A run that ends for want of a
        transition has one pass more than steps; it may be asked for.

        Raises:
            NotFoundError: the run has no such step.
            InputError: it comes too late in the run for the plain models.
            BoundError: the run leaves the range in which the weights are exact.
            ArtifactError: a token cuts a context that holds no summary.
        """
        return self._view(number, self._seen(number))

    def seen(self, number: int) -> tuple[StepView, Attention]:
        """Return the same view with the rows of attention, which have a share a position.

        Raises:
            InputError: as `view` does.
        """
        seen = self._seen(number)
        rows = np.stack(seen.snapshot.rows) if seen.snapshot.rows else np.zeros((0, 0))
        return self._view(number, seen), Attention(tuple(seen.places), rows)

    def _seen(self, number: int) -> Seen:
        _check_number(number)
        with few_threads(0):
            return self._run.at(number)

    def _view(self, number: int, seen: Seen) -> StepView:
        pass_, tokens = seen.snapshot, self._compiled.weights.tokens
        best = pass_.best()
        emitted = tokens[best[0][0]]
        return StepView(
            step=number,
            number=seen.number,
            looped=self._looped,
            positions=len(seen.places),
            cells=seen.cells,
            fed=seen.fed,
            emits=emitted.name,
            outcome=emitted.outcome,
            starts=seen.starts,
            zero=_zero(seen, tuple(tape.head for tape in self._start.tapes)),
            renamed=_renamed(self._compiled),
            features=pass_.features(carried=self._looped and number > 1),
            heads=tuple(pass_.heads),
            neurons=pass_.neurons(),
            logits=tuple(Term(tokens[i].name, value) for i, value in best[:TOP]),
            margin=best[0][1] - best[1][1] if len(best) > 1 else None,
        )


def _check_number(number: int) -> None:
    """Refuse steps that no run has.

    Raises:
        NotFoundError: it is one.
    """
    if number < 1:
        raise NotFoundError(
            f"no step {number}: steps count from 1, and --step 1 is the pass that emits the first"
        )


def _zero(seen: Seen, heads: tuple[int, ...]) -> str:
    """Return what was, or is, at the weights' address 0, given where the heads began."""
    if seen.rebased:
        return LAST_CUT
    return BEGAN if seen.cells is None and seen.starts == heads else FIRST_CELL


def _renamed(compiled: Compiled) -> dict[str, dict[str, str]]:
    """Return what the machine calls words of the weights that it calls otherwise."""
    naming = compiled.naming
    kinds = {"states": naming.states, "symbols": naming.symbols}
    found = {
        kind: {word: known for word, known in words.items() if known not in ("", word)}
        for kind, words in kinds.items()
    }
    return {kind: words for kind, words in found.items() if words}
