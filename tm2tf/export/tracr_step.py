"""tracr's model of one step of a machine, with our names for what is in it, and its bound.

The bound is that of `lowering.tracr`, with room for float32 in place of float64. A pass begins with
a decoded word, so no error outlives it. A softmax over less than 2^8 positions, of scores up to 50,
and the sum of values after it err by less than 2^-14, and a value passes `leaks` of them; a sum of
up to 2^12 neurons that are 1 in all errs by less than 2^-12, and each of six layers is counted
twice. Together that is less than `ROUNDING` where `leaks` is 2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tm2tf import constructions
from tm2tf.constructions.construction import Option, Options
from tm2tf.errors import BoundError, InputError, InternalError
from tm2tf.lowering.sops import Graph, Sop, graph_of
from tm2tf.lowering.tracr import BOS, PAD, compiled, key_size, leak, numbered
from tm2tf.machine.spec import Machine
from tm2tf.program.program import Program

NAME = "tracr"
"""The format, and the construction."""

ROUNDING = 2.0**-8
"""How far float32 can put a word off in a pass; see above."""


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """tracr's model of one step, with the graph that it was made from.

    Attributes:
        model: tracr's `AssembledTransformerModel`.
        labels: its residual labels in order, without the counter.
        names: our names for them.
        owners: the S-op of each; None: a constant.
    """

    machine: Machine
    options: Options
    program: Program
    graph: Graph
    model: Any
    labels: tuple[str, ...]
    names: tuple[str, ...]
    owners: tuple[Sop | None, ...]

    @property
    def window(self) -> int:
        """The cells between the begin token and the edge."""
        return self.graph.cells - 1

    def words(self) -> dict[str, Any]:
        """Return the value of `cell` that each word stands for."""
        return {word: value for value, word in numbered(self.graph.cell).items()}


def step_of(machine: Machine, window: int | None = None) -> Step:
    """Return tracr's model of a step in a window of so many cells. Raises as `make` does."""
    chosen = constructions.by_name(NAME)
    (option,) = chosen.options
    if window is not None and not option.least <= window <= option.most:
        raise InputError(_outside(option, window))
    options = chosen.resolve({option.name: window})
    chosen.check(machine, options)
    program = chosen.program(machine, options)
    graph = graph_of(program, options[option.name] + 1)
    most = widest(graph, option.most)
    if graph.cells - 1 > most:
        raise BoundError(
            f"softmax attention is not sharp enough for {machine.name!r} in a window of "
            f"{graph.cells - 1:,} cells; take --tape {most} or less",
            bound="position",
        )
    model, labels = compiled(graph, NAME)
    plain, names, owners = _named(model.residual_labels, graph, labels)
    return Step(machine, options, program, graph, model, plain, names, owners)


def widest(graph: Graph, most: int) -> int:
    """Return the cells of the widest window, up to `most`, in which a pass is exact in float32."""
    window = 0
    while window < most and error(graph, window + 2) < 1 / 2:
        window += 1
    return window


def error(graph: Graph, cells: int) -> float:
    """Return by how much, at most, an entry of what comes out is off, on so many cells."""
    return graph.next_cell.leaks * leak(cells, key_size(graph, cells)) + ROUNDING


def facts(step: Step) -> dict[str, object]:
    """Return what there is to say of a model."""
    config = step.model.model_config
    (option,) = constructions.by_name(NAME).options
    return {
        "architecture": NAME,
        "construction": NAME,
        "tape_cells": step.window,
        "positions": step.window + 2,
        "greatest_positions": widest(step.graph, option.most) + 2,
        "layers": config.num_layers,
        "heads": config.num_heads,
        "d_model": len(step.labels),
        "d_mlp": config.mlp_hidden_size,
        "key_size": config.key_size,
        "vocab": len(step.model.input_encoder.encoding_map),
        "parameters": sum(
            t.size for tensors in step.model.params.values() for t in tensors.values()
        ),
    }


def certificate(step: Step) -> dict[str, Any]:
    """Return `certificate.json`: the bound, and what it rests on."""
    graph, cells = step.graph, step.graph.cells
    (option,) = constructions.by_name(NAME).options
    return {
        "machine": step.machine.name,
        "construction": NAME,
        "dtype": "float32",
        "tape_cells": step.window,
        "greatest_tape_cells": widest(graph, option.most),
        "key_size": key_size(graph, cells),
        "softmaxes_on_the_way": graph.next_cell.leaks,
        "weight_elsewhere": leak(cells, key_size(graph, cells)),
        "rounding": ROUNDING,
        "error": error(graph, cells),
        "bound": "error = softmaxes_on_the_way * weight_elsewhere + rounding < 1/2",
        "supposing": "matrices are multiplied in float32 (on TPUs and on GPUs with TF32, set "
        "jax_default_matmul_precision to 'highest'), and each pass begins with decoded words",
        "derivation": "tm2tf/lowering/tracr.py, tm2tf/export/tracr_step.py",
    }


def _named(
    theirs: list[str], graph: Graph, called: Mapping[Sop, str]
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[Sop | None, ...]]:
    """Return tracr's labels without the counter, our names for them, and their S-ops."""
    tokens, indices = called[graph.cell], called[graph.index]
    known: dict[str, tuple[str, str, Sop | None]] = {
        "one": ("one", "one", None),
        f"{tokens}:{BOS}": (f"{tokens}:{BOS}", "begin", None),
        f"{tokens}:{PAD}": (f"{tokens}:{PAD}", "pad", None),
    }
    for place in range(len(theirs)):  # more than there are cells, where heads need the room
        label = f"{indices}:{place}"
        known[label] = (label, f"{graph.index.name}={place}", graph.index)
    for sop in graph.sops:
        stem = sop.name if sop.inputs else called[sop]
        for value, number in numbered(sop).items():
            known[f"{called[sop]}:{number}"] = (f"{stem}:{number}", sop.label(value), sop)
    strange = [label for label in theirs if label not in known]
    if strange:
        raise InternalError(f"tracr has a direction {strange[0]!r} that is no value of ours")
    plain, names, owners = zip(*(known[label] for label in theirs), strict=True)
    return plain, names, owners


def _outside(option: Option, window: int) -> str:
    return (
        f"--tape is {window:,}, and format 'tracr' has windows of {option.least} to {option.most} "
        "cells: its attention is a softmax, which is not sharp enough in a wider one"
    )
