"""How many cells a block should have: by the beginning of the run.

Larger blocks mean fewer macro steps and more rules. Both are counted on the first `PROBED` base
steps of the run, for a few sizes, and a run of `HORIZON` times as many is foreseen: its macro steps
grow with it, its rules (as far as they will be met) are there. The total foreseen is

    macro steps * STEP, or SWEPT for those that repeat the one before
    + rules * RULE + base steps played out for rules * PLAYED,

and the size with the least one is taken. A run that is over by then has the total that it has.
Sizes are 3 * 2^k and 2^k: machines whose tape repeats every three or two cells, or a multiple, have
fewest rules there. In each family the search goes up from a first size for as long as the total
falls, or else down; the second family begins next to the best of the first one. Last come the two
sizes halfway from the best to its double and from its half to it. Where a run lasts longer than
`LEAP` beginnings, the size is chosen anew by a beginning that is longer (by `LEAP / HORIZON`), and
the rules are found again from the start: what was lost is small beside the rest. Where the rules
become too many later on, blocks are halved.

All is counted, nothing timed, so the same machine gets the same blocks everywhere.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import InputError
from tm2tf.machine.blocks import walk
from tm2tf.machine.blocks.finder import (
    MOST_BASE_STEPS,
    OnProgress,
    Walker,
    block_machine_of,
    refuse,
    walked,
)
from tm2tf.machine.blocks.lifted import MOST_BLOCK, MOST_RULES, BlockMachine
from tm2tf.machine.spec import Configuration, Machine

STEP = 15e-9
"""Seconds of a macro step: to find the rules, and to run the weights (kernel `folded`), on one core
of an AMD EPYC at 3 GHz, where the processor does not foresee it. Only ratios matter here."""

SWEPT = 0.5e-9
"""Seconds of a macro step of a sweep, which repeats the one before: many are taken at once."""

RULE = 45e-6
"""Seconds of a rule: 6 microseconds to find and name it, 20 to compile it to a neuron, a token and
directions, 12 for the kernel to take these apart and to see for the first time what they do, and
some for what is told of the run. (These three are a least-squares fit to the totals of BB(5) in
blocks of 4 to 48 and of the binary counter in blocks of 2 to 8: within a fifth of each, with 3
milliseconds for any size.)"""

PLAYED = 2e-9
"""Seconds of a base step that is played out for a rule, most of them one after another."""

PROBED = 1 << 18
"""Base steps of the beginning: each size costs a third of a millisecond."""

HORIZON = 64
"""How many times the beginning a run is taken to last: in the middle, on a scale of powers, of 1
and `LEAP`. A run of 8 times more or less has a best size that differs by sqrt(8), and the total
near the best is flat: half as many cells or twice as many cost at most 1.25 times as much."""

LEAP = 4096
"""A run that lasts longer than this many beginnings is probed anew."""

FIRST, LEAST = 24, 3
"""Where the search begins, and the least size of that family."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What a size costs: `macro_steps` and `rules` of the beginning, `seconds` foreseen.

    Infinite where blocks of this size have too many rules, or one that takes too long.
    """

    block: int
    macro_steps: int
    rules: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Choice:
    """Which size was taken, by `probes` of so many base steps, all before the last first run.

    `probed`: the base steps; `seconds`: how long it took.
    """

    block: int
    probed: int
    probes: tuple[Probe, ...]
    seconds: float


def choose(
    base: Machine,
    start: Configuration,
    *,
    most_rules: int = MOST_RULES,
    max_steps: int | None = None,
    probed: int = PROBED,
) -> Choice:
    """Return the size of blocks that promises the least total for a run from `start`.

    Raises:
        InputError: the machine has several tapes, or no size will do.
    """
    began = time.perf_counter()
    horizon = HORIZON if max_steps is None else min(HORIZON, max(1, max_steps / probed))
    length = probed if max_steps is None else min(probed, max_steps)
    probes: dict[int, Probe] = {}

    def cost(block: int) -> float:
        least = min((probe.seconds for probe in probes.values()), default=math.inf)
        probes[block] = _probe(base, block, start, length, probed, horizon, most_rules, least)
        return probes[block].seconds

    def best() -> Probe:
        return min(probes.values(), key=lambda probe: (probe.seconds, probe.block))

    _search(cost, FIRST, LEAST)
    _search(cost, 4 * best().block // 3, 1)
    for halfway in (3 * best().block // 4, 3 * best().block // 2):
        if 1 <= halfway <= MOST_BLOCK and halfway not in probes:
            cost(halfway)
    taken = best()
    if math.isinf(taken.seconds):
        raise InputError(
            f"machine {base.name!r} has more than {most_rules:,} rules in blocks of any size that "
            "was tried: allow more with --most-rules, or choose the size yourself"
        )
    return Choice(taken.block, length, tuple(probes.values()), time.perf_counter() - began)


def chosen_run(
    base: Machine,
    start: Configuration,
    *,
    most_rules: int = MOST_RULES,
    max_steps: int | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[BlockMachine, Choice]:
    """Return the block machine by a first run, in blocks of a size that is chosen; and the choice.

    Raises:
        InputError: as `choose` and `finder.first_run` do.
    """
    began, probed = time.perf_counter(), PROBED
    last = MOST_BASE_STEPS if max_steps is None else max_steps
    while True:
        choice = choose(base, start, most_rules=most_rules, max_steps=max_steps, probed=probed)
        final = probed * LEAP >= last
        limit = max_steps if final else probed * LEAP
        block = choice.block
        while True:
            found_at = time.perf_counter()
            walker = walked(base, block, start, most_rules, limit, on_progress)
            if walker.why not in (walk.NO_RULES, walk.TOO_LONG) or block == 1:
                break
            block //= 2
        refuse(walker)
        if final or walker.why == walk.OVER:
            found = block_machine_of(walker, found_at, max_steps)
            return found, Choice(block, choice.probed, choice.probes, found_at - began)
        probed *= LEAP // HORIZON


def _search(cost: Callable[[int], float], begin: int, least: int) -> None:
    """Go up from a size by doubling for as long as the cost falls, else down by halving."""
    first = best = cost(begin)
    block = 2 * begin
    while block <= MOST_BLOCK and (found := cost(block)) < best:
        best, block = found, 2 * block
    block = begin // 2
    while best == first and block >= least and (found := cost(block)) <= first:
        first = best = found
        block //= 2


def _probe(
    base: Machine,
    block: int,
    start: Configuration,
    length: int,
    most_played: int,
    horizon: float,
    most_rules: int,
    best: float,
) -> Probe:
    """Return what blocks of a size cost; it is given up where it cannot be the best any more."""
    most = most_rules if math.isinf(best) else min(most_rules, int(best / RULE) + 1)
    walker = Walker(base, block, start, most_rules=most, most_played=most_played)
    while walker.advance(length) == walk.MORE:
        pass
    if walker.why in (walk.NO_RULES, walk.TOO_LONG):
        return Probe(block, walker.macro_steps, walker.rules, math.inf)
    times = 1.0 if walker.why == walk.OVER else horizon
    running = (walker.macro_steps - walker.swept) * STEP + walker.swept * SWEPT
    seconds = running * times + walker.rules * RULE + walker.played * PLAYED
    return Probe(block, walker.macro_steps, walker.rules, seconds)
