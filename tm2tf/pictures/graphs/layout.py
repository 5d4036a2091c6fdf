"""Graphviz asked for places: graphs with labels of known sizes in, points of a drawing out.

Graphviz is told how large each label is and never what it says, so that no word can be taken for
one of its escapes, and fonts play no part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from tm2tf.errors import ExtraError
from tm2tf.pictures.graphs.svg import element, number

if TYPE_CHECKING:
    from pygraphviz import AGraph

INCH = 72.0
"""Points of an inch, in which Graphviz has the sizes of nodes."""

MARGIN = 8.0
"""Room around a drawing, in points."""

HEAD = 8.0
"""Length of an arrow's head in points: Graphviz' 10 at an `arrowsize` of 0.8."""

CURVE = 12
"""Points of a curve that are looked at for how far it reaches: it is flat in between."""

Point = tuple[float, float]


def new_layout(**attributes: str) -> AGraph:
    """Return an empty directed graph to be laid out by Graphviz.

    Raises:
        ExtraError: pygraphviz is not installed.
    """
    try:
        import pygraphviz
    except ImportError:
        raise ExtraError("drawing a graph", "pygraphviz", "draw") from None
    return pygraphviz.AGraph(strict=False, directed=True, **attributes)


def room(width: float, height: float) -> str:
    """Return a label for Graphviz that is empty and of this size in points."""
    return (
        f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0" FIXEDSIZE="TRUE" '
        f'WIDTH="{math.ceil(width)}" HEIGHT="{math.ceil(height)}"><TR><TD></TD></TR></TABLE>>'
    )


@dataclass(frozen=True, slots=True)
class Frame:
    """Turns Graphviz' points, which count from below, into those of a drawing.

    `width` and `height` are of what is drawn; a point (a, b) of Graphviz is at (a + x, y - b).
    """

    width: float
    height: float
    x: float
    y: float

    def point(self, text: str) -> Point:
        """Return the place of `x,y`."""
        x, y = text.split(",")[:2]
        return (float(x) + self.x, self.y - float(y))

    def box(self, text: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of a box `left,bottom,right,top`."""
        left, bottom, right, top = map(float, text.split(","))
        return (left + self.x, self.y - top, right - left, top - bottom)


def frame_of(laid: AGraph) -> Frame:
    """Return the frame of a graph that has been laid out."""
    _, _, right, top = map(float, laid.graph_attr["bb"].split(","))
    return Frame(right, top, MARGIN, top + MARGIN)


def cropped(laid: AGraph, frame: Frame, more: Sequence[Point], without: Set[str]) -> Frame:
    """Return the frame of all boxes, of the nodes and edges not left out, and of further points."""
    xs, ys = [x for x, _ in more], [y for _, y in more]
    for node in laid.nodes():
        if node not in without:
            x, y = frame.point(node.attr["pos"])
            wide = float(node.attr["width"]) * INCH / 2
            high = float(node.attr["height"]) * INCH / 2
            xs += [x - wide, x + wide]
            ys += [y - high, y + high]
    for edge in laid.edges():
        if without.isdisjoint(map(str, edge)):
            for x, y in _along(frame, edge.attr["pos"]):
                xs.append(x)
                ys.append(y)
    for part in laid.subgraphs():
        left, top, width, height = frame.box(part.graph_attr["bb"])
        xs += [left, left + width]
        ys += [top, top + height]
    return Frame(
        max(xs) - min(xs),
        max(ys) - min(ys),
        frame.x + MARGIN - min(xs),
        frame.y + MARGIN - min(ys),
    )


def spline(parent: ET.Element, frame: Frame, pos: str, **attributes: Any) -> None:
    """Draw an edge: a path of class `line`, and a polygon of class `head` if it has an end."""
    for points, tip in _parts(frame, pos):
        first, *others = (f"{number(x)},{number(y)}" for x, y in points)
        path = f"M{first}C{' '.join(others)}"
        element(parent, "path", d=path, class_="line", stroke="currentColor", **attributes)
        if tip:
            arrow_head(parent, points[-1], tip)


def _parts(frame: Frame, pos: str) -> Iterator[tuple[list[Point], Point | None]]:
    """Yield the splines of an edge: the points that control it, and the tip of its arrow."""
    for part in pos.split(";"):
        words = part.split()
        ends = {word[0]: frame.point(word[2:]) for word in words if word[:2] in ("s,", "e,")}
        points = [frame.point(word) for word in words if word[:2] not in ("s,", "e,")]
        yield points, ends.get("e")


def _along(frame: Frame, pos: str) -> Iterator[Point]:
    """Yield points of an edge's curves, cubic Bézier curves of four points each, and its tip."""
    for points, tip in _parts(frame, pos):
        for i in range(0, len(points) - 3, 3):
            for t in (step / CURVE for step in range(CURVE + 1)):
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                four = list(zip(weights, points[i : i + 4], strict=True))
                yield (sum(w * x for w, (x, _) in four), sum(w * y for w, (_, y) in four))
        if tip:
            yield tip


def straight(parent: ET.Element, base: Point, tip: Point, **attributes: Any) -> None:
    """Draw an arrow in a straight line."""
    long = math.dist(base, tip) or 1.0
    part = min(1.0, HEAD / long)
    neck = (tip[0] + (base[0] - tip[0]) * part, tip[1] + (base[1] - tip[1]) * part)
    path = "M{},{}L{},{}".format(*map(number, (*base, *neck)))
    element(parent, "path", d=path, class_="line", stroke="currentColor", **attributes)
    arrow_head(parent, neck, tip)


def arrow_head(parent: ET.Element, base: Point, tip: Point) -> None:
    """Draw the head of an arrow, from the middle of its base to its tip."""
    along = (tip[0] - base[0], tip[1] - base[1])
    long = math.hypot(*along) or 1.0
    across = (-along[1] / long * 3.5, along[0] / long * 3.5)
    corners = [
        (base[0] + across[0], base[1] + across[1]),
        tip,
        (base[0] - across[0], base[1] - across[1]),
    ]
    points = " ".join(f"{number(x)},{number(y)}" for x, y in corners)
    element(parent, "polygon", class_="head", points=points, fill="currentColor")
