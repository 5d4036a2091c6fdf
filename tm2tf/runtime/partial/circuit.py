"""What the front of weights comes to, proved in polynomials.

A circuit is the front without the token: which history directions are read, multiplied, rounded and
written, with what weights. Tokens that it cannot tell apart form a kind. For each kind the circuit
is evaluated once, over the position and the running sums (see `forms`): what the queries, the keys
and the integers that are reported come to, whatever came before. How the neurons of the hard target
become polynomials:

- relu(n) m, rounded, where m is the mean of a sum S over n positions: S, as |S| 8u < 1/2 where u is
  float64's unit roundoff (each of the factors and products is rounded once);
- relu(g) h where g is never positive: 0; where g is never negative: g h;
- relu(g) h - relu(-g) h: g h, once both have been written to the same direction.

What does not come to the parabola's form, q = (2p, 1, p^2) and k = (w, -w^2, 0) or (0, c, 1), with
p and w sums of integers, is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from tm2tf.runtime.partial.forms import (
    EXACT,
    ONE,
    POINT,
    POSITION,
    Form,
    Limits,
    Poly,
    affine,
    constant,
    fixed,
    kink,
    product,
    square,
    times,
    unit,
)
from tm2tf.runtime.partial.unfit import Unfit

PROMPTED = 2**24
"""How large the sums may become that no query reads, such as cells of input: (2^26 + 2^24 + 2)^2,
the square of an address that adds one of either, is less than 2^53."""

ROUNDED = 2**49
"""What a rounded neuron may come to: with five roundings, it is off by less than 8u of it."""

Terms: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of a history direction and a weight in units of 2^-64."""


class Reader(NamedTuple):
    """One column of weights: the history that it reads, and its bias (in units of 2^-64)."""

    terms: Terms
    bias: int


class Neuron(NamedTuple):
    """A neuron: the readers of its gate and second factor, whether it is rounded, its output."""

    gate: int
    inner: int
    snap: bool
    out: Terms


class Circuit(NamedTuple):
    """The front of some weights, but for what it gets from tokens.

    Attributes:
        readers: all columns that read the stream; they are meant by their number below.
        position: where the position is written.
        layers: for each layer what each mean is written to, and the neurons.
        queries, keys: for each lookup the three readers of either.
        told: the readers of integers that are reported.
        units: what 1 of each sum stands for, in units of 2^-64.
        most_position, most_key: how large the position and addresses may become.
    """

    readers: tuple[Reader, ...]
    position: Terms
    layers: tuple[tuple[tuple[Terms, ...], tuple[Neuron, ...]], ...]
    queries: tuple[tuple[int, int, int], ...]
    keys: tuple[tuple[int, int, int], ...]
    told: tuple[int, ...]
    units: tuple[int, ...]
    most_position: int
    most_key: int


class Proof(NamedTuple):
    """What a circuit comes to, for each kind of token: lines are coefficients and a constant.

    Attributes:
        queries: for each kind and lookup the address that it asks for.
        keys: the address that it is given, and (if it is given none; else nan) its floor.
        told: the integers that are reported.
        limits: how large each sum may become.
    """

    queries: tuple[tuple[tuple[list[int], int], ...], ...]
    keys: tuple[tuple[tuple[list[int], int, float], ...], ...]
    told: tuple[tuple[tuple[list[int], int], ...], ...]
    limits: tuple[int, ...]


@lru_cache(maxsize=64)
def prove(circuit: Circuit, kinds: tuple[tuple[float, ...], ...]) -> Proof:
    """Return what a circuit comes to; `kinds` are what its readers get from each kind of token.

    Many machines have the same circuit, which is proved once.

    Raises:
        Unfit: it does not come to addresses that are sums of integers.
    """
    # which sums the queries read is found out first, with all of them as large as queries may be
    every = Limits(min(circuit.most_position, ROUNDED), (circuit.most_key,) * len(circuit.units))
    trial = _Kind(circuit, kinds[0], every, exact=False).queries()
    asked = np.any([line for line, _ in trial], axis=0)
    sizes = tuple(circuit.most_key if read else PROMPTED for read in asked.tolist())
    limits = Limits(every.position, sizes)
    found = [_Kind(circuit, given, limits, exact=True) for given in kinds]
    return Proof(
        tuple(kind.queries() for kind in found),
        tuple(kind.keys() for kind in found),
        tuple(kind.told() for kind in found),
        sizes,
    )


