"""The residual stream over a run as panels: directions down, positions across."""

from __future__ import annotations

import numpy as np

from tm2tf.errors import NotFoundError
from tm2tf.inspect.forms import Names
from tm2tf.pictures.heatmaps.attention import positions
from tm2tf.pictures.heatmaps.forward import Forward
from tm2tf.pictures.heatmaps.panels import Panel, trimmed
from tm2tf.weights.model import Weights

EMBEDDING = -1
"""What stands for the stream before layer 0, as in readouts."""


def residual(
    weights: Weights, found: Forward, layer: int | None = None, *, everything: bool = False
) -> Panel:
    """Return the stream after a layer (the last one, if not given) at each position.

    Directions that are 0 at every position are left out unless `everything`. A line stands between
    one feature's directions and the next one's.

    Raises:
        NotFoundError: there is no such layer.
    """
    count = len(weights.layers)
    number = count - 1 if layer is None else layer
    if not EMBEDDING <= number < count:
        raise NotFoundError(
            f"no layer {number}: there are {count}, 0 to {count - 1}, and {EMBEDDING} is the "
            "embedding"
        )
    labels = positions(found)
    panel = Panel(
        name="embedding" if number == EMBEDDING else f"blocks.{number}",
        title=_title(number, count, looped=found.looped),
        down="directions",
        across="positions",
        rows=weights.directions,
        columns=labels,
        values=np.ascontiguousarray(found.streams[number + 1].T),
        row_breaks=_breaks(weights),
        column_breaks=() if found.prompt in (0, len(labels)) else (found.prompt,),
    )
    return panel if everything else trimmed(panel, columns_too=False)


def _title(layer: int, count: int, *, looped: bool) -> str:
    if layer == EMBEDDING:
        return "the beginning of the pass" if looped else "the embedding"
    return f"after layer {layer}" + (", the last" if layer == count - 1 else "")


def _breaks(weights: Weights) -> tuple[int, ...]:
    """Return the directions with which another feature begins; integers are one group."""
    values = Names(weights).values
    groups = [values.get(d, ("", ""))[0] for d in range(weights.d_model)]
    return tuple(d for d in range(1, len(groups)) if groups[d] != groups[d - 1])
