"""Data to learn a machine from: the transitions that it takes while it runs on random inputs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tm2tf.constructions.canonical import canonical, canonical_start
from tm2tf.constructions.universal import examples
from tm2tf.errors import InputError
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Machine

TRIES = 50
"""Words drawn for each that is wanted, before it is said that there are too few."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A run as it was seen: the rules it used, in order, each as the words of its example.

    An example is what the universal construction's prompt holds, `A 0 -> B 1 right`, or
    `A 0 -> <stuck:halted>` where a run ended for want of a transition. `whole`: whether the run
    ended within the steps allowed.
    """

    word: str
    rules: tuple[str, ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Inputs:
    """How random inputs are drawn: a length, evenly up to the longest, then symbols, evenly."""

    symbols: tuple[str, ...]
    longest: int
    max_steps: int

    def draw(self, machine: Machine, random: np.random.Generator) -> str:
        """Return a random word for the first tape."""
        length = int(random.integers(self.longest + 1))
        return machine.join(
            [self.symbols[i] for i in random.integers(len(self.symbols), size=length)]
        )


def inputs_of(machine: Machine, symbols: str | None, longest: int, max_steps: int) -> Inputs:
    """Return how inputs of a machine are drawn: of `symbols`, or all but the blank.

    Raises:
        ConfigurationError: a symbol outside the alphabet.
    """
    if symbols is None:
        known = tuple(symbol for symbol in machine.symbols if symbol != machine.blank)
        return Inputs(known or (machine.blank,), longest, max_steps)
    chosen = tuple(dict.fromkeys(machine.split(symbols)))
    machine.initial([machine.join(chosen)])
    return Inputs(chosen or (machine.blank,), longest, max_steps)


class Teacher:
    """A machine under the names of the universal construction, watched while it runs.

    Attributes:
        machine: the machine; `known`: the same under canonical names.
        example: the example of each rule, by state and symbol read, its words joined by blanks.

    Raises:
        ConstructionError: the machine does not fit the construction with these options.
    """

    def __init__(self, machine: Machine, options: Mapping[str, int]) -> None:
        self.machine = machine
        self.known = canonical(machine, options)
        self.example = {
            (words[0], words[1]): " ".join(words) for words in examples(machine, options)
        }

    def run(self, word: str, max_steps: int) -> Observed:
        """Return what is seen of the machine's run on a word."""
        start = canonical_start(self.machine, self.machine.initial([word]))
        run = Simulation(self.known, start)
        seen: list[str] = []
        while run.outcome is None and len(seen) < max_steps:
            read = run.cells[0].get(run.heads[0], self.known.blank)
            seen.append(self.example[run.state, read])
            run.step()
        return Observed(word, tuple(seen), run.outcome is not None)


def distinct_words(
    machine: Machine,
    inputs: Inputs,
    count: int,
    random: np.random.Generator,
    without: frozenset[str] = frozenset(),
) -> list[str]:
    """Return up to `count` different random words, none of them in `without`.

    Raises:
        InputError: there are none.
    """
    words: dict[str, None] = {}
    for _ in range(TRIES * count):
        word = inputs.draw(machine, random)
        if word not in without:
            words[word] = None
        if len(words) == count:
            break
    if not words:
        raise InputError(
            f"no inputs of up to {inputs.longest} symbols of {' '.join(inputs.symbols)} are left "
            "to test on, besides those trained on; allow longer ones"
        )
    return list(words)


def frequencies(runs: Sequence[Observed]) -> Counter[str]:
    """Return how often each rule was used, in the order of the examples' words."""
    found = Counter(rule for run in runs for rule in run.rules)
    return Counter({rule: found[rule] for rule in sorted(found)})
