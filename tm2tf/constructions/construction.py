"""What a construction is: the program of a machine, the prompt of a start, and how to read both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from tm2tf.errors import ConstructionError, did_you_mean
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.program.program import Program

Options: TypeAlias = Mapping[str, int]
"""What a construction is asked for by name, such as {"tape": 256}; all of its options are there."""

View = Literal["steps", "rows", "cells"]
"""Where a run can be read as machine steps:

- steps: a decoder's tokens with role "step" are the steps; features at the pass that emits one
  say from where (`state`, `tapeN.read`, `tapeN.head`);
- rows: a decoder's tokens with role "cell" are cells, and those up to a token with role "row" are
  one configuration after another;
- cells: a looped program's positions are cells, and what they hold after a pass is one.
"""


@dataclass(frozen=True, slots=True)
class Option:
    """A number that a construction may be asked for, from `least` to `most`.

    Weights grow with it, so that without a limit a slip of the finger would fill the memory.
    """

    name: str
    default: int
    least: int
    help: str
    most: int = 65_536


@dataclass(frozen=True, slots=True)
class Prompt:
    """The tokens of a start; `origins` are the addresses, a tape each, of the weights' address 0.

    In a looped program or one that writes rows, address 0 is the first cell after the edge.
    """

    tokens: tuple[str, ...]
    origins: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Naming:
    """The machine's words for the weights' words, where those differ."""

    states: Mapping[str, str] = field(default_factory=dict)
    symbols: Mapping[str, str] = field(default_factory=dict)

    def state(self, word: str) -> str:
        """Return the machine's name of a state."""
        return self.states.get(word, word)

    def symbol(self, word: str) -> str:
        """Return the machine's name of a symbol."""
        return self.symbols.get(word, word)


def same_names(machine: Machine, options: Options) -> Naming:
    """Return that the weights call everything what the machine calls it."""
    return Naming()


def as_asked(machine: Machine, configuration: Configuration, options: Options) -> Options:
    """Return the options as they are: the weights leave no choice for a start."""
    return options


def takes_any(machine: Machine, options: Options) -> str | None:
    """Return that there is nothing against a machine."""
    return None


def one_token(machine: Machine, options: Options) -> int | None:
    """Return that a step takes one token."""
    return 1


def one_tape_only(machine: Machine, options: Options) -> str | None:
    """Return why a machine of several tapes is refused, None if it has one."""
    if machine.tapes == 1:
        return None
    return f"it takes machines of one tape, and this one has {machine.tapes}"


@dataclass(frozen=True, slots=True)
class Construction:
    """One way to put a machine into a transformer.

    Attributes:
        options: what it can be asked for.
        view: where its runs can be read as machine steps.
        refusal: why it cannot take a machine, and what to do; None if it can.
        naming: what the weights call the machine's states and symbols.
        fitting: the options, such as a wider window, that a start fits with the same weights.
        sizes: layers, heads, d_model, d_mlp and vocab on its target, from formulas.
        tokens_per_step: tokens emitted a step (looped: passes); None if that depends on the run.
        parts: how many tokens belong to a step and follow its "step" token.
        rebases: whether heads count from 0 again after each cut.
        shared: whether all machines share the same weights, with options alike.
        targets: what it can be lowered for; the first is taken unless another is asked for.
    """

    name: str
    summary: str
    source: str
    program: Callable[[Machine, Options], Program]
    prompt: Callable[[Machine, Configuration, Options], Prompt]
    sizes: Callable[[Machine, Options], dict[str, int]]
    options: tuple[Option, ...] = ()
    view: View = "steps"
    refusal: Callable[[Machine, Options], str | None] = takes_any
    naming: Callable[[Machine, Options], Naming] = same_names
    fitting: Callable[[Machine, Configuration, Options], Options] = as_asked
    parts: Callable[[Machine], int] = lambda machine: 0
    tokens_per_step: Callable[[Machine, Options], int | None] = one_token
    rebases: bool = False
    shared: bool = False
    targets: tuple[str, ...] = ("hard",)

    def resolve(self, given: Mapping[str, int | None]) -> Options:
        """Return all options: as given, else their defaults.

        Raises:
            ConstructionError: it has no such option, or a value is too small or too large.
        """
        known = {option.name: option for option in self.options}
        asked = {name: value for name, value in given.items() if value is not None}
        for name, value in asked.items():
            if name not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise ConstructionError(
                    f"construction {self.name!r} has no option {name!r}; {has}"
                    + did_you_mean(name, known)
                )
            least, most = known[name].least, known[name].most
            if not least <= value <= most:
                raise ConstructionError(
                    f"construction {self.name!r}: {name} is {value:,}; "
                    f"it must be from {least:,} to {most:,}"
                )
        return {name: asked.get(name, option.default) for name, option in known.items()}

    def check(self, machine: Machine, options: Options) -> None:
        """Raise `ConstructionError` where the machine cannot be taken."""
        reason = self.refusal(machine, options)
        if reason is not None:
            raise ConstructionError(
                f"construction {self.name!r} cannot take machine {machine.name!r}: {reason}"
            )
