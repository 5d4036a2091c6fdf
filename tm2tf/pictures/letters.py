"""What all pictures that matplotlib draws share: its style, and the letters of its own font."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.ft2font import FT2Font

FAMILY = "DejaVu Sans"
"""The font that comes with matplotlib: texts are measured with it, and look the same everywhere."""


STYLE: dict[Any, Any] = {
    "font.family": FAMILY,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "tm2tf",  # the same ids in every run
}


def styled() -> AbstractContextManager[None]:
    """Return the context to draw and to save in: a user's `matplotlibrc` changes no picture."""
    from matplotlib import style

    found: AbstractContextManager[None] = style.context(["default", STYLE])
    return found


@lru_cache(maxsize=1)
def _font() -> FT2Font:
    from matplotlib.font_manager import findfont, get_font

    found: FT2Font = get_font(findfont(FAMILY))
    return found


def legible(text: str) -> str:
    """Return a text with what the font lacks, and what does not show, as escapes."""
    if text.isascii() and text.isprintable():
        return text
    font = _font()
    return "".join(
        c if c.isprintable() and font.get_char_index(ord(c)) else ascii(c)[1:-1] for c in text
    )
