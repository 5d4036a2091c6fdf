"""Runs as rows of cells, as the simulator has them: what weights of the queue construction emit."""

from itertools import islice

from tm2tf import formats
from tm2tf.constructions.tokens import escape
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape

MACHINE = formats.parse("""
start: right
accept: yes
rules:
  right:
    0: 1 R right
    1: 0 R right
    _: _ S back
  back:
    _: _ L left
    0: 0 R yes
    1: _ R right
  left:
    0|1: L
    _: R eat
  eat:            # on a blank it is stuck
    0: 1 S back
    1: 0 S back
""")
CELLS = 9
WORDS = ("0101", "1_001", "1", "", "0011", "001011010", "0_0__00_")


def starts():
    """Return starts with the head beside, on and at the ends of words, and of the tape."""
    made = (MACHINE.initial([Tape(tuple(w), at)]) for w in WORDS for at in (-8, -4, -1, 0, 1))
    return [start for start in made if taken(start)[1] <= CELLS]


PASSES = 4000
"""Tokens that a run is followed for."""


def word(symbol):
    return escape(symbol).replace("#", "\\#")


def taken(start):
    """Return the first address that a start takes, and how many cells."""
    (tape,) = start.tapes
    last = tape.origin + len(tape.contents) - 1
    ends = [tape.head, tape.origin, last] if tape.contents else [tape.head]
    return min(ends), max(ends) - min(ends) + 1


def first_cell(start, cells):
    """Return the address of cell 0, so that what is given lies in the middle."""
    first, width = taken(start)
    return first - (cells - width + 1) // 2


def row_of(machine, simulation, first, cells):
    """Return a configuration as the tokens of a row."""
    over = machine.outcome_of(simulation.state)
    tokens = []
    for address in range(first, first + cells):
        symbol = word(simulation.cells[0].get(address, machine.blank))
        after = over is not None and address > simulation.heads[0]
        here = f"{escape(simulation.state)}:{symbol}"
        plain = f"<{over}>:{symbol}" if after else symbol
        tokens.append(here if address == simulation.heads[0] else plain)
    return [*tokens, "#" if over is None else f"<{over}>"]


def written(machine, start, cells):
    """Yield the tokens of a run as the simulator has it: the prompt's rows, then those emitted."""
    simulation = Simulation(machine, start)
    first = first_cell(start, cells)
    yield ["<bos>", *row_of(machine, simulation, first, cells)]
    while simulation.outcome is None:
        row, place = row_of(machine, simulation, first, cells), simulation.heads[0] - first
        if simulation.step() is None:
            yield [*row[: max(0, place - 1)], "<stuck>"]
        elif not 0 <= simulation.heads[0] - first < cells:
            yield [*row[:place], "<tape-full>"]
            return
        else:
            yield row_of(machine, simulation, first, cells)


def texts(machine, start, cells, passes=PASSES):
    """Return the prompt and the tokens to be emitted after it, at most so many."""
    rows = written(machine, start, cells)
    prompt = next(rows)
    emitted = [token for row in islice(rows, passes // cells) for token in row]
    return prompt, emitted[:passes]
