"""What a sweep does: a machine, an input and a construction each, numbered as they come."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from tm2tf import api, constructions
from tm2tf.errors import InputError
from tm2tf.formats import native_writer
from tm2tf.machine.spec import Expected, Machine, Tape
from tm2tf.machine.tree import tree
from tm2tf.verify.cases import Case, of_corpus, of_machine, sampled


@dataclass(frozen=True, slots=True)
class Task:
    """One run to check. Plain enough to be sent to another computer.

    Attributes:
        number: its place in the sweep.
        name: the machine's.
        machine: the machine in the native format.
        options: of the construction.
        ends: the steps after which the run is said to end, where it is stopped before.
    """

    number: int
    name: str
    machine: str
    tapes: tuple[Tape, ...]
    construction: str = "trace"
    options: Mapping[str, int] = field(default_factory=dict)
    max_steps: int | None = None
    expected: Expected = field(default_factory=Expected)
    ends: int | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be swept over; all that is given, one after another.

    Attributes:
        machines: files, bundled names, codes; each runs on its examples, or a blank tape.
        folders: folders whose files are machines.
        corpora: files of codes with what is known of them: see `verify.cases.of_corpus`.
        sizes: (states, symbols) of which all machines are taken, in tree normal form.
        random: so many random machines, from `seed`.
        constructions: each machine by each of them.
        options: of the constructions.
        max_steps: a limit for each run.
    """

    machines: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    corpora: tuple[str, ...] = ()
    sizes: tuple[tuple[int, int], ...] = ()
    random: int = 0
    seed: int = 0
    constructions: tuple[str, ...] = ("trace",)
    options: Mapping[str, int] = field(default_factory=dict)
    max_steps: int | None = None

    def plain(self) -> dict[str, Any]:
        """Return it as JSON can hold it: two sweeps that ask the same have the same tasks.

        For that a hash of all files that are read is a part of it.
        """
        names = ("machines", "folders", "corpora", "random", "seed", "constructions", "max_steps")
        made: dict[str, Any] = {name: getattr(self, name) for name in names}
        made |= {"sizes": [list(size) for size in self.sizes], "options": dict(self.options)}
        return made | {"files": _hash((*self.machines, *self.folders, *self.corpora))}


TREE_STEPS = 10_000
"""Steps that machines of a size are followed for, to see which rules they lack, if no limit is
given."""


def how_many(asked: Asked) -> int | None:
    """Return how many tasks a sweep has; None if that is not known before all are made.

    Raises:
        InputError: as `tasks` does.
    """
    made = tasks(asked)
    return None if asked.sizes else sum(1 for _ in made)


def tasks(asked: Asked) -> Iterator[Task]:
    """Return the tasks of a sweep, made as they are asked for, always in the same order.

    Raises:
        InputError: nothing is asked for, or something that is not there; files that are no machines
            are told of at once.
    """
    if not (asked.machines or asked.folders or asked.corpora or asked.sizes or asked.random):
        raise InputError(
            "there is nothing to sweep over: name machines, or give --folder, --corpus, "
            "--states and --symbols, or --random"
        )
    named = [(what, api.load(what)) for what in asked.machines]
    named += [(str(path), api.load(path)) for path in _files(asked.folders)]
    for construction in asked.constructions:
        constructions.by_name(construction).resolve(asked.options)
    numbers = count()
    return (
        _task(next(numbers), case, construction, asked.options)
        for case in _cases(asked, named)
        for construction in asked.constructions
    )


def _files(folders: Iterable[str]) -> Iterator[Path]:
    for folder in folders:
        path = Path(folder)
        if not path.is_dir():
            raise InputError(f"no such folder: {folder}")
        found = _inside(path)
        if not found:
            raise InputError(f"the folder {folder} is empty: put machines into it, a file each")
        yield from found


def _inside(folder: Path) -> list[Path]:
    return sorted(each for each in folder.rglob("*") if each.is_file())


def _hash(names: Iterable[str]) -> str:
    """Return the SHA-256 of the files of these names and in these folders; others are passed by."""
    found = hashlib.sha256()
    for name in names:
        path = Path(name)
        files = _inside(path) if api.is_folder(name) else [path]
        for each in files:
            try:
                content = hashlib.sha256(each.read_bytes()).hexdigest()
            except OSError:  # a bundled machine, say
                continue
            found.update(repr((str(each), content)).encode())
    return found.hexdigest()


def _cases(asked: Asked, named: list[tuple[str, Machine]]) -> Iterator[Case]:
    for what, machine in named:
        yield from of_machine(what, machine, (), asked.max_steps, given=False)
    for path in asked.corpora:
        yield from of_corpus(Path(path), asked.max_steps)
    for states, symbols in asked.sizes:
        steps = TREE_STEPS if asked.max_steps is None else asked.max_steps
        for machine in tree(states, symbols, steps):
            yield Case(machine, machine.initial().tapes, Expected(), steps, "")
    if asked.random:
        yield from sampled(asked.random, asked.seed, asked.max_steps)


def _task(number: int, case: Case, construction: str, options: Mapping[str, int]) -> Task:
    return Task(
        number=number,
        name=case.machine.name,
        machine=native_writer.dump(replace(case.machine, examples=())),
        tapes=case.tapes,
        construction=construction,
        options=dict(options),
        max_steps=case.max_steps,
        expected=case.expected,
        ends=case.ends,
    )
