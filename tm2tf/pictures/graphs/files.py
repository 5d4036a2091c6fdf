"""Which formats graphs are drawn in, and graphs in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tm2tf.errors import InputError
from tm2tf.pictures import paths
from tm2tf.pictures.graphs import dot, flow, mermaid, states
from tm2tf.pictures.graphs.flow_svg import program_svg
from tm2tf.pictures.graphs.state_svg import svg_of
from tm2tf.pictures.graphs.svg import to_png
from tm2tf.program.program import Program

SUFFIXES: Mapping[str, str] = {
    ".svg": "svg",
    ".png": "png",
    ".dot": "dot",
    ".gv": "dot",
    ".mmd": "mermaid",
    ".mermaid": "mermaid",
}
"""Formats of files by suffix."""

HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'


def format_of(path: Path) -> str:
    """Return the format that a file's suffix asks for.

    Raises:
        InputError: it is none of `SUFFIXES`, or no file can be written there.
    """
    return SUFFIXES[paths.check(path, SUFFIXES)]


def draw_states(shown: states.View, kind: str) -> str | bytes:
    """Return a machine's state graph in a format: svg, dot and mermaid are text, png is bytes.

    Raises:
        ExtraError: svg or png, and a package that draws is not installed.
    """
    if kind == "dot":
        return dot.states_dot(shown)
    if kind == "mermaid":
        return mermaid.states_mermaid(shown)
    return _drawn(svg_of(shown), kind)


def draw_program(program: Program, kind: str) -> str | bytes:
    """Return a program's graph in a format, as `draw_states` does.

    Raises:
        ExtraError: svg or png, and a package that draws is not installed.
    """
    found = flow.flow(program)
    if kind == "dot":
        return dot.flow_dot(flow.graph(found))
    if kind == "mermaid":
        return mermaid.flow_mermaid(flow.graph(found))
    return _drawn(program_svg(found), kind)


def _drawn(svg: str, kind: str) -> str | bytes:
    return to_png(svg) if kind == "png" else svg + "\n"


def write(path: Path, content: str | bytes) -> None:
    """Write a drawing into a file; an SVG gets the header of an XML file.

    Raises:
        InputError: the file cannot be written.
    """
    if isinstance(content, str):
        header = HEADER if content.startswith("<svg") else ""
        content = (header + content).encode()
    try:
        path.write_bytes(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
