"""Rows of attention as marks under tokens: the last ones, and those that were attended to."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from rich.cells import cell_len, set_cell_size
from rich.text import Text

from tm2tf.inspect.forms import printable
from tm2tf.inspect.recording import Attention
from tm2tf.inspect.snapshot import HeadStep, Place
from tm2tf.player.styles import ATTENDED, DIM, TOKEN

ALL, SHARE, ALIKE, NONE, GAP = "●", "◐", "○", "·", "…"
LEGEND = f"{ALL} all of it  {SHARE} a share  {ALIKE} every position alike  {NONE} none"

LITTLE = 0.005
"""A share of attention below which a position counts as not attended to: softmax leaks."""

LONGEST = 16
"""Columns of a token; a longer one is cut."""


def strip(found: Attention, heads: Sequence[HeadStep], fed: int, width: int) -> Text:
    """Return positions, tokens, and below them a line of marks for each head.

    Args:
        found: the rows of attention.
        heads: the heads, in the same order.
        fed: the position from which the pass is seen (from 1).
        width: columns there are.
    """
    if not len(heads):
        return Text()
    names = [f"{head.layer}.{head.index} " for head in heads]
    cells = found.places[0].within == "window"  # whose tokens are what they began with
    above = ("address", "began as") if cells else ("position", "token")
    gutter = max(9, *map(len, names))
    tokens = [printable(place.token) for place in found.places]
    chosen = _chosen(found, heads, fed - 1, width - gutter)
    lines = [Text().append(f"{word:<{gutter}}", style=DIM) for word in above]
    lines += [Text().append(f"{name:<{gutter}}", style=TOKEN) for name in names]
    before = -1
    for i in chosen:
        if i > before + 1:
            for line in lines:
                line.append(f"{GAP} ", style=DIM)
        before, wide = i, _width(found, i)
        here = "bold" if i == fed - 1 else "none"
        lines[0].append(f"{_address(found.places[i]):<{wide}} ", style=DIM)
        lines[1].append(_cut(tokens[i], wide) + " ", style=here)
        for line, head, row in zip(lines[2:], heads, found.rows, strict=True):
            mark = _mark(head, float(row[i]))
            style = ATTENDED if mark in (ALL, SHARE) else DIM
            line.append(f"{mark:<{wide}} ", style=style)
    if before + 1 < len(tokens):
        for line in lines:
            line.append(GAP, style=DIM)
    return Text("\n").join([*lines, Text().append(LEGEND, style=DIM)])


def _address(place: Place) -> str:
    """Return a position's number, or the address of the cell that it is in a window."""
    if place.within != "window":
        return str(place.position)
    return str(place.addresses[0]) if place.addresses else "edge"


def _cut(word: str, wide: int) -> str:
    return (
        set_cell_size(word, wide) if cell_len(word) <= wide else set_cell_size(word, wide - 1) + "…"
    )


def _mark(head: HeadStep, share: float) -> str:
    if head.kind == "uniform":
        return ALIKE
    if share > 1 - LITTLE:
        return ALL
    return SHARE if share > LITTLE else NONE


def _width(found: Attention, index: int) -> int:
    """Return the columns of a position."""
    word = cell_len(printable(found.places[index].token))
    return max(min(LONGEST, word), len(_address(found.places[index])))


def _chosen(found: Attention, heads: Sequence[HeadStep], fed: int, width: int) -> list[int]:
    """Return the positions that there is room for, ascending: attended ones first, then near ones.

    Near is what stands around the position that the pass is seen from.
    """
    rows = [row for head, row in zip(heads, found.rows, strict=True) if head.kind != "uniform"]
    wanted = [fed, *(len(row) - 1 - int(np.argmax(row[::-1])) for row in rows)]
    count = len(found.places)
    near = sorted(range(max(0, fed - width), min(count, fed + width)), key=lambda i: abs(i - fed))
    chosen: set[int] = set()
    for i in [*wanted, *near]:
        more = chosen | {i}
        if _columns(found, more) <= width:
            chosen = more
        elif i not in wanted:
            break
    return sorted(chosen)


def _columns(found: Attention, chosen: set[int]) -> int:
    """Return the columns that positions take, with the marks of gaps between them."""
    order = sorted(chosen)
    gaps = sum(b > a + 1 for a, b in zip([-1, *order], order, strict=False))
    return sum(_width(found, i) + 1 for i in order) + 2 * gaps + (order[-1] + 1 < len(found.places))
