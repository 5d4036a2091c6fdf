"""numba's compiler with its cache on disk, where there is a folder for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from numba import njit

Function: TypeAlias = Callable[..., Any]


def cached_njit(nogil: bool = False) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function when it is first called, and caches the code.

    numba keeps the cache beside the source or in the user's cache folder. Where it may write to
    neither (an image that is read-only, a user without a home), every process compiles anew.
    """

    def decorate(function: Function) -> Function:
        try:
            compiled: Function = njit(cache=True, nogil=nogil)(function)
        except RuntimeError:  # numba's word for "no folder to cache in"
            compiled = njit(nogil=nogil)(function)
        return compiled

    return decorate
