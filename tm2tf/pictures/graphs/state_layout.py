"""Where the states of a machine, its edges and their labels go; `graphviz` draws them there."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from tm2tf.errors import InputError
from tm2tf.machine.spec import Machine
from tm2tf.pictures.graphs.layout import (
    INCH,
    Frame,
    Point,
    cropped,
    frame_of,
    new_layout,
    room,
)
from tm2tf.pictures.graphs.states import View, visible
from tm2tf.pictures.graphs.svg import BASELINE, LEADING, block, width_of

if TYPE_CHECKING:
    from pygraphviz import AGraph

SHORT = 28.0
"""Length of the arrow to the start state, in points."""

NAME, NOTE, LABEL = 14.0, 9.0, 10.0
"""Sizes of a state's name, of what is noted under it, and of rules, in points."""

TALL, ROUND = 1.45, 34.0
"""Height of an ellipse over that of the text in it, which so stays within 0.69 of it, and the
height that each has at least, in points."""

RING = 3.5
"""Distance of the two outlines of a state that ends a run, in points."""

SCREEN, LONGEST, PAGE = 1.6, 3.5, 1400.0
"""The sides of a screen, how many times longer than high a drawing from left to right may be, and
how many points one that is short enough in any case is wide."""

SHAPES = {"accepted": "ellipse", "rejected": "octagon", "halted": "box"}
"""Outlines by outcome, as Graphviz calls them; states that go on are ellipses."""

DENSE, MOST = 150, 1_500
"""Edges above which Graphviz is hurried, and above which it is not asked: on one core, 400 edges
between 200 random states then take 3 s instead of minutes, and 1,200 without labels 12 s."""

HURRIED: Mapping[str, str] = {"nslimit": "1", "nslimit1": "1", "mclimit": "0.1", "splines": "line"}
"""Fewer rounds of Graphviz' improvements, and straight lines in place of curves."""


def size_of(picture: View, state: str) -> Point:
    """Return width and height of a state's outline, in points."""
    notes = picture.notes(state)
    wide = max(width_of(visible(state), NAME), block(notes, NOTE)[0])
    high = NAME * LEADING + block(notes, NOTE)[1]
    outcome = picture.machine.outcome_of(state)
    ring = 2 * RING if outcome else 0.0
    if outcome == "halted":
        return (wide + 16 + ring, high + 8 + ring)
    if outcome == "rejected":
        return (wide + 20 + ring, high + 14 + ring)
    height = max(high * TALL, ROUND)
    width = _ellipse_width(visible(state), notes, high, height)
    return (max(width, height) + ring, height + ring)


def _ellipse_width(name: str, notes: Sequence[str], high: float, height: float) -> float:
    """Return how wide an ellipse of a height is that has a name and notes, `high` points, in it."""
    sizes = [(name, NAME), *((note, NOTE) for note in notes)]
    width, below = 0.0, -high / 2
    for text, size in sizes:
        middle, below = below + size * LEADING / 2, below + size * LEADING
        corner = abs(middle) + size * BASELINE  # letters reach so far from the middle of a line
        across = math.sqrt(1 - (2 * corner / height) ** 2)
        width = max(width, (width_of(text, size) + 8) / across)
    return width


def lay_out(picture: View) -> tuple[AGraph, Frame]:
    """Return the graph laid out from left to right, or downwards if that is too long for a page.

    Raises:
        ExtraError: pygraphviz is not installed.
        InputError: there are too many edges.
    """
    count = len(picture.arrows)
    if count > MOST:
        raise InputError(
            f"machine {picture.machine.name!r} has {count:,} pairs of states joined by rules, too "
            f"many to place (at most {MOST:,}); --to dot, mermaid, text and json have them all"
        )
    laid = _laid(picture, "LR")
    frame = _frame(picture, laid)
    if count > DENSE:
        return laid, frame
    if frame.width <= LONGEST * frame.height or frame.width < PAGE:
        return laid, frame
    other = _laid(picture, "TB")
    turned = _frame(picture, other)
    return (other, turned) if _odd(turned) < _odd(frame) else (laid, frame)


