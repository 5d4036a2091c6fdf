"""The labels of weights: everything but the tensors, and what they say of the tensors' shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

from tm2tf.program.program import Token
from tm2tf.weights.model import Bounds, HeadKind, Readout, Weights

Shape = tuple[int, ...]

KEPT = ("construction", "target", "directions", "tokens", "readouts", "bounds", "options")
"""What labels and weights have in common."""


@dataclass(frozen=True, slots=True)
class HeadLabels:
    """A head's name, kind, widths (of queries and keys; of values) and offset."""

    name: str
    kind: HeadKind
    d_head: int
    d_value: int
    offset: int


@dataclass(frozen=True, slots=True)
class LayerLabels:
    """A layer's purpose, its heads, and the names of its neurons."""

    purpose: str
    heads: tuple[HeadLabels, ...]
    neurons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Labels:
    """Everything of `Weights` but the tensors; `position_table`: whether they have that one."""

    construction: str
    target: str
    directions: tuple[str, ...]
    tokens: tuple[Token, ...]
    readouts: tuple[Readout, ...]
    bounds: Bounds
    options: Mapping[str, int]
    looped: bool
    position_table: bool
    layers: tuple[LayerLabels, ...]

    @staticmethod
    def of(weights: Weights) -> Labels:
        """Return the labels of weights."""
        layers = tuple(
            LayerLabels(
                layer.purpose,
                tuple(
                    HeadLabels(head.name, head.kind, len(head.b_Q), head.W_O.shape[0], head.offset)
                    for head in layer.heads
                ),
                layer.feed_forward.neurons,
            )
            for layer in weights.layers
        )
        return Labels(
            **{name: getattr(weights, name) for name in KEPT},
            looped=weights.W_loop is not None,
            position_table=weights.W_positions is not None,
            layers=layers,
        )

    def shapes(self) -> dict[str, Shape]:
        """Return the shape of every tensor by name, in the order of `Weights.tensors`."""
        model, vocab = len(self.directions), len(self.tokens)
        shapes: dict[str, Shape] = {"W_E": (vocab, model), "W_pos": (model,)}
        if self.looped:
            shapes |= {"W_loop": (model, model), "W_fixed": (vocab, model)}
            if self.position_table:
                shapes["W_positions"] = (self.bounds.position, model)
        for number, layer in enumerate(self.layers):
            for index, head in enumerate(layer.heads):
                at = f"blocks.{number}.attn.{index}"
                for letter in "QK":
                    shapes[f"{at}.W_{letter}"] = (model, head.d_head)
                    shapes[f"{at}.b_{letter}"] = (head.d_head,)
                shapes[f"{at}.W_V"] = (model, head.d_value)
                shapes[f"{at}.W_O"] = (head.d_value, model)
            at, mlp = f"blocks.{number}.mlp", len(layer.neurons)
            for letter in ("gate", "in"):
                shapes[f"{at}.W_{letter}"] = (model, mlp)
                shapes[f"{at}.b_{letter}"] = (mlp,)
            shapes[f"{at}.W_out"] = (mlp, model)
            shapes[f"{at}.snap"] = (mlp,)
        return shapes | {"W_U": (model, vocab), "b_U": (vocab,)}

    def sizes(self) -> dict[str, int]:
        """Return the sizes that the labels imply, as `Weights` names them."""
        shapes = self.shapes().items()
        return {
            "d_model": len(self.directions),
            "d_vocab": len(self.tokens),
            "d_mlp": max((len(layer.neurons) for layer in self.layers), default=0),
            "layers": len(self.layers),
            "heads": sum(len(layer.heads) for layer in self.layers),
            "parameters": sum(prod(shape) for name, shape in shapes if not name.endswith(".snap")),
        }
