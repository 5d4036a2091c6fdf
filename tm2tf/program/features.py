"""Features: the named, typed quantities that a program keeps at every position."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

Shares: TypeAlias = tuple[Fraction, ...]
"""How large a part each word of a distribution has, in the order of its words."""

Value: TypeAlias = str | int | Shares | None
"""A feature's value: a word (categorical), an integer, shares (distribution), or None where a
categorical is absent."""

POSITION = "position"
"""The one feature every program has: an integer, 1 at the first token, 2 at the next, ..."""


@dataclass(frozen=True, slots=True)
class Categorical:
    """One of finitely many words, or absent. One residual direction a word."""

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer; `low` and `high`, where known, bound it. One residual direction."""

    name: str
    low: int | None = None
    high: int | None = None

    @property
    def is_flag(self) -> bool:
        """Whether it is always 0 or 1."""
        return (self.low, self.high) == (0, 1)


@dataclass(frozen=True, slots=True)
class Distribution:
    """A share for each of finitely many words, 0 or more, together at most 1.

    Absent where all are 0. One residual direction a word, which holds its share.
    """

    name: str
    values: tuple[str, ...]


Feature: TypeAlias = Categorical | Integer | Distribution
