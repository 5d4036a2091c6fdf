"""Addresses on a tape of so many cells as words, and what tokens that carry them stand for.

An address 0..W-1 is D digits of radix 8, D the least with 8^D >= W, each a categorical. It costs

    S = sum over i < D of min(8, floor((W - 1) / 8^i) + 1)

directions, at most 8 D, where one word an address would cost W; two addresses are equal where D
words are. A head that left the tape has no digits; then an `edge` says on which side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from tm2tf.constructions.construction import Option
from tm2tf.constructions.tokens import input_token
from tm2tf.errors import ConfigurationError
from tm2tf.machine.spec import OFFSET, Configuration, Machine, Tape
from tm2tf.program.features import Categorical, Feature, Integer
from tm2tf.program.operations import Affine, Latest, Number

RADIX = 8
EDGES = ("left", "right")
TAPE_FULL = "tape-full"
"""The outcome of a run that leaves its tape without halting."""

TAPE = Option("tape", 256, 2, "cells of each tape")
Values: TypeAlias = dict[str, str | int]
"""What a token embeds."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of a tape of `cells` cells, at least two."""

    cells: int

    @property
    def digits(self) -> int:
        """The digits of an address."""
        count = 1
        while RADIX**count < self.cells:
            count += 1
        return count

    @property
    def words(self) -> int:
        """The words that all digits can be, which are the directions of an address."""
        return sum(len(feature.values) for feature in self.features(""))

    def features(self, name: str) -> tuple[Categorical, ...]:
        """Return the digits of the address called `name`, least significant first."""
        tops = [(self.cells - 1) // RADIX**i for i in range(self.digits)]
        values = (tuple(map(str, range(min(RADIX, top + 1)))) for top in tops)
        return tuple(map(Categorical, self.names(name), values))

    def names(self, name: str) -> tuple[str, ...]:
        """Return the names of these features."""
        return tuple(f"{name}.{i}" for i in range(self.digits))

    def values(self, name: str, address: int) -> dict[str, str]:
        """Return what the features of `name` are for an address."""
        digits = (str(address // RADIX**i % RADIX) for i in range(self.digits))
        return dict(zip(self.names(name), digits, strict=True))

    def number(self, out: str, name: str, edge: str | None = None) -> tuple[Number | Affine, ...]:
        """Return the forms that read an address off its digits as integer `out`, at no cost.

        With `edge`, the categorical that stands for the digits off the tape, -1 and W are read too.
        """
        numbers = [
            Number(
                f"{feature.name}.number",
                feature.name,
                tuple((word, int(word) * RADIX**i) for word in feature.values),
            )
            for i, feature in enumerate(self.features(name))
        ]
        if edge is not None:
            left, right = EDGES
            numbers.append(Number(f"{edge}.number", edge, ((left, -1), (right, self.cells))))
        return (*numbers, Affine(out, tuple((1, number.out) for number in numbers)))

    def numbers(self, t: int, name: str, edge: str) -> tuple[Number | Affine, ...]:
        """Return the forms for where tape `t`'s head is, given its digits, and a token wrote."""
        address = f"tape{t}.address"
        return (*self.number(f"tape{t}.head", name, edge), *self.number(address, address))


@dataclass(frozen=True, slots=True)
class Act:
    """What a step does on one tape: write a symbol at an address, and move."""

    symbol: str
    move: str
    address: int

    @property
    def after(self) -> int:
        """The address of the head then; at an edge it is one off the tape."""
        return self.address + OFFSET[self.move]

    def leaves(self, addresses: Addresses) -> bool:
        """Return whether the head leaves the tape."""
        return not 0 <= self.after < addresses.cells

    def place(self, addresses: Addresses) -> str:
        """Return how a token calls where the head is then."""
        return "edge" if self.leaves(addresses) else str(self.after)

    def values(self, addresses: Addresses, t: int) -> Values:
        """Return what the token of this act on tape `t` embeds."""
        edge = EDGES[self.after > 0]
        return {
            **written(addresses, t, self.symbol, self.address),
            **(
                {f"tape{t}.edge": edge}
                if self.leaves(addresses)
                else addresses.values(f"tape{t}.at", self.after)
            ),
        }


def written(addresses: Addresses, t: int, symbol: str, address: int) -> Values:
    """Return what a token embeds that writes a symbol at an address of tape `t`."""
    return {
        f"tape{t}.write": symbol,
        f"tape{t}.writes": 1,
        **addresses.values(f"tape{t}.address", address),
    }


def origin(tape: Tape, addresses: Addresses) -> int:
    """Return the tape's address of cell 0, so that its contents and head lie in the middle.

    Raises:
        ConfigurationError: they do not fit into so many cells.
    """
    ends = [tape.head]
    if tape.contents:
        ends += [tape.origin, tape.origin + len(tape.contents) - 1]
    width = max(ends) - min(ends) + 1
    if width > addresses.cells:
        raise ConfigurationError(
            f"head and contents of the start take {width} cells, and the tape has "
            f"{addresses.cells}; compile with --tape {width} or more"
        )
    return min(ends) - (addresses.cells - width + 1) // 2


def cell_token(machine: Machine, t: int, symbol: str, address: int) -> str:
    """Return the token of a cell of tape `t`, such as `1@130`."""
    return f"{input_token(machine, t, symbol)}@{address}"


def given(
    machine: Machine, configuration: Configuration, addresses: Addresses, zero: int | None = None
) -> tuple[list[str], list[int], tuple[int, ...]]:
    """Return the tokens of a start's cells, its heads, and the addresses of the tapes' first cells.

    `zero`: the cell of the tape that address 0 is put at; if None, all lies in the middle.

    Raises:
        ConfigurationError: a tape does not fit.
    """
    tokens: list[str] = []
    middle = tuple(origin(tape, addresses) for tape in configuration.tapes)
    origins = middle if zero is None else (-zero,) * machine.tapes
    for t, (tape, first) in enumerate(zip(configuration.tapes, origins, strict=True)):
        place = tape.origin - first
        ends = (tape.head - first, *([place, place + len(tape.contents) - 1] * bool(tape.contents)))
        if not 0 <= min(ends) <= max(ends) < addresses.cells:
            raise ConfigurationError(
                f"head and contents of the start reach from cell {min(ends)} to {max(ends)} if "
                f"address 0 is cell {zero}, and the tape has cells 0 to {addresses.cells - 1}"
            )
        tokens += [cell_token(machine, t, s, place + i) for i, s in enumerate(tape.contents)]
    heads = [t.head - first for t, first in zip(configuration.tapes, origins, strict=True)]
    return tokens, heads, origins


def read(machine: Machine, addresses: Addresses, t: int, query: str) -> Latest:
    """Return the lookup of what was last written at the address `query` of tape `t`."""
    return Latest(
        outs=(f"tape{t}.read",),
        values=(f"tape{t}.write",),
        where=f"tape{t}.writes",
        key=addresses.names(f"tape{t}.address"),
        query=addresses.names(query),
        defaults=(machine.blank,),
    )


def tape_features(machine: Machine, addresses: Addresses, t: int) -> tuple[Feature, ...]:
    """Return the features of a tape that all programs with addresses have."""
    return (
        Categorical(f"tape{t}.write", machine.symbols),
        Integer(f"tape{t}.move", -1, 1),
        Integer(f"tape{t}.writes", 0, 1),
        *addresses.features(f"tape{t}.address"),
        *addresses.features(f"tape{t}.at"),
        Categorical(f"tape{t}.edge", EDGES),
        Categorical(f"tape{t}.read", machine.symbols),
    )
