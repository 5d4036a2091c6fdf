"""The contents page: a machine becomes weights, stage by stage. Open this file first.

    machine file ─ formats ─▶ Machine ─ constructions ─▶ Program ─ lowering ─▶ Weights

`formats.parse` reads a machine; `constructions` say how it becomes a transformer's program
over named features; `lowering` gives every feature its directions and every operation its heads
and neurons. `runtime` then runs the weights, and `verify` holds simulator, interpreter and
weights against each other step by step.
"""

from __future__ import annotations

from dataclasses import dataclass

from tm2tf import constructions, lowering
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.program.program import Program
from tm2tf.weights.model import Weights


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A machine with what it was compiled to."""

    machine: Machine
    program: Program
    weights: Weights

    def prompt(self, start: Configuration) -> list[int]:
        """Return the token ids that put the weights into a start configuration."""
        names = constructions.by_name(self.weights.construction).prompt(self.machine, start)
        ids = self.weights.ids()
        return [ids[name] for name in names]


def compile_machine(
    machine: Machine, construction: str = "trace", target: str = "hard"
) -> Compiled:
    """Return the program and the weights of a machine.

    Raises:
        NotFoundError: no such construction or target.
        TargetError: the target cannot express what the construction needs.
    """
    program = constructions.by_name(construction).program(machine)
    weights = lowering.lower(program, construction, target)
    return Compiled(machine, program, weights)


def recompile(machine: Machine, weights: Weights) -> Compiled:
    """Return given weights (from an artifact, say) with the program they should compute."""
    program = constructions.by_name(weights.construction).program(machine)
    return Compiled(machine, program, weights)
