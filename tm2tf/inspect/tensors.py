"""One tensor as it is, with a label for each row and column."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.forms import number, printable, shown
from tm2tf.inspect.heads import ONE
from tm2tf.inspect.lookup import missing
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import SCORED, Weights

LARGEST = (1000, 200)
"""Rows and columns of the largest tensor that is shown as text."""

LISTING = (
    "W_E, W_pos, W_U, b_U; if looped, W_loop, W_fixed and perhaps W_positions; blocks.L.attn.H. "
    "with W_Q, b_Q, W_K, b_K, W_V or W_O; blocks.L.mlp. with W_gate, b_gate, W_in, b_in, W_out or "
    "snap (layer L, head H); circuits blocks.L.attn.H.QK and .OV"
)
"""The names of tensors, as messages have them."""


_CIRCUIT = re.compile(r"blocks\.([0-9]+)\.attn\.([0-9]+)\.(?:W_)?(QK|OV)")


@dataclass(frozen=True, slots=True)
class TensorView:
    """A tensor as it is, with a label for each row and column; a vector is one column."""

    tensor: str
    shape: tuple[int, ...]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Float64[np.ndarray, "rows columns"]


def tensor(weights: Weights, name: str) -> TensorView:
    """Return a tensor by its name, such as `W_E` or `blocks.2.mlp.W_gate`, or a head's circuit.

    Circuits are `blocks.2.attn.0.QK` (or `W_QK`) and `blocks.2.attn.0.OV` (or `W_OV`).

    Raises:
        NotFoundError: there is no such tensor or circuit.
    """
    known = dict(weights.tensors())
    if name not in known:
        found_circuit = _circuit_named(weights, name)
        if found_circuit is not None:
            return found_circuit
        raise missing(f"no tensor {name!r}", name, known, LISTING)
    found = known[name]
    rows, across = _axes(weights, name)
    values = found.dense() if isinstance(found, Matrix) else found.astype(np.float64)[:, None]
    return TensorView(name, tuple(found.shape), tuple(rows), tuple(across), values)


def circuit(weights: Weights, layer: int, index: int, which: str) -> TensorView:
    """Return a head's "QK" circuit, W_Q W_K^T with the biases, or its "OV" circuit, W_V W_O.

    Rows of QK are what the head asks by, here, and columns what it is answered by, there; the last
    of both is the constant 1, which biases multiply. Rows of OV are what is moved, columns where
    to.
    """
    head, labels = weights.layers[layer].heads[index], tuple(weights.directions)
    if which == "QK":
        query = np.vstack([head.W_Q.dense(), head.b_Q])
        values = query @ np.vstack([head.W_K.dense(), head.b_K]).T
        labels = (*labels, ONE)
    else:
        values = head.W_V.dense() @ head.W_O.dense()
    name = f"blocks.{layer}.attn.{index}.{which}"
    return TensorView(name, values.shape, labels, labels, values)


def _circuit_named(weights: Weights, name: str) -> TensorView | None:
    """Return a circuit by its name, None if that is the name of none.

    Raises:
        NotFoundError: the head has no queries and keys, so no QK circuit.
    """
    found = _CIRCUIT.fullmatch(name)
    if found is None or int(found[1]) >= len(weights.layers):
        return None
    layer, index, which = int(found[1]), int(found[2]), found[3]
    heads = weights.layers[layer].heads
    if index >= len(heads):
        return None
    if which == "QK" and heads[index].kind not in SCORED:
        raise NotFoundError(
            f"head {heads[index].name!r} of layer {layer} is {heads[index].kind!r}: it has no "
            "queries and keys, so no QK circuit; ask for its OV"
        )
    return circuit(weights, layer, index, which)


def _axes(weights: Weights, name: str) -> tuple[Sequence[str], Sequence[str]]:
    """Return the labels of a tensor's rows and columns."""
    directions, tokens = weights.directions, tuple(token.name for token in weights.tokens)
    last = name.rpartition(".")[-1]
    across = (last,)
    known = {"W_E": (tokens, directions), "W_pos": (directions, across),
             "W_loop": (directions, directions), "W_fixed": (tokens, directions),
             "W_positions": (_positions(weights), directions),
             "W_U": (directions, tokens), "b_U": (tokens, across)}  # fmt: skip
    if name in known:
        return known[name]
    _, layer, part, *rest = name.split(".")
    if part == "mlp":
        labels = weights.layers[int(layer)].feed_forward.neurons
        if last == "W_out":
            return labels, directions
        return (directions, labels) if last.startswith("W_") else (labels, across)
    head = weights.layers[int(layer)].heads[int(rest[0])]
    size = head.W_O.shape[0] if last in ("W_V", "W_O") else len(head.b_Q)
    letter = {"W_V": "v", "W_O": "v"}.get(last, last[-1].lower())
    coordinates = [f"{letter}[{i}]" for i in range(size)]
    if last == "W_O":
        return coordinates, directions
    return (directions, coordinates) if last.startswith("W_") else (coordinates, across)


def _positions(weights: Weights) -> tuple[str, ...]:
    """Return the labels of the rows of the table of positions, if there is one."""
    table = weights.W_positions
    return () if table is None else tuple(f"position={n + 1}" for n in range(table.shape[0]))


def text(view: TensorView, width: int) -> str:
    """Return a tensor as lines of at most `width` characters (if its labels let it), 0 as `.`.

    Columns have their labels above them where those fit, else numbers that a legend explains.

    Raises:
        InputError: it is larger than `LARGEST`.
    """
    shape = len(view.rows), len(view.columns)
    if shape[0] > LARGEST[0] or shape[1] > LARGEST[1]:
        raise InputError(
            f"{view.tensor} has {shape[0]:,} rows and {shape[1]:,} columns, and more than "
            f"{LARGEST[0]:,} by {LARGEST[1]} are not shown as text: take --json for all of it, "
            "or --direction, --token or --neuron for a part"
        )
    cells = [[number(x) if x else "." for x in row] for row in view.values.tolist()]
    widest = [max([1, *map(len, column)]) for column in zip(*cells, strict=True)]
    widest = widest or [1] * len(view.columns)
    labels, heads = list(map(shown, view.rows)), list(map(shown, view.columns))
    left = max([0, *map(len, labels)])
    room = max(1, width - left)
    numbered = sum(max(a, len(b)) + 2 for a, b in zip(widest, heads, strict=True)) > room
    if numbered:
        heads = [str(i) for i in range(len(heads))]
    widths = [max(a, len(b)) for a, b in zip(widest, heads, strict=True)]
    lines: list[str] = []
    for block in _blocks(widths, room):
        for label, row in (("", heads), *zip(labels, cells, strict=True)):
            parts = (f"  {row[i]:>{widths[i]}}" for i in block)
            lines.append(f"{label:<{left}}{''.join(parts)}".rstrip())
        lines.append("")
    if numbered:
        lines.append("columns")
        lines += _filled([f"{i} {printable(label)}" for i, label in enumerate(view.columns)], width)
    return "\n".join(lines).rstrip()


def _blocks(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the columns in runs that fit beside each other."""
    block: list[int] = []
    for i in range(len(widths)):
        if block and sum(widths[j] + 2 for j in (*block, i)) > room:
            yield block
            block = []
        block.append(i)
    yield block


def _filled(parts: list[str], width: int) -> Iterator[str]:
    """Yield lines of whole parts."""
    line = ""
    for part in parts:
        if line and len(line) + 3 + len(part) > width:
            yield line
            line = ""
        line += f"{'   ' if line else '  '}{part}"
    yield line
