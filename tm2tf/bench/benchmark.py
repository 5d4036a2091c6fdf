"""What a benchmark is: a name, what it compares with what, and a function that measures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tm2tf.bench.results import Outcome
from tm2tf.bench.timing import Report
from tm2tf.errors import InputError

T = TypeVar("T")

ROUNDS, QUICK_ROUNDS = 7, 3
"""Rounds of a race, unless more are asked for: odd, so that the median is a measurement."""

MOST_ROUNDS = 1000


@dataclass(frozen=True, slots=True)
class Settings:
    """How thoroughly to measure.

    Attributes:
        quick: whether to take smaller sizes and leave out what is slow: for a look, and for CI.
        repeat: rounds of each race; None for what `quick` suggests.
        report: is told what is being measured, in a few words.
    """

    quick: bool = False
    repeat: int | None = None
    report: Report | None = None

    def __post_init__(self) -> None:
        if self.repeat is not None and not 1 <= self.repeat <= MOST_ROUNDS:
            raise InputError(f"repeat must be from 1 to {MOST_ROUNDS:,}, got {self.repeat}")

    @property
    def rounds(self) -> int:
        """Rounds of a race."""
        return self.repeat or self.pick(ROUNDS, QUICK_ROUNDS)

    def pick(self, full: T, quick: T) -> T:
        """Return what to take: `full`, or `quick` if that was asked for."""
        return quick if self.quick else full

    def tell(self, what: str) -> None:
        """Say what is being measured."""
        if self.report is not None:
            self.report(what)


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark of `tm2tf bench`. `about` says what is compared with what."""

    name: str
    about: str
    measure: Callable[[Settings], Outcome]
