"""Balanced ternary: whole numbers as trits -1, 0 and 1, written `-`, `0` and `+`.

The least significant trit stands first. A negative number has no sign of its own: it is the
number with every trit turned round, and the sign of a number is its most significant nonzero trit.
So one addition serves for negative and positive numbers, and for subtraction too.

    7 = 1 - 3 + 9    `+-+`          -7    `-+-`          5 = -1 - 3 + 9    `--+`
"""

from __future__ import annotations

from collections.abc import Iterable

from tm2tf.errors import InputError

TRITS = "-0+"
"""The trits in the order of their values."""

VALUE = {"-": -1, "0": 0, "+": 1}


def greatest(width: int) -> int:
    """Return the greatest number of so many trits: 1 + 3 + ... + 3^(width-1) = (3^width - 1)/2.

    The least is its negative, and every number between has exactly one form.
    """
    number: int = (3**width - 1) // 2
    return number


def width_for(bound: int) -> int:
    """Return the least number of trits, one or more, that holds every number from -bound to bound.

    It is the least W with 3^W >= 2 bound + 1.
    """
    width = 1
    while greatest(width) < bound:
        width += 1
    return width


def split(total: int) -> tuple[int, str]:
    """Return (carry, trit) with total = 3 carry + trit."""
    carry = (total + 1) // 3
    return carry, TRITS[total - 3 * carry + 1]


def encode(number: int, width: int) -> str:
    """Return the trits of a number, the least significant first.

    Raises:
        InputError: it does not fit.
    """
    trits, left = [], number
    for _ in range(width):
        left, trit = split(left)
        trits.append(trit)
    if left:
        raise InputError(
            f"{number} does not fit into {width} trits, which hold -{greatest(width)} to "
            f"{greatest(width)}: give it {width_for(abs(number))}"
        )
    return "".join(trits)


def decode(trits: Iterable[str]) -> int:
    """Return the number that trits stand for, the least significant first; none stand for 0."""
    return sum(VALUE[trit] * 3**place for place, trit in enumerate(trits))
