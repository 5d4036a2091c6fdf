"""State graphs as SVG: Graphviz places states, edges and labels, and they are drawn here.

Graphviz is told how large each label is and never what it says, so that no word can be taken for
one of its escapes, and fonts play no part. What is drawn is SVG with these classes and ids, which
a page may style and light up; N, M are states by their number in the machine's order, from 0:

- `state-N`: a group of class `state`, and `start`, `accepted`, `rejected`, `halted`, `unreachable`,
  `dead` where it is so; in it shapes of class `shape`, text of class `name` and `note`;
- `edge-N-M`: a group of class `edge`, and `loop` where N is M; in it a path of class `line`, a
  polygon of class `head`, and text of class `label`, whose stroke is a rim in the ground's colour;
- `start`: the arrow to the start state; `component-N`: the box around a strongly connected
  component, numbered from 0, of class `component`;
- `undefined`, `edge-N-undefined`: the node for reads without a rule and edges to it, if drawn;
- `legend`: what the marks mean.

States and edges have a `<title>` that says everything: browsers show it as a tooltip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from tm2tf.errors import InternalError
from tm2tf.machine.spec import Machine
from tm2tf.pictures.graphs.layout import (
    MARGIN,
    Frame,
    spline,
    straight,
)
from tm2tf.pictures.graphs.state_layout import (
    LABEL,
    NAME,
    NOTE,
    RING,
    SHAPES,
    lay_out,
    size_of,
    start_arrow,
    undefined_words,
)
from tm2tf.pictures.graphs.states import (
    CROWDED,
    View,
    ends,
    rule_text,
    undefined_lines,
    view,
    visible,
)
from tm2tf.pictures.graphs.svg import (
    LEADING,
    block,
    canvas,
    element,
    number,
    text_block,
    to_text,
    width_of,
)
from tm2tf.pictures.palette import OKABE_ITO, hexadecimal

if TYPE_CHECKING:
    from pygraphviz import AGraph

BLUE, _, GREEN, _, VERMILION, SKY, PURPLE = map(hexadecimal, OKABE_ITO)

FILLS = {"accepted": GREEN, "rejected": VERMILION, "halted": SKY}
"""Fill of states that end a run. All fills are thin, so that text stays legible on any ground."""


CORNER = 1 / (2 + math.sqrt(2))
"""How much of a side of an octagon's box its cut corner takes, as in a regular one."""


def state_svg(
    machine: Machine,
    *,
    lines: int | None = None,
    undefined: bool = False,
    legend: bool = True,
    prefix: str = "",
) -> str:
    """Return a machine's state graph as one `<svg>` element, without the header of an XML file.

    It has a viewBox and no size, a transparent ground, and ids and classes as the module's
    docstring says; `prefix` stands before every id, for pages with several graphs. With more than
    `CROWDED` edges there are no boxes around components.

    Args:
        machine: what is drawn.
        lines: how many lines a label has at most; None: as many as go well with so many rules.
        undefined: whether reads without a rule are drawn as edges, and not as a note.
        legend: whether the marks that occur are explained below.
        prefix: what ids begin with.

    Raises:
        ExtraError: pygraphviz is not installed.
        InputError: there are too many edges to place.
    """
    return svg_of(view(machine, lines=lines, undefined=undefined), legend=legend, prefix=prefix)


def svg_of(picture: View, *, legend: bool = True, prefix: str = "") -> str:
    """Return what `state_svg` returns of a machine's graph as it shall be shown.

    Raises:
        ExtraError: pygraphviz is not installed.
        InputError: there are too many edges to place.
    """
    machine = picture.machine
    if len(picture.arrows) > CROWDED:
        picture = replace(picture, analysis=replace(picture.analysis, components=()))
    laid, frame = lay_out(picture)
    entries = _legend_entries(picture) if legend else []
    wide = max([frame.width, *(width_of(text, NOTE) + 30 for _, text in entries)])
    frame = replace(frame, x=frame.x + (wide - frame.width) / 2)
    room_below = 8 + len(entries) * NOTE * 1.7 if entries else 0
    height = frame.height + 2 * MARGIN + room_below
    title = f"state graph of {machine.name}"
    root = canvas(wide + 2 * MARGIN, height, title, "state-graph")
    _draw_components(root, picture, laid, frame)
    _draw_edges(root, picture, laid, frame)
    for state in machine.states:
        _draw_state(root, picture, state, laid, frame)
    if picture.undefined and picture.analysis.undefined:
        _draw_undefined(root, picture, laid, frame)
    if entries:
        _draw_legend(root, entries, frame.height + 2 * MARGIN + 4)
    return to_text(root, prefix)


