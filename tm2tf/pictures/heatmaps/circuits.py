"""Weights as panels: tensors, the circuits of heads, layers, and a sheet of the whole model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect import tables, tensors
from tm2tf.inspect.lookup import missing
from tm2tf.pictures.heatmaps.panels import Panel, trimmed
from tm2tf.weights.model import SCORED, Weights

BIAS = "1 (bias)"
"""What a row or column of biases is called: they multiply the constant 1."""

MOST_PANELS = 60
"""Panels of the largest sheet; with more, one asks for a part."""

PARTS = "blocks.L, blocks.L.mlp, blocks.L.attn and blocks.L.attn.H"
"""What can be drawn besides single tensors, as messages have it."""

CIRCUITS = {"QK": "QK", "W_QK": "QK", "OV": "OV", "W_OV": "OV"}


def overview(weights: Weights, *, everything: bool = False) -> list[Panel]:
    """Return the panels of the whole model in processing order.

    Rows and columns that are all 0 are left out unless `everything`; panels that are, in any case.

    Raises:
        InputError: there are more than `MOST_PANELS`.
    """
    panels = list(_embedding(weights))
    for layer in range(len(weights.layers)):
        panels += _layer(weights, layer)
    panels.append(_unembedding(weights))
    panels = [panel for panel in panels if panel.values.any()]
    if len(panels) > MOST_PANELS:
        raise InputError(
            f"the whole model would be {len(panels)} panels, and {MOST_PANELS} at most fit a "
            f"sheet: ask for a layer with --layer (0 to {len(weights.layers) - 1}), or for a part "
            "with --tensor"
        )
    return panels if everything else list(map(trimmed, panels))


def part(weights: Weights, name: str, *, everything: bool = False) -> list[Panel]:
    """Return the panels of a tensor, a head, a circuit or a layer by its name.

    Raises:
        NotFoundError: there is no such thing.
    """
    found = _part(weights, name)
    return found if everything else list(map(trimmed, found))


def _part(weights: Weights, name: str) -> list[Panel]:
    first, _, rest = name.partition(".")
    number, _, inner = rest.partition(".")
    known = dict(weights.tensors())
    if name in known:
        return [_tensor(weights, name)]
    if first != "blocks" or not number.isdecimal() or int(number) >= len(weights.layers):
        raise missing(f"no tensor {name!r}", name, known, f"{tensors.LISTING}; {PARTS}")
    layer = int(number)
    kind, _, which = inner.partition(".")
    if inner in ("", "mlp", "attn"):
        wanted = f"blocks.{layer}.{inner}".rstrip(".")
        found = [p for p in _layer(weights, layer) if f"{p.name}.".startswith(f"{wanted}.")]
        if not found:
            raise NotFoundError(f"{wanted} is empty: layer {layer} has no such part")
        return found
    if kind != "attn":
        raise missing(f"no tensor {name!r}", name, known, f"{tensors.LISTING}; {PARTS}")
    before, _, last = which.rpartition(".")
    circuit = CIRCUITS.get(last)
    index = head_index(weights, layer, before if circuit else which)
    found = [p for p in _head(weights, layer, index) if circuit in (None, p.name[-2:])]
    if not found:
        head = weights.layers[layer].heads[index]
        raise NotFoundError(
            f"head {head.name!r} of layer {layer} is {head.kind!r}: it has no queries and keys, "
            "so no QK circuit; ask for its OV"
        )
    return found


def head_index(weights: Weights, layer: int, which: str) -> int:
    """Return the number of a layer's head by its number or name.

    Raises:
        NotFoundError: there is no such layer or head.
    """
    return tables.head(weights, layer, which).summary.index


def _tensor(weights: Weights, name: str) -> Panel:
    """Return a tensor as it is stored."""
    view = tensors.tensor(weights, name)
    down, across = _axes(name)
    return Panel(name, name, down, across, view.rows, view.columns, view.values)


def _axes(name: str) -> tuple[str, str]:
    """Return what the rows and the columns of a tensor are."""
    last = name.rpartition(".")[-1]
    return {
        "W_E": ("tokens", "directions"),
        "W_fixed": ("tokens", "directions"),
        "W_positions": ("positions", "directions"),
        "W_loop": ("directions at the end", "directions of the next pass"),
        "W_pos": ("directions", "one position more"),
        "W_U": ("directions", "tokens"),
        "b_U": ("tokens", "bias"),
        "W_gate": ("directions", "neurons"),
        "W_in": ("directions", "neurons"),
        "W_out": ("neurons", "directions"),
        "W_Q": ("directions", "coordinates of queries"),
        "W_K": ("directions", "coordinates of keys"),
        "W_V": ("directions", "coordinates of values"),
        "W_O": ("coordinates of values", "directions"),
        "b_Q": ("coordinates of queries", "bias"),
        "b_K": ("coordinates of keys", "bias"),
        "snap": ("neurons", "rounded"),
    }.get(last, ("neurons", "bias"))


def _embedding(weights: Weights) -> Iterator[Panel]:
    found = _tensor(weights, "W_E")
    if weights.W_pos.any():
        found = replace(
            found,
            rows=(*found.rows, "each position (W_pos)"),
            values=np.vstack([found.values, weights.W_pos]),
            row_breaks=(len(found.rows),),
        )
    yield replace(found, title="W_E: what a token writes")
    titles = {
        "W_positions": "W_positions: what a position writes",
        "W_loop": "W_loop: what goes on to the next pass",
        "W_fixed": "W_fixed: what a token writes in later passes",
    }
    for name, title in titles.items():
        if getattr(weights, name) is not None:
            yield replace(_tensor(weights, name), title=title)


def _unembedding(weights: Weights) -> Panel:
    """Return W_U with the biases as a row."""
    return _with_row(_tensor(weights, "W_U"), weights.b_U, "W_U: logits of the next token")


def _with_row(panel: Panel, bias: np.ndarray, title: str) -> Panel:
    """Return a panel with biases as its last row."""
    if not bias.any():
        return replace(panel, title=title)
    return replace(
        panel, title=title, rows=(*panel.rows, BIAS), values=np.vstack([panel.values, bias])
    )


def _layer(weights: Weights, number: int) -> list[Panel]:
    """Return a layer's panels: its heads, then its neurons."""
    heads = range(len(weights.layers[number].heads))
    found = [panel for index in heads for panel in _head(weights, number, index)]
    return [*found, *_neurons(weights, number)]


