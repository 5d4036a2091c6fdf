"""Which follower reads the runs of which weights, and which runner makes them."""

from __future__ import annotations

from tm2tf.compiler import Compiled, Start
from tm2tf.errors import InputError, NotFoundError, did_you_mean
from tm2tf.machine.spec import Configuration
from tm2tf.runtime.runner import DEFAULT, DTYPES, KERNELS, Runner
from tm2tf.runtime.told import Follower

RUNTIMES = ("kernel", "torch")
DEVICES = ("auto", "cpu", "cuda")


def follow(
    compiled: Compiled,
    start: Configuration,
    *,
    runtime: str = "kernel",
    device: str = "auto",
    dtype: str = "float64",
    grow: bool = True,
    kernel: str | None = None,
    counting: bool = False,
) -> Follower:
    """Return the follower of a run that stands at the end of its prompt.

    `grow`: whether a looped model's window is widened when a head leaves it. `kernel`: which one
    the runtime of that name takes, if the weights are fit for it. `counting`: whether it counts
    cases, if it can.

    Raises:
        NotFoundError: no such runtime, device or dtype.
        InputError: the runtime cannot use the device or the dtype; there is no window to fix.
    """
    for kind, name, known in (
        ("runtime", runtime, RUNTIMES),
        ("device", device, DEVICES),
        ("dtype", dtype, tuple(DTYPES)),
        ("kernel", kernel or DEFAULT, KERNELS),
    ):
        if name not in known:
            raise NotFoundError(
                f"unknown {kind} {name!r}; known: {', '.join(known)}" + did_you_mean(name, known)
            )
    if not grow and compiled.construction.view != "cells":
        raise InputError(
            f"construction {compiled.construction.name!r} has no window: leave --fixed-window out"
        )
    if kernel is not None and runtime != "kernel":
        raise InputError(f"the runtime {runtime!r} has no kernels: leave --kernel out")
    if compiled.construction.view == "cells":
        from tm2tf.runtime.cells import CellFollower
        from tm2tf.runtime.torch_runner import pick_device

        follower = CellFollower(compiled, start, pick_device(device), dtype, grow)
        if kernel is not None:
            follower.reason = "the weights are looped, and evaluated by torch"
        return follower

    def make(probes: tuple[str, ...], begin: Start) -> Runner:
        return start_runner(compiled, begin, probes, runtime, device, dtype, kernel, counting)

    if compiled.construction.view == "rows":
        from tm2tf.runtime.rows import RowFollower

        return RowFollower(compiled, start, make)
    from tm2tf.runtime.steps import StepFollower

    return StepFollower(compiled, start, make)


def start_runner(
    compiled: Compiled,
    begin: Start,
    probes: tuple[str, ...],
    runtime: str = "kernel",
    device: str = "auto",
    dtype: str = "float64",
    kernel: str | None = None,
    counting: bool = False,
) -> Runner:
    """Return a runner that stands at the end of a prompt; names must be known.

    Raises:
        InputError: the runtime cannot use the device or the dtype.
    """
    if runtime == "kernel":
        from tm2tf.runtime.kernel import KernelRunner

        if device == "cuda":
            raise InputError("the kernel runs on the CPU; for CUDA take --runtime torch")
        if dtype != "float64":
            raise InputError(f"the kernel computes in float64; for {dtype} take --runtime torch")
        return KernelRunner(compiled.weights, begin.ids, probes, kernel or DEFAULT, counting)
    from tm2tf.runtime.torch_runner import TorchRunner, pick_device

    return TorchRunner(compiled.weights, begin.ids, probes, pick_device(device), dtype)
