"""The compiled walk: a base machine in blocks, each rule played out once and then looked up.

One function, so that no array is handed on in the loop. Blocks are numbers, 0 the blank one, and
states are numbers: 0 is none, `2 q + 1` and `2 q + 2` are base state q on the first cell and on the
last, and from `2 Q + 1` on are ends: kind, base state and cell (`numbered`). Tables have a row a
block, with a word a state:

    into    the number of the next state, 0 if the rule is not known
    wrote   the number of the block written, times the length of a row
    took    the base steps

The tape has blocks' numbers times the length of a row, too: what is under the head and the state
add up to the word's place. The side from which a block is entered is the next move, and there is a
loop for each: heads go on in one direction most of the time, so that the processor foresees where
they are and reads the tape ahead. A look-up then waits for the one before it only, not for the tape
(1.8 ns in place of 4.0, on an AMD EPYC at 3 GHz); and `into` is a table of its own, since taking a
word apart would be part of that wait. A sweep does not even wait for that: where a rule goes on in
its own state, and the next block is the same, the rule is, too. So many blocks are compared at once
(64, as the compiler unrolls shorter loops and then uses no vectors), some 0.1 ns each.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt32

from tm2tf.jit import cached_njit

KINDS, END_MOVES = "@?~@@", (0, 0, 0, -1, 1)
"""The marks of ends in the order of their numbers, and where the head goes: it may halt within a
block, and as it leaves one."""

MOVES = "LSR"
"""The moves of rules, in the order of their numbers."""

HEAD, STATE, BLOCKS, RULES, MACRO, BASE, SWEPT = range(7)
"""What `here` holds: the head's place in `tape`, the state, how many blocks and rules are known,
how many macro steps and base steps were taken, how many macro steps in sweeps."""

CHUNK, MOST_BASE, MOST_RULES, MOST_PLAYED = range(4)
"""What `limits` holds: macro steps until it returns; base steps, rules, and base steps within a
block, at most."""

MORE, OVER, NO_CELLS, NO_STEPS, NO_RULES, TOO_LONG = range(6)
"""Why it returned: the chunk is over; the run is (at an end's state); the head is beyond `tape`;
the next macro step would go beyond the limit; one more rule would; a rule takes too long."""

ENTERED, READ, TO, WRITTEN, MOVE, STEPS = range(6)
"""The columns of `rules`, in which rules stand as they were found; blocks and states by number."""


class Rules(NamedTuple):
    """The base machine's rules: next state (-1: none), symbol written, move -1, 0 or 1.

    `over` is whether a state halts.
    """

    following: Int64[np.ndarray, "states symbols"]
    written: Int64[np.ndarray, "states symbols"]
    moves: Int64[np.ndarray, "states symbols"]
    over: Int64[np.ndarray, " states"]


class Store(NamedTuple):
    """What is known: the words and base steps of rules, the cells of blocks, and the rules listed.

    `slots` is a hash table of blocks' numbers + 1, `rules` has them in the order they were found.
    """

    into: UInt32[np.ndarray, " words"]
    wrote: UInt32[np.ndarray, " words"]
    took: Int64[np.ndarray, " words"]
    cells: UInt32[np.ndarray, "blocks width"]
    slots: UInt32[np.ndarray, " slots"]
    rules: Int64[np.ndarray, "rules 6"]


def numbered(mark: str, state: int, cell: int, move: int, states: int, width: int) -> int:
    """Return the number of a state that is marked so and comes with a move, as `walk` has it."""
    if mark in "><":
        return 2 * state + (1 if mark == ">" else 2)
    kind = KINDS.index(mark) if move == 0 else END_MOVES.index(move)
    return 2 * states + 1 + (kind * states + state) * width + cell


def marked(number: int, states: int, width: int) -> tuple[str, int, int]:
    """Return the mark, the base state and the cell of a state's number."""
    if number <= 2 * states:
        side = (number - 1) % 2
        return "><"[side], (number - 1) // 2, side * (width - 1)
    rest, cell = divmod(number - 2 * states - 1, width)
    kind, state = divmod(rest, states)
    return KINDS[kind], state, cell


def hash_place(cells: UInt32[np.ndarray, " width"], slots: int) -> int:
    """Return where `walk` looks first for a block among `slots` places."""
    found = FNV_BASIS
    for cell in cells.tolist():
        found = ((found ^ cell) * FNV_PRIME) % 2**64
    return (found ^ (found >> 32)) & (slots - 1)


FNV_BASIS, FNV_PRIME = 14695981039346656037, 1099511628211
"""The constants of the hash FNV-1a of 64 bits."""


@cached_njit(nogil=True)
def walk(  # type: ignore[no-untyped-def] # noqa: C901, PLR0912, PLR0915
    following, writes, moves, over, into, wrote, took, cells, slots, rules, tape, here, limits
):  # fmt: skip
    """Take macro steps until there is a reason to return, finding rules on the way; return it.

    All in one: a call that hands on arrays costs as much as several macro steps.
    """
    states, width = following.shape[0], cells.shape[1]
    one, bits, block = np.uint64(1), np.uint64(32), np.uint64(64)
    row, size = np.uint64(2 * states + 1), np.uint64(tape.shape[0])
    head, state = np.uint64(here[HEAD]), np.uint64(here[STATE])
    blocks, known, macro, base = here[BLOCKS], here[RULES], here[MACRO], here[BASE]
    swept = here[SWEPT]
    until, most = macro + limits[CHUNK], limits[MOST_BASE]
    work, saved = np.empty(width, np.uint32), np.empty(width, np.uint32)
    why = MORE
    while True:
        # --- known rules ---
        place, to = np.uint64(0), np.uint64(0)
        why = MORE
        while macro < until:
            if state & one:  # it went right, and most often goes on
                while True:
                    if head >= size:
                        why = NO_CELLS
                        break
                    place = np.uint64(tape[head]) + state
                    to = np.uint64(into[place])
                    if to - one >= row - one:  # an end, or 0: not known
                        why = OVER
                        break
                    total = base + took[place]
                    if total > most:
                        why = NO_STEPS
                        break
                    read, keep = tape[head], wrote[place]
                    tape[head] = keep
                    macro += 1
                    if to & one == 0:
                        state, base = to, total
                        head -= one
                        break
                    head += one
                    if to == state and head < size and tape[head] == read:
                        left = np.uint64(min(until - macro, (most - total) // took[place]))
                        left, m = min(left, size - head), np.uint64(0)
                        while m + block <= left:
                            differs = np.uint32(0)
                            for i in range(block):
                                differs |= np.uint32(tape[head + m + i] ^ read)
                            if differs:
                                break
                            m += block
                        while m < left and tape[head + m] == read:
                            m += one
                        if keep != read:
                            for i in range(m):
                                tape[head + i] = keep
                        head += m
                        macro += np.int64(m)
                        swept += np.int64(m)
                        total += np.int64(m) * took[place]
                    state, base = to, total
                    if macro >= until:
                        break
            else:
                while True:
                    if head >= size:
                        why = NO_CELLS
                        break
                    place = np.uint64(tape[head]) + state
                    to = np.uint64(into[place])
                    if to - one >= row - one:
                        why = OVER
                        break
                    total = base + took[place]
                    if total > most:
                        why = NO_STEPS
                        break
                    read, keep = tape[head], wrote[place]
                    tape[head] = keep
                    macro += 1
                    if to & one:
                        state, base = to, total
                        head += one
                        break
                    head -= one
                    if to == state and head < size and tape[head] == read:
                        left = np.uint64(min(until - macro, (most - total) // took[place]))
                        left, m = min(left, head + one), np.uint64(0)
                        while m + block <= left:
                            differs, first = np.uint32(0), head - m - block + one
                            for i in range(block):
                                differs |= np.uint32(tape[first + i] ^ read)
                            if differs:
                                break
                            m += block
                        while m < left and tape[head - m] == read:
                            m += one
                        if keep != read:
                            first = head - m + one
                            for i in range(m):
                                tape[first + i] = keep
                        head -= m
                        macro += np.int64(m)
                        swept += np.int64(m)
                        total += np.int64(m) * took[place]
                    state, base = to, total
                    if macro >= until:
                        break
            if why != MORE:
                break
        if why != OVER:
            break
        number = np.int64(np.uint64(tape[head]) // row)
        if to == 0:
            # --- a rule that is not known: play it out ---
            if known >= limits[MOST_RULES]:
                why = NO_RULES
                break
            q = np.int64((state - one) >> one)
            at = np.int64(0) if state & one else np.int64(width - 1)
            first_q, first_at, saved_q, saved_at = q, at, q, at
            for i in range(width):
                work[i] = saved[i] = cells[number, i]
            steps, look, kind, move = np.int64(0), np.int64(1), np.int64(-1), np.int64(0)
            while True:
                if steps and q == first_q and at == first_at:
                    same = True
                    for i in range(width):
                        same = same and work[i] == cells[number, i]
                    if same:
                        kind = np.int64(2)
                        break
                if steps and q == saved_q and at == saved_at:
                    same = True
                    for i in range(width):
                        same = same and work[i] == saved[i]
                    if same:
                        kind = np.int64(2)
                        break
                if steps == look:  # Brent 1980
                    look, saved_q, saved_at = 2 * look, q, at
                    saved[:] = work
                symbol = np.int64(work[at])
                if following[q, symbol] < 0:
                    kind = np.int64(1)
                    break
                if steps == limits[MOST_PLAYED]:
                    break
                work[at] = writes[q, symbol]
                at += moves[q, symbol]
                q = following[q, symbol]
                steps += 1
                if at < 0 or at >= width:
                    move = np.int64(-1) if at < 0 else np.int64(1)
                    at = np.int64(width - 1) if at < 0 else np.int64(0)
                    if over[q]:
                        kind = np.int64(3) if move < 0 else np.int64(4)
                    break
                if over[q]:
                    kind = np.int64(0)
                    break
            if kind < 0 and move == 0:
                why = TOO_LONG
                break
            # --- the number of the block written ---
            hashed = np.uint64(FNV_BASIS)
            for i in range(width):
                hashed = (hashed ^ np.uint64(work[i])) * np.uint64(FNV_PRIME)
            mask = np.uint64(slots.shape[0] - 1)
            slot = (hashed ^ (hashed >> bits)) & mask
            written = blocks
            while slots[slot]:
                other = np.int64(slots[slot]) - 1
                same = True
                for i in range(width):
                    same = same and work[i] == cells[other, i]
                if same:
                    written = other
                    break
                slot = (slot + one) & mask
            if written == blocks:
                cells[blocks] = work
                blocks += 1
                slots[slot] = blocks
            # --- note the rule ---
            if kind >= 0:
                entered = 2 * states + 1 + (kind * states + q) * width + at
            else:
                entered = 2 * q + (1 if move > 0 else 2)
            into[place], wrote[place] = entered, np.uint64(written) * row
            took[place] = steps
            rules[known, ENTERED] = np.int64(state)
            rules[known, READ] = number
            rules[known, TO] = entered
            rules[known, WRITTEN] = written
            rules[known, MOVE] = move + 1
            rules[known, STEPS] = steps
            known += 1
            continue
        # --- an end ---
        total = base + took[place]
        if total > most:
            why = NO_STEPS
            break
        tape[head] = wrote[place]
        state, base = to, total
        kind = np.int64(to - row) // (states * width)
        if kind == 3:
            head -= one
        if kind == 4:
            head += one
        macro += 1
        break
    here[HEAD], here[STATE] = np.int64(head), np.int64(state)
    here[BLOCKS], here[RULES], here[MACRO], here[BASE] = blocks, known, macro, base
    here[SWEPT] = swept
    return why
