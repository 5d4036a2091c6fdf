"""What a direction of the residual stream holds, as a polynomial in integers.

The variables are the position and the running sums of the tokens so far. Coefficients are kept
exactly, as integers in units of 2^-64; what is finer is refused. A form also knows how large it may
become and what it is a multiple of: as long as the one is at most 2^53 times the other, float64
holds it exactly, in whatever order it was summed up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TypeAlias

from tm2tf.runtime.partial.unfit import Unfit

Monomial: TypeAlias = tuple[int, ...]
"""The variables of a product, in rising order: `POSITION`, or the number of a sum."""
Poly: TypeAlias = dict[Monomial, int]
"""Coefficients, in units of 2^-64, by monomial; none is 0."""

POSITION = -1
MOST_DEGREE = 2
EXACT = 2**53
"""Integers up to it are exact in float64."""
POINT = 64
ONE = 1 << POINT


def fixed(number: float) -> int:
    """Return a finite float in units of 2^-64.

    Raises:
        Unfit: it is no multiple of that.
    """
    scaled = math.ldexp(number, POINT)
    if not scaled.is_integer():
        raise Unfit("an address is made with weights that are no multiples of 2^-64")
    return int(scaled)


def product(left: int, right: int) -> int:
    """Return the product of two numbers in units of 2^-64.

    Raises:
        Unfit: it is no multiple of that.
    """
    found = left * right
    if found & (ONE - 1):
        raise Unfit("an address is made with products that are no multiples of 2^-64")
    return found >> POINT


def added(left: Poly, right: Poly, scale: int = ONE) -> Poly:
    """Return left + scale * right."""
    total = dict(left)
    for monomial, coefficient in right.items():
        new = total.get(monomial, 0) + product(scale, coefficient)
        if new:
            total[monomial] = new
        else:
            total.pop(monomial, None)
    return total


def times(left: Poly, right: Poly) -> Poly:
    """Return left * right."""
    total: Poly = {}
    for one, a in left.items():
        for other, b in right.items():
            monomial = tuple(sorted((*one, *other)))
            if len(monomial) > MOST_DEGREE:
                raise Unfit("neurons multiply more than two addresses")
            new = total.get(monomial, 0) + product(a, b)
            if new:
                total[monomial] = new
            else:
                total.pop(monomial, None)
    return total


@dataclass(frozen=True, slots=True)
class Limits:
    """How large the variables may become: the position (from 1) and each sum, either way."""

    position: int
    sums: tuple[int, ...]

    def size(self, poly: Poly) -> int:
        """Return the largest absolute value, in units of 2^-64."""
        return sum(abs(c) * self._of(m) for m, c in poly.items())

    def signs(self, poly: Poly) -> tuple[bool, bool]:
        """Return whether a polynomial is never negative, and whether it is never positive."""
        constant = poly.get((), 0)
        least = most = constant
        for monomial, c in poly.items():
            if monomial == (POSITION,):
                least += min(c, c * self.position)
                most += max(c, c * self.position)
            elif monomial:
                least -= abs(c) * self._of(monomial)
                most += abs(c) * self._of(monomial)
        return least >= 0, most <= 0

    def _of(self, monomial: Monomial) -> int:
        size = 1
        for variable in monomial:
            size *= self.position if variable == POSITION else self.sums[variable]
        return size


def unit(poly: Poly) -> int:
    """Return the largest power of 2 that a polynomial is a multiple of; 0 if it is 0."""
    bits = 0
    for c in poly.values():
        bits |= c & -c
    return bits & -bits


@dataclass(slots=True)
class Form:
    """A polynomial, and what is not one.

    Attributes:
        poly: the polynomial.
        means: running sums divided by the position, by the number of the sum.
        kinks: by a polynomial g (its items), whose lowest bit is 1, the factors p and m of
            relu(g) p + relu(-g) m; where m = -p that is the polynomial g p.
    """

    poly: Poly = field(default_factory=dict)
    means: dict[int, int] = field(default_factory=dict)
    kinks: dict[tuple[tuple[Monomial, int], ...], tuple[Poly, Poly]] = field(default_factory=dict)

    def add(self, other: Form, scale: int) -> None:
        """Add scale * other."""
        self.poly = added(self.poly, other.poly, scale)
        for number, weight in other.means.items():
            self.means[number] = self.means.get(number, 0) + product(scale, weight)
            if not self.means[number]:
                del self.means[number]
        for gate, factors in other.kinks.items():
            before = self.kinks.get(gate, ({}, {}))
            open_, shut = (added(b, f, scale) for b, f in zip(before, factors, strict=True))
            self.kinks.pop(gate, None)
            if open_ == {m: -c for m, c in shut.items()}:
                self.poly = added(self.poly, times(dict(gate), open_))
            else:
                self.kinks[gate] = (open_, shut)

    @property
    def is_poly(self) -> bool:
        """Whether it is a polynomial and nothing else."""
        return not self.means and not self.kinks

    def size(self, limits: Limits) -> int:
        """Return the largest absolute value, means left out, in units of 2^-64."""
        total = limits.size(self.poly)
        for gate, factors in self.kinks.items():
            most = limits.size(dict(gate)) * max(map(limits.size, factors))
            total -= -most >> POINT  # rounded up
        return total

    def unit(self) -> int:
        """Return a power of 2 that it is a multiple of, means left out; 0 if it is 0."""
        bits = unit(self.poly)
        for gate, factors in self.kinks.items():
            bits |= product(unit(dict(gate)), unit(factors[0]) | unit(factors[1]))
        return bits & -bits

    def check(self, limits: Limits) -> None:
        """Refuse a form that float64 might round.

        Raises:
            Unfit: it is too large for what it is a multiple of.
        """
        if self.size(limits) > EXACT * self.unit():
            raise Unfit("an address may be rounded")


def kink(gate: Poly, factor: Poly) -> Form:
    """Return relu(gate) * factor, for a gate other than 0 whose sign is not known."""
    # relu(2^e g) = 2^e relu(g): gates are compared as multiples of their lowest bit
    shift = unit(gate)
    scaled = {monomial: product(c, shift) for monomial, c in factor.items()}
    normal = tuple(sorted((monomial, (c << POINT) // shift) for monomial, c in gate.items()))
    if normal[0][1] > 0:
        return Form(kinks={normal: (scaled, {})})
    return Form(kinks={tuple((m, -c) for m, c in normal): ({}, scaled)})


def affine(poly: Poly, sums: int) -> tuple[list[int], int]:
    """Return the integer coefficients of the sums, and the constant.

    Raises:
        Unfit: it is of another form.
    """
    linear = [0] * sums
    constant = 0
    for monomial, coefficient in poly.items():
        if coefficient & (ONE - 1):
            raise Unfit("an address is no integer")
        if monomial == ():
            constant = coefficient >> POINT
        elif len(monomial) == 1 and monomial[0] != POSITION:
            linear[monomial[0]] = coefficient >> POINT
        else:
            raise Unfit("an address depends on more than sums")
    return linear, constant


def square(poly: Poly) -> Poly:
    """Return a polynomial's square."""
    return times(poly, poly)


def constant(poly: Poly) -> int | None:
    """Return the value of a polynomial that is constant, in units of 2^-64, else None."""
    return poly.get((), 0) if set(poly) <= {()} else None