class _Kind:
    """A circuit at one kind of token, in polynomials."""

    def __init__(
        self, circuit: Circuit, given: Sequence[float], limits: Limits, exact: bool
    ) -> None:
        self._circuit, self._limits, self._exact = circuit, limits, exact
        self._given = [fixed(value) for value in given]
        self._stream: dict[int, Form] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._write(circuit.position, Form({(POSITION,): ONE}))
        number = 0
        for means, neurons in circuit.layers:
            for out in means:
                self._write(out, Form(means={number: ONE}))
                number += 1
            made = [self._neuron(neuron) for neuron in neurons]
            for neuron, form in zip(neurons, made, strict=True):
                self._write(neuron.out, form)

    def _write(self, out: Terms, form: Form) -> None:
        for direction, weight in out:
            held = self._stream.setdefault(direction, Form())
            held.add(form, weight)
            self._sizes.pop(direction, None)
            if self._exact:
                held.check(self._limits)

    def _size(self, direction: int) -> tuple[int, int]:
        """Return how large a direction may become, and what it is a multiple of."""
        if direction not in self._sizes:
            held = self._stream[direction]
            self._sizes[direction] = held.size(self._limits), held.unit()
        return self._sizes[direction]

    def _read(self, number: int) -> Form:
        """Return what a reader reads; that no sum on the way is rounded is checked."""
        reader = self._circuit.readers[number]
        given, bias = self._given[number], reader.bias
        total = Form({(): given + bias} if given + bias else {})
        size, bits = abs(given) + abs(bias), (given & -given) | (bias & -bias)
        for direction, factor in reader.terms:
            total.add(self._stream[direction], factor)
            if self._exact:
                largest, smallest = self._size(direction)
                size -= -abs(factor) * largest >> POINT  # rounded up
                bits |= product(factor & -factor, smallest)
        if self._exact and size > EXACT * (bits & -bits):
            raise Unfit("an address may be rounded")
        return total

    def _neuron(self, neuron: Neuron) -> Form:
        g, h = self._read(neuron.gate), self._read(neuron.inner)
        if not g.is_poly:
            raise Unfit("a gate depends on a mean")
        open_, shut = self._limits.signs(g.poly)
        if shut:
            return Form()
        if neuron.snap or h.means:
            return self._sum(g.poly, h, neuron.snap)
        if not h.is_poly:
            raise Unfit("a neuron multiplies what is no polynomial")
        if open_:
            made = Form(times(g.poly, h.poly))
        else:
            made = kink(g.poly, h.poly) if h.poly else Form()
        if self._exact:
            made.check(self._limits)
        return made

    def _sum(self, gate: Poly, inner: Form, snap: bool) -> Form:
        """Return the sum that a rounded neuron makes of a mean."""
        if not snap or set(gate) != {(POSITION,)} or inner.poly or inner.kinks:
            raise Unfit("a mean is used otherwise than to be summed up and rounded")
        if len(inner.means) != 1:
            raise Unfit("several means are rounded as one")
        ((number, weight),) = inner.means.items()
        each = product(product(gate[POSITION,], weight), self._circuit.units[number])
        if each & (ONE - 1) or abs(each) * self._limits.sums[number] > ROUNDED * ONE:
            raise Unfit("a sum is no integer")
        return Form({(number,): each})

    def _line(self, poly: Poly) -> tuple[list[int], int]:
        return affine(poly, len(self._circuit.units))

    def queries(self) -> tuple[tuple[list[int], int], ...]:
        """Return the address that each lookup asks for."""
        found = []
        for numbers in self._circuit.queries:
            q0, q1, q2 = (self._poly(number) for number in numbers)
            p = {monomial: c >> 1 for monomial, c in q0.items()}  # `_line` refuses halves
            if unit(q0) == 1 or constant(q1) != ONE or q2 != square(p):
                raise Unfit("a query is not on the parabola")
            found.append(self._line(p))
        return tuple(found)

    def keys(self) -> tuple[tuple[list[int], int, float], ...]:
        """Return the address that each lookup is given, or (nan: none) its floor."""
        found = []
        for numbers in self._circuit.keys:
            k0, k1, k2 = (self._poly(number) for number in numbers)
            floor = constant(k1)
            if not k2 and k1 == {m: -c for m, c in square(k0).items()}:
                found.append((*self._line(k0), np.nan))
            elif constant(k2) == ONE and not k0 and floor is not None and -ONE <= floor < 0:
                found.append(([0] * len(self._circuit.units), 0, floor / ONE))
            else:
                raise Unfit("a key is not on the parabola")
        return tuple(found)

    def told(self) -> tuple[tuple[list[int], int], ...]:
        """Return the integers that are reported."""
        return tuple(self._line(self._poly(number)) for number in self._circuit.told)

    def _poly(self, number: int) -> Poly:
        form = self._read(number)
        if not form.is_poly:
            raise Unfit("an address is no polynomial")
        return form.poly
