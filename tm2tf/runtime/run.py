"""The whole of a run: prompt in, result out, through any runtime."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from tm2tf.compiler import Compiled
from tm2tf.errors import ArtifactError, BoundError
from tm2tf.machine.spec import Configuration, Outcome, Tape
from tm2tf.runtime.follow import follow
from tm2tf.runtime.told import Follower

CHUNK = 2**26
"""Most steps taken between two looks at the clock: about half a second of the fastest kernel."""

FIRST_CHUNK = 1024
"""Steps taken before the first look; then halved or doubled, whatever the runtime's speed."""

LOOK = 0.25
"""Seconds between two looks, about: so long Ctrl-C waits."""

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How a run of compiled weights ended. Tapes are trimmed of outer blanks.

    Attributes:
        outcome: "halted", "accepted", "rejected", or "step-limit" if it was stopped.
        steps: machine steps taken.
        forward_passes: passes that emitted a token, or in a looped model passes; the prompt's are
            not counted. With one token a step that is `steps`, and one more where the last token
            says that no transition was found.
        peak_context: the longest context, in tokens (in a looped model: positions).
        widened: how often the window of a looped model was doubled for this run.
        attention: how lookups were evaluated: "index", "scan", or "argmax over the prefix".
        kernel: which kernel ran, where the runtime has several; `reason`: why it is another one
            than was asked for (None if it is not).
        cases: how often each symbol was met in each state, if that was counted.
        seconds: from the prompt to the last token, without compiling.
    """

    machine: str
    construction: str
    target: str
    runtime: str
    device: str
    dtype: str
    attention: str
    outcome: Outcome
    state: str
    steps: int
    forward_passes: int
    peak_context: int
    nonblank: int
    tapes: tuple[Tape, ...]
    seconds: float
    interrupted: bool = False
    widened: int = 0
    kernel: str | None = None
    reason: str | None = None
    cases: dict[tuple[str, str], int] | None = None


def run(
    compiled: Compiled,
    start: Configuration,
    *,
    max_steps: int | None = None,
    runtime: str = "kernel",
    device: str = "auto",
    dtype: str = "float64",
    grow: bool = True,
    kernel: str | None = None,
    counting: bool = False,
    on_progress: OnProgress | None = None,
) -> Result:
    """Run compiled weights from a start configuration and return how it ended.

    With `counting`, the fast kernels count how often each symbol was met in each state.

    An interrupt (Ctrl-C) ends the run at the next look at the clock, with the result so far; a
    second one raises KeyboardInterrupt.

    Raises:
        BoundError: the run leaves the range in which the weights are exact, or their tape.
        ArtifactError: the weights emit what no run may hold.
    """
    follower = follow(
        compiled, start, runtime=runtime, device=device, dtype=dtype, grow=grow, kernel=kernel,
        counting=counting,
    )  # fmt: skip
    began = time.perf_counter()
    size, interrupted = FIRST_CHUNK, False
    with interrupts() as noted:
        while follower.outcome is None and follower.steps != max_steps and not interrupted:
            left = size if max_steps is None else min(size, max_steps - follower.steps)
            looked = time.perf_counter()
            try:
                follower.advance(left)
            except KeyboardInterrupt:
                if noted:
                    raise
                interrupted = True
                break
            refuse_trouble(compiled, follower)
            size = resized(size, time.perf_counter() - looked)
            if on_progress is not None:
                on_progress(follower.steps)
            interrupted = bool(noted) and follower.outcome is None
    seconds = time.perf_counter() - began
    return result_of(follower, seconds, dtype=dtype, interrupted=interrupted, counting=counting)


def result_of(
    follower: Follower,
    seconds: float,
    *,
    dtype: str = "float64",
    interrupted: bool = False,
    counting: bool = False,
) -> Result:
    """Return how a run ended that took so long. The follower can be asked nothing afterwards."""
    compiled = follower.compiled
    steps, passes, state, outcome = (
        follower.steps, follower.passes, follower.state, follower.outcome
    )  # fmt: skip
    cases = follower.cases() if counting else None
    _, ended = follower.end()
    tapes = tuple(compiled.machine.plain(tape) for tape in ended)
    blank = compiled.machine.blank
    return Result(
        machine=compiled.machine.name,
        construction=compiled.weights.construction,
        target=compiled.weights.target,
        runtime=follower.runtime,
        device=follower.device,
        dtype=dtype,
        attention=follower.attention,
        outcome=outcome or "step-limit",  # type: ignore[arg-type]
        state=state,
        steps=steps,
        forward_passes=passes,
        peak_context=follower.peak,
        nonblank=sum(tape.nonblank(blank) for tape in tapes),
        tapes=tapes,
        seconds=seconds,
        interrupted=interrupted,
        widened=follower.widened,
        kernel=follower.kernel,
        reason=follower.reason,
        cases=cases,
    )


def tape_full(follower: Follower) -> BoundError:
    """Return the error for a head that left a bounded tape.

    Where rows are written, the step is not: its row has no place for the head.
    """
    compiled = follower.compiled
    steps = follower.steps + (compiled.construction.view == "rows")
    cells = compiled.weights.options.get("tape", 0)
    return BoundError(
        f"in step {steps:,} a head left the tape of {cells:,} cells that construction "
        f"{compiled.weights.construction!r} was compiled with; compile with --tape {2 * cells}",
        bound="tape",
    )


def refuse_trouble(compiled: Compiled, follower: Follower) -> None:
    """Raise where weights emitted what no run may hold, or a head left their tape.

    Raises:
        ArtifactError: the former.
        BoundError: the latter.
    """
    if follower.trouble is not None:
        raise ArtifactError(
            f"{follower.trouble}: the weights are damaged or foreign "
            "(tm2tf verify shows where they part)"
        )
    if follower.outcome == "tape-full":
        raise tape_full(follower)


def resized(size: int, seconds: float) -> int:
    """Return how many steps to take next, where `size` of them took so long."""
    if seconds > 2 * LOOK:
        return max(1, size // 2)
    return min(CHUNK, 2 * size) if seconds < LOOK / 2 else size


@contextmanager
def interrupts() -> Iterator[list[int]]:
    """Yield a list to which Ctrl-C is noted, so that it cannot fall between passes and tokens.

    Python would raise KeyboardInterrupt when the kernel has made its passes and the runner has
    not yet taken note of their tokens: what the weights hold would no longer fit the steps
    counted. A program with a handler of its own keeps it.
    """
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        if noted:
            raise KeyboardInterrupt
        noted.append(number)

    ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not ours or threading.current_thread() is not threading.main_thread():
        yield noted
        return
    signal.signal(signal.SIGINT, note)
    try:
        yield noted
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
