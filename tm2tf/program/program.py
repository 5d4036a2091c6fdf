"""A program: a vocabulary with its embedding, layers of operations, and an unembedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tm2tf.program.checks import check
from tm2tf.program.features import Feature
from tm2tf.program.operations import Attention, FeedForward

Role = Literal["begin", "prompt", "step", "end"]


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the vocabulary and the features it embeds.

    Attributes:
        name: its text, without spaces.
        role: "begin" (the first token of every sequence), "prompt" (given by the user), "step"
            (one machine step, emitted), or "end" (emitted, stands for no step).
        values: the features it sets; integers left out are 0, categoricals are absent.
        outcome: how a run that emits this token (or whose prompt ends in it) is over, if it is.
    """

    name: str
    role: Role
    values: Mapping[str, str | int]
    outcome: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", MappingProxyType(dict(self.values)))


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: attention first, then the feed-forward part, each op at once."""

    attention: tuple[Attention, ...] = ()
    feed_forward: tuple[FeedForward, ...] = ()


@dataclass(frozen=True, slots=True)
class Unembed:
    """The next token: the one whose row equals the values of `features`, else `default`."""

    features: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    default: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", MappingProxyType(dict(self.rows)))


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program, checked when made.

    Raises:
        ProgramError: it breaks a rule of `program.checks`.
    """

    name: str
    features: tuple[Feature, ...]
    tokens: tuple[Token, ...]
    layers: tuple[Layer, ...]
    unembed: Unembed

    def __post_init__(self) -> None:
        check(self)

    def token(self, name: str) -> Token:
        """Return the token called `name`; KeyError if there is none."""
        for token in self.tokens:
            if token.name == name:
                return token
        raise KeyError(name)
