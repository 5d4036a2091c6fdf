"""One forward pass: what every feature, head, neuron and logit was at one step of a run.

The run goes token by token through the plain torch model, which is the one that keeps what is
shown here. That is slow beside the kernel, hence `MAX_POSITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tm2tf.compiler import Compiled
from tm2tf.errors import InputError, NotFoundError
from tm2tf.inspect.forms import Names, Term
from tm2tf.inspect.neurons import neurons
from tm2tf.machine.spec import Configuration
from tm2tf.program.features import Categorical
from tm2tf.runtime.model import LatestHead, Transformer
from tm2tf.runtime.runner import beyond
from tm2tf.weights.model import Head, HeadKind, Readout

MAX_POSITIONS = 20_000
"""The longest context of a step view: about half a minute of the plain torch model."""

TOP = 5
"""How many logits are shown."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position (from 1) and its token; `step` is the step that the token stands for, if any."""

    position: int
    token: str
    step: int | None


@dataclass(frozen=True, slots=True)
class FeatureValue:
    """A feature in the stream after the last layer; `layer` is the one that made it, -1: none.

    `value` is None where a categorical is absent. `clear` is false where its directions do not
    hold exactly one 1: then the weights do not compute their program.
    """

    name: str
    value: str | int | None
    layer: int
    clear: bool


@dataclass(frozen=True, slots=True)
class HeadStep:
    """What a head did. `brought` is what it added to the stream.

    For a "latest" head: the place it attended to, the greatest score, and by how much that is
    more than the greatest score that differs from it (None: all scores are equal). For a uniform
    head: the mean of each coordinate of the value.
    """

    layer: int
    index: int
    name: str
    kind: HeadKind
    attended: Place | None
    score: float | None
    margin: float | None
    mean: tuple[float, ...]
    brought: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class NeuronStep:
    """A neuron that fired: its activation, and the text of `neurons.Neuron`."""

    layer: int
    index: int
    label: str
    activation: float
    text: str


@dataclass(frozen=True, slots=True)
class StepView:
    """The pass that emits the token of step `step`, after the token `fed` at the end of context.

    Attributes:
        logits: the greatest ones, in order.
        margin: by how much the first logit is greater than the second (None: only one token).
        starts: the address where each head began; the weights count addresses from there.
    """

    step: int
    fed: Place
    emits: str
    outcome: str | None
    starts: tuple[int, ...]
    features: tuple[FeatureValue, ...]
    heads: tuple[HeadStep, ...]
    neurons: tuple[NeuronStep, ...]
    logits: tuple[Term, ...]
    margin: float | None


def step(compiled: Compiled, start: Configuration, number: int) -> StepView:
    """Return the pass that emits step `number`'s token, in a run from a start configuration.

    A run that ends for want of a transition has one pass more than steps; it may be asked for.

    Raises:
        NotFoundError: the run has no such step.
        InputError: it is more than `MAX_POSITIONS` positions into the context.
        BoundError: the run leaves the range in which the weights are exact.
    """
    weights, prompt = compiled.weights, compiled.prompt(start)
    if number < 1:
        raise NotFoundError(
            f"no step {number}: steps count from 1, and --step 1 is the pass that emits the first"
        )
    length = len(prompt) + number - 1
    if length > MAX_POSITIONS:
        raise InputError(
            f"step {number:,} comes after {length:,} tokens of context, and this view runs the "
            f"plain model over {MAX_POSITIONS:,} at most: ask for a step up to "
            f"{max(0, MAX_POSITIONS - len(prompt) + 1):,}"
        )
    if length > weights.bounds.position:
        raise beyond(weights, "position", weights.bounds.position)
    walk = _Walk(compiled, prompt, number)
    x = walk.model.stream[-1][0, -1].numpy()
    logits = torch.sort(walk.logits, descending=True, stable=True)
    best = list(zip(logits.indices.tolist(), logits.values.tolist(), strict=True))
    emitted = weights.tokens[best[0][0]]
    return StepView(
        step=number,
        fed=walk.place(length - 1),
        emits=emitted.name,
        outcome=emitted.outcome,
        starts=tuple(tape.head for tape in start.tapes),
        features=tuple(_feature(readout, readout.read(x)) for readout in weights.readouts),
        heads=tuple(walk.heads()),
        neurons=tuple(walk.neurons()),
        logits=tuple(Term(weights.tokens[i].name, value) for i, value in best[:TOP]),
        margin=best[0][1] - best[1][1] if len(best) > 1 else None,
    )


