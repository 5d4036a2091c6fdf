"""Fine-tuning: the last feed-forward layer of compiled weights, trained; all the rest is frozen.

The layer is reset to fresh neurons that read the directions of chosen features (those that a
compiled table of transitions reads) and write nothing yet, so the model computes at first what the
base model does. Then AdamW minimises the cross-entropy of the next token, softmax(logits), over
examples: pairs of a residual stream, as the frozen layers make it, and the token that came next.

    x' = x + (relu(x W_gate + b_gate) * (x W_in + b_in)) W_out,   logits = x' W_U + b_U

Training stops where, after every input, KL(data || model) is at most a tolerance t: the mean excess
cross-entropy that is left. If an input is always followed by one token, that token then has a
probability of at least exp(-t); in general the total variation is at most sqrt(t / 2) (Pinsker).

The neurons see only the chosen features, one-hot, because heads' addresses and their squares stand
in the stream too, numbers up to 2^52: a layer that may read those learns where the training runs
were, not what they did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from tm2tf.errors import InputError
from tm2tf.runtime.model import Transformer, as_tensor
from tm2tf.runtime.threads import few_threads
from tm2tf.weights.matrix import Matrix
from tm2tf.weights.model import FeedForward, Layer, Weights

NEURONS = 64
"""Fresh neurons, unless more are asked for: a gated neuron can stand for one rule, and machines
with more rules than that need more."""

RATE = 0.02
"""AdamW's learning rate: logits have to grow to about ln(vocabulary / tolerance), some 10, and Adam
moves each weight by about the rate in a step, so a few hundred steps suffice."""

MOST_STEPS = 5_000
TOLERANCE = 0.01

LOOK = 10
"""Steps between two looks at whether training may stop."""


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Different examples: streams before the last feed-forward layer, and the tokens that followed.

    `inputs[i]` numbers the stream's chosen features: equal numbers, equal words.
    """

    streams: Float64[np.ndarray, "different d_model"]
    inputs: Int64[np.ndarray, " different"]
    targets: Int64[np.ndarray, " different"]


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """Fine-tuned weights, and how training ended.

    `loss` is the mean cross-entropy in nats; `excess` the greatest KL(data || model) after an
    input; `fitted`: whether that is within the tolerance.
    """

    weights: Weights
    loss: float
    excess: float
    steps: int
    fitted: bool


def streams_of(
    weights: Weights, sequences: Sequence[Sequence[int]]
) -> list[Float64[np.ndarray, "positions d_model"]]:
    """Return the residual stream before the last feed-forward layer, at each position.

    Raises:
        InputError: the last layer has neurons, whose part in the stream would have to be taken out.
    """
    if weights.layers[-1].feed_forward.neurons:
        raise InputError("the last layer of the base weights has neurons: it cannot be reset")
    model = Transformer(weights)
    found = []
    with few_threads(weights.parameters):
        for sequence in sequences:
            model.reset()
            model(torch.tensor([list(sequence)]))
            found.append(model.stream[-1][0].numpy())
    return found


def directions_of(weights: Weights, features: Sequence[str]) -> list[int]:
    """Return the directions of categorical features, in order."""
    known = {readout.feature.name: readout for readout in weights.readouts}
    return [direction for name in features for _, direction in known[name].values]


def collect(
    streams: Float64[np.ndarray, "count d_model"],
    targets: Int64[np.ndarray, " count"],
    directions: Sequence[int],
) -> tuple[Examples, Int64[np.ndarray, " count"]]:
    """Return the different examples, and for each one given which of them it is.

    They are told apart by these directions and the target; of equal ones the first stream stands
    for all.
    """
    told_apart = streams[:, list(directions)]
    _, inputs = np.unique(told_apart, axis=0, return_inverse=True)
    pairs = np.stack([inputs.ravel(), targets], axis=1)
    _, first, number = np.unique(pairs, axis=0, return_index=True, return_inverse=True)
    examples = Examples(streams[first], pairs[first, 0], targets[first])
    return examples, number.ravel().astype(np.int64)


class _Layers:
    """The same fresh layer for several data sets, trained side by side; shapes begin `sets`."""

    def __init__(
        self, seeds: Sequence[int], neurons: int, reads: int, d_model: int, device: str
    ) -> None:
        drawn = [_fresh(seed, neurons, reads) for seed in seeds]
        gate, inner = (torch.stack([pair[i] for pair in drawn]) for i in (0, 1))
        sets = len(seeds)
        ones = torch.ones(sets, 1, neurons, dtype=torch.float64)
        self.parameters = [
            start.to(device).requires_grad_()
            for start in (
                gate,
                torch.zeros_like(ones),
                inner,
                ones,
                torch.zeros(sets, neurons, d_model, dtype=torch.float64),
            )
        ]

    def __call__(
        self, x: Float[Tensor, "different reads"]
    ) -> Float[Tensor, "sets different d_model"]:
        W_gate, b_gate, W_in, b_in, W_out = self.parameters
        return (torch.relu(x @ W_gate + b_gate) * (x @ W_in + b_in)) @ W_out

    def copy(self, number: int) -> list[np.ndarray]:
        """Return the tensors of one data set."""
        return [tensor.detach()[number].cpu().numpy().copy() for tensor in self.parameters]


