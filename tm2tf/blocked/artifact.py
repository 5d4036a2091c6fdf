"""The artifact of a block machine: a folder like any other, with a file that says what blocks are.

`block.json` has the base machine, the cells of a block and how the table was found, and the hash of
the weights that it belongs to: where others have been saved into the folder since, it says nothing.
That the block machine is one of this base machine is not believed but checked: each of its rules is
played out again.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tm2tf import api
from tm2tf.blocked.model import BlockModel
from tm2tf.errors import ArtifactError, FormatError
from tm2tf.formats import native, native_writer
from tm2tf.machine.blocks.assembly import Mark, named, outcome_of
from tm2tf.machine.blocks.lifted import BlockMachine, FirstRun, Place, check_base
from tm2tf.machine.blocks.play import play
from tm2tf.machine.spec import Machine
from tm2tf.weights.files import locked, replace_files

FILE = "block.json"
FORMAT, VERSION = "tm2tf-blocks", 1
MAX_BYTES = 64_000_000
"""Largest file read: what `api.load` reads of a machine."""


def save(folder: Path, model: BlockModel) -> str:
    """Write the artifact folder with its `block.json`; return the weights' SHA-256.

    Raises:
        ArtifactError: the folder cannot be written.
    """
    digest = model.model.save(folder)
    found = model.found
    said: dict[str, object] = {
        "format": FORMAT,
        "format_version": VERSION,
        "weights_sha256": digest,
        "block": found.block,
        "found": found.found,
        "first_run": None if found.first_run is None else asdict(found.first_run),
        "places": {name: [place.state, place.cell] for name, place in found.places.items()},
        "blocks": {name: list(cells) for name, cells in found.blocks.items()},
        "steps": [[state, symbol, steps] for (state, symbol), steps in found.steps.items()],
        "base": native_writer.dump(found.base),
    }
    try:
        with locked(folder, exclusive=True):
            replace_files(folder, ((FILE, (json.dumps(said, indent=1) + "\n").encode()),))
    except OSError as error:
        problem = f"{folder / FILE} cannot be written: {error.strerror or error}"
        raise ArtifactError(problem) from None
    return digest


def open_blocks(folder: Path, *inputs: api.Input) -> BlockModel | None:
    """Return the model of a block machine's artifact; None if it is one of another machine.

    `inputs`: the base machine's start (none: the blank tape).

    Raises:
        ArtifactError: the folder is no artifact, damaged, or its blocks are not those of its
            machine.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    model = api.open_model(folder)
    said = _read(path)
    if said.get("weights_sha256") != model.weights_sha256:
        return None  # other weights were saved here since
    try:
        found = _rebuilt(said, model.machine, path)
        begin = api.start_of(found.base, inputs)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise _wrong(path, "it lacks something, or has something else in its place") from None
    return BlockModel(found, model, begin)


def _read(path: Path) -> dict[str, Any]:
    """Return what a file says, as far as it is one of ours."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise _wrong(path, f"it is larger than {MAX_BYTES:,} bytes")
        said = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError):
        raise _wrong(path, "expected JSON in UTF-8") from None
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise _wrong(path, f'expected a JSON object with "format": "{FORMAT}"')
    if said.get("format_version") != VERSION:
        raise _wrong(path, f"this tm2tf knows format_version {VERSION} only")
    return said


def _rebuilt(said: dict[str, Any], machine: Machine, path: Path) -> BlockMachine:
    """Return the block machine, all of whose rules were played out again."""
    try:
        base = native.parse(str(said["base"]), f"{path}, the base machine")
    except FormatError as error:
        raise _wrong(path, str(error)) from None
    width, run = said["block"], said["first_run"]
    if type(width) is not int or said["found"] not in ("closure", "run"):
        raise _wrong(path, "it lacks something, or has something else in its place")
    check_base(base, width)
    found = BlockMachine(
        base=base,
        block=width,
        machine=machine,
        places={name: Place(str(p[0]), int(p[1])) for name, p in said["places"].items()},
        blocks={name: tuple(map(str, cells)) for name, cells in said["blocks"].items()},
        steps={(str(q), str(s)): int(n) for q, s, n in said["steps"]},
        found=said["found"],
        first_run=None if run is None else FirstRun(**run),
    )
    _check(found, path)
    return found


def _check(found: BlockMachine, path: Path) -> None:
    """Refuse blocks that are not those of the machine, or not of its base machine."""
    machine, blank = found.machine, (found.base.blank,) * found.block
    whole = (
        set(found.places) == set(machine.states)
        and set(found.blocks) == set(machine.symbols)
        and {(q, (s,)) for q, s in found.steps} == set(machine.transitions)
        and all(len(cells) == found.block for cells in found.blocks.values())
        and found.blocks[machine.blank] == blank
        and found.places[machine.start] == Place(found.base.start, 0)
    )
    if not whole:
        raise _wrong(path, "its states, symbols or rules are not those of the machine")
    for (state, (symbol,)), to in machine.transitions.items():
        there = play(found.base, found.places[state], found.blocks[symbol])
        mark = Mark(there.kind, there.place.state, there.place.cell)
        same = (
            (to.state, to.moves[0]) == (named(mark), there.move)
            and found.places[to.state] == there.place
            and machine.outcome_of(to.state) == outcome_of(found.base, mark)
            and found.blocks[to.writes[0]] == there.written
            and found.steps[state, symbol] == there.steps
        )
        if not same:
            raise _wrong(path, f"the rule of {state!r} on {symbol!r} is not the base machine's")


def _wrong(path: Path, problem: str) -> ArtifactError:
    return ArtifactError(f"{path}: {problem}; compile the machine again, with --block")
