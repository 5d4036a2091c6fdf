"""`tm2tf kat`: runs whose answer is known, to test inference engines with."""

from __future__ import annotations

import click

from tm2tf.cli.lazy import LazyGroup

STEPS = {
    "make": "Write checkpoints, prompts, and the tokens that must follow.",
    "run": "Hold an engine's tokens against them.",
}


@click.group(name="kat", cls=LazyGroup, table=STEPS, module="tm2tf.cli.kat.{}")
def command() -> None:
    """Test inference engines: every token of these checkpoints is known beforehand.

    Each case of the suite stresses something that engines get wrong: long-range recall, recency,
    exact copying, many heads, left padding, cache reuse, prompts that end in mid-run.
    """
