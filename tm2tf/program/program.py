"""A program: a vocabulary with its embedding, layers of operations, and an unembedding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from tm2tf.program.checks import check
from tm2tf.program.features import Feature
from tm2tf.program.operations import Attention, FeedForward

Role = Literal["begin", "prompt", "step", "part", "summary", "cut", "cell", "row", "end"]
"""What a token is for:

- begin: the first of every sequence; prompt: given by the user;
- step: one machine step; part: emitted besides, belongs to a step or a summary;
- summary: emitted, opens a summary; cut: emitted, closes it, and everything between the first
  token and the last "summary" token is then forgotten: the context begins anew, with the summary;
- cell: one cell of a row that stands for a configuration; row: emitted, ends a row;
- end: emitted, stands for no step and ends the run.
"""


@dataclass(frozen=True, slots=True)
class Token:
    """A word of the vocabulary and the features it embeds.

    Attributes:
        name: its text, without spaces.
        role: what it is for, see `Role`.
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
    """The next token: the one whose row equals the values of `features`, else `default`.

    None in a row equals anything. No two rows may match at once.

    Or `features` is a distribution alone, whose shares are then the probabilities of the tokens:
    that of a token is the share of its row's word, and `default` has what these leave. The next
    token is the one of the greatest share, of equals the first in the vocabulary, or `default` if
    no share is above 0.
    """

    features: tuple[str, ...]
    rows: Mapping[str, tuple[str | None, ...]]
    default: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", MappingProxyType(dict(self.rows)))


@dataclass(frozen=True, slots=True)
class Program:
    """A whole program, checked when made.

    With `loop` it is a looped program: all tokens are there from the beginning, attention looks
    both ways, and the layers are passed through again and again, every position at once. `loop`
    pairs a feature at the end of a pass with the one that has its value at the beginning of the
    next; tokens set the latter for the first pass. What tokens set besides stays as it is.

    Raises:
        ProgramError: it breaks a rule of `program.checks`.
    """

    name: str
    features: tuple[Feature, ...]
    tokens: tuple[Token, ...]
    layers: tuple[Layer, ...]
    unembed: Unembed
    loop: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        check(self)

    def token(self, name: str) -> Token:
        """Return the token called `name`; KeyError if there is none."""
        for token in self.tokens:
            if token.name == name:
                return token
        raise KeyError(name)
