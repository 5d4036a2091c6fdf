"""Files replaced as a whole, and a folder held against others while that is done."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

TEMPORARY = ".tm2tf-*.tmp"
"""Names of files that are being written."""


def replace_files(folder: Path, files: Iterable[tuple[str, bytes]]) -> None:
    """Write all the files under temporary names, then rename one after the other."""
    for entry in folder.iterdir():
        if entry.match(TEMPORARY):
            entry.unlink(missing_ok=True)  # of a save that was killed
    written: list[tuple[Path, str]] = []
    try:
        for name, data in files:
            path = folder / TEMPORARY.replace("*", secrets.token_hex(8))
            written.append((path, name))
            with path.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, name in written:
            path.replace(folder / name)
    finally:
        for path, _ in written:
            path.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path, *, exclusive: bool) -> Iterator[None]:
    """Hold the folder against saves of other processes and threads, where the system can.

    The lock ends with its holder, so that a killed save blocks nobody.
    """
    if sys.platform == "win32":
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(number, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)
        yield
    finally:
        os.close(number)
