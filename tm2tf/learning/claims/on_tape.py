"""The in-context side of claim C: the perceptron of `learning.tape`, as a transformer.

A sample's examples stand on the machine's input tape, so in the transformer's prompt. Its weights,
which are the same for all samples, emit the training run, and a separator is what the run leaves on
the tape. torch's SGD and numpy's perceptron learn from the same examples.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from tm2tf.api import Model
from tm2tf.api import compile as compile_model
from tm2tf.learning.claims.laws import sums_of
from tm2tf.learning.claims.rounded import Sample, error, samples
from tm2tf.learning.sft import Agreement, Learner, run_beside
from tm2tf.learning.trials import Outcome, Task


@cache
def compiled() -> Model:
    """Return the perceptron's weights, which see no example."""
    return compile_model(Learner("perceptron").machine())


def equal(run: Agreement, sample: Sample) -> bool:
    """Return whether a run agrees with the machine, with torch and, bit by bit, with numpy.

    That is: with the machine in every step, with torch in its weights after every update and in
    its answers, with numpy in its weights after every update and at the end.
    """
    rows = tuple(tuple(row) for row in sample.weights.tolist())
    return run.holds and run.weights == rows and run.final == rows[-1]


def on_tape(task: Task) -> Outcome:
    """Train on every trial's sample through the weights; return the errors of what they learned.

    `unequal` is the number of runs that are not `equal`, `updates` and `steps` are those of all
    runs, each of them compared, `tokens` those of prompts and runs; `passed_over` is the number of
    samples that were.
    """
    found, passed_over = samples(task)
    runs = [
        run_beside(compiled(), sample.data, Learner("perceptron", sample.epochs))
        for sample in found
    ]
    off = np.array([error(np.array(run.final)) for run in runs])
    return {
        **sums_of("perceptron", off, task["eps"]),
        "passed_over": passed_over,
        "unequal": sum(not equal(run, sample) for run, sample in zip(runs, found, strict=True)),
        "updates": sum(len(run.weights) for run in runs),
        "steps": sum(run.check.steps for run in runs),
        "tokens": sum(run.check.peak_context for run in runs),
    }