def _fresh(seed: int, neurons: int, reads: int) -> tuple[Tensor, Tensor]:
    """Return W_gate and W_in `[reads, neurons]`, standard normal.

    Two or so of the directions read are 1 and the others 0, so gates and inner values begin with a
    spread of about 1.4, whatever the width.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = (reads, neurons)
    gate = torch.randn(shape, generator=generator, dtype=torch.float64)
    return gate, torch.randn(shape, generator=generator, dtype=torch.float64)


def train(
    base: Weights,
    examples: Examples,
    counts: Float64[np.ndarray, "sets different"],
    features: Sequence[str],
    *,
    seeds: Sequence[int],
    neurons: int = NEURONS,
    tolerance: float = TOLERANCE,
    most_steps: int = MOST_STEPS,
    device: str = "cpu",
    on_progress: Callable[[int], None] | None = None,
) -> list[Trained]:
    """Return the base weights with their last feed-forward layer trained, once a data set.

    Args:
        base: weights whose last layer has no neurons.
        examples: the different examples.
        counts: how often each stands in each data set; none is empty.
        features: the categorical features that the neurons may read.
        seeds: of the fresh neurons, one a data set.
        neurons: how many.
        tolerance: KL(data || model) in nats after each input, at which training stops.
        most_steps: when it stops in any case.
        device: "cpu" or "cuda".
        on_progress: takes the number of steps done.
    """
    reads = directions_of(base, features)
    layers = _Layers(seeds, neurons, len(reads), base.d_model, device)
    x = torch.from_numpy(examples.streams).to(device)
    U, b = as_tensor(base.W_U).to(device), as_tensor(base.b_U).to(device)
    frozen, read = x @ U + b, x[:, reads]
    targets = torch.from_numpy(examples.targets).to(device)
    weight = torch.from_numpy(counts / counts.sum(axis=1, keepdims=True)).to(device)
    data = _Data(counts, examples.inputs)
    optimiser = torch.optim.AdamW(layers.parameters, lr=RATE)
    ended: dict[int, Trained] = {}
    with few_threads(x.shape[0] * len(seeds) * neurons * base.d_model):
        for step in range(most_steps + 1):
            logits = frozen + layers(read) @ U
            chosen = logits.log_softmax(dim=-1)[:, torch.arange(len(targets)), targets]
            losses = -(weight * chosen).sum(dim=1)
            if step % LOOK == 0 or step == most_steps:
                excess = data.excess(chosen.detach().cpu().numpy())
                for i in np.flatnonzero((excess <= tolerance) | (step == most_steps)).tolist():
                    if i not in ended:
                        tuned = _with_layer(base, layers.copy(i), reads)
                        fitted = bool(excess[i] <= tolerance)
                        loss = float(losses[i].detach())
                        ended[i] = Trained(tuned, loss, float(excess[i]), step, fitted)
                if len(ended) == len(seeds):
                    break
            if on_progress is not None:
                on_progress(step)
            optimiser.zero_grad()
            losses.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
    return [ended[i] for i in range(len(seeds))]


class _Data:
    """What data sets say of the next token after each input."""

    def __init__(
        self, counts: Float64[np.ndarray, "sets different"], inputs: Int64[np.ndarray, " different"]
    ) -> None:
        self._of = np.zeros((len(inputs), int(inputs.max()) + 1))
        self._of[np.arange(len(inputs)), inputs] = 1
        times = counts @ self._of @ self._of.T
        self._share = np.divide(counts, times, out=np.zeros_like(counts), where=counts > 0)
        self._log = np.log(self._share, out=np.zeros_like(counts), where=counts > 0)

    def excess(self, chosen: Float64[np.ndarray, "sets different"]) -> Float64[np.ndarray, " sets"]:
        """Return the greatest KL(data || model) after an input, given the model's log p."""
        each = self._share * (self._log - chosen)
        greatest: Float64[np.ndarray, " sets"] = (each @ self._of).max(axis=1)
        return greatest


def _with_layer(base: Weights, tensors: list[np.ndarray], reads: Sequence[int]) -> Weights:
    """Return the base weights with a trained last feed-forward layer."""
    W_gate, b_gate, W_in, b_in, W_out = tensors
    neurons = W_gate.shape[1]
    wide = np.zeros((2, base.d_model, neurons))
    wide[:, list(reads)] = W_gate, W_in
    trained = FeedForward(
        neurons=tuple(f"trained {number}" for number in range(neurons)),
        W_gate=Matrix.from_dense(wide[0]),
        b_gate=b_gate[0],
        W_in=Matrix.from_dense(wide[1]),
        b_in=b_in[0],
        W_out=Matrix.from_dense(W_out),
        snap=np.zeros(neurons, dtype=np.bool_),
    )
    last = base.layers[-1]
    layer = Layer(f"{last.purpose}; trained transitions", last.heads, trained)
    return replace(base, layers=(*base.layers[:-1], layer))
