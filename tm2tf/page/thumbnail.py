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

GAP = 6
"""Pixels from one tape to the next."""

MOST_ROWS = TALL // 2
"""Rows are two pixels high at least."""

MOST_STEPS = 400
"""Steps of the runs that are looked at; a machine that goes on is shown up to there."""


def thumbnail(machine: Machine) -> str:
    """Return a run as an `<svg>` element: cells across, time down; tapes side by side."""
    runs = [_rows(machine, start.configuration) for start in of_examples(machine)]
    rows = max(runs, key=len)
    stride = -(-len(rows) // MOST_ROWS)
    rows = rows[::stride]
    wide = (WIDE - GAP * (machine.tapes - 1)) / machine.tapes
    cells = [
        bar
        for tape in range(machine.tapes)
        for bar in _tape(machine, [row[tape] for row in rows], tape * (wide + GAP), wide)
    ]
    attributes = f'viewBox="0 0 {WIDE} {TALL}" shape-rendering="crispEdges" aria-hidden="true"'
    return f"<svg {attributes}>{''.join(cells)}</svg>"


def _rows(machine: Machine, start: Configuration) -> list[list[dict[int, str]]]:
    """Return what each tape holds by address after 0, 1, ... steps; the head's cell among them."""
    simulation = Simulation(machine, start)
    rows: list[list[dict[int, str]]] = []
    while len(rows) <= MOST_STEPS:
        rows.append(
            [
                {tape.head: machine.blank}
                | {tape.origin + i: symbol for i, symbol in enumerate(tape.contents)}
                for tape in simulation.configuration().tapes
            ]
        )
        if simulation.step() is None:
            break
    return rows


def _tape(machine: Machine, rows: list[dict[int, str]], left: float, wide: float) -> Iterator[str]:
    """Yield the bars of one tape, which has so many pixels from `left` on."""
    low = min(min(row) for row in rows)
    high = max(max(row) for row in rows)
    across, down = wide / (high - low + 1), TALL / max(len(rows), MOST_ROWS // 2)
    colours = of_symbols(machine.symbols, machine.blank)
    for y, row in enumerate(rows):
        for first, cells, symbol in _bars(row, machine.blank):
            yield (
                f'<rect x="{left + (first - low) * across:.1f}" y="{y * down:.1f}" '
                f'width="{cells * across + 0.1:.1f}" height="{down + 0.1:.1f}" '
                f'fill="{hexadecimal(colours[symbol])}"/>'
            )


def _bars(row: dict[int, str], blank: str) -> Iterator[tuple[int, int, str]]:
    """Yield the neighbouring cells that hold the same symbol: the first, how many, the symbol."""
    held = sorted((address, symbol) for address, symbol in row.items() if symbol != blank)
    place = itertools.count()
    for (symbol, _), group in itertools.groupby(
        held, lambda cell: (cell[1], cell[0] - next(place))
    ):
        cells = list(group)
        yield cells[0][0], len(cells), symbol
