"""numba's compiler with its cache on disk, where there is a folder for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

from numba import njit

Function: TypeAlias = Callable[..., Any]


def cached_njit(nogil: bool = False, uses: Sequence[str] = ()) -> Callable[[Function], Function]:
    """Return a decorator that compiles a function when it is first called, and caches the code.

    numba keeps the cache beside the source or in the user's cache folder. Where it may write to
    neither (an image that is read-only, a user without a home), every process compiles anew. It
    compiles anew, too, when the function's own file changes; `uses` are other files whose functions
    it calls.
    """

    def decorate(function: Function) -> Function:
        try:
            compiled: Any = njit(cache=True, nogil=nogil)(function)
            _forget(Path(compiled.stats.cache_path), function, uses)
        except RuntimeError:  # numba's word for "no folder to cache in"
            compiled = njit(nogil=nogil)(function)
        made: Function = compiled
        return made

    return decorate


def _forget(cache: Path, function: Function, uses: Sequence[str]) -> None:
    """Remove what the cache has of a function where it is older than what the function uses."""
    newest = max((Path(file).stat().st_mtime for file in uses), default=0.0)
    own = Path(function.__code__.co_filename).stem
    with suppress(OSError):  # a cache that cannot be changed was filled when this was installed
        for index in cache.glob(f"{own}.{function.__name__}-*.nbi"):
            if index.stat().st_mtime < newest:
                index.unlink()
