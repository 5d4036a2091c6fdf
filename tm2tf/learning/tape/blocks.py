"""Blocks that the learners are made of: to add one field to another, and to move between them.

A field is a number in balanced ternary (`learning.ternary`), the least significant trit first.
Heads stand on its first trit before a block and behind its last one after it, unless said
otherwise.
"""

from __future__ import annotations

from collections.abc import Mapping

from tm2tf.learning.ternary import TRITS, VALUE, split
from tm2tf.machine.builder import (
    Block,
    Stop,
    act,
    always,
    call,
    leave,
    loop,
    on,
    on_symbol,
    seq,
)

BLANK, MARK, UNKNOWN, END, LAST = "_", "#", "?", "|", "="
"""Besides trits: a blank; what stands before each epoch and between examples and queries; the label
to find; the end of a field; the end of the last field, which its label follows."""

INPUT = TRITS + END + LAST + UNKNOWN + MARK
"""Symbols of the input tape."""

FIELDS = TRITS + END
"""Symbols of a tape that holds fields side by side."""

overflow: Block = Stop("reject", "overflow")
"""A carry has left its field: the run ends here, so no number is ever wrong without notice."""

malformed: Block = Stop("reject", "malformed")
"""The input tape is not as `layout` describes it."""


def announce(state: str) -> Block:
    """Return two steps in place, one into a state of this name and one out of it.

    Who reads the run knows by it what has just been done.
    """
    return seq(act(), call(state, act()))


def moved(move: str, *tapes: int) -> Block:
    """Return one step that moves the heads of some tapes alike."""
    return act(move=dict.fromkeys(tapes, move))


def through(tape: int, symbols: str, move: str, *others: int) -> Block:
    """Move a head while it is on some symbols; the heads of `others` move with it."""
    return loop(on(tape, symbols), moved(move, tape, *others))


def back(tape: int, symbols: str, *others: int) -> Block:
    """Move a head from behind a run of some symbols to its first; `others` move with it."""
    return seq(
        moved("L", tape, *others),
        through(tape, symbols, "L", *others),
        moved("R", tape, *others),
    )


def erase(tape: int) -> Block:
    """Erase a number from the head to the left; the head ends where the number began."""
    return seq(loop(on(tape, TRITS), act(write={tape: BLANK}, move={tape: "L"})), moved("R", tape))


def add(source: int, target: int, sign: int) -> Block:
    """Add `sign` times the field on one tape to the number on another, trit by trit.

    Blanks of the target count as 0. The carry is not written anywhere: it is which of three loops
    the machine is in. A carry at the end of the source's field rejects in state `overflow`. With
    two summands a carry of 1 is followed by 1 or 0, and -1 by -1 or 0, so the loops nest.
    """
    heads = {source: "R", target: "R"}

    def column(carry: int, trit: str, after: Mapping[int, Block]) -> Block:
        """Return one step for each symbol of the target, and what the carry asks for then."""
        cases = {}
        for symbol in TRITS + BLANK:
            carried, written = split(sign * VALUE[trit] + VALUE.get(symbol, 0) + carry)
            cases[symbol] = seq(act(write={target: written}, move=heads), after[carried])
        return on_symbol(target, cases, malformed)

    def carrying(carry: int) -> Block:
        after = {carry: seq(), 0: leave}
        columns = {trit: column(carry, trit, after) for trit in TRITS}
        return loop(always, on_symbol(source, columns, overflow))

    after = {0: seq(), 1: carrying(1), -1: carrying(-1)}
    return loop(
        on(source, TRITS), on_symbol(source, {trit: column(0, trit, after) for trit in TRITS})
    )


def add_constant(tape: int, number: int) -> Block:
    """Add a number that the machine knows to the one under the head, which grows if it must."""
    known: dict[tuple[int, int], Block] = {(0, 0): seq()}

    def column(higher: int, trit: str, carry: int) -> Block:
        """Return one step for each symbol, and then the rest for the carry it leaves."""
        cases = {}
        for symbol in TRITS + BLANK:
            carried, written = split(VALUE[trit] + VALUE.get(symbol, 0) + carry)
            if (higher, trit, carried) == (0, "0", carry):
                continue  # this carry goes on alone: the loop in front
            step = act(write={tape: written}, move={tape: "R"})
            cases[symbol] = seq(step, rest(higher, carried))
        return on_symbol(tape, cases)

    def rest(left: int, carry: int) -> Block:
        """Return what adds the trits still left, and the carry."""
        if (left, carry) not in known:
            higher, trit = split(left)
            known[left, carry] = column(higher, trit, carry)
            if left == 0:
                turned = act(write={tape: TRITS[1 - carry]}, move={tape: "R"})
                known[left, carry] = seq(
                    loop(on(tape, TRITS[1 + carry]), turned), known[left, carry]
                )
        return known[left, carry]

    return rest(number, 0)


def to_sign(tape: int) -> Block:
    """Move a head from within a number to its most significant nonzero trit, or to a blank for 0.

    The zeros beyond it are erased, so that what is left of the number ends at the head.
    """
    return seq(
        through(tape, TRITS, "R"),
        moved("L", tape),
        loop(on(tape, "0"), act(write={tape: BLANK}, move={tape: "L"})),
    )
