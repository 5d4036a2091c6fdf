"""The contents page: a machine becomes weights, stage by stage. Open this file first.

    machine file ─ formats ─▶ Machine ─ constructions ─▶ Program ─ lowering ─▶ Weights

`formats.parse` reads a machine; `constructions` say how it becomes a transformer's program
over named features; `lowering` gives every feature its directions and every operation its heads
and neurons. `runtime` then runs the weights, and `verify` holds simulator, interpreter and
weights against each other step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import TypeAlias

from tm2tf import constructions, lowering
from tm2tf.constructions.construction import Construction, Naming, Options, Prompt
from tm2tf.errors import ArtifactError, ConstructionError
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.program.operations import Relative
from tm2tf.program.program import Program
from tm2tf.weights.model import Weights

Prompter: TypeAlias = Callable[[Machine, Configuration, Options], Prompt]

MOST_SHARED = 4
_SHARED: dict[tuple[object, ...], tuple[Program, Weights]] = {}
"""Weights that many machines share, by construction, target and options: the latest few."""

NO_OPTIONS: Mapping[str, int | None] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Start:
    """The token ids of a prompt; `origins` as in `construction.Prompt`."""

    ids: tuple[int, ...]
    origins: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """A machine with what it was compiled to.

    `prompter`: what makes prompts, where it is not the construction: with other examples, say.
    """

    machine: Machine
    program: Program
    weights: Weights
    prompter: Prompter | None = None

    @property
    def construction(self) -> Construction:
        """How the machine was put into a transformer."""
        return constructions.by_name(self.weights.construction)

    @property
    def naming(self) -> Naming:
        """What the machine calls the weights' states and symbols."""
        return _naming(self)

    def start(self, configuration: Configuration, **changed: int) -> Start:
        """Return the prompt that puts the weights into a start configuration.

        `changed` options, such as a wider window, take the place of those compiled with, where
        the weights do not depend on them.

        Raises:
            ConfigurationError: the start does not fit the machine, or not into its bounded tape.
        """
        options = {**self.weights.options, **changed}
        make = self.prompter or self.construction.prompt
        prompt = make(self.machine, configuration, options)
        ids = self.weights.ids()
        return Start(tuple(ids[name] for name in prompt.tokens), prompt.origins)

    def fitting_start(self, configuration: Configuration) -> Start:
        """Return the prompt of `start` in a window that is wide enough, where that can be had."""
        chosen = self.construction
        options = chosen.fitting(self.machine, configuration, self.weights.options)
        return self.start(configuration, **options)

    def prompt(self, configuration: Configuration) -> list[int]:
        """Return the token ids of `fitting_start`."""
        return list(self.fitting_start(configuration).ids)


@lru_cache(maxsize=16)
def _naming(compiled: Compiled) -> Naming:
    """Return the naming, made once a model: those who follow runs ask for it again and again."""
    return compiled.construction.naming(compiled.machine, compiled.weights.options)


def compile_machine(
    machine: Machine,
    construction: str = "trace",
    target: str | None = None,
    options: Mapping[str, int | None] = NO_OPTIONS,
) -> Compiled:
    """Return the program and the weights of a machine, its rules in the order of its states.

    Raises:
        NotFoundError: no such construction or target.
        ConstructionError: the construction cannot take the machine, or has no such option.
        TargetError: the target cannot express what the construction needs.
    """
    chosen = constructions.by_name(construction)
    resolved = chosen.resolve(options)
    machine = _by_state(machine)
    chosen.check(machine, resolved)
    key = (construction, target, *resolved.items())
    if key in _SHARED:
        return Compiled(machine, *_SHARED[key])
    program = chosen.program(machine, resolved)
    positions = resolved["window"] + 2 if chosen.view == "cells" else None
    lowered = lowering.lower(program, construction, target or chosen.targets[0], positions)
    weights = replace(lowered, options=resolved)
    if chosen.shared:
        _SHARED[key] = (program, weights)
        while len(_SHARED) > MOST_SHARED:
            del _SHARED[next(iter(_SHARED))]
    return Compiled(machine, program, weights)


def _by_state(machine: Machine) -> Machine:
    """Return the machine with its rules by state, in the order of the states.

    Files have them so: a machine that was built in another order and one that was saved and loaded
    are the same, and get the same weights, token by token.
    """
    places = {state: place for place, state in enumerate(machine.states)}
    found = [places[state] for state, _ in machine.transitions]
    if found == sorted(found):
        return machine
    rules = sorted(machine.transitions.items(), key=lambda rule: places[rule[0][0]])
    return replace(machine, transitions=dict(rules))


def recompile(machine: Machine, weights: Weights) -> Compiled:
    """Return given weights (from an artifact, say) with the program they should compute.

    Raises:
        ConstructionError: their construction cannot take the machine, or has no such option.
        ArtifactError: their vocabulary or offsets are not what machine and options ask for.
    """
    chosen = constructions.by_name(weights.construction)
    options = chosen.resolve(weights.options)
    chosen.check(machine, options)
    program = chosen.program(machine, options)
    asked = {
        op.out: op.offset
        for layer in program.layers
        for op in layer.attention
        if isinstance(op, Relative)
    }
    heads = [h for layer in weights.layers for h in layer.heads if h.kind == "relative"]
    fits = all(asked.get(head.name) == head.offset for head in heads)
    if program.tokens != weights.tokens or not fits or options != dict(weights.options):
        raise ArtifactError(
            "the weights do not fit the machine and the options that their manifest states "
            f"(construction {chosen.name!r}, options {dict(weights.options)}): "
            "compile the machine again"
        )
    return Compiled(machine, program, weights)


def with_machine(compiled: Compiled, machine: Machine) -> Compiled:
    """Return another machine with the same weights, where machines share them.

    Raises:
        ConstructionError: weights of this construction are for one machine, or too small.
    """
    chosen = compiled.construction
    if not chosen.shared:
        raise ConstructionError(
            f"weights of construction {chosen.name!r} are for one machine: compile "
            f"{machine.name!r} by itself"
        )
    chosen.check(machine, compiled.weights.options)
    return Compiled(machine, compiled.program, compiled.weights)