def _draw_components(root: ET.Element, picture: View, laid: AGraph, frame: Frame) -> None:
    for i, part in enumerate(picture.analysis.components):
        left, top, width, height = frame.box(laid.get_subgraph(f"cluster_{i}").graph_attr["bb"])
        group = element(root, "g", id=f"component-{i}", class_="component")
        element(group, "title", f"strongly connected: {', '.join(part)} reach each other")
        element(
            group, "rect", class_="shape", x=left, y=top, width=width, height=height, rx=8,
            stroke="currentColor", stroke_opacity=0.6, stroke_dasharray="2 3",
        )  # fmt: skip


def _draw_edges(root: ET.Element, picture: View, laid: AGraph, frame: Frame) -> None:
    """Draw the arrow to the start state, and all edges with their labels."""
    numbers = picture.numbers
    start = element(root, "g", id="start", class_="start-arrow")
    straight(start, *start_arrow(picture, laid, frame), stroke_width=1.6)
    # Loops come last: a line that crosses the label of one is then under it.
    for arrow in sorted(picture.arrows, key=lambda arrow: arrow.source == arrow.target):
        i, j = numbers[arrow.source], numbers[arrow.target]
        group = element(root, "g", id=f"edge-{i}-{j}", class_="edge loop" if i == j else "edge")
        rules = "\n".join(rule_text(rule) for rule in arrow.rules)
        element(group, "title", f"{arrow.source} to {arrow.target}\n{rules}")
        drawn = laid.get_edge(f"n{i}", f"n{j}")
        spline(group, frame, drawn.attr["pos"])
        _draw_label(group, picture.label(arrow), drawn.attr["lp"], frame)


def _draw_label(group: ET.Element, lines: Sequence[str], place: str | None, frame: Frame) -> None:
    if not lines:
        return
    if not place:
        raise InternalError("Graphviz gave no place to a label")
    x, y = frame.point(place)
    made = text_block(group, lines, x, y - 1.5, LABEL, kind="label")
    # A rim in the colour of the ground keeps what crosses a label out of its letters.
    for name, value in (("stroke", "#ffffff"), ("stroke-width", "3"), ("paint-order", "stroke")):
        made.set(name, value)


def _draw_state(root: ET.Element, picture: View, state: str, laid: AGraph, frame: Frame) -> None:
    """Draw a state: its outline, its name, and what is noted under it."""
    i, kinds = picture.numbers[state], picture.kinds(state)
    x, y = frame.point(laid.get_node(f"n{i}").attr["pos"])
    group = element(root, "g", id=f"state-{i}", class_=" ".join(["state", *kinds]))
    element(group, "title", picture.title(state))
    width, height = size_of(picture, state)
    outcome = picture.machine.outcome_of(state)
    dead, dashed = "dead" in kinds, "4 3" if "unreachable" in kinds else None
    fill = FILLS.get(str(outcome), PURPLE if dead else "currentColor")
    look = {
        "stroke": "currentColor",
        "stroke_width": 2.4 if dead else 1.2,
        "stroke_dasharray": dashed,
    }
    _draw_outline(group, outcome, x, y, width, height,
                  fill=fill, fill_opacity=0.28 if outcome or dead else 0.0, **look)  # fmt: skip
    if outcome:
        inner = (width - 2 * RING, height - 2 * RING)
        _draw_outline(group, outcome, x, y, *inner, stroke="currentColor",
                      stroke_dasharray=dashed)  # fmt: skip
    notes = picture.notes(state)
    high = NAME * LEADING + block(notes, NOTE)[1]
    text_block(group, [visible(state)], x, y - high / 2 + NAME * LEADING / 2, NAME,
               weight="bold", kind="name")  # fmt: skip
    if notes:
        text_block(group, notes, x, y + high / 2 - block(notes, NOTE)[1] / 2, NOTE, kind="note")


