"""Colours, told apart by people who see all of them and by those who do not.

They are those of M. Okabe and K. Ito, "Color Universal Design" (2008), put in an order in which
neighbours differ in lightness too, so that a print without colours can be read. Where there are
more things than colours, the colours come again, darker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

RGB: TypeAlias = tuple[int, int, int]

OKABE_ITO: tuple[RGB, ...] = (
    (0, 114, 178),  # blue
    (230, 159, 0),  # orange
    (0, 158, 115),  # bluish green
    (240, 228, 66),  # yellow
    (213, 94, 0),  # vermilion
    (86, 180, 233),  # sky blue
    (204, 121, 167),  # reddish purple
)
"""The seven of the eight that are colours; the eighth is black."""

BLANK: RGB = (255, 255, 255)
"""The colour of the blank on a light ground."""

DARKER = 0.6
"""How light a colour is each time it comes again: three rounds, 1, 0.6 and 0.36, stay apart."""


def hexadecimal(colour: RGB) -> str:
    """Return a colour as `#rrggbb`."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def colours(count: int) -> list[RGB]:
    """Return so many colours; after every seven they come again, darker."""
    found = []
    for i in range(count):
        light = DARKER ** (i // len(OKABE_ITO))
        r, g, b = OKABE_ITO[i % len(OKABE_ITO)]
        found.append((round(r * light), round(g * light), round(b * light)))
    return found


def of_symbols(symbols: Sequence[str], blank: str) -> dict[str, RGB]:
    """Return a colour for each symbol: the blank is white, the others follow in their order."""
    others = [symbol for symbol in symbols if symbol != blank]
    return {blank: BLANK, **dict(zip(others, colours(len(others)), strict=True))}
