"""Machines made for measuring: space, rules or tapes grow as asked, and what they do is known."""

from __future__ import annotations

import random
from itertools import product
from typing import TypeAlias

from tm2tf.machine.spec import Machine, Reads, Tape, Transition

Rules: TypeAlias = dict[tuple[str, Reads], Transition]

MIRRORED = {"L": "R", "R": "L", "S": "S"}

SHUTTLE_CELLS = 8


def shuttle() -> Machine:
    """Return a machine that goes to and fro for ever over what it was given: 1s between blanks."""
    rules: Rules = {
        ("right", ("1",)): Transition("right", ("1",), ("R",)),
        ("right", ("_",)): Transition("left", ("_",), ("L",)),
        ("left", ("1",)): Transition("left", ("1",), ("L",)),
        ("left", ("_",)): Transition("right", ("_",), ("R",)),
    }
    return Machine("shuttle", ("_", "1"), "_", ("right", "left"), "right", rules)


def shuttle_tape(cells: int = SHUTTLE_CELLS) -> Tape:
    """Return the tape for a shuttle over so many 1s; it visits these and a blank on either side."""
    return Tape(("1",) * cells)


def spreader() -> Machine:
    """Return a machine that goes to and fro for ever, a cell further each time.

    After n steps it has visited about sqrt(2 n) cells.
    """
    rules: Rules = {
        ("right", ("1",)): Transition("right", ("1",), ("R",)),
        ("right", ("_",)): Transition("left", ("1",), ("L",)),
        ("left", ("1",)): Transition("left", ("1",), ("L",)),
        ("left", ("_",)): Transition("right", ("1",), ("R",)),
    }
    return Machine("spreader", ("_", "1"), "_", ("right", "left"), "right", rules)


def walker() -> Machine:
    """Return a machine that visits a new cell in each step, and marks it."""
    rules: Rules = {("on", ("_",)): Transition("on", ("1",), ("R",))}
    return Machine("walker", ("_", "1"), "_", ("on",), "on", rules)


def side_by_side(machine: Machine, tapes: int) -> Machine:
    """Return a machine that does the same as a one-tape machine on each of several tapes.

    On every other tape it does so mirrored. All tapes always read the same symbol, so there are as
    many rules as before, as many steps, and as many cells that are not blank on each tape.
    """
    rules: Rules = {}
    for (state, (read,)), to in machine.transitions.items():
        move = to.moves[0]
        moves = tuple(MIRRORED[move] if tape % 2 else move for tape in range(tapes))
        rules[state, (read,) * tapes] = Transition(to.state, to.writes * tapes, moves)
    return Machine(
        name=f"{machine.name}, {tapes} tapes",
        symbols=machine.symbols,
        blank=machine.blank,
        states=machine.states,
        start=machine.start,
        transitions=rules,
        tapes=tapes,
        accept=machine.accept,
        reject=machine.reject,
        halt=machine.halt,
        undefined=machine.undefined,
    )


def divider(divisor: int) -> Machine:
    """Return a machine with 10 rules for each unit of `divisor`, which divides decimal numbers.

    It goes once over a number, leaves the quotient in its place (with leading zeros), and ends
    in the state of the remainder, at the first blank, for which it has no rule.
    """
    states = tuple(f"r{remainder}" for remainder in range(divisor))
    digits = tuple("0123456789")
    rules: Rules = {}
    for remainder, digit in product(range(divisor), range(10)):
        quotient, rest = divmod(10 * remainder + digit, divisor)
        to = Transition(states[rest], (digits[quotient],), ("R",))
        rules[states[remainder], (digits[digit],)] = to
    name = f"divider by {divisor}"
    return Machine(name, ("_", *digits), "_", states, states[0], rules)


def random_machine(rules: int, seed: int, symbols: int = 10, tapes: int = 1) -> Machine:
    """Return a machine with so many rules drawn at random, for all states and reads but the last.

    One rule in a hundred halts: it is there to be compiled, and runs for a while.
    """
    draw = random.Random(f"tm2tf bench {seed} {rules} {symbols} {tapes}")
    alphabet = tuple(str(number) for number in range(symbols))
    count = -(-rules // symbols**tapes)
    states = tuple(f"q{number}" for number in range(count))
    found: Rules = {}
    for state, reads in product(states, product(alphabet, repeat=tapes)):
        if len(found) == rules:
            break
        found[state, reads] = Transition(
            "end" if draw.random() < 0.01 else draw.choice(states),
            tuple(draw.choices(alphabet, k=tapes)),
            tuple(draw.choices("LR", k=tapes)),
        )
    return Machine(
        name=f"random, {rules:,} rules",
        symbols=alphabet,
        blank="0",
        states=(*states, "end"),
        start="q0",
        transitions=found,
        tapes=tapes,
        halt=("end",),
    )
