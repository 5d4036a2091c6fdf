"""Lowering: a program becomes weights, one module a target.

`layout` gives every feature its residual directions. A target says which operations it can
express; asking for more names the operation and the targets that have it. Lowering sees
programs, never machines. Imports `weights`, `program` and `errors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import TargetError, choose
from tm2tf.lowering import hard, tracr
from tm2tf.program.operations import (
    Affine,
    CausalSum,
    Gather,
    Latest,
    Number,
    Operation,
    Product,
    Relative,
    Sign,
    Table,
)
from tm2tf.program.program import Program
from tm2tf.weights.model import Weights


@dataclass(frozen=True, slots=True)
class Target:
    """An arithmetic and architecture that weights can be for.

    `lower` takes a program, the construction's name and, for weights that depend on it, how many
    positions there are.
    """

    name: str
    summary: str
    dtype: str
    operations: frozenset[type[Operation]]
    lower: Callable[[Program, str, int | None], Weights]


TARGETS = (
    Target(
        "hard",
        "float64, no layer norm, uniform and hard attention, gated ReLU neurons",
        "float64",
        frozenset({CausalSum, Latest, Gather, Relative, Affine, Number, Sign, Product, Table}),
        lambda program, construction, positions: hard.lower(program, construction),
    ),
    Target(
        "tracr",
        "a RASP program compiled by tracr, looped: softmax attention, relu, no layer norm",
        "float64",
        frozenset({Relative, Table}),
        tracr.lower,
    ),
)


def by_name(name: str) -> Target:
    """Return the target called `name`."""
    return choose("target", name, TARGETS)


def lower(
    program: Program, construction: str, target: str = "hard", positions: int | None = None
) -> Weights:
    """Return the weights that compute a program on a target.

    `positions` is how many a looped program is for, if that is known: its window and what begins
    and ends it. Target "tracr" has to know.

    Raises:
        TargetError: the program uses an operation that the target cannot express.
        ExtraError: the target needs a package that is not installed.
    """
    chosen = by_name(target)
    operations = [op for layer in program.layers for op in (*layer.attention, *layer.feed_forward)]
    used = dict.fromkeys(type(operation) for operation in operations)
    missing = [kind.__name__ for kind in used if kind not in chosen.operations]
    if missing:
        able = [known.name for known in TARGETS if known.operations.issuperset(used)]
        raise TargetError(
            f"construction {construction!r} uses {', '.join(missing)}, which target {target!r} "
            f"cannot express; targets that can: {', '.join(able) or 'none'}"
        )
    return chosen.lower(program, construction, positions)