def _head(weights: Weights, layer: int, index: int) -> Iterator[Panel]:
    """Yield a head's QK circuit, if it has one, and its OV circuit."""
    head, directions = weights.layers[layer].heads[index], weights.directions
    known, title = f"blocks.{layer}.attn.{index}", f"layer {layer}, head {index} {head.name}"
    if head.kind in SCORED:
        view, labels = tensors.circuit(weights, layer, index, "QK"), (*directions, BIAS)
        here, there = "query here", "key there"
        yield Panel(f"{known}.QK", f"{title}: QK", here, there, labels, labels, view.values)
    looks = {"uniform": "mean of all", "relative": f"{head.offset} back"}.get(head.kind, head.kind)
    view = tensors.circuit(weights, layer, index, "OV")
    title = f"{title} ({looks}): OV"
    yield Panel(f"{known}.OV", title, "from", "to", directions, directions, view.values)


def _neurons(weights: Weights, layer: int) -> Iterator[Panel]:
    """Yield what a layer's neurons read and write, a neuron a row."""
    mlp = weights.layers[layer].feed_forward
    if not mlp.neurons:
        return
    known = f"blocks.{layer}.mlp"
    plain = not mlp.W_in.nonzeros and bool((mlp.b_in == 1).all())
    gates = f"layer {layer} W_gate: gates, what makes a neuron fire"
    read = [("W_gate", mlp.b_gate, gates + (" (all factors are 1)" if plain else ""))]
    if not plain:
        factors = f"layer {layer} W_in: factors, what a neuron that fires is multiplied by"
        read.append(("W_in", mlp.b_in, factors))
    for name, bias, title in read:
        panel = _with_row(_tensor(weights, f"{known}.{name}"), bias, title)
        yield replace(
            panel,
            rows=panel.columns,
            columns=panel.rows,
            values=panel.values.T,
            down="neurons",
            across="directions",
        )
    found = _tensor(weights, f"{known}.W_out")
    yield replace(found, title=f"layer {layer} W_out: what a neuron writes")
