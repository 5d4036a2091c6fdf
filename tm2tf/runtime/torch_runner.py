"""The plain torch model as a runner: one sequence, probed and decoded through labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float64

from tm2tf.errors import InputError
from tm2tf.runtime.memory import Memory, addresses_of, decode, lookup
from tm2tf.runtime.model import LatestHead, Transformer
from tm2tf.runtime.runner import Context, Emitted, Probe, beyond, check_dtype, probed
from tm2tf.runtime.threads import few_threads
from tm2tf.weights.model import Weights

BLOCK = 256
"""Tokens of a prompt fed at once: a block has 256 scores for each position before it, not n^2."""


class TorchRunner:
    """A run of one sequence through the plain torch model. See `runner.Runner`.

    Raises:
        InputError: `dtype` is none of `runner.DTYPES`, or has too few bits for the weights.
    """

    name = "torch"
    attention = "argmax over the prefix"
    kernel: str | None = None
    reason: str | None = None
    read_by: tuple[Probe, ...] = ()

    def __init__(
        self,
        weights: Weights,
        prompt: Sequence[int],
        probes: Sequence[str] = (),
        device: str = "cpu",
        dtype: str = "float64",
    ) -> None:
        check_dtype(weights, dtype)
        self.weights = weights
        self.device = device
        self.dtype = dtype
        self.model = Transformer(weights, device, getattr(torch, dtype))
        self._parameters = weights.parameters
        self._probes = probed(weights, probes)
        self._context = Context(weights)
        self._pending = list(prompt)
        self._cut = False  # the pending token was emitted, and cuts the context
        self._emitted = 0
        self._stops = [token.outcome is not None for token in weights.tokens]

    @property
    def context(self) -> int:
        """The tokens fed in the present context."""
        return self._context.length

    @property
    def peak_context(self) -> int:
        """The tokens fed in the longest context so far."""
        return self._context.peak

    def record(self, count: int, plain: Bool[np.ndarray, " d_vocab"]) -> None:
        """Return None: features are read off the residual stream."""
        return

    def skip(self, count: int, through: Bool[np.ndarray, " d_vocab"]) -> None:
        """Return None: every token is listed."""
        return

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
        return np.stack([_numbers(x[0, -1]) for x in self.model.stream])

    def cases(self) -> None:
        """Return None: cases are not counted."""
        return

    def memory(self, head: str) -> Memory:
        """Return what the "latest" head called `head` would bring, by address."""
        number, label = lookup(self.weights, head)
        module = self.model.heads[number]
        assert isinstance(module, LatestHead)
        keys, values = _numbers(module.keys[0]), _numbers(module.values[0])
        held, addresses = addresses_of(self.weights, label, keys)
        return decode(self.weights, label, addresses[held], values[held])

    def _feed(self) -> int:
        """Process the pending tokens; return the one the model emits next, now pending."""
        if self._cut:
            self._pending, self._cut = self._context.cut(self._pending[0]), False
            self.model.reset()
        if self.context + len(self._pending) > self.weights.bounds.position:
            raise beyond(self.weights, "position", self._emitted)
        winner = -1
        with few_threads(len(self._pending) * self._parameters):
            for first in range(0, len(self._pending), BLOCK):
                block = self._pending[first : first + BLOCK]
                logits = self.model(torch.tensor([block], device=self.device))
                self._context.feed(len(block), block)
                winner = int(logits[0, -1].argmax())
        if any(getattr(head, "beyond", False) for head in self.model.heads):
            raise beyond(self.weights, "key", self._emitted)
        self._pending, self._cut = [winner], self._context.cuts[winner]
        self._emitted += 1
        return winner

    def _probe(self) -> tuple[int, ...]:
        x = _numbers(self.model.stream[-1][0, -1])
        return tuple(readout.read(x) for readout in self._probes)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    """Return a tensor of any format as numpy's float64, which holds all its numbers."""
    return tensor.double().cpu().numpy()


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
