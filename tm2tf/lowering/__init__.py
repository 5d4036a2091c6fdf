"""Lowering: a program becomes weights, one module a target.

`layout` gives every feature its residual directions. A target says which operations it can
express; asking for more names the operation and the targets that have it. Lowering sees
programs, never machines. Imports `weights`, `program` and `errors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import TargetError, choose
from tm2tf.lowering import hard
from tm2tf.program.operations import Affine, CausalSum, Latest, Operation, Product, Relative, Table
from tm2tf.program.program import Program
from tm2tf.weights.model import Weights


@dataclass(frozen=True, slots=True)
class Target:
    """An arithmetic and architecture that weights can be for."""

    name: str
    summary: str
    dtype: str
    operations: frozenset[type[Operation]]
    lower: Callable[[Program, str], Weights]


TARGETS = (
    Target(
        "hard",
        "float64, no layer norm, uniform and rightmost-hard attention, gated ReLU neurons",
        "float64",
        frozenset({CausalSum, Latest, Relative, Affine, Product, Table}),
        hard.lower,
    ),
)


def by_name(name: str) -> Target:
    """Return the target called `name`."""
    return choose("target", name, TARGETS)


def lower(program: Program, construction: str, target: str = "hard") -> Weights:
    """Return the weights that compute a program on a target.

    Raises:
        TargetError: the program uses an operation that the target cannot express.
    """
    chosen = by_name(target)
    for layer in program.layers:
        for operation in (*layer.attention, *layer.feed_forward):
            kind = type(operation)
            if kind not in chosen.operations:
                able = [known.name for known in TARGETS if kind in known.operations]
                raise TargetError(
                    f"construction {construction!r} uses {kind.__name__}, which target "
                    f"{target!r} cannot express; targets that can: {', '.join(able) or 'none'}"
                )
    return chosen.lower(program, construction)
