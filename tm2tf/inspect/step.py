"""One forward pass: what every feature, head, neuron and logit was at one step of a run.

A decoder is run token by token, a looped model pass by pass, through the plain torch models, which
are the ones that keep what is shown here.
"""

from __future__ import annotations

from tm2tf.compiler import Compiled
from tm2tf.inspect.recording import Recording
from tm2tf.inspect.snapshot import StepView
from tm2tf.machine.spec import Configuration


def step(compiled: Compiled, start: Configuration, number: int) -> StepView:
    """Return the pass that emits step `number`'s token, in a run from a start configuration.

    See `Recording.view`, which is for those who want more passes than one.

    Raises:
        NotFoundError: the run has no such step.
        InputError: it comes too late in the run for the plain models.
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: a token cuts a context that holds no summary.
    """
    return Recording(compiled, start).view(number)
