"""Simulator, interpreter and weights in lockstep: every step compared, in flat memory.

At each step the weights' token (next state, symbols written, moves), and the features `state`,
`tapeN.read` and `tapeN.head` in the residual stream that emitted it, are compared with the
machine's step. That settles the tape at every step, without looking at it whole: at the end what
the weights hold is compared cell by cell; a cell that was ever written was read just before
(machines write where they read), so its earlier contents were compared then; and a cell never
written held at the start what it holds at the end.

Who takes part: at every step the weights, and the machine's rules as a compiled table; for the
first steps (see `reference`) also the reference simulator, which the table is checked against, and
the interpreter, which runs the program in exact integers.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tm2tf.compiler import Compiled
from tm2tf.errors import BoundError, InputError
from tm2tf.machine.spec import Configuration, Expected, Machine, Tape
from tm2tf.runtime.follow import follow
from tm2tf.runtime.run import tape_full
from tm2tf.runtime.told import Follower, Told
from tm2tf.verify.ahead import Chunk, chunks
from tm2tf.verify.locate import SEARCHED, Divergence, locate
from tm2tf.verify.reader import Codes, Mismatch, compare, furthest
from tm2tf.verify.reference import check_reference, reference_steps
from tm2tf.verify.table_simulator import Steps, TableSimulation, fits
from tm2tf.weights.folder import weights_sha256


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one lockstep run.

    `outcome`, `state` and `nonblank` are the machine's, at the end or where the check stopped.
    `shared_sha256` is the hash of the weights if many machines have the same, else None.
    """

    machine: str
    construction: str
    outcome: str
    state: str
    steps: int
    nonblank: int
    forward_passes: int
    peak_context: int
    interpreted: int
    seconds: float
    divergence: Divergence | None
    shared_sha256: str | None = None


def lockstep(
    compiled: Compiled,
    start: Configuration,
    *,
    expected: Expected | None = None,
    runtime: str = "kernel",
    device: str = "auto",
    dtype: str = "float64",
    grow: bool = True,
    kernel: str | None = None,
    max_steps: int | None = None,
    reference: bool = True,
    explain: bool = True,
    on_progress: Callable[[int], None] | None = None,
    on_told: Callable[[Told], None] | None = None,
) -> Check:
    """Run the weights beside the machine from `start`; return how far they agreed.

    `expected` is what the run should end with; where the simulator ends otherwise, the check
    fails at a feature called after the fact, such as `expected steps`. Without `explain`, a
    divergence is reported where it was seen, and its first cause is not searched for. Without
    `reference`, only weights and table take part, and no hash is taken: for weights that no program
    describes, such as fine-tuned ones, and prompts that do not hold all of a machine. `on_told` is
    given what the weights said of each chunk of steps.

    Raises:
        BoundError: the run leaves the range in which the weights are exact, or their tape.
        InputError: the machine's rule table is too large to hold.
        InternalError: two evaluators other than the weights contradict each other.
    """
    machine = compiled.machine
    if not fits(machine):
        raise InputError(
            f"machine {machine.name!r} is too large to verify: its rule table has "
            f"{len(machine.states)} * {len(machine.symbols)}^{machine.tapes} entries"
        )
    began = time.perf_counter()
    interpreted = 0
    if reference:
        count = reference_steps(compiled, start)
        count = count if max_steps is None else min(count, max_steps)
        interpreted = check_reference(compiled, start, count)
    table = TableSimulation(machine, start)
    follower = follow(
        compiled, start, runtime=runtime, device=device, dtype=dtype, grow=grow, kernel=kernel
    )
    comparing = _Comparing(follower, Codes(machine, table.table), on_told)
    divergence: Divergence | None = None
    outcome, agreed = table.outcome, 0
    for chunk in chunks(table, max_steps):
        first, outcome = chunk.first, chunk.outcome
        try:
            found = comparing.compare(chunk)
        except BoundError as error:
            if _rightly(error, follower, chunk.steps, start, follower.steps - first):
                raise
            divergence = Divergence(first + 1, "", "address", "within the bound", str(error))
            break
        if found is not None:
            divergence = locate(follower, first, found, SEARCHED if explain and reference else 0)
            break
        agreed = chunk.last
        if on_progress is not None:
            on_progress(agreed)
    shared = reference and compiled.construction.shared
    agreed = agreed if divergence is None else max(0, divergence.step - 1)
    passes, peak = follower.passes, follower.peak
    if divergence is None:
        divergence = _compare_end(follower, table, expected)
    end = table.configuration()
    return Check(
        machine=machine.name,
        construction=compiled.weights.construction,
        outcome=outcome or "step-limit",
        state=end.state,
        steps=agreed,
        nonblank=sum(machine.plain(tape).nonblank(machine.blank) for tape in end.tapes),
        forward_passes=passes,
        peak_context=peak,
        interpreted=interpreted,
        seconds=time.perf_counter() - began,
        divergence=divergence,
        shared_sha256=weights_sha256(compiled.weights) if shared else None,
    )


