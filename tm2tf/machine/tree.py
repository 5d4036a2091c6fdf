"""All machines of so many states and symbols, but for those that do the same on a blank tape.

A machine that never gets to use a rule does as well without it, and what states and symbols are
called makes no difference. So a machine begins without rules, and runs until it lacks one. Each
rule that might stand there gives another machine, which runs on: into a state and with a symbol
that was met before, or the first one that was not, as the others would only be called otherwise.
The first move is to the right, as the mirror image does the same. This is the tree normal form of
A. H. Brady, "The determination of the value of Rado's noncomputable function Sigma(k) for
four-state Turing machines" (1983).
"""

from __future__ import annotations

import string
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

from tm2tf.errors import InputError
from tm2tf.machine.spec import OFFSET, Machine, Transition

MOST_STATES, MOST_SYMBOLS = 25, 10
"""As many as the codes of bbchallenge.org have letters and digits for: `Z` is left for the end."""

HALT = "1RZ"
Rules: TypeAlias = dict[tuple[int, int], tuple[int, str, int]]
"""For a state and the symbol read: what is written, the move, the next state."""


@dataclass(frozen=True, slots=True)
class _Node:
    """A machine that lacks rules, and where it stands: behind `steps` steps, in `state`.

    `states` and `symbols` are how many of these it has met.
    """

    rules: Rules
    states: int
    symbols: int
    state: int
    head: int
    cells: dict[int, int]
    steps: int


def tree(states: int, symbols: int, max_steps: int) -> Iterator[Machine]:
    """Yield all machines of so many states and symbols that differ on a blank tape, one by one.

    Each one that lacks a rule within `max_steps` steps halts there, by a step of its own; those
    that do not are yielded as they are. Machines that lack no rule at all are left out: they have
    nowhere to halt. The order is always the same. Names are the codes of bbchallenge.org.

    Raises:
        InputError: there are no codes for so many states or symbols, or a number is not positive.
    """
    sizes = ("states", states, 1, MOST_STATES), ("symbols", symbols, 2, MOST_SYMBOLS)
    for what, number, least, most in sizes:
        if not least <= number <= most:
            raise InputError(f"{what} must be from {least} to {most}, got {number}")
    if max_steps < 1:
        raise InputError(f"max_steps must be at least 1, got {max_steps}")
    return _below(_Node({}, 1, 1, 0, 0, {}, 0), states, symbols, max_steps)


def _below(node: _Node, states: int, symbols: int, max_steps: int) -> Iterator[Machine]:
    """Yield the machines that have the rules of a node, and maybe more."""
    waiting = [node]
    while waiting:
        at = _run(waiting.pop(), max_steps)
        read = at.cells.get(at.head, 0)
        if (at.state, read) in at.rules:
            yield _machine(at.rules, states, symbols, None)
            continue
        yield _machine(at.rules, states, symbols, (at.state, read))
        if len(at.rules) + 1 < states * symbols:
            waiting += reversed(list(_children(at, (at.state, read), states, symbols)))


def _children(at: _Node, lacks: tuple[int, int], states: int, symbols: int) -> Iterator[_Node]:
    """Yield the machine with each rule that might stand where it lacks one."""
    for written in range(min(symbols, at.symbols + 1)):
        for move in "R" if not at.rules else "LR":
            for state in range(min(states, at.states + 1)):
                rules = at.rules | {lacks: (written, move, state)}
                met = max(at.states, state + 1), max(at.symbols, written + 1)
                yield _Node(rules, *met, at.state, at.head, at.cells.copy(), at.steps)


def _run(node: _Node, max_steps: int) -> _Node:
    """Return a node where it lacks a rule, or after `max_steps` steps; its cells are changed."""
    state, head, steps, cells = node.state, node.head, node.steps, node.cells
    while steps < max_steps:
        to = node.rules.get((state, cells.get(head, 0)))
        if to is None:
            break
        cells[head], move, state = to
        head, steps = head + OFFSET[move], steps + 1
    return _Node(node.rules, node.states, node.symbols, state, head, cells, steps)


def _machine(rules: Rules, states: int, symbols: int, halts: tuple[int, int] | None) -> Machine:
    letters, digits = string.ascii_uppercase[:states], string.digits[:symbols]
    code = {
        (q, s): f"{written}{move}{letters[state]}"
        for (q, s), (written, move, state) in rules.items()
    }
    if halts is not None:
        code[halts] = HALT
    rows = ["".join(code.get((q, s), "---") for s in range(symbols)) for q in range(states)]
    return Machine(
        name="_".join(rows),
        symbols=tuple(digits),
        blank="0",
        states=(*letters, *(["Z"] if halts is not None else [])),
        start="A",
        transitions={
            (letters[q], (digits[s],)): Transition(cell[2], (cell[0],), (cell[1],))
            for (q, s), cell in sorted(code.items())
        },
        halt=("Z",) if halts is not None else (),
    )
