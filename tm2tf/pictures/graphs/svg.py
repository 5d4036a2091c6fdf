"""What drawings of graphs are made of: elements of SVG, widths of text, and PNG from SVG.

Text is set in a font whose letters are all equally wide, so that its width is known without the
font: a label has the same room wherever the picture is drawn, and whoever looks at it. All colours
are presentation attributes and `currentColor`, over which the style sheet of a page prevails.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tm2tf.errors import ExtraError, InputError

FONT = "DejaVu Sans Mono, Menlo, Consolas, monospace"
ADVANCE = 0.603
"""Width of a letter of DejaVu Sans Mono over the font's size: 1233 of 2048 units is 0.60205."""

LEADING = 1.25
"""Distance of two lines of text over the font's size."""

BASELINE = 0.35
"""How far below the middle of a line its baseline is, over the font's size: half of what a capital
of DejaVu Sans Mono is high, 1493 of 2048 units, and a little less for letters without ascenders."""

SCALE = 2.0
"""Pixels of a PNG for each point of its drawing: a label of 11 points is then 22 pixels."""

MAX_PIXELS = 16_000
"""Most pixels that a PNG is wide or high; beyond that it is drawn smaller."""

SVG = "http://www.w3.org/2000/svg"


def cells(text: str) -> int:
    """Return how many letters wide a text is: wide ones count as two, combining ones as none."""
    return sum(
        0
        if unicodedata.combining(letter) or unicodedata.category(letter) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(letter) in "WF"
        else 1
        for letter in text
    )


def width_of(text: str, size: float) -> float:
    """Return how wide a text of a size in points is, in points."""
    return cells(text) * ADVANCE * size


def block(lines: Sequence[str], size: float) -> tuple[float, float]:
    """Return width and height of lines of text, in points."""
    return (
        max((width_of(line, size) for line in lines), default=0.0),
        len(lines) * LEADING * size,
    )


def number(value: float) -> str:
    """Return a coordinate as SVG has it, to a hundredth of a point."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if value else "0"


def element(
    parent: ET.Element | None, tag: str, text: str | None = None, **attributes: object
) -> ET.Element:
    """Return a new element, added to `parent` if that is given.

    In the names of attributes `_` stands for `-`, and `class_` for `class`; None is left out,
    numbers are rounded.
    """
    given = {
        name.rstrip("_").replace("_", "-"): number(value)
        if isinstance(value, int | float)
        else str(value)
        for name, value in attributes.items()
        if value is not None
    }
    made = ET.Element(tag, given) if parent is None else ET.SubElement(parent, tag, given)
    made.text = text
    return made


def canvas(width: float, height: float, title: str, kind: str) -> ET.Element:
    """Return an empty drawing of a size in points; `kind` is its class.

    It has a viewBox and no size: alone it fills what shows it, in a page what the style says.
    """
    root = element(
        None,
        "svg",
        xmlns=SVG,
        viewBox=f"0 0 {number(width)} {number(height)}",
        class_=kind,
        role="img",
        font_family=FONT,
        fill="none",
        stroke="none",
    )
    root.set("aria-label", title)
    return root


def text_block(
    parent: ET.Element,
    lines: Sequence[str],
    x: float,
    y: float,
    size: float,
    *,
    anchor: str = "middle",
    weight: str | None = None,
    kind: str | None = None,
) -> ET.Element:
    """Add lines of text around the height `y`; at `x` they begin, end, or have their middle."""
    made = element(
        parent,
        "text",
        class_=kind,
        font_size=size,
        font_weight=weight,
        text_anchor=anchor,
        fill="currentColor",
    )
    made.set("{http://www.w3.org/XML/1998/namespace}space", "preserve")
    top = y - (len(lines) - 1) / 2 * LEADING * size + BASELINE * size
    for i, line in enumerate(lines):
        element(made, "tspan", line, x=x, y=top + i * LEADING * size)
    return made


def to_text(root: ET.Element, prefix: str = "") -> str:
    """Return a drawing as text, without the header of an XML file; ids begin with `prefix`."""
    if prefix:
        for made in root.iter():
            if ident := made.get("id"):
                made.set("id", prefix + ident)
    return ET.tostring(root, encoding="unicode")


def to_png(svg: str) -> bytes:
    """Return a drawing as a PNG on white, at `SCALE` pixels a point where that is not too large.

    The fonts are those that come with matplotlib, so that it looks the same everywhere.

    Raises:
        ExtraError: resvg or matplotlib is not installed.
        InputError: the drawing is too large for a PNG.
    """
    try:
        import resvg_py
    except ImportError:
        raise ExtraError("drawing a PNG", "resvg-py", "draw") from None
    try:
        import matplotlib as mpl
    except ImportError:
        raise ExtraError("drawing a PNG", "matplotlib", "draw") from None
    fonts = Path(mpl.get_data_path()) / "fonts" / "ttf"
    files = [str(path) for path in sorted(fonts.glob("DejaVuSans*.ttf"))]
    _, _, width, height = map(float, str(ET.fromstring(svg).get("viewBox")).split())
    zoom = min(SCALE, MAX_PIXELS / max(width, height))
    sized = svg.replace("<svg ", f'<svg width="{number(width)}" height="{number(height)}" ', 1)
    try:
        return resvg_py.svg_to_bytes(
            svg_string=sized,
            background="#ffffff",
            zoom=zoom,
            font_files=files,
            font_family="DejaVu Sans Mono",
            monospace_family="DejaVu Sans Mono",
        )
    except ValueError as error:
        raise InputError(f"cannot draw a PNG of {width:.0f} x {height:.0f}: {error}") from None
