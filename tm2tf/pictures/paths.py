"""Where pictures are written: asked before anything is computed."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from tm2tf.errors import InputError, did_you_mean


def check(path: Path, suffixes: Collection[str]) -> str:
    """Return the suffix of a path in small letters, if a file can be written there.

    Raises:
        InputError: the suffix is none of `suffixes`, or no file can be written there.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise InputError(f"cannot write {path}: it is a folder")
    if suffix not in suffixes:
        said = f"a name that ends in {path.suffix!r}" if suffix else "a name without a suffix"
        raise InputError(
            f"{path}: {said} does not say what to draw; known: {', '.join(suffixes)}"
            + did_you_mean(suffix, suffixes)
        )
    if not path.parent.is_dir():
        raise InputError(f"cannot write {path}: there is no folder {path.parent}; make it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"cannot write {path}: permission denied")
    return suffix