def _frame(picture: View, laid: AGraph) -> Frame:
    """Return the frame of what is drawn, without the room of the arrow to the start state."""
    whole = frame_of(laid)
    start = start_arrow(picture, laid, whole)
    kept = [*start, (start[0][0] - 2, start[0][1] - 2)]
    for arrow in picture.arrows:
        joined = (f"n{picture.numbers[arrow.source]}", f"n{picture.numbers[arrow.target]}")
        place = laid.get_edge(*joined).attr["lp"]
        if place:
            x, y = whole.point(place)
            wide, high = block(picture.label(arrow), LABEL)
            kept += [(x - wide / 2, y - high / 2 - 3), (x + wide / 2, y + high / 2)]
    return cropped(laid, whole, kept, without={"s"})


def start_arrow(picture: View, laid: AGraph, frame: Frame) -> tuple[Point, Point]:
    """Return where the arrow to the start state begins and ends; it is `SHORT` long."""
    pos = laid.get_edge("s", f"n{picture.numbers[picture.machine.start]}").attr["pos"]
    first, *others = pos.split()
    (x, y), base = frame.point(first[2:]), frame.point(others[-1])
    long = math.dist((x, y), base) or 1.0
    return ((x + (base[0] - x) * SHORT / long, y + (base[1] - y) * SHORT / long), (x, y))


def _odd(frame: Frame) -> float:
    """Return how far a drawing's sides are from those of a screen, 1 at the least."""
    shape = frame.width / frame.height / SCREEN
    return max(shape, 1 / shape)


def _overhang(picture: View) -> float:
    """Return how far the label of a loop stands out at most on either side of its state.

    Graphviz keeps no room for that when it lays out from left to right.
    """
    return max(
        (
            (block(picture.label(arrow), LABEL)[0]
             - size_of(picture, arrow.source)[0]) / 2
            for arrow in picture.arrows
            if arrow.source == arrow.target
        ),
        default=0.0,
    )  # fmt: skip


def _laid(picture: View, direction: str) -> AGraph:
    """Return the graph with the places that Graphviz gives it; `direction` is LR or TB."""
    beside = max(0.0, _overhang(picture)) + 4 if direction == "LR" else 0.0
    # A label stands in the middle between two ranks of states, so half of their distance is left.
    apart = max(25.0, 2 * beside)
    laid = new_layout(
        rankdir=direction,
        nodesep="0.25",
        ranksep=str(apart / INCH),
        margin="0",
        pad="0",
        **(HURRIED if len(picture.arrows) > DENSE else {}),
    )
    for state, i in picture.numbers.items():
        width, height = size_of(picture, state)
        shape = SHAPES.get(str(picture.machine.outcome_of(state)), "ellipse")
        laid.add_node(
            f"n{i}", shape=shape, label="", fixedsize="true", width=width / INCH,
            height=height / INCH,
        )  # fmt: skip
    laid.add_node("s", shape="point", width="0.01", label="")
    laid.add_edge("s", f"n{picture.numbers[picture.machine.start]}", minlen="1", arrowsize="0.8")
    for arrow in picture.arrows:
        joined = (f"n{picture.numbers[arrow.source]}", f"n{picture.numbers[arrow.target]}")
        _lay_edge(laid, *joined, picture.label(arrow))
    if picture.undefined and picture.analysis.undefined:
        wide, high = block(undefined_words(picture.machine), NOTE)
        laid.add_node(
            "u", shape="box", label="", fixedsize="true", width=(wide + 12) / INCH,
            height=(high + 8) / INCH,
        )  # fmt: skip
        for state in picture.analysis.undefined:
            _lay_edge(laid, f"n{picture.numbers[state]}", "u", picture.undefined_label(state))
    for i, part in enumerate(picture.analysis.components):
        names = [f"n{picture.numbers[state]}" for state in part]
        laid.add_subgraph(names, name=f"cluster_{i}", margin=f"{max(9.0, beside):.0f}", label="")
    laid.layout(prog="dot")
    return laid


def _lay_edge(laid: AGraph, source: str, target: str, words: Sequence[str]) -> None:
    wide, high = block(words, LABEL)
    attributes = {"label": room(wide + 8, high + 6)} if words else {}
    laid.add_edge(source, target, arrowsize="0.8", **attributes)


def undefined_words(machine: Machine) -> list[str]:
    """Return what is written in the node that stands for reads without a rule."""
    return ["undefined:", machine.undefined]
