"""The fine-tuned side of claims A, B and C: torch's own gradient descent on the same examples."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float64, Int64

from tm2tf.errors import InternalError
from tm2tf.learning.claims.halfspaces import draw_examples, errors, max_margin
from tm2tf.learning.claims.laws import LAWS, draw, sums_of
from tm2tf.learning.trials import Outcome, Task

NEAR = 1e-3
"""Training of tables ends within so much total variation of the examples' own shares."""

TABLE_RATE, TABLE_STEPS = 0.05, 20_000
"""Learning rate of tables, and the steps in which they have to come near. Some hundred do."""

LOGISTIC_STEPS = 3_000
"""Steps of logistic regression."""

TINY = 1e-300
"""Stands for 0 where something is divided by a length."""


def fit_tables(
    counts: Int64[np.ndarray, "tables words"],
) -> tuple[Float64[np.ndarray, "tables words"], int]:
    """Return the distributions that AdamW learns from counted words, and the steps that it took.

    One row of logits a table, from 0 on; full batch, cross-entropy, no weight decay. The gradient
    of the mean cross-entropy by the logits is softmax(logits) - shares, so half the sum of its
    absolute values is the total variation between what is learned and the examples' shares.
    Training ends when that is `NEAR` at most in every table.

    Raises:
        InternalError: it does not come near in `TABLE_STEPS` steps.
    """
    shares = torch.from_numpy(counts / counts.sum(axis=-1, keepdims=True))
    logits = torch.zeros_like(shares, requires_grad=True)
    optimizer = torch.optim.AdamW([logits], lr=TABLE_RATE, weight_decay=0.0)
    for step in range(TABLE_STEPS):
        optimizer.zero_grad()
        loss = -(shares * torch.log_softmax(logits, dim=-1)).sum()
        torch.autograd.backward(loss)
        assert logits.grad is not None
        if float(logits.grad.abs().sum(dim=-1).max()) / 2 <= NEAR:
            return torch.softmax(logits.detach(), dim=-1).numpy(), step
        optimizer.step()
    raise InternalError(f"tables of words are not learned in {TABLE_STEPS:,} steps")


def tables(task: Task) -> Outcome:
    """Fine-tune a table for each context of each trial; return its errors and those of counting.

    `tuned` and `counted` are the worst context's total variation from the truth, `tuned_sup` and
    `counted_sup` the greatest difference of a word; `largest_apart` is the total variation
    between the two sides, which `NEAR` bounds.
    """
    law = LAWS[task["law"]](task["words"])
    counts = draw(task, [task["examples"]] * task["contexts"])
    learned, steps = fit_tables(counts.reshape(-1, len(law)))
    sides = {
        "tuned": learned.reshape(counts.shape),
        "counted": counts / counts.sum(axis=-1, keepdims=True),
    }
    outcome: Outcome = {
        "largest_apart": float(np.abs(sides["tuned"] - sides["counted"]).sum(axis=-1).max()) / 2,
        "largest_steps": steps,
    }
    for name, found in sides.items():
        off = np.abs(found - law)
        outcome |= sums_of(name, off.sum(axis=-1).max(axis=1) / 2, task["eps"])
        outcome |= sums_of(f"{name}_sup", off.max(axis=(1, 2)), task["eps"])
    return outcome


def fit_logistic(
    x: Float64[np.ndarray, "trials n d"], y: Float64[np.ndarray, "trials n"]
) -> Float64[np.ndarray, "trials k"]:
    """Return weights and bias (k = d + 1 numbers) of logistic regression by gradient descent.

    Full batch, from 0 on, `LOGISTIC_STEPS` steps of length 1 / sqrt(step) along the gradient. On
    separable examples the direction tends to the max-margin one, of separators through the origin
    of examples that have a further coordinate 1 for the bias. With steps of a fixed rate that
    takes time exponential in the precision; steps whose length does not shrink with the gradient
    are much faster.

    Source: Soudry et al. (2018), JMLR 19, Theorem 3; Nacson et al. (2019), AISTATS, on normalized
    steps.
    """
    lifted = np.concatenate([x, np.ones((*x.shape[:2], 1))], axis=2)
    signed = torch.from_numpy(lifted * y[..., None])
    w = torch.zeros(len(x), signed.shape[2], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=1.0)
    for step in range(LOGISTIC_STEPS):
        optimizer.zero_grad()
        margins = (signed @ w[..., None])[..., 0]
        torch.autograd.backward(torch.nn.functional.softplus(-margins).sum())
        assert w.grad is not None
        # far out all gradients are so small that only their direction is left
        w.grad /= w.grad.norm(dim=1, keepdim=True).clamp(min=TINY) * math.sqrt(step + 1)
        optimizer.step()
    return w.detach().numpy()


def logistic(task: Task) -> Outcome:
    """Train logistic regression and the max-margin separator on the same examples.

    `tuned` and `max_margin` are their errors, `cosine` is that of the angle between their weights,
    `unfitted` the trials in which gradient descent leaves an example on the wrong side.
    """
    x, y, target = draw_examples(task, task["examples"])
    learned = fit_logistic(x, y)
    w, b = learned[:, :-1], learned[:, -1]
    best = [max_margin(*example) for example in zip(x, y, strict=True)]
    v, c = np.array([pair[0] for pair in best]), np.array([pair[1] for pair in best])
    fits = (y * (np.einsum("tnd,td->tn", x, w) + b[:, None]) > 0).all(axis=1)
    lengths = np.maximum(np.linalg.norm(w, axis=1) * np.linalg.norm(v, axis=1), TINY)
    return {
        **sums_of("tuned", errors(w, b, target), task["eps"]),
        **sums_of("max_margin", errors(v, c, target), task["eps"]),
        "cosine": float(((w * v).sum(axis=1) / lengths).sum()),
        "unfitted": int((~fits).sum()),
    }
