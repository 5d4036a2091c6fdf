"""A suite on disk: made from the table of cases, with answers on which two derivations agree."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tm2tf import __version__, api
from tm2tf.errors import (
    ArtifactError,
    ExtraError,
    InputError,
    InternalError,
    NotFoundError,
    choose,
)
from tm2tf.export import formats
from tm2tf.export.bundle import Bundle, bundle
from tm2tf.kat import answers as known
from tm2tf.kat.answers import Answers, Item, KnownRun, Row
from tm2tf.kat.cases import CASES, MACHINES, Ask, Case, Start
from tm2tf.kat.spelling import spell
from tm2tf.weights.files import replace_files

FILE = "suite.json"
FORMAT = "tm2tf-kat"
VERSION = 1
FORMATS = ("hf", "gguf", "onnx")
"""What checkpoints are written as: every one for `transformers`; Llamas in float32 also for
llama.cpp and onnxruntime."""

WEIGHTS = ("model.safetensors", "model.gguf", "model.onnx")


@dataclass(frozen=True, slots=True)
class Entry:
    """A case as `suite.json` has it.

    Attributes:
        name, stresses, architecture, dtype: of the case.
        positions: the longest context.
        greatest_score: a bound on the scores of attention, in nats.
        score_bits: how many bits such a score needs to be told from that of the next position.
        files: the SHA-256 of the weights and answers by name.
    """

    name: str
    stresses: str
    architecture: str
    dtype: str
    positions: int
    greatest_score: float
    score_bits: float
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Suite:
    """A folder with a suite."""

    folder: Path
    cases: tuple[Entry, ...]


@dataclass(frozen=True, slots=True)
class Made:
    """What was written; `left_out`: why a format is missing, by format."""

    suite: Suite
    left_out: dict[str, str]
    tokens: int
    bytes: int


def make(
    folder: Path,
    cases: Sequence[Case] = CASES,
    wanted: Collection[str] | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Made:
    """Write a suite into a folder, which is made if need be; an earlier one there is replaced.

    Args:
        folder: where.
        cases: which cases.
        wanted: of `FORMATS`, of which hf always comes; None for all that the installed packages
            can write.
        on_progress: is told the number of cases done.

    Raises:
        ArtifactError: the folder cannot be written, or holds something else.
        ExtraError: a package that a wanted format needs is not installed.
        InputError: no format is wanted, or one that is unknown.
    """
    if wanted is not None and not wanted:
        raise InputError(f"no formats are given; expected some of: {', '.join(FORMATS)}")
    unknown = sorted(set(wanted or ()) - set(FORMATS))
    if unknown:
        raise NotFoundError(f"unknown format {unknown[0]!r}; known: {', '.join(FORMATS)}")
    left_out: dict[str, str] = {}
    entries: list[dict[str, Any]] = []
    total = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _require_free(folder)
        names = [case.name for case in cases]
        earlier = _earlier(folder)
        # a suite that is not finished has no cases, and says which folders it may have
        _write_index(folder, [], sorted({*names, *earlier}))
        for name in earlier - set(names):
            shutil.rmtree(folder / name)
        for number, case in enumerate(cases, 1):
            made = compiled(case)
            answers = answers_of(case, made)
            path = folder / case.name
            formats.write(made, formats.by_name(case.architecture), path)
            more = _other_formats(case, made, wanted, left_out)
            for name in set(WEIGHTS[1:]) - set(more):
                (path / name).unlink(missing_ok=True)
            replace_files(path, [*more.items(), (known.FILE, known.dump(answers))])
            entries.append(_described(case, made, path))
            total += sum(len(run.expected) for run in answers.runs)
            if on_progress is not None:
                on_progress(number)
        _write_index(folder, entries)
    except OSError as error:
        raise ArtifactError(f"{folder} cannot be written: {error.strerror or error}") from None
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Made(load(folder), left_out, total, size)


def load(folder: Path) -> Suite:
    """Return the suite in a folder.

    Raises:
        ArtifactError: there is none, or it is not finished or damaged.
    """
    path = folder / FILE
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            raise ValueError(f"format is {value['format']!r}, expected {FORMAT!r}")
        if value["version"] != VERSION:
            raise ArtifactError(
                f"{path} has version {value['version']}, and this tm2tf reads {VERSION}: "
                f"{known.AGAIN}"
            )
        cases = tuple(_entry(case) for case in value["cases"])
    except OSError as error:
        raise ArtifactError(
            f"{folder} is no suite ({FILE}: {error.strerror}); {known.AGAIN} -o {folder}"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged ({error!r}); {known.AGAIN}") from None
    if not cases:
        raise ArtifactError(f"{path} has no cases, it was not finished; {known.AGAIN}")
    return Suite(folder, cases)


def _entry(value: dict[str, Any]) -> Entry:
    """Return a case of the index, which must not lead out of the suite's folder.

    Raises:
        ValueError: something in it is of another type, or missing (KeyError, TypeError).
    """
    entry = Entry(**{name: value[name] for name in Entry.__dataclass_fields__})
    for name in ("stresses", "architecture", "dtype"):
        if not isinstance(getattr(entry, name), str):
            raise ValueError(f"{name} is {getattr(entry, name)!r}, expected text")
    if not _is_plain(entry.name):
        raise ValueError(f"name is {entry.name!r}, expected that of a folder")
    if not known.is_number(entry.positions):
        raise ValueError(f"positions is {entry.positions!r}, expected a number")
    for name in ("greatest_score", "score_bits"):
        found = getattr(entry, name)
        if not isinstance(found, float) and not known.is_number(found):
            raise ValueError(f"{name} is {found!r}, expected a number")
    files: object = entry.files
    if not isinstance(files, dict) or not all(isinstance(s, str) for s in files.values()):
        raise ValueError(f"files is {files!r}, expected SHA-256 by name")
    if known.FILE not in files or not set(files) & set(WEIGHTS) or not all(map(_is_plain, files)):
        raise ValueError(f"files has {sorted(files)}, expected {known.FILE} and weights")
    return entry


def _is_plain(name: object) -> bool:
    """Return whether a name is one of a file or folder, and no path."""
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\\0:")


def answers_in(suite: Suite, entry: Entry) -> Answers:
    """Return the answers of a case, whose files must be those that were made.

    Raises:
        ArtifactError: a file is missing or has been changed.
    """
    path = suite.folder / entry.name
    for name, sha256 in entry.files.items():
        try:
            found = _sha256(path / name)
        except OSError as error:
            raise ArtifactError(
                f"cannot read {path / name}: {error.strerror}; {known.AGAIN}"
            ) from None
        if found != sha256:
            raise ArtifactError(
                f"{path / name} is not the file that was made (SHA-256 {found[:16]}..., expected "
                f"{sha256[:16]}...): its answers say nothing of it; {known.AGAIN}"
            )
    return known.load(path)


def compiled(case: Case) -> Bundle:
    """Return the checkpoint of a case."""
    family = case.family
    return bundle(
        api.load(MACHINES.get(family.machine, family.machine)),
        case.architecture,
        tape=family.tape,
        steps=family.steps,
        dtype=case.dtype,
        origin=family.origin,
    )


def answers_of(case: Case, made: Bundle) -> Answers:
    """Return the known answers: the simulator's, which the weights on target hard confirm.

    Raises:
        InternalError: they differ, so that nothing is known.
    """
    runs = tuple(_known_run(made, start) for start in case.family.starts)
    return Answers(
        vocabulary=tuple(token.name for token in made.tokens),
        begin=made.begin,
        pad=made.pad,
        stop=made.ends,
        default=made.checkpoint.wiring.default,
        positions=made.checkpoint.limits.positions,
        tapes=made.machine.tapes,
        runs=runs,
        items=tuple(_item(ask, runs) for ask in case.family.asks),
    )


def _known_run(made: Bundle, start: Start) -> KnownRun:
    configuration = made.machine.initial(start.inputs)
    prompt = made.prompt(configuration)
    # the last token of a full context is written, and never read
    count = min(start.count, made.checkpoint.limits.positions + 1 - len(prompt))
    spelled = spell(made.machine, configuration, made.cells, made.origin, count)
    expected = made.expected(prompt, count)
    ids = made.checkpoint.wiring.ids()
    if [ids[name] for name in spelled.prompt] != prompt:
        raise InternalError(f"{made.machine.name}, {start.name}: two prompts of one start")
    if [ids[name] for name in spelled.tokens] != expected:
        raise InternalError(f"{made.machine.name}, {start.name}: simulator and weights differ")
    if not spelled.over and count < made.checkpoint.limits.positions + 1 - len(prompt):
        raise InternalError(f"{made.machine.name}, {start.name}: the run is cut")
    return KnownRun(start.name, tuple(prompt), tuple(expected), spelled.recalls)


def _item(ask: Ask, runs: Sequence[KnownRun]) -> Item:
    rows = []
    for number, cut, count in ask.rows:
        run = runs[number]
        left = len(run.expected) - cut
        if left < 1:
            raise InternalError(f"item {ask.name!r} cuts a run of {len(run.expected)} at {cut}")
        rows.append(Row(number, len(run.prompt) + cut, left if count is None else min(count, left)))
    return Item(ask.name, ask.kind, tuple(rows))


def _other_formats(
    case: Case, made: Bundle, wanted: Collection[str] | None, left_out: dict[str, str]
) -> dict[str, bytes]:
    """Return the weights for engines that are not transformers', noting what cannot be made."""
    found: dict[str, bytes] = {}
    if (case.architecture, case.dtype) != ("llama", "float32"):
        return found
    for name in FORMATS[1:]:
        if (wanted is not None and name not in wanted) or name in left_out:
            continue
        try:
            found[f"model.{name}"] = _written(name, made)
        except ExtraError as error:
            if wanted is not None:
                raise
            left_out[name] = str(error)
    return found