def _draw_outline(
    group: ET.Element, outcome: str | None, x: float, y: float, width: float, height: float,
    **look: Any,
) -> None:  # fmt: skip
    """Draw the outline of a state around a middle."""
    shape = SHAPES.get(str(outcome), "ellipse")
    if shape == "ellipse":
        element(group, "ellipse", class_="shape", cx=x, cy=y, rx=width / 2, ry=height / 2, **look)
    elif shape == "box":
        element(group, "rect", class_="shape", x=x - width / 2, y=y - height / 2, width=width,
                height=height, **look)  # fmt: skip
    else:
        a, b = width / 2, height / 2
        c, d = a - width * CORNER, b - height * CORNER
        corners = [(c, -b), (a, -d), (a, d), (c, b), (-c, b), (-a, d), (-a, -d), (-c, -b)]
        points = " ".join(f"{number(x + p)},{number(y + q)}" for p, q in corners)
        element(group, "polygon", class_="shape", points=points, **look)


def _draw_undefined(root: ET.Element, picture: View, laid: AGraph, frame: Frame) -> None:
    """Draw what stands for reads without a rule, and the edges to it."""
    machine = picture.machine
    for state, count in picture.analysis.undefined.items():
        i = picture.numbers[state]
        group = element(root, "g", id=f"edge-{i}-undefined", class_="edge undefined")
        every = "\n".join(undefined_lines(machine, state, count, 50))
        element(group, "title", f"{state} has no rule for\n{every}")
        drawn = laid.get_edge(f"n{i}", "u")
        spline(group, frame, drawn.attr["pos"], stroke_dasharray="2 2")
        _draw_label(group, picture.undefined_label(state),
                    drawn.attr["lp"], frame)  # fmt: skip
    x, y = frame.point(laid.get_node("u").attr["pos"])
    words = undefined_words(machine)
    wide, high = block(words, NOTE)
    group = element(root, "g", id="undefined", class_="undefined-node")
    element(group, "title", f"no rule for what is read: {ends(machine)}")
    _draw_outline(group, "halted", x, y, wide + 12, high + 8, stroke="currentColor",
                  stroke_dasharray="2 2")  # fmt: skip
    text_block(group, words, x, y, NOTE, kind="note")


# --- what the marks mean --------------------------------------------------------------------------


def _legend_entries(picture: View) -> list[tuple[str, str]]:
    """Return the marks that occur, by name, each with what it means."""
    found, analysis = [], picture.analysis
    if analysis.components:
        found.append(("component", "a box: strongly connected, its states reach each other"))
    if analysis.unreachable:
        found.append(("unreachable", "unreachable: no path from the start state leads there"))
    if analysis.dead:
        found.append(("dead", "dead: no path leads from there to the end of a run"))
    if analysis.undefined and not picture.undefined:
        text = f"n undefined: no rule for n of the possible reads; {ends(picture.machine)} there"
        found.append(("undefined", text))
    return found


def _draw_legend(root: ET.Element, entries: Sequence[tuple[str, str]], top: float) -> None:
    group = element(root, "g", id="legend", class_="legend")
    for i, (kind, text) in enumerate(entries):
        y = top + (i + 0.5) * NOTE * 1.7
        look: dict[str, Any] = {"stroke": "currentColor"}
        if kind == "component":
            look |= {"stroke_opacity": 0.6, "stroke_dasharray": "2 3", "rx": 2}
        elif kind == "unreachable":
            look |= {"stroke_dasharray": "4 3", "rx": 5}
        elif kind == "dead":
            look |= {"fill": PURPLE, "fill_opacity": 0.28, "stroke_width": 2.4, "rx": 5}
        if kind != "undefined":
            element(group, "rect", x=MARGIN + 1, y=y - 5, width=18, height=10, **look)
        left = MARGIN + (1 if kind == "undefined" else 26)
        text_block(group, [text], left, y, NOTE, anchor="start", kind="note")
