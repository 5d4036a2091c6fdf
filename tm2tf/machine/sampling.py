"""Random machines on random tapes, for checking: the same seed and number, the same machine."""

from __future__ import annotations

import random
from itertools import product

from tm2tf.machine.spec import Example, Machine, Move, Reads, Tape, Transition, Undefined

MAX_STEPS = 1000
"""Steps a sampled example may run: past a few hundred most random machines have halted or loop."""

DEFINED = 0.97
"""Share of defined transitions: low enough that many runs end in an undefined one, high enough that
they do not end at once."""

RUNNING = 12
"""Each running state is a target this many times as often as each of the three halting ones."""


def sample(seed: int, number: int) -> Machine:
    """Return machine `number` of a seed: 1-3 tapes, 2-6 states, 2-4 symbols, one example.

    It has an accepting, a rejecting and a halting state besides, any policy for undefined
    transitions, all moves, and a start with cells and head anywhere near 0.
    """
    draw = random.Random(f"tm2tf {seed} {number}")
    tapes = draw.randint(1, 3)
    symbols = tuple("_abc"[: draw.randint(2, 4)])
    states = tuple(f"q{i}" for i in range(draw.randint(2, 6)))
    targets = (*states * RUNNING, "yes", "no", "end")
    moves: tuple[Move, ...] = ("L", "S", "R")
    policies: tuple[Undefined, ...] = ("halt", "accept", "reject")
    transitions: dict[tuple[str, Reads], Transition] = {}
    for state in states:
        for reads in product(symbols, repeat=tapes):
            if draw.random() < DEFINED:
                transitions[state, reads] = Transition(
                    draw.choice(targets),
                    tuple(draw.choices(symbols, k=tapes)),
                    tuple(draw.choices(moves, weights=(4, 1, 4), k=tapes)),
                )
    start = tuple(_tape(draw, symbols) for _ in range(tapes))
    return Machine(
        name=f"random:{seed}:{number}",
        symbols=symbols,
        blank="_",
        states=(*states, "yes", "no", "end"),
        start="q0",
        transitions=transitions,
        tapes=tapes,
        accept=("yes",),
        reject=("no",),
        halt=("end",),
        undefined=draw.choice(policies),
        examples=(Example(start, max_steps=MAX_STEPS),),
    )


def _tape(draw: random.Random, symbols: tuple[str, ...]) -> Tape:
    contents = tuple(draw.choices(symbols, k=draw.randint(0, 8)))
    return Tape(contents, draw.randint(-6, 6), draw.randint(-6, 6))
