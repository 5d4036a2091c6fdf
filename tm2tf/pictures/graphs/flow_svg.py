"""Program graphs as SVG: a box an operation, with what it reads on its left and makes on its right.

Graphviz places the boxes, layer by layer from left to right, and leads the lines. Ids and classes,
with L a layer, K an operation of it (attention first) and I one of its inputs, all from 0:

- `layer-L`: the frame of a layer, of class `layer`;
- `op-L-K`: a group of class `op` and `attention` or `feed-forward`; `embedding`, `unembedding` and
  `next-pass` are groups of their own classes;
- `input-L-K-I`, `unembedding-I`, `next-pass-I`: a line to an input, of class `flow` and of what
  the feature is to its reader: `query`, `key`, `value`, `where`, `input` or `loop`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from tm2tf.pictures.graphs.flow import EMBEDDING, UNEMBEDDING, Flow, Input
from tm2tf.pictures.graphs.layout import (
    MARGIN,
    Frame,
    cropped,
    frame_of,
    new_layout,
    spline,
)
from tm2tf.pictures.graphs.svg import canvas, element, text_block, to_text, width_of
from tm2tf.pictures.palette import OKABE_ITO, hexadecimal

if TYPE_CHECKING:
    from pygraphviz import AGraph

BLUE, ORANGE, GREEN, _, VERMILION, SKY, PURPLE = map(hexadecimal, OKABE_ITO)

SIZE, SMALL = 10.0, 8.5
"""Sizes of names and of what is said besides, in points."""

ROW, HEADER, PAD = 15.0, 19.0, 6.0
"""Heights of a row and of a box's title, and room beside a text, in points."""

TITLE, BESIDE = 20.0, 9.0
"""Height of a layer's title, and room between the boxes of a layer and its frame, in points."""

COLOURS = {
    "query": BLUE,
    "key": VERMILION,
    "value": GREEN,
    "where": PURPLE,
    "input": "currentColor",
    "loop": ORANGE,
}
"""Colours of lines by role; boxes name the roles, so nobody has to know them."""

GROUNDS = {"attention": SKY, "feed-forward": ORANGE}
"""Colour behind the title of a box; those of attention have round corners too."""

