"""Runs written out, as the simulator has them: what weights of the scratchpad construction emit."""

from itertools import chain, islice

from tm2tf.constructions.tokens import escape
from tm2tf.machine.simulator import Simulation


def word(symbol):
    return escape(symbol).replace("|", "\\|")


def span(machine, start):
    """Return the addresses of the first and the last cell of the start's row."""
    (tape,) = start.tapes
    held = [tape.origin + i for i, s in enumerate(tape.contents) if s != machine.blank]
    return min([tape.head, *held]), max([tape.head, *held])


def row_of(machine, simulation, first, last, before=None):
    """Return a configuration as the tokens of a row; the head was at `before`, if it moved."""
    head, state, over = simulation.heads[0], simulation.state, machine.outcome_of(simulation.state)
    tokens = []
    for address in range(first, last + 1):
        symbol = word(simulation.cells[0].get(address, machine.blank))
        if address == head:
            tokens.append(f"{escape(state)}:{symbol}")
        elif address == before and head > before:
            tokens.append(f"{symbol}>{escape(state)}")
        else:
            tokens.append(symbol)
    return [*tokens, "|" if over is None else f"<{over}>"]


def written(machine, start):
    """Yield the tokens of a run as the simulator has it: the prompt's row, then those emitted."""
    simulation = Simulation(machine, start)
    first, last = span(machine, start)
    yield ["<bos>", *row_of(machine, simulation, first, last)]
    while simulation.outcome is None:
        (head,) = simulation.heads
        row = row_of(machine, simulation, first, last)
        if simulation.step() is None:
            yield [*row[: max(0, head - first - 1)], "<stuck>"]
            return
        grown = simulation.heads[0] < first
        first, last = min(first, simulation.heads[0]), max(last, simulation.heads[0])
        row = row_of(machine, simulation, first, last, head)
        yield [f"<{row[0]}", *row[1:]] if grown else row


def texts(machine, start, passes=4000):
    """Return the prompt and the tokens to be emitted after it, at most so many."""
    rows = written(machine, start)
    return next(rows), list(islice(chain.from_iterable(rows), passes))
