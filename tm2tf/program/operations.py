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
    """`outs` = `values` at the latest position whose `key` equals `query`.

    Query and key are one integer each, or equally many categoricals, none included: then any
    position matches. (A categorical that is absent equals nothing.) Only positions after the
    first, with flag `where` = 1, count. Where there is none, `outs` are `defaults`, or absent if
    no defaults are given. In a looped program every position sees all positions.
    """

    outs: tuple[str, ...]
    values: tuple[str, ...]
    where: str
    key: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    defaults: tuple[str | int, ...] = ()

    @property
    def name(self) -> str:
        """What its attention head is called."""
        return self.outs[0]


@dataclass(frozen=True, slots=True)
class Gather:
    """`out` = which part of the positions whose `key` equals `query` has which word of `value`.

    Which positions count, and when a key equals a query, is as in `Latest`; but all of them are
    brought, and alike: `out`, a distribution, is the mean of what stands there, that is the number
    of positions with a word over the number of positions. One where `value` is absent counts as
    well, and adds to no word: then the shares together are less than 1. Where there is no position
    at all, `default` has the share 1; without a default, `out` is absent.
    """

    out: str
    value: str
    where: str
    key: tuple[str, ...] = ()
    query: tuple[str, ...] = ()
    default: str | None = None

    @property
    def name(self) -> str:
        """What its attention head is called."""
        return self.out


Lookup: TypeAlias = Latest | Gather
"""What compares a query with keys."""


@dataclass(frozen=True, slots=True)
class Relative:
    """`out` = categorical `value` `offset` positions back; absent where `value` is.

    `default` (None: absent) where there is no such position, or it is the first one. In a looped
    program the offset may be negative, for a position further on, and the first is like others.
    """

    out: str
    offset: int
    value: str
    default: str | None = None


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
class Number:
    """`out` = the integer that stands for a categorical's value; 0 where it is absent.

    A name for a linear combination, like `Affine`: it costs no neuron.
    """

    out: str
    feature: str
    numbers: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Sign:
    """Categorical `out` = "negative", "zero" or "positive", as integer `value` is."""

    out: str
    value: str


SIGNS = ("negative", "zero", "positive")


@dataclass(frozen=True, slots=True)
class Product:
    """`out` = `left` * `right`, both integers."""

    out: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table: the values it matches (None: any, or none), what the outputs then are."""

    inputs: tuple[str | None, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """A finite function of categorical features, one neuron a row.

    The outputs are absent where no row matches. No two rows may match at once.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    rows: tuple[Row, ...]


Attention: TypeAlias = CausalSum | Latest | Gather | Relative
FeedForward: TypeAlias = Affine | Number | Sign | Product | Table
Operation: TypeAlias = Attention | FeedForward


def reads(operation: Operation) -> tuple[str, ...]:
    """Return the names of the features that an operation reads."""
    match operation:
        case CausalSum(value=value, when=when):
            return (value,) if when is None else (value, when)
        case Latest(query=query, key=key, values=values, where=where):
            return (*query, *key, *values, where)
        case Gather(query=query, key=key, value=value, where=where):
            return (*query, *key, value, where)
        case Relative(value=value) | Sign(value=value):
            return (value,)
        case Number(feature=feature):
            return (feature,)
        case Affine(terms=terms):
            return tuple(name for _, name in terms)
        case Product(left=left, right=right):
            return (left, right)
        case Table(inputs=inputs):
            return inputs


def writes(operation: Operation) -> tuple[str, ...]:
    """Return the names of the features that an operation writes."""
    match operation:
        case Table(outputs=outputs) | Latest(outs=outputs):
            return outputs
        case _:
            return (operation.out,)
