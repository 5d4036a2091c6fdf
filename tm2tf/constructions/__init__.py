"""Constructions: how a machine becomes a transformer program, one module each.

A construction turns a machine into a `Program` and a start configuration into a prompt. It
never sees a matrix. So that every runtime and check can read every construction, features that
mean the same are called the same:

- `state`: the state after the step that a token stands for;
- `tape0.head`: the address of tape 0's head now, counted from where the head began;
- `tape0.read`: the symbol under it; `tape0.write`, `tape0.move`: what a step token wrote, moved.

Imports `program`, `machine` and `errors`; never `lowering`, `weights`, numpy or torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.constructions import trace
from tm2tf.errors import choose
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.program.program import Program


@dataclass(frozen=True, slots=True)
class Construction:
    """One way to put a machine into a transformer."""

    name: str
    summary: str
    source: str
    program: Callable[[Machine], Program]
    prompt: Callable[[Machine, Configuration], list[str]]


CONSTRUCTIONS = (
    Construction(
        "trace",
        "decoder-only, one token a step, unbounded tapes",
        "after Pérez, Barceló & Marinković 2021 (arXiv 1901.03429), "
        "Merrill & Sabharwal 2024 (arXiv 2310.07923)",
        trace.program,
        trace.prompt,
    ),
)


def by_name(name: str) -> Construction:
    """Return the construction called `name`."""
    return choose("construction", name, CONSTRUCTIONS)
