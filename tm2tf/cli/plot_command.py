"""`tm2tf plot`: weights, attention and the residual stream as heatmaps, one file a picture."""

from __future__ import annotations

import click

from tm2tf.cli.lazy import LazyGroup

PICTURES = {
    "weights": "Tensors and circuits: the whole model, or a part of it.",
    "attention": "Which position looked at which, for each head over a run.",
    "residual": "What the residual stream held at each position of a run.",
}


@click.group(name="plot", cls=LazyGroup, table=PICTURES, module="tm2tf.cli.plot.{}")
def command() -> None:
    """Draw weights, attention or the residual stream as heatmaps with a name for every line.

    Pictures need the extra `draw`: pip install 'tm2tf[draw]'. With --json, the data come instead.
    """
