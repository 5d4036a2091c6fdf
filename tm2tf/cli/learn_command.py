"""`tm2tf learn`: fine-tuned weights against examples in the prompt, one file an experiment."""

from __future__ import annotations

import click

from tm2tf.cli.lazy import LazyGroup

EXPERIMENTS = {
    "transitions": "Rules learned by gradient descent, and the same rules read from the prompt.",
    "sft-on-tape": "Fine-tuning itself as a Turing machine, beside torch.optim.SGD.",
    "bounds": "How many examples: four bounds, and Monte Carlo for each.",
    "retrieval": "A part of the data in the prompt, drawn at random or by nearness.",
    "report": "All of it on one page.",
}


@click.group(name="learn", cls=LazyGroup, table=EXPERIMENTS, module="tm2tf.cli.learn.{}")
def command() -> None:
    """Fine-tune compiled weights, put the same data into the prompt, and compare token by token.

    Figures and learners need the extra `learn`: pip install 'tm2tf[learn]'.
    """
