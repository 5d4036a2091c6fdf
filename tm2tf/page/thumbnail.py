"""A small space-time diagram of a machine's longest watchable run, as SVG, for the index."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Configuration, Machine
from tm2tf.page.payload import of_examples
from tm2tf.pictures.palette import hexadecimal, of_symbols

WIDE, TALL = 120, 80
"""Pixels of a thumbnail."""

MOST_ROWS = TALL // 2
"""Rows are two pixels high at least."""

MOST_STEPS = 400
"""Steps of the runs that are looked at; a machine that goes on is shown up to there."""


def thumbnail(machine: Machine) -> str:
    """Return the first tape of a run as an `<svg>` element: cells across, time down."""
    runs = [_rows(machine, start.configuration) for start in of_examples(machine)]
    rows = max(runs, key=len)
    stride = -(-len(rows) // MOST_ROWS)
    rows = rows[::stride]
    low = min(min(row, default=0) for row in rows)
    high = max(max(row, default=0) for row in rows)
    across, down = WIDE / (high - low + 1), TALL / max(len(rows), MOST_ROWS // 2)
    colours = of_symbols(machine.symbols, machine.blank)
    cells = [
        f'<rect x="{(first - low) * across:.1f}" y="{y * down:.1f}" '
        f'width="{cells * across + 0.1:.1f}" height="{down + 0.1:.1f}" '
        f'fill="{hexadecimal(colours[symbol])}"/>'
        for y, row in enumerate(rows)
        for first, cells, symbol in _bars(row, machine.blank)
    ]
    attributes = f'viewBox="0 0 {WIDE} {TALL}" shape-rendering="crispEdges" aria-hidden="true"'
    return f"<svg {attributes}>{''.join(cells)}</svg>"


def _rows(machine: Machine, start: Configuration) -> list[dict[int, str]]:
    """Return what tape 0 holds by address after 0, 1, ... steps; the head's cell among them."""
    simulation = Simulation(machine, start)
    rows: list[dict[int, str]] = []
    while len(rows) <= MOST_STEPS:
        tape = simulation.configuration().tapes[0]
        held = {tape.origin + i: symbol for i, symbol in enumerate(tape.contents)}
        rows.append({tape.head: machine.blank} | held)
        if simulation.step() is None:
            break
    return rows


def _bars(row: dict[int, str], blank: str) -> Iterator[tuple[int, int, str]]:
    """Yield the neighbouring cells that hold the same symbol: the first, how many, the symbol."""
    held = sorted((address, symbol) for address, symbol in row.items() if symbol != blank)
    place = itertools.count()
    for (symbol, _), group in itertools.groupby(
        held, lambda cell: (cell[1], cell[0] - next(place))
    ):
        cells = list(group)
        yield cells[0][0], len(cells), symbol
