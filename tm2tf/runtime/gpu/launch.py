"""The kernel as Triton makes it: compiled for a GPU, or interpreted on the CPU.

Interpreted, it is slow (some milliseconds a pass) and says nothing about speed: it is there to
check what the kernel computes on machines without a GPU.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

from tm2tf.errors import ExtraError

CHANGING = ("plane", "size", "rows", "total", "chunks", "jobs")
"""Numbers that differ from launch to launch: no kernel is compiled anew for some of them."""


def triton() -> ModuleType:
    """Return the package.

    Raises:
        ExtraError: it is not installed.
    """
    try:
        import triton as module
    except ImportError as error:
        raise ExtraError("the GPU kernel", "triton", "gpu") from error
    return module  # type: ignore[no-any-return]


@cache
def kernel(interpreted: bool) -> Any:
    """Return `kernels.passes` as Triton launches it: compiled, or `interpreted` on the CPU.

    Raises:
        ExtraError: triton is not installed.
    """
    module = triton()
    from tm2tf.runtime.gpu.kernels import passes

    with module.knobs.runtime.scope():
        module.knobs.runtime.interpret = interpreted
        return module.jit(passes, do_not_specialize=list(CHANGING))
