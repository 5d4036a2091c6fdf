"""Constructions: how a machine becomes a transformer program, one module each.

A construction turns a machine into a `Program` and a start configuration into a prompt. It
never sees a matrix. So that every runtime and check can read every construction, features that
mean the same are called the same:

- `state`: the state after the step that a token stands for;
- `tape0.head`: the address of tape 0's head now, counted from where the head began;
- `tape0.read`: the symbol under it; `tape0.write`, `tape0.move`: what a step token wrote, moved;
- `tape0.grow`: -1 on a cell that begins a row one further left, where rows may grow.

Imports `program`, `machine` and `errors`; never `lowering`, `weights`, numpy or torch.
"""

from __future__ import annotations

from tm2tf.constructions import (
    addressed,
    empirical,
    looped,
    looped_neighbours,
    queue,
    scratchpad,
    summarised,
    summarised_addressed,
    trace,
    tracr,
    universal,
)
from tm2tf.constructions.construction import Construction
from tm2tf.errors import choose

CONSTRUCTIONS = (
    trace.CONSTRUCTION,
    universal.CONSTRUCTION,
    empirical.CONSTRUCTION,
    addressed.CONSTRUCTION,
    summarised.CONSTRUCTION,
    summarised_addressed.CONSTRUCTION,
    queue.CONSTRUCTION,
    scratchpad.CONSTRUCTION,
    looped.CONSTRUCTION,
    looped_neighbours.CONSTRUCTION,
    tracr.CONSTRUCTION,
)


def by_name(name: str) -> Construction:
    """Return the construction called `name`."""
    return choose("construction", name, CONSTRUCTIONS)
