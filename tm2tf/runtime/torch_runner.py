"""The plain torch model as a runner: one sequence, probed and decoded through labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from tm2tf.errors import InputError
from tm2tf.runtime.model import LatestHead, Transformer
from tm2tf.runtime.runner import Emitted, Memory, beyond, decode_memory, probed
from tm2tf.weights.model import Weights

BLOCK = 256
"""Tokens of a prompt fed at once: a block has 256 scores for each position before it, not n^2."""


class TorchRunner:
    """A run of one sequence through the plain torch model. See `runner.Runner`."""

    name = "torch"
    attention = "argmax over the prefix"

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str] = (),
        device: str = "cpu",
    ) -> None:
        self.weights = weights
        self.device = device
        self.model = Transformer(weights, device)
        self._probes = probed(weights, probes)
        self._pending = list(prompt)
        self._emitted = 0
        self._stops = [token.outcome is not None for token in weights.tokens]

    def advance(self, count: int, *, probe: bool = True) -> Emitted:
        """Emit up to `count` more tokens, fewer if one of them has an outcome."""
        tokens: list[int] = []
        probes: list[tuple[int, ...]] = []
        while len(tokens) < count:
            token = self._feed()
            probes.append(self._probe() if probe else ())
            tokens.append(token)
            if self._stops[token]:
                break
        shape = (len(tokens), len(self._probes) if probe else 0)
        return Emitted(
            np.array(tokens, dtype=np.int64), np.array(probes, dtype=np.int64).reshape(shape)
        )

    def settle(self) -> dict[str, int]:
        """Process the last emitted token, emitting nothing; return the probes after it by name."""
        self._feed()
        names = (readout.feature.name for readout in self._probes)
        return dict(zip(names, self._probe(), strict=True))

    def streams(self) -> Float64[np.ndarray, "layers_and_one d_model"]:
        """Emit one more token; return that pass's residual stream, by layer, embedding first."""
        self._feed()
        return np.stack([x[0, -1].cpu().numpy() for x in self.model.stream])

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        labels = [label for layer in self.weights.layers for label in layer.heads]
        number = [label.name for label in labels].index(head)
        module = self.model.heads[number]
        assert isinstance(module, LatestHead)
        keys, values = module.keys[0].cpu().numpy(), module.values[0].cpu().numpy()
        regular = keys[:, 2] == 0
        return decode_memory(self.weights, labels[number], keys[regular, 0], values[regular])

    def _feed(self) -> int:
        """Process the pending tokens; return the one the model emits next, now pending."""
        if self.model.seen + len(self._pending) > self.weights.bounds.position:
            raise beyond(self.weights, "position", self._emitted)
        winner = -1
        for first in range(0, len(self._pending), BLOCK):
            block = self._pending[first : first + BLOCK]
            logits = self.model(torch.tensor([block], device=self.device))
            winner = int(logits[0, -1].argmax())
        if any(getattr(head, "beyond", False) for head in self.model.heads):
            raise beyond(self.weights, "key", self._emitted)
        self._pending = [winner]
        self._emitted += 1
        return self._pending[0]

    def _probe(self) -> tuple[int, ...]:
        x = self.model.stream[-1][0, -1].cpu().numpy()
        return tuple(readout.read(x) for readout in self._probes)


def pick_device(device: str) -> str:
    """Return "cpu" or "cuda" for "auto", "cpu" or "cuda".

    Raises:
        InputError: CUDA is asked for and torch finds none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("torch finds no CUDA device; take --device cpu")
    return device
