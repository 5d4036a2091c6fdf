"""The whole of a run: prompt in, result out, through any runtime."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.compiler import Compiled
from tm2tf.errors import ArtifactError, InputError, NotFoundError, did_you_mean
from tm2tf.machine.spec import Configuration, Machine, Outcome, Tape
from tm2tf.runtime.runner import Memory, Runner

CHUNK = 1_000_000
"""Tokens emitted between two looks at the clock: about a third of a second of the kernel."""

RUNTIMES = ("kernel", "torch")

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
        NotFoundError: no such runtime.
        InputError: the runtime cannot use the device.
    """
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

    An interrupt (Ctrl-C) ends the run at the next look at the clock, with the result so far.

    Raises:
        BoundError: the run leaves the range in which the weights are exact.
        ArtifactError: the weights emit a token that is no step.
    """
    heads = tuple(f"tape{t}.head" for t in range(compiled.machine.tapes))
    runner = start_runner(compiled, start, heads, runtime, device)
    began = time.perf_counter()
    tokens = compiled.weights.tokens
    last = tokens[compiled.prompt(start)[-1]]
    steps = passes = 0
    state, interrupted = start.state, False
    while last.outcome is None and (max_steps is None or steps < max_steps):
        left = CHUNK if max_steps is None else min(CHUNK, max_steps - steps)
        try:
            emitted = runner.advance(left).tokens
        except KeyboardInterrupt:
            interrupted = True
            break
        passes += len(emitted)
        last = tokens[int(emitted[-1])]
        if last.role not in ("step", "end"):
            raise ArtifactError(
                f"after {passes:,} passes the weights emitted {last.name!r}, which is no step: they "
                "are damaged, or were made by something else (tm2tf verify shows where they part)"
            )
        steps += len(emitted) - (last.role == "end")
        final = tokens[int(emitted[-2])] if last.role == "end" and len(emitted) > 1 else last
        state = str(final.values.get("state", state))
        if on_progress is not None:
            on_progress(steps)
    seconds = time.perf_counter() - began
    tapes = final_tapes(runner, compiled.machine, start)
    blank = compiled.machine.blank
    return Result(
        machine=compiled.machine.name,
        construction=compiled.weights.construction,
        target=compiled.weights.target,
        runtime=runner.name,
        device=runner.device,
        attention=runner.attention,
        outcome=last.outcome or "step-limit",  # type: ignore[arg-type]
        state=state,
        steps=steps,
        forward_passes=passes,
        nonblank=sum(tape.nonblank(blank) for tape in tapes),
        tapes=tapes,
        seconds=seconds,
        interrupted=interrupted,
    )


def final_tapes(runner: Runner, machine: Machine, start: Configuration) -> tuple[Tape, ...]:
    """Let the weights process their last token; return the tapes as their lookups hold them."""
    after = runner.settle()
    return tuple(
        _tape(
            runner.memory(f"tape{t}.read"),
            after[f"tape{t}.head"],
            start.tapes[t].head,
            machine.blank,
        )
        for t in range(machine.tapes)
    )


def _tape(memory: Memory, head: int, offset: int, blank: str) -> Tape:
    """Return a trimmed tape; the weights count addresses from where the head began, `offset`."""
    held = {address + offset: symbol for address, symbol in memory.items() if symbol != blank}
    if not held:
        return Tape((), 0, head + offset)
    cells = range(min(held), max(held) + 1)
    return Tape(tuple(held.get(a, blank) for a in cells), cells[0], head + offset)