def _written(name: str, made: Bundle) -> bytes:
    if name == "gguf":
        from tm2tf.export import gguf

        return gguf.files(made)["model.gguf"]
    from tm2tf.export import onnx

    return onnx.files(made)["model.onnx"]


def _described(case: Case, made: Bundle, path: Path) -> dict[str, Any]:
    """Return what `suite.json` says of a case."""
    files = [name for name in (*WEIGHTS, known.FILE) if (path / name).is_file()]
    limits, constants = made.checkpoint.limits, made.checkpoint.constants
    # all pairs agree, and recency is less than one of them
    score = (limits.agree + 1) * constants["C"]
    step = constants["r"] if case.architecture == "gpt2" else constants["A"] * constants["w"]
    return {
        "name": case.name,
        "stresses": case.family.stresses,
        "machine": made.machine.name,
        "construction": made.construction,
        "architecture": case.architecture,
        "dtype": case.dtype,
        "tape_cells": made.cells,
        "positions": limits.positions,
        "greatest_score": score,
        "score_bits": round(math.log2(score / step), 2),
        "layers": len(made.checkpoint.layers),
        "heads": max(len(layer.heads) for layer in made.checkpoint.layers),
        "vocab": len(made.tokens),
        "files": {name: _sha256(path / name) for name in files},
    }


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _earlier(folder: Path) -> set[str]:
    """Return the cases that an earlier suite left in a folder, finished or not."""
    try:
        value = json.loads((folder / FILE).read_text(encoding="utf-8"))
        if value["format"] != FORMAT:
            return set()
        names = {case["name"] for case in value["cases"]} | set(value.get("unfinished", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()
    # only what looks like a case is taken for one: it is going to be removed
    return {
        name
        for name in names
        if _is_plain(name)
        and not (folder / name).is_symlink()
        and (folder / name / "config.json").is_file()
    }


def _write_index(
    folder: Path, entries: list[dict[str, Any]], unfinished: Sequence[str] = ()
) -> None:
    value: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "made_by": f"tm2tf {__version__}",
    }
    if unfinished:
        value["unfinished"] = list(unfinished)
    text = json.dumps({**value, "cases": entries}, indent=1, ensure_ascii=False) + "\n"
    replace_files(folder, [(FILE, text.encode())])


def _require_free(folder: Path) -> None:
    """Refuse a folder with anything that is no earlier suite."""
    there = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    if there and FILE not in there:
        raise ArtifactError(
            f"{folder} holds something else ({there[0]}, ...), and no {FILE}: choose another folder"
        )


def chosen(suite: Suite, names: Collection[str]) -> tuple[Entry, ...]:
    """Return the cases whose names begin with any of the given ones; all if none is given.

    Raises:
        NotFoundError: a name fits no case.
    """
    for name in names:
        if not any(entry.name.startswith(name) for entry in suite.cases):
            choose("case", name, suite.cases)  # says which there are
    return tuple(e for e in suite.cases if not names or e.name.startswith(tuple(names)))
