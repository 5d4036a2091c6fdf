"""The whole of a run: prompt in, result out, through any runtime."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

import numpy as np
from jaxtyping import Int64

from tm2tf.compiler import Compiled
from tm2tf.errors import ArtifactError, InputError, NotFoundError, did_you_mean
from tm2tf.machine.spec import Configuration, Machine, Outcome, Tape
from tm2tf.runtime.runner import Memory, Runner

CHUNK = 1_000_000
"""Most tokens emitted between two looks at the clock: about half a second of the kernel."""

FIRST_CHUNK = 1024
"""Tokens emitted before the first look; then halved or doubled, whatever the runtime's speed."""

LOOK = 0.25
"""Seconds between two looks, about: so long Ctrl-C waits."""

RUNTIMES = ("kernel", "torch")
DEVICES = ("auto", "cpu", "cuda")

OnProgress = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Result:
    """How a run of compiled weights ended. Tapes are trimmed of outer blanks.

    Attributes:
        outcome: "halted", "accepted", "rejected", or "step-limit" if it was stopped.
        steps: machine steps taken, one step token each.
        forward_passes: passes that emitted a token (one more than `steps` where the last token
            says that no transition was found); the prompt's passes are not counted.
        attention: how lookups were evaluated: "index", "scan", or "argmax over the prefix".
        seconds: from the prompt to the last token, without compiling.
    """

    machine: str
    construction: str
    target: str
    runtime: str
    device: str
    attention: str
    outcome: Outcome
    state: str
    steps: int
    forward_passes: int
    nonblank: int
    tapes: tuple[Tape, ...]
    seconds: float
    interrupted: bool = False


def start_runner(
    compiled: Compiled,
    start: Configuration,
    probes: tuple[str, ...],
    runtime: str = "kernel",
    device: str = "auto",
) -> Runner:
    """Return a runner that stands at the end of the prompt.

    Raises:
        NotFoundError: no such runtime or device.
        InputError: the runtime cannot use the device.
    """
    if device not in DEVICES:
        raise NotFoundError(f"unknown device {device!r}; known: {', '.join(DEVICES)}")
    prompt = compiled.prompt(start)
    if runtime == "kernel":
        from tm2tf.runtime.kernel import KernelRunner

        if device == "cuda":
            raise InputError("the kernel runs on the CPU; for CUDA take --runtime torch")
        return KernelRunner(compiled.weights, prompt, probes)
    if runtime == "torch":
        from tm2tf.runtime.torch_runner import TorchRunner, pick_device

        return TorchRunner(compiled.weights, prompt, probes, pick_device(device))
    raise NotFoundError(
        f"unknown runtime {runtime!r}; known: {', '.join(RUNTIMES)}"
        + did_you_mean(runtime, RUNTIMES)
    )


def run(
    compiled: Compiled,
    start: Configuration,
    *,
    max_steps: int | None = None,
    runtime: str = "kernel",
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Result:
    """Run compiled weights from a start configuration and return how it ended.

    An interrupt (Ctrl-C) ends the run at the next look at the clock, with the result so far; a
    second one raises KeyboardInterrupt.

    Raises:
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: the weights emit a token that is no step.
    """
    probes = ("state", *(f"tape{t}.head" for t in range(compiled.machine.tapes)))
    runner = start_runner(compiled, start, probes, runtime, device)
    began = time.perf_counter()
    count = _Count(compiled, start)
    size, interrupted = FIRST_CHUNK, False
    with _interrupts() as noted:
        while count.outcome is None and count.steps != max_steps and not interrupted:
            left = size if max_steps is None else min(size, max_steps - count.steps)
            looked = time.perf_counter()
            try:
                emitted = runner.advance(left, probe=False).tokens
            except KeyboardInterrupt:
                if noted:
                    raise
                interrupted = True
                break
            size = _resized(size, time.perf_counter() - looked)
            count.take(emitted)
            if on_progress is not None:
                on_progress(count.steps)
            interrupted = bool(noted) and count.outcome is None
    seconds = time.perf_counter() - began
    _, tapes = final_state(runner, compiled.machine, start)
    blank = compiled.machine.blank
    return Result(
        machine=compiled.machine.name,
        construction=compiled.weights.construction,
        target=compiled.weights.target,
        runtime=runner.name,
        device=runner.device,
        attention=runner.attention,
        outcome=count.outcome or "step-limit",
        state=count.state,
        steps=count.steps,
        forward_passes=count.passes,
        nonblank=sum(tape.nonblank(blank) for tape in tapes),
        tapes=tapes,
        seconds=seconds,
        interrupted=interrupted,
    )


class _Count:
    """What the tokens emitted so far come to: passes, steps, the state, and how the run is over."""

    def __init__(self, compiled: Compiled, start: Configuration) -> None:
        self._tokens = compiled.weights.tokens
        self._may_emit = np.array([token.role in ("step", "end") for token in self._tokens])
        self.passes = self.steps = 0
        self.state = start.state
        self.outcome: Outcome | None = self._outcome(compiled.prompt(start)[-1])

    def _outcome(self, token: int) -> Outcome | None:
        return self._tokens[token].outcome  # type: ignore[return-value]

    def take(self, emitted: Int64[np.ndarray, " count"]) -> None:
        """Count some more tokens, at least one."""
        strange = np.flatnonzero(~self._may_emit[emitted])
        if len(strange):
            name = self._tokens[int(emitted[strange[0]])].name
            raise ArtifactError(
                f"pass {self.passes + int(strange[0]) + 1:,} emitted {name!r}, which is no step: "
                "the weights are damaged or foreign (tm2tf verify shows where they part)"
            )
        stuck = self._tokens[int(emitted[-1])].role == "end"
        self.passes += len(emitted)
        self.steps += len(emitted) - stuck
        self.outcome = self._outcome(int(emitted[-1]))
        for token in emitted[len(emitted) - stuck - 1 : len(emitted) - stuck]:
            self.state = str(self._tokens[int(token)].values["state"])


def _resized(size: int, seconds: float) -> int:
    """Return how many tokens to emit next, where `size` of them took so long."""
    if seconds > 2 * LOOK:
        return max(1, size // 2)
    return min(CHUNK, 2 * size) if seconds < LOOK / 2 else size


@contextmanager
def _interrupts() -> Iterator[list[int]]:
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


def final_state(
    runner: Runner, machine: Machine, start: Configuration
) -> tuple[str, tuple[Tape, ...]]:
    """Let the weights process their last token; return the state and tapes they then hold.

    The state is "none" after the token that ends a run without a transition: it has none.
    """
    after = runner.settle()
    tapes = tuple(
        _tape(
            runner.memory(f"tape{t}.read"),
            after[f"tape{t}.head"],
            start.tapes[t].head,
            machine.blank,
        )
        for t in range(machine.tapes)
    )
    state = after["state"]
    return machine.states[state] if state >= 0 else "none", tapes


def _tape(memory: Memory, head: int, offset: int, blank: str) -> Tape:
    """Return a trimmed tape; the weights count addresses from where the head began, `offset`."""
    held = {address + offset: symbol for address, symbol in memory.items() if symbol != blank}
    if not held:
        return Tape((), 0, head + offset)
    cells = range(min(held), max(held) + 1)
    return Tape(tuple(held.get(a, blank) for a in cells), cells[0], head + offset)
