"""Attention over a run as panels: who looked where, a square of positions for each head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect import tables
from tm2tf.inspect.forms import Names
from tm2tf.inspect.heads import HeadSummary, summary
from tm2tf.inspect.matching import ALWAYS, Lookups
from tm2tf.pictures.heatmaps.circuits import head_index
from tm2tf.pictures.heatmaps.forward import Forward
from tm2tf.pictures.heatmaps.panels import LOOKS, Panel
from tm2tf.weights.model import Weights


def attention(
    weights: Weights, found: Forward, layer: int | None = None, head: str | None = None
) -> list[Panel]:
    """Return a panel for each head, or those of a layer, or one head: a row for each position.

    Raises:
        NotFoundError: there is no such layer or head, or no head at all.
        InputError: a head is asked for without its layer.
    """
    lookups, labels = Lookups(weights, Names(weights)), positions(found)
    n = len(labels)
    future = None if found.looped else np.triu(np.ones((n, n), dtype=np.bool_), 1)
    breaks = () if found.prompt in (0, n) else (found.prompt,)
    return [
        Panel(
            name=f"blocks.{number}.attn.{index}",
            title=_title(summary(lookups, number, index)),
            down=LOOKS,
            across="the positions it sees",
            rows=labels,
            columns=labels,
            values=found.attention[number][index],
            row_breaks=breaks,
            column_breaks=breaks,
            absent=future,
        )
        for number, index in check(weights, layer, head)
    ]


def check(weights: Weights, layer: int | None, head: str | None) -> list[tuple[int, int]]:
    """Return the layer and the number of each head that is asked for.

    Raises:
        NotFoundError: there is no such layer or head, or no head at all.
        InputError: a head is asked for without its layer.
    """
    if layer is None and head is not None:
        raise InputError(f"head {head!r} of which layer? give --layer too")
    if layer is not None:
        tables.layer(weights, layer)  # says so if there is none
        if head is not None:
            return [(layer, head_index(weights, layer, head))]
    layers = range(len(weights.layers)) if layer is None else [layer]
    heads = [(number, i) for number in layers for i in range(len(weights.layers[number].heads))]
    if not heads:
        where = "the weights have" if layer is None else f"layer {layer} has"
        raise NotFoundError(f"{where} no heads, so no attention")
    return heads


def merged(weights: Weights, panels: Sequence[Panel]) -> list[Panel]:
    """Return panels to draw: "uniform" heads of a layer look all alike, so they share one."""
    kept: dict[str, Panel] = {}
    names: dict[str, list[str]] = {}
    for panel in panels:
        _, layer, _, index = panel.name.split(".")
        head = weights.layers[int(layer)].heads[int(index)]
        key = f"layer {layer}" if head.kind == "uniform" else panel.name
        kept.setdefault(key, panel)
        names.setdefault(key, []).append(f"{index} {head.name}")
    return [
        panel
        if len(names[key]) == 1
        else replace(panel, title=f"{key}, heads {', '.join(names[key])}: {ALWAYS['uniform']}")
        for key, panel in kept.items()
    ]


def _title(head: HeadSummary) -> str:
    """Return a head's name and what it attends to, in words."""
    return f"layer {head.layer}, head {head.index} {head.name}: {head.attends}"


def positions(found: Forward) -> tuple[str, ...]:
    """Return a label for each position of a context: its number and its token."""
    return tuple(f"{n}: {token}" for n, token in enumerate(found.tokens, 1))


def subtitle(found: Forward) -> str:
    """Return in words which part of the run a context is."""
    if found.looped:
        last = ", the last" if found.over else ""
        return (
            f"the window of {len(found.tokens):,} positions in pass {max(1, found.steps):,}{last}"
        )
    steps = f"{found.steps:,} step{'' if found.steps == 1 else 's'}"
    ends = ", all of the run" if found.over else "; the run goes on"
    return f"the context of {len(found.tokens):,} tokens after {steps}{ends}"
