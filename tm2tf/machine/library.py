"""The bundled machines: files by topic, found by name.

Kept as data outside the code (`machines/` at the project's root, `tm2tf/machines/` in an
installed wheel). This module only finds them: reading them is the business of `formats`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tm2tf.errors import InternalError, NotFoundError, did_you_mean


@dataclass(frozen=True, slots=True)
class Entry:
    """A bundled machine's name, topic (its folder) and file."""

    name: str
    topic: str
    path: Path


def data_folder(name: str) -> Path:
    """Return the folder of bundled data called `name` (`machines`, `examples`)."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / name, package.parent / name):
        if folder.is_dir():
            return folder
    raise InternalError(f"the bundled {name}/ folder is missing; install tm2tf again")


def entries() -> Iterator[Entry]:
    """Yield every bundled machine, by topic and name."""
    for path in sorted(data_folder("machines").glob("*/*.yaml")):
        yield Entry(path.stem, path.parent.name, path)


def find(name: str) -> Entry:
    """Return the bundled machine called `name`.

    Raises:
        NotFoundError: there is none; the message offers the nearest name.
    """
    known = {entry.name: entry for entry in entries()}
    if name in known:
        return known[name]
    raise NotFoundError(
        f"no file and no bundled machine is called {name!r}"
        + did_you_mean(name, known)
        + " (`tm2tf machines` lists the bundled ones)"
    )
