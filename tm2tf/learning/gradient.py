"""Fine-tuning by torch.optim.SGD, one example at a time, kept update by update.

The loss of an example is relu(margin + 1/2 - label * score) with score = w.x + b. Where it is
positive its gradient is -label * x, so a step of size 1 adds label * x to w and label to b, and
where it is 0 nothing changes. On whole numbers it is positive exactly if label * score <= margin.
That is what the 1/2 is for: without it the loss would be 0 at label * score = margin, where relu
has a corner and torch takes its slope to be 0, and training from w = 0 would never begin.

Numbers here are whole and far below 2^53, so float64 holds all of them without rounding.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int64

from tm2tf.runtime.threads import few_threads


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """A step that changed the weights, counted from 0: in which epoch, at which example."""

    epoch: int
    example: int


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """What training left behind. The bias is the last of `fields`.

    Attributes:
        updates: where the weights changed; `weights`: what they were after each.
        sums: the sum of the weights after every example so far, updated or not.
        final: the weights at the end.
        mistakes: for each epoch the examples met with label * score <= 0.
    """

    updates: tuple[Update, ...]
    weights: Float64[np.ndarray, "updates fields"]
    sums: Float64[np.ndarray, "visits fields"]
    final: Float64[np.ndarray, " fields"]
    mistakes: tuple[int, ...]


def fine_tune(
    features: Int64[np.ndarray, "examples features"],
    labels: Int64[np.ndarray, " examples"],
    *,
    epochs: int,
    margin: int = 0,
    theta: Int64[np.ndarray, " fields"] | None = None,
) -> Trained:
    """Return what SGD with step 1 makes of `theta` (zeros if not given), in the examples' order."""
    model = torch.nn.Linear(features.shape[1], 1, dtype=torch.float64)
    with torch.no_grad():
        first = torch.zeros(features.shape[1] + 1, dtype=torch.float64)
        if theta is not None:
            first = torch.tensor(theta, dtype=torch.float64)
        model.weight.copy_(first[:-1])
        model.bias.copy_(first[-1:])
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    inputs = torch.tensor(features, dtype=torch.float64)
    targets = torch.tensor(labels, dtype=torch.float64)
    updates, weights, sums, mistakes = [], [], [], [0] * epochs
    total = torch.zeros_like(first)
    with few_threads(features.shape[1]):
        for epoch in range(epochs):
            for number, (x, label) in enumerate(zip(inputs, targets, strict=True)):
                agreement = label * model(x)
                loss = torch.relu(margin + 0.5 - agreement).sum()
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                now = _parameters(model)
                total = total + now
                sums.append(total.numpy())
                mistakes[epoch] += int(agreement.item() <= 0)
                if loss.item() > 0:
                    updates.append(Update(epoch, number))
                    weights.append(now.numpy())
    width = len(first)
    return Trained(
        tuple(updates),
        np.array(weights).reshape(len(weights), width),
        np.array(sums).reshape(len(sums), width),
        _parameters(model).numpy(),
        tuple(mistakes),
    )


def predict(
    weights: Float64[np.ndarray, " fields"], queries: Int64[np.ndarray, "queries features"]
) -> tuple[int, ...]:
    """Return the label of each query: 1 where w.x + b > 0, else -1."""
    scores = torch.nn.functional.linear(
        torch.tensor(queries, dtype=torch.float64),
        torch.tensor(weights[None, :-1]),
        torch.tensor(weights[-1:]),
    )
    return tuple(1 if score > 0 else -1 for score in scores[:, 0].tolist())


def _parameters(model: torch.nn.Linear) -> torch.Tensor:
    """Return a copy of weights and bias, one after the other."""
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])
