"""What a stock architecture is given: configuration, tensors by their stock names, and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tm2tf.lowering.stock.linear import Array
from tm2tf.lowering.stock.precision import Limits
from tm2tf.lowering.stock.wiring import Wiring


@dataclass(frozen=True, slots=True)
class HeadPlace:
    """One head as it stands in a checkpoint.

    `lookup`: which of its layer's lookups it carries; one that brings many words takes several
    heads, and `destinations` are the directions that this one sets.
    """

    name: str
    lookup: int
    destinations: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class LayerPlace:
    """The heads of a layer that do something, first in their order, and the names of neurons."""

    heads: tuple[HeadPlace, ...]
    neurons: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Checkpoint:
    """Weights for an architecture that others implement.

    Attributes:
        architecture: "gpt2" or "llama".
        config: what `config.json` says of the architecture: sizes, norms, positions.
        tensors: every parameter under the name that `transformers` has for it. Every entry is
            exact in the dtype that the limits are for.
        directions: the name of each entry of the residual stream. What is not in the wiring is
            there for the norm's sake: `-state=B` is minus `state=B`.
        layers: where the wiring's heads and neurons are.
        constants: the numbers that were chosen, by name, as `precision` derives them.
    """

    architecture: str
    config: dict[str, Any]
    tensors: dict[str, Array]
    directions: tuple[str, ...]
    layers: tuple[LayerPlace, ...]
    wiring: Wiring
    limits: Limits
    constants: dict[str, float]

    @property
    def parameters(self) -> int:
        """How many numbers there are."""
        return sum(tensor.size for tensor in self.tensors.values())


def places(wiring: Wiring, width: int) -> tuple[LayerPlace, ...]:
    """Return which heads carry each lookup, if a head brings at most `width` directions."""
    found = []
    for layer in wiring.layers:
        heads = []
        for number, lookup in enumerate(layer.lookups):
            to = lookup.destinations
            parts = [to[i : i + width] for i in range(0, len(to), width)]
            for i, part in enumerate(parts):
                name = lookup.name if len(parts) == 1 else f"{lookup.name}.{i}"
                heads.append(HeadPlace(name, number, part))
        neurons = tuple(neuron.name for neuron in layer.conjunctions)
        found.append(LayerPlace(tuple(heads), neurons))
    return tuple(found)
