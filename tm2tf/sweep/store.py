"""Where the rows of a sweep are kept as they come, and put in order at its end.

A folder holds `sweep.json` (what was asked for), `journal.jsonl` (rows as they came, a line each)
and, when all are there, `results.jsonl` or `results.parquet`, in the order of the tasks. A sweep
that was killed, however, finds its rows in the journal, and the last line, if it was not written
to its end, is done again. Two sweeps that did the same leave the same results, byte by byte.
"""

from __future__ import annotations

import fcntl
import json
import operator
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

from tm2tf import __version__
from tm2tf.errors import ExtraError, InputError
from tm2tf.sweep.work import COLUMNS, Row

Kind: TypeAlias = Literal["jsonl", "parquet"]

ASKED, JOURNAL, RESULTS = "sweep.json", "journal.jsonl", "results"


class Store:
    """A folder for the rows of a sweep. Only one process at a time can have it open.

    Attributes:
        done: the numbers of the tasks whose rows are there.
    """

    def __init__(self, folder: Path, asked: dict[str, Any], kind: Kind) -> None:
        """Open a folder, or begin one.

        Raises:
            InputError: it holds another sweep, or is open in another process, or no folder can be
                there.
            ExtraError: results are to be Parquet, and pyarrow is not installed.
        """
        if kind == "parquet":
            _pyarrow()
        self.folder, self._kind = folder, kind
        asked = {"tm2tf": __version__, **asked}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._journal: IO[bytes] = (folder / JOURNAL).open("ab+")
        except OSError as error:
            raise InputError(f"cannot write to {folder}: {error.strerror}") from None
        try:
            fcntl.flock(self._journal, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.close()
            raise InputError(f"another sweep writes to {folder} now: wait for it") from None
        try:
            self.done = {row["number"] for row in self._read()}
            _same(folder / ASKED, asked, begun=bool(self.done))
        except BaseException:
            self.close()
            raise

    def add(self, rows: Iterable[Row]) -> None:
        """Keep rows; they survive the end of this process, however it comes, and of the power."""
        lines = [
            json.dumps(_sayable(row), ensure_ascii=False, separators=(",", ":")) for row in rows
        ]
        self._journal.write("".join(line + "\n" for line in lines).encode())
        self._journal.flush()
        os.fsync(self._journal.fileno())
        self.done |= {json.loads(line)["number"] for line in lines}

    def rows(self) -> list[Row]:
        """Return all rows in the order of their tasks."""
        return sorted(self._read(), key=lambda row: int(row["number"]))

    def finish(self) -> Path:
        """Write all rows in order into one file, which appears whole or not at all; return it."""
        path = self.folder / f"{RESULTS}.{self._kind}"
        part = path.with_suffix(".part")
        if self._kind == "jsonl":
            with part.open("w", encoding="utf-8") as file:
                for row in self.rows():
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
        else:
            _write_parquet(part, self.rows())
        part.replace(path)
        return path

    def close(self) -> None:
        """Let others open the folder."""
        self._journal.close()

    def _read(self) -> Iterator[Row]:
        """Yield the rows of the journal; a last line that was not written whole is cut off."""
        self._journal.flush()
        self._journal.seek(0)
        text = self._journal.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            self._journal.truncate(whole)
        for number, line in enumerate(text[:whole].splitlines(), start=1):
            try:
                row = json.loads(line)
                yield {name: row[name] for name in COLUMNS} | {
                    "number": operator.index(row["number"])
                }
            except (ValueError, KeyError, TypeError):
                raise InputError(
                    f"line {number} of {self.folder / JOURNAL} is not a row of a sweep: it was "
                    "edited; delete that line, and its task is done again"
                ) from None


def _sayable(row: Row) -> Row:
    """Return a row that UTF-8 can hold, as the names of files need not be."""
    return {
        name: value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value
        for name, value in row.items()
    }


def _same(path: Path, asked: dict[str, Any], begun: bool) -> None:
    """Note what is asked for, or compare it with what was, if any of that was done.

    Raises:
        InputError: it is something else.
    """
    text = json.dumps(asked, indent=2, sort_keys=True) + "\n"
    if not begun or not path.exists():
        part = path.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path} was edited: take another folder") from None
    if before != json.loads(text):
        other = [key for key in asked if before.get(key) != json.loads(text).get(key)]
        raise InputError(
            f"{path.parent} holds another sweep (it differs in: {', '.join(other)}): take another "
            "folder, or ask for the same"
        )


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise ExtraError("writing Parquet", "pyarrow", "sweep") from None
    return pyarrow


def _write_parquet(path: Path, rows: list[Row]) -> None:
    pyarrow = _pyarrow()
    types = {int: pyarrow.int64(), str: pyarrow.string()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    table = pyarrow.Table.from_pylist(rows, schema=schema)
    pyarrow.parquet.write_table(table, path)