NEXT_PASS, AGAIN = "next pass", "↻ "
"""The box at the end of a looped program, and what marks the features that it sets."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """A box as it is drawn: `ident` is its id, `kinds` its classes."""

    ident: str
    kinds: str
    title: str
    notes: str
    inputs: tuple[Input, ...]
    outputs: tuple[str, ...]
    line: str
    layer: int | None = None
    part: str = ""

    @property
    def rows(self) -> int:
        """How many rows stand under the title."""
        return max(len(self.inputs), len(self.outputs))

    @property
    def columns(self) -> tuple[float, float]:
        """How wide what is read is, and what is made."""
        left = max((_input_width(given) for given in self.inputs), default=0.0)
        right = max((width_of(name, SIZE) + 2 * PAD for name in self.outputs), default=0.0)
        short = self._title_width - left - right
        if short > 0 and self.outputs:
            return (left, right + short)
        return (left + max(short, 0.0), right)

    @property
    def _title_width(self) -> float:
        notes = width_of(self.notes, SMALL) + 8 if self.notes else 0.0
        return width_of(self.title, SIZE) + notes + 2 * PAD

    @property
    def size(self) -> tuple[float, float]:
        """Width and height."""
        return (sum(self.columns), HEADER + self.rows * ROW)


def program_svg(found: Flow, *, legend: bool = True, prefix: str = "") -> str:
    """Return a program's graph as one `<svg>` element, without the header of an XML file.

    It has a viewBox and no size, a transparent ground, and ids and classes as the module's
    docstring says; `prefix` stands before every id. `legend`: whether colours are explained below.

    Raises:
        ExtraError: pygraphviz is not installed.
    """
    shapes = _shapes(found)
    laid = _lay_out(found, shapes)
    frame = cropped(laid, frame_of(laid), [], without=_gates(laid))
    frame = replace(frame, y=frame.y + TITLE)
    roles = [role for role in COLOURS if any(g.role == role for s in shapes for g in s.inputs)]
    parts = [part for part in GROUNDS if any(shape.part == part for shape in shapes)]
    wide = max(frame.width, _legend_width(roles, parts)) if legend else frame.width
    height = TITLE + frame.height + BESIDE + 2 * MARGIN + (20 if legend else 0)
    root = canvas(wide + 2 * MARGIN, height, f"program graph of {found.program}", "program-graph")
    _draw_layers(root, shapes, laid, frame)
    _draw_lines(root, found, shapes, laid, frame)
    for i, shape in enumerate(shapes):
        x, y = frame.point(laid.get_node(f"b{i}").attr["pos"])
        _draw_shape(root, shape, x, y)
    if legend:
        _draw_legend(root, roles, parts, height - MARGIN - 5)
    return to_text(root, prefix)


def _shapes(found: Flow) -> list[_Shape]:
    """Return all boxes, the embedding first."""
    again = {after for _, after in found.loop}
    embedded = tuple(f"{AGAIN}{name}" if name in again else name for name in found.embedded)
    shapes = [_Shape(EMBEDDING, EMBEDDING, "embedding", f"{found.tokens} tokens", (), embedded, "")]
    shapes += [
        _Shape(
            f"op-{box.layer}-{box.number}",
            f"op {box.part}",
            f"{box.kind} {box.name}".rstrip(),
            ", ".join(box.notes),
            box.inputs,
            box.outputs,
            f"input-{box.layer}-{box.number}",
            box.layer,
            box.part,
        )
        for box in found.boxes
    ]
    inputs = tuple(Input(name, "input") for name in found.unembedded)
    rows = f"{found.rows} row{'' if found.rows == 1 else 's'}"
    shapes.append(_Shape(UNEMBEDDING, UNEMBEDDING, UNEMBEDDING, rows, inputs, (), UNEMBEDDING))
    if found.loop:
        inputs = tuple(Input(before, "loop", f"{AGAIN}{after}") for before, after in found.loop)
        shapes.append(_Shape("next-pass", "next-pass", NEXT_PASS, "", inputs, (), "next-pass"))
    return shapes


def _words(given: Input) -> tuple[str, str]:
    """Return what is written of an input: its role or coefficient, and its name."""
    if given.role == "loop":
        return ("", f"{given.feature} {given.note}")
    said = given.note or ("" if given.role == "input" else given.role)
    return (said, given.feature)


def _input_width(given: Input) -> float:
    said, name = _words(given)
    return width_of(name, SIZE) + (width_of(said, SMALL) + 5 if said else 0) + 2 * PAD


# --- laying out -----------------------------------------------------------------------------------


def _lay_out(found: Flow, shapes: Sequence[_Shape]) -> AGraph:
    """Return the graph with the places that Graphviz gives it: `b0`, `b1`, ... are the boxes."""
    laid = new_layout(rankdir="LR", nodesep="0.25", ranksep="0.6", margin="0", pad="0")
    for i, shape in enumerate(shapes):
        laid.add_node(f"b{i}", shape="plain", label=_table(shape))
    makers = _makers(shapes)
    for i, shape in enumerate(shapes):
        for row, given in enumerate(shape.inputs):
            source, port = makers[given.feature]
            laid.add_edge(
                source, f"b{i}", key=f"i{row}", tailport=f"{port}:e", headport=f"i{row}:w",
                arrowsize="0.7",
            )  # fmt: skip
    _keep_order(found, shapes, laid)
    laid.layout(prog="dot")
    return laid


def _makers(shapes: Sequence[_Shape]) -> dict[str, tuple[str, str]]:
    """Return for each feature the box and the port that it comes from."""
    return {
        name.removeprefix(AGAIN): (f"b{i}", f"o{row}")
        for i, shape in enumerate(shapes)
        for row, name in enumerate(shape.outputs)
    }


def _keep_order(found: Flow, shapes: Sequence[_Shape], laid: AGraph) -> None:
    """Keep the layers in their order, and attention before the rest, by nodes not drawn."""
    columns: list[list[str]] = [["b0"]]
    for layer in range(found.layers):
        for part in GROUNDS:
            named = [f"b{i}" for i, s in enumerate(shapes) if (s.layer, s.part) == (layer, part)]
            columns += [named] if named else []
    columns.append([f"b{i}" for i, s in enumerate(shapes) if i and s.layer is None])
    for number, (before, after) in enumerate(pairwise(columns)):
        gate = f"g{number}"
        laid.add_node(gate, shape="point", width="0.01", height="0.01", label="")
        for name in before:
            laid.add_edge(name, gate, style="invis", weight="0", minlen="1")
        for name in after:
            laid.add_edge(gate, name, style="invis", weight="0", minlen="0")


def _gates(laid: AGraph) -> set[str]:
    """Return the nodes that are not drawn."""
    return {str(node) for node in laid.nodes() if str(node).startswith("g")}


def _table(shape: _Shape) -> str:
    """Return a label for Graphviz that is empty, as large as a box, with a port for each row."""
    left, right = shape.columns
    cell = '<TD FIXEDSIZE="TRUE" PORT="{}" WIDTH="{:.0f}" HEIGHT="{:.0f}"></TD>'
    rows = [f'<TR><TD COLSPAN="2" FIXEDSIZE="TRUE" WIDTH="{left + right:.0f}" '
            f'HEIGHT="{HEADER:.0f}"></TD></TR>']  # fmt: skip
    for row in range(shape.rows):
        cells = cell.format(f"i{row}", max(left, 1), ROW) + cell.format(
            f"o{row}", max(right, 1), ROW
        )
        rows.append(f"<TR>{cells}</TR>")
    return (
        '<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="0" CELLPADDING="0">'
        f"{''.join(rows)}</TABLE>>"
    )


# --- drawing --------------------------------------------------------------------------------------


def _draw_layers(root: ET.Element, shapes: Sequence[_Shape], laid: AGraph, frame: Frame) -> None:
    """Draw a frame around the boxes of each layer, as high as the drawing."""
    sides: dict[int, list[float]] = {}
    for i, shape in enumerate(shapes):
        if shape.layer is not None:
            x, _ = frame.point(laid.get_node(f"b{i}").attr["pos"])
            half = shape.size[0] / 2
            sides.setdefault(shape.layer, []).extend([x - half, x + half])
    for layer, ends in sorted(sides.items()):
        left, right = min(ends) - BESIDE, max(ends) + BESIDE
        group = element(root, "g", id=f"layer-{layer}", class_="layer")
        element(
            group, "rect", class_="shape", x=left, y=MARGIN, width=right - left,
            height=TITLE + frame.height + BESIDE, rx=8, stroke="currentColor",
            stroke_opacity=0.6, stroke_dasharray="2 3",
        )  # fmt: skip
        text_block(group, [f"layer {layer}"], left + 8, MARGIN + TITLE / 2 + 2, SIZE,
                   anchor="start", weight="bold", kind="name")  # fmt: skip


def _draw_lines(
    root: ET.Element,
    found: Flow,
    shapes: Sequence[_Shape],
    laid: AGraph,
    frame: Frame,
) -> None:
    makers = _makers(shapes)
    ends = [(i, row) for i, shape in enumerate(shapes) for row in range(len(shape.inputs))]
    for i, row in ends:
        shape, given = shapes[i], shapes[i].inputs[row]
        drawn = laid.get_edge(makers[given.feature][0], f"b{i}", key=f"i{row}")
        group = element(
            root, "g", id=f"{shape.line}-{row}", class_=f"flow {given.role}",
            color=None if given.role == "input" else COLOURS[given.role],
        )  # fmt: skip
        element(group, "title", f"{given.feature} is {given.role} of {shape.title}")
        dashed = "5 3" if given.role == "where" else "2 2" if given.role == "loop" else None
        spline(group, frame, drawn.attr["pos"], stroke_dasharray=dashed)


def _draw_shape(root: ET.Element, shape: _Shape, x: float, y: float) -> None:
    """Draw a box around a middle."""
    width, height = shape.size
    left, top = x - width / 2, y - height / 2
    group = element(root, "g", id=f"{shape.ident}", class_=shape.kinds)
    element(group, "title", _tooltip(shape))
    rounded = 7 if shape.part == "attention" else 0
    ground = GROUNDS.get(shape.part, "currentColor")
    element(
        group, "rect", class_="ground", x=left, y=top, width=width, height=height, rx=rounded,
        fill="#ffffff",
    )  # fmt: skip
    element(
        group, "path", class_="header", d=_header(left, top, width, rounded), fill=ground,
        fill_opacity=0.32 if shape.part else 0.1,
    )  # fmt: skip
    element(
        group, "rect", class_="shape", x=left, y=top, width=width, height=height, rx=rounded,
        stroke="currentColor", stroke_width=1.1,
    )  # fmt: skip
    middle = top + HEADER / 2
    text_block(group, [shape.title], left + PAD, middle, SIZE, anchor="start", weight="bold",
               kind="name")  # fmt: skip
    if shape.notes:
        text_block(group, [shape.notes], left + width - PAD, middle, SMALL, anchor="end",
                   kind="note")  # fmt: skip
    for row, given in enumerate(shape.inputs):
        said, name = _words(given)
        at, level = left + PAD, top + HEADER + (row + 0.5) * ROW
        if said:
            text_block(group, [said], at, level, SMALL, anchor="start", kind="role")
            at += width_of(said, SMALL) + 5
        text_block(group, [name], at, level, SIZE, anchor="start", kind="feature")
    for row, name in enumerate(shape.outputs):
        level = top + HEADER + (row + 0.5) * ROW
        right = left + width - PAD
        text_block(group, [name], right, level, SIZE, anchor="end", kind="feature")
    if shape.inputs and shape.outputs:
        middle = left + shape.columns[0]
        element(group, "path", d=f"M{middle:.2f},{top + HEADER:.2f}V{top + height:.2f}",
                stroke="currentColor", stroke_opacity=0.25)  # fmt: skip


def _header(left: float, top: float, width: float, r: float) -> str:
    """Return the outline of a box's title, whose upper corners are as round as the box's."""
    right, bottom = left + width, top + HEADER
    return (
        f"M{left:.2f},{bottom:.2f}V{top + r:.2f}Q{left:.2f},{top:.2f} {left + r:.2f},{top:.2f}"
        f"H{right - r:.2f}Q{right:.2f},{top:.2f} {right:.2f},{top + r:.2f}V{bottom:.2f}Z"
    )


def _tooltip(shape: _Shape) -> str:
    """Return what a box's tooltip says."""
    said = [f"{shape.title} {shape.notes}".rstrip()]
    if shape.part:
        said.append(f"{shape.part} of layer {shape.layer}")
    said += [f"{given.note or given.role} {given.feature}" for given in shape.inputs]
    said += [f"makes {name}" for name in shape.outputs if shape.part]
    return "\n".join(said)


def _legend_width(roles: Sequence[str], parts: Sequence[str]) -> float:
    return sum(width_of(word, SMALL) + 42 for word in (*parts, *roles))


def _draw_legend(root: ET.Element, roles: Sequence[str], parts: Sequence[str], y: float) -> None:
    group = element(root, "g", id="legend", class_="legend")
    x = MARGIN
    for part in parts:
        element(
            group, "rect", x=x + 0.5, y=y - 5, width=18, height=10, fill=GROUNDS[part],
            fill_opacity=0.32, stroke="currentColor", rx=4 if part == "attention" else 0,
        )  # fmt: skip
        text_block(group, [part], x + 24, y, SMALL, anchor="start", kind="note")
        x += width_of(part, SMALL) + 42
    for role in roles:
        dashed = "5 3" if role == "where" else "2 2" if role == "loop" else None
        element(group, "path", d=f"M{x:.2f},{y:.2f}h18", stroke=COLOURS[role], stroke_width=1.6,
                stroke_dasharray=dashed)  # fmt: skip
        text_block(group, [role], x + 24, y, SMALL, anchor="start", kind="note")
        x += width_of(role, SMALL) + 42