def _feature(readout: Readout, read: int) -> FeatureValue:
    """Return a feature in words; `read` is what its readout gives."""
    name, layer = readout.feature.name, readout.layer
    if not isinstance(readout.feature, Categorical):
        return FeatureValue(name, read, layer, clear=True)
    value = readout.values[read][0] if read >= 0 else None
    return FeatureValue(name, value, layer, clear=read != -2)


class _Walk:
    """A run up to the pass that emits step `number`'s token, with what the heads did in it."""

    def __init__(self, compiled: Compiled, prompt: list[int], number: int) -> None:
        self.weights, self.prompt = compiled.weights, prompt
        self.model = Transformer(self.weights)
        self.tokens = list(prompt)
        self.inputs: dict[int, np.ndarray] = {}
        self.added: dict[int, np.ndarray] = {}
        self.logits = torch.zeros(0)
        for which, head in enumerate(self.model.heads):
            head.register_forward_hook(self._keep(which))
        for position in range(len(prompt) + number - 1):
            if position >= len(prompt):
                self.tokens.append(int(self.logits.argmax()))
            if position >= len(prompt) - 1:
                self._check_end(number)
            fed = torch.tensor([[self.tokens[position]]])
            self.logits = self.model(fed)[0, -1]
            if any(getattr(head, "beyond", False) for head in self.model.heads):
                raise beyond(self.weights, "key", position + 1 - len(prompt))

    def _keep(self, which: int) -> Callable[..., None]:
        """Return a hook that keeps a head's last input and output."""

        def hook(_module: torch.nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
            self.inputs[which] = inputs[0][0, -1].numpy()
            self.added[which] = output[0, -1].numpy()

        return hook

    def _check_end(self, number: int) -> None:
        """Refuse to go on after a token that ends the run."""
        last, steps = self.weights.tokens[self.tokens[-1]], len(self.tokens) - len(self.prompt)
        if last.outcome is None:
            return
        if last.role == "end":
            steps -= 1
            more = f"the pass after the last, {steps + 1:,}, emits {last.name} ({last.outcome})"
        else:
            more = f"the last token is {last.name} ({last.outcome})"
        plural = "" if steps == 1 else "s"
        raise NotFoundError(f"no step {number:,}: the run has {steps:,} step{plural}; {more}")

    def place(self, index: int) -> Place:
        """Return the position with an index from 0."""
        step = index - len(self.prompt) + 1
        return Place(
            index + 1, self.weights.tokens[self.tokens[index]].name, step if step > 0 else None
        )

    def heads(self) -> list[HeadStep]:
        """Return what each head did in the last pass."""
        done, which = [], 0
        for layer, found in enumerate(self.weights.layers):
            for index, head in enumerate(found.heads):
                done.append(self._head(layer, index, which, head))
                which += 1
        return done

    def _head(self, layer: int, index: int, which: int, head: Head) -> HeadStep:
        """Return what a head did; `which` is its number among all heads."""
        module = self.model.heads[which]
        attended: Place | None = None
        score: float | None = None
        margin: float | None = None
        mean: tuple[float, ...] = ()
        if isinstance(module, LatestHead):
            assert module.attended is not None
            attended = self.place(int(module.attended[0, -1]))
            scores = module.keys[0].numpy() @ (self.inputs[which] @ head.W_Q.dense() + head.b_Q)
            score = float(scores[attended.position - 1])
            less = scores[scores < score]
            margin = score - float(less.max()) if len(less) else None
        else:
            assert module.sum is not None
            mean = tuple((module.sum[0, -1] / module.seen).tolist())
        added = zip(self.weights.directions, self.added[which].tolist(), strict=True)
        brought = tuple(Term(name, weight) for name, weight in added if weight)
        return HeadStep(layer, index, head.name, head.kind, attended, score, margin, mean, brought)

    def neurons(self) -> list[NeuronStep]:
        """Return the neurons that fired in the last pass, that is, whose activation is not 0."""
        names = Names(self.weights)
        fired, which = [], 0
        for number, layer in enumerate(self.weights.layers):
            x = self.model.stream[number][0, -1].numpy()
            for _ in layer.heads:
                x = x + self.added[which]
                which += 1
            mlp = layer.feed_forward
            gate = np.maximum(x @ mlp.W_gate.dense() + mlp.b_gate, 0)
            values = gate * (x @ mlp.W_in.dense() + mlp.b_in)
            values = np.where(mlp.snap, np.rint(values), values)
            labelled = neurons(self.weights, names, number)
            fired += [
                NeuronStep(number, i, labelled[i].label, float(values[i]), labelled[i].text)
                for i in np.flatnonzero(values).tolist()
            ]
        return fired
