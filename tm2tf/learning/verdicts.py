"""What became of a claim, in one of three words, and the numbers that decided."""

from __future__ import annotations

from dataclasses import dataclass

HOLDS, LOOSELY, FALSE = "holds", "holds loosely", "false as stated"
"""The verdicts."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One sense in which a claim can be read, and whether it holds in that sense.

    Attributes:
        sense: the statement.
        verdict: one of the three.
        because: the numbers that decided.
    """

    sense: str
    verdict: str
    because: str