def _rightly(
    error: BoundError, follower: Follower, steps: Steps, start: Configuration, told: int
) -> bool:
    """Return whether the machine does what weights are refused for, `told` steps into these."""
    match error.bound:
        case "key":
            return furthest(steps, start) > follower.compiled.weights.bounds.key
        case "tape":
            return _leaves(follower, steps, told)
        case _:
            return True


@dataclass(slots=True)
class _Comparing:
    """The weights beside the machine's steps."""

    follower: Follower
    codes: Codes
    on_told: Callable[[Told], None] | None

    def compare(self, chunk: Chunk) -> Mismatch | None:
        """Let the weights take the steps that the machine took; return the first difference.

        Raises:
            BoundError: the weights say rightly that a head left their tape.
        """
        follower, steps, count = self.follower, chunk.steps, len(chunk.steps.rows)
        got, at, found = self._steps(steps)
        if found is not None:
            return found
        if follower.trouble is not None:
            return Mismatch(got, follower.passes, "token", "a step", follower.trouble)
        if follower.outcome == "tape-full":
            if _leaves(follower, steps, got):
                raise tape_full(follower)
            return Mismatch(max(0, got - 1), at, "outcome", "the run goes on", "tape-full")
        if got < count and follower.passes - 1 > at:  # a token that stands for no step ended it
            state = follower.compiled.machine.states[steps.next_states[got]]
            return Mismatch(got, follower.passes - 1, "next.state", state, "none")
        if got < count:
            return Mismatch(max(0, got - 1), at, "outcome", "the run goes on", "the run is over")
        if chunk.stuck:
            follower.finish()
        if follower.outcome != chunk.outcome:
            words = (str(chunk.outcome), str(follower.outcome))
            return Mismatch(max(0, got - 1), at, "outcome", *words)
        return None

    def _steps(self, steps: Steps) -> tuple[int, int, Mismatch | None]:
        """Let the weights take as many steps.

        Return how many they took, the pass that emitted the last one (-1: none), and the first
        difference.
        """
        follower, count, before = self.follower, len(steps.rows), self.follower.steps
        quick = self.codes.exact and self.on_told is None and count
        spoken = follower.speak(count) if quick else None
        machine = follower.compiled.machine
        if spoken is not None:
            got = follower.steps - before
            same = self.codes.agreed(steps, spoken)
            if same < got:
                return got, spoken.first + same, compare(machine, steps, spoken.told(same + 1))
            return got, spoken.first + got - 1 if got else -1, None
        told = follower.tell(count)
        if self.on_told is not None:
            self.on_told(told)
        at = int(told.passes[-1]) if len(told.passes) else -1
        return len(told.states), at, compare(machine, steps, told)


def _leaves(follower: Follower, steps: Steps, told: int) -> bool:
    """Return whether the machine leaves the weights' tape in the last step told, or the next.

    A looped model's tape is what its prompt has between the two edges.
    """
    begin, options = follower.begin, follower.compiled.weights.options
    last = slice(max(0, told - 1), told + 1)
    after = steps.heads[last] + steps.moves[last] - np.array(begin.origins, dtype=np.int64)
    return bool(np.any((after < 0) | (after >= options.get("tape", len(begin.ids) - 2))))


def _compare_end(
    follower: Follower, table: TableSimulation, expected: Expected | None
) -> Divergence | None:
    """Compare the state and tapes that the weights hold, then the end with what was expected."""
    machine, end = table.machine, table.configuration()
    state, tapes = follower.end()
    if state != end.state and not table.stuck:  # the token that ends a stuck run has no state
        return Divergence(table.steps, "embedding", "state", end.state, state)
    for t, (want, got) in enumerate(zip(end.tapes, tapes, strict=True)):
        if want != got:
            shown = [
                f"{_shown(machine, tape.contents)} from {tape.origin}, head {tape.head}"
                for tape in (want, got)
            ]
            return Divergence(table.steps, "", f"tape{t} at the end", *shown)
    if expected is None:
        return None
    ended = [machine.plain(tape) for tape in end.tapes]
    facts = {
        "outcome": table.outcome or "step-limit",
        "state": end.state,
        "steps": table.steps,
        "nonblank": sum(tape.nonblank(machine.blank) for tape in ended),
    }
    for name, fact in facts.items():
        wanted = getattr(expected, name)
        if wanted is not None and wanted != fact:
            return Divergence(table.steps, "", f"expected {name}", str(wanted), str(fact))
    for t, contents in enumerate(expected.tapes or ()):
        wanted = None if contents is None else Tape(contents).trimmed(machine.blank).contents
        if contents is not None and wanted != ended[t].contents:
            shown = [_shown(machine, x) for x in (contents, ended[t].contents)]
            return Divergence(table.steps, "", f"expected tape{t}", *shown)
    return None


def _shown(machine: Machine, contents: tuple[str, ...], most: int = 60) -> str:
    word = machine.join(contents)
    return repr(word) if len(word) <= most else f"{word[:most]!r}... ({len(contents)} cells)"
