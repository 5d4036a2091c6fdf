"""What a base machine does in one block, in plain Python: what the compiled finder is tested by."""

from __future__ import annotations

from dataclasses import dataclass

from tm2tf.machine.blocks.lifted import MOST_STEPS, Block, Place, too_long
from tm2tf.machine.spec import OFFSET, Machine


@dataclass(frozen=True, slots=True)
class Played:
    """What the base machine does in a block: what it leaves there, and where it is then.

    `kind` is how the state of the block machine is marked, `move` where its head goes.
    """

    kind: str
    place: Place
    written: Block
    move: str
    steps: int


def play(base: Machine, place: Place, block: Block, most: int = MOST_STEPS) -> Played:
    """Return what a machine does in a block, from a place in it until it leaves or is over.

    Raises:
        InputError: it takes more than `most` steps.
    """
    cells, state, at, steps = list(block), place.state, place.cell, 0
    first = saved = (state, at, block)
    look = 1  # after so many steps what is there is saved; then twice as many (Brent 1980)
    while True:
        here = (state, at, tuple(cells))
        if steps and here in (first, saved):  # it goes round, and where it stands is on the way
            return Played("~", Place(state, at), here[2], "S", steps)
        if steps == look:
            saved, look = here, 2 * look
        rule = base.transitions.get((state, (cells[at],)))
        if rule is None:
            return Played("?", Place(state, at), here[2], "S", steps)
        if steps == most:
            raise too_long(base, len(cells), most)
        cells[at], state, steps = rule.writes[0], rule.state, steps + 1
        at += OFFSET[rule.moves[0]]
        over = base.outcome_of(state) is not None
        if not 0 <= at < len(cells):
            move = "L" if at < 0 else "R"
            at = len(cells) - 1 if at < 0 else 0
            kind = "@" if over else "<" if move == "L" else ">"
            return Played(kind, Place(state, at), tuple(cells), move, steps)
        if over:
            return Played("@", Place(state, at), tuple(cells), "S", steps)
