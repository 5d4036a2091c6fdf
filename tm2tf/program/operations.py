"""Operations: what one layer of a program may compute.

Attention operations look at earlier positions (their own included); feed-forward operations
look at their own position alone. Each writes one or more features, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class CausalSum:
    """`out` = the sum of integer `value` over the prefix, this position included.

    Where the flag `when` is given and 0, `out` is 0. Ready for the next layer: a uniform
    attention head brings the mean, and this layer's feed-forward part multiplies by the position.
    """

    out: str
    value: str
    when: str | None = None


@dataclass(frozen=True, slots=True)
class Latest:
    """`out` = categorical `value` at the latest position whose integer `key` equals `query`.

    Only positions after the first, with flag `where` = 1, count; `default` if there is none.
    """

    out: str
    query: str
    key: str
    value: str
    where: str
    default: str


@dataclass(frozen=True, slots=True)
class Relative:
    """`out` = categorical `value` `offset` positions back (1 or more).

    `default` if that is the first position or before it, and absent where `value` is.
    """

    out: str
    offset: int
    value: str
    default: str


@dataclass(frozen=True, slots=True)
class Affine:
    """`out` = the sum of coefficient * integer feature, plus `constant`.

    A name for a linear combination: it costs no neuron, so it may also read what this layer
    makes ready for the next one.
    """

    out: str
    terms: tuple[tuple[int, str], ...]
    constant: int = 0


@dataclass(frozen=True, slots=True)
class Product:
    """`out` = `left` * `right`, both integers."""

    out: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: the values it matches, and what the outputs then are."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A finite function of categorical features, one neuron a row.

    The outputs are absent where no row matches.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[Row, ...]


Attention: TypeAlias = CausalSum | Latest | Relative
FeedForward: TypeAlias = Affine | Product | Table
Operation: TypeAlias = Attention | FeedForward


def reads(operation: Operation) -> tuple[str, ...]:
    """Return the names of the features that an operation reads."""
    match operation:
        case CausalSum(value=value, when=when):
            return (value,) if when is None else (value, when)
        case Latest(query=query, key=key, value=value, where=where):
            return (query, key, value, where)
        case Relative(value=value):
            return (value,)
        case Affine(terms=terms):
            return tuple(name for _, name in terms)
        case Product(left=left, right=right):
            return (left, right)
        case Table(inputs=inputs):
            return inputs


def writes(operation: Operation) -> tuple[str, ...]:
    """Return the names of the features that an operation writes."""
    return operation.outputs if isinstance(operation, Table) else (operation.out,)
