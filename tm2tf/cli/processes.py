"""A function of many things, computed by several processes: for work that is all Python."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.reduction import ForkingPickler
from types import MappingProxyType
from typing import Any, TypeVar

from tm2tf.errors import InternalError

Given = TypeVar("Given")
Made = TypeVar("Made")

TOGETHER = 4
"""Things handed to a process at once: few, as some take far longer than others."""


def _read_only(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    return MappingProxyType(mapping)


def _as_dict(mapping: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _read_only, (dict(mapping),)


# machines hold their transitions in one, and Python does not know how to send it
ForkingPickler.register(MappingProxyType, _as_dict)


def _deaf() -> None:
    """Leave Ctrl-C to the process that began this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def by_processes(
    function: Callable[[Given], Made], given: Sequence[Given], processes: int
) -> Iterator[Made]:
    """Yield a function of each thing, in their order.

    What is left when the caller stops asking is not begun. The function, what it is given and what
    it returns must be such that `pickle` takes them.

    Raises:
        InternalError: a process was ended from outside.
    """
    pool = ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_deaf)
    try:
        yield from pool.map(function, given, chunksize=TOGETHER)
    except BrokenProcessPool:
        raise InternalError(
            f"one of {processes} processes ended unexpectedly; if memory is short, take --jobs 1"
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)
