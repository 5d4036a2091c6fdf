"""What the tests ask of an inference engine."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from tm2tf.errors import InputError

HIDDEN = -1
"""Stands for a token that ended a row and is not shown: servers leave the last one out."""


class UnsupportedError(InputError):
    """An engine cannot do what an item asks for, and says so: the item is skipped."""


class SilentError(InputError):
    """An engine did not answer in time: nothing more of the case is asked."""


class Session(Protocol):
    """A checkpoint that an engine has loaded."""

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, stop: Collection[int]
    ) -> list[list[int]]:
        """Return up to `count` tokens that follow each prompt, greedily, as ids.

        Prompts of different lengths are one batch where the engine has batches, padded on the
        left. A token of `stop` is the last one of its row, of no more than `count`.

        Raises:
            UnsupportedError: the engine refuses such a batch.
        """
        ...

    def score(self, tokens: Sequence[int]) -> list[int] | None:
        """Return the most probable next token after each position, all in one pass.

        None if the engine cannot tell.
        """
        ...


@dataclass(frozen=True, slots=True)
class Sampled:
    """Tokens that were drawn; `doubt`: the greatest 1 - p of any of them, None if not told."""

    tokens: list[int]
    doubt: float | None


@runtime_checkable
class SamplingSession(Protocol):
    """A session that can draw tokens at temperature 1 from all of the vocabulary."""

    def sample(
        self, prompt: Sequence[int], count: int, stop: Collection[int], seed: int
    ) -> Sampled:
        """Return up to `count` tokens; one of `stop` is the last."""
        ...


class Engine(Protocol):
    """An inference engine: how it loads the checkpoint that a folder of the suite holds."""

    @property
    def name(self) -> str:
        """What it is called, with its version."""
        ...

    def load(self, folder: Path) -> Session:
        """Return a session for a folder.

        Raises:
            ExtraError: the engine's package is not installed.
            InputError: the folder has nothing that this engine loads.
        """
        ...
