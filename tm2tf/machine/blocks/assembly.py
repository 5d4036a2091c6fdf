"""From rules found, as numbers, to a block machine with names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from tm2tf.machine.blocks.lifted import Block, BlockMachine, FirstRun, Found, Place
from tm2tf.machine.spec import UNDEFINED_OUTCOME, Machine, Outcome, Transition

WIDEST = 32
"""Characters of a name that says the cells of a block; beyond, blocks are numbered."""


class Mark(NamedTuple):
    """A state of a block machine: how it is marked (one of `><@?~`), and its place."""

    kind: str
    state: str
    cell: int


class Rule(NamedTuple):
    """A rule of a block machine; blocks are numbers."""

    entered: Mark
    read: int
    to: Mark
    written: int
    move: str
    steps: int


@dataclass(frozen=True, slots=True)
class Table:
    """Rules from a start, and the cells of the blocks they speak of; block 0 is the blank one."""

    base: Machine
    block: int
    start: Mark
    blocks: Sequence[Block]
    rules: Sequence[Rule]


def start_of(base: Machine) -> Mark:
    """Return the state in which a block machine starts: on the first cell of block 0."""
    return Mark("@" if base.outcome_of(base.start) is not None else ">", base.start, 0)


def assembled(table: Table, found: Found, first_run: FirstRun | None = None) -> BlockMachine:
    """Return the block machine that has these rules."""
    base, names = table.base, _names(table.base, table.blocks)
    marks = dict.fromkeys((table.start, *(m for r in table.rules for m in (r.entered, r.to))))
    ends_last = sorted(marks, key=lambda mark: outcome_of(base, mark) is not None)
    states = {mark: named(mark) for mark in ends_last}
    # in the order of states and symbols, as a machine file has rules: tokens are in this order
    order = {mark: number for number, mark in enumerate(states)}
    rules = sorted(table.rules, key=lambda rule: (order[rule.entered], rule.read))
    return BlockMachine(
        base=base,
        block=table.block,
        machine=_machine(
            table,
            states,
            names,
            {
                (states[r.entered], (names[r.read],)): Transition(
                    states[r.to], (names[r.written],), (r.move,)
                )
                for r in rules
            },
        ),
        places=MappingProxyType({name: Place(m.state, m.cell) for m, name in states.items()}),
        blocks=MappingProxyType(dict(zip(names, table.blocks, strict=True))),
        steps=MappingProxyType({(states[r.entered], names[r.read]): r.steps for r in rules}),
        found=found,
        first_run=first_run,
    )


def _names(base: Machine, blocks: Sequence[Block]) -> list[str]:
    """Return what blocks are called: their cells, apart where these have long names, or a number.

    None is called like another.
    """
    apart = "" if all(len(symbol) == 1 for symbol in base.symbols) else ","
    names = [apart.join(block) for block in blocks]
    unclear = apart and any("," in symbol for symbol in base.symbols)
    if unclear or max(map(len, names)) > WIDEST:
        return [f"block{number}" for number in range(len(blocks))]
    return names


def named(mark: Mark) -> str:
    """Return what a state is called."""
    return f"{mark.state}{mark.kind}" + (str(mark.cell) if mark.kind in "@?~" else "")


def outcome_of(base: Machine, mark: Mark) -> Outcome | None:
    """Return how a run ends that comes to a state, None if it goes on."""
    if mark.kind == "?":
        return UNDEFINED_OUTCOME[base.undefined]
    return base.outcome_of(mark.state) if mark.kind == "@" else None


def _machine(
    table: Table,
    states: dict[Mark, str],
    symbols: list[str],
    transitions: dict[tuple[str, tuple[str, ...]], Transition],
) -> Machine:
    """Return the block machine itself."""
    base = table.base
    outcomes = {name: outcome_of(base, mark) for mark, name in states.items()}
    return Machine(
        name=f"{base.name}-blocks-of-{table.block}",
        symbols=tuple(symbols),
        blank=symbols[0],
        states=tuple(states.values()),
        start=states[table.start],
        transitions=transitions,
        accept=tuple(name for name, how in outcomes.items() if how == "accepted"),
        reject=tuple(name for name, how in outcomes.items() if how == "rejected"),
        halt=tuple(name for name, how in outcomes.items() if how == "halted"),
        undefined=base.undefined,
        description=f"{base.name} in blocks of {table.block} cells",
        source=base.source,
    )
