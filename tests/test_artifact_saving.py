"""Saving: what it replaces and what it refuses, killed, out of room, or many at a time."""

import os
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from tests.artifacts import (
    FILES,
    assert_same,
    compiled,
    contents,
    forged,
    put,
    refused,
    saved,
    written,
)
from tm2tf.errors import ArtifactError
from tm2tf.weights import folder as artifact

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def test_saving_replaces_an_artifact_and_nothing_else(tmp_path):
    folder = written(tmp_path / "a")
    (folder / "README.md").write_text("mine")
    (folder / ".tm2tf-0123.tmp").write_text("left over")
    artifact.save(folder, *compiled("bb3"))
    assert contents(folder) == saved("bb3") | {"README.md": b"mine"}
    refused(forged(folder, put("format_version", 99)), True)
    artifact.save(folder, *compiled("bb3"))
    assert artifact.load(folder)[1] == compiled("bb3")[1]


@pytest.mark.parametrize(
    "files",
    [
        {"thesis.tex": "x"},
        {artifact.WEIGHTS: "x", "config.json": "{}"},
        {artifact.WEIGHTS: "x"},
        {artifact.MANIFEST: "{}"},
        {artifact.MANIFEST: '{"format": "other"}'},
        {artifact.MANIFEST: "not JSON"},
        {".git": "x"},
    ],
)
def test_saving_into_a_folder_of_something_else_is_refused(files, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match="choose another folder, or empty this one"):
        artifact.save(tmp_path, *compiled("bb2"))
    assert contents(tmp_path) == before


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ArtifactError, match="cannot be written"):
            artifact.save(folder, *compiled("bb2"))


def bad_weights():
    weights, _ = compiled("bb2")
    layer = weights.layers[0]
    yield replace(weights, W_pos=np.full(weights.d_model, np.nan))
    yield replace(weights, b_U=weights.b_U[:-1])
    yield replace(weights, W_E=weights.W_E.transposed())
    yield replace(weights, directions=weights.directions[:-1])
    yield replace(weights, tokens=weights.tokens[:-1] + weights.tokens[:1])
    yield replace(weights, W_pos=weights.W_pos.astype(np.float32))
    yield replace(weights, layers=(replace(layer, heads=layer.heads[:1] * 2), *weights.layers[1:]))
    first = weights.readouts[1]
    yield replace(weights, readouts=(replace(first, values=first.values[:-1]),))


@pytest.mark.parametrize("number", range(8))
def test_weights_that_would_not_load_are_not_saved(number, tmp_path):
    bad = list(bad_weights())
    with pytest.raises(ArtifactError, match="not written"):
        artifact.save(tmp_path / "a", bad[number], compiled("bb2")[1])
    assert not (tmp_path / "a").exists()


# --- saves that are killed, and saves at the same time -------------------------------------


class Killed(BaseException):
    pass


def killed_after(monkeypatch, target, name, number):
    """Let the call `number` (from 0) of a function end the process, as it were."""
    calls, real = count(), getattr(target, name)

    def call(*arguments):
        if next(calls) == number:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(target, name, call)


@pytest.mark.parametrize("leftovers", [False, True])
@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize(
    ("target", "name", "number"),
    [(os, "fsync", n) for n in range(3)] + [(Path, "replace", n) for n in range(3)],
)
def test_a_killed_save_leaves_the_old_artifact_or_nothing_that_loads(
    target, name, number, old, leftovers, tmp_path, monkeypatch
):
    folder = tmp_path / "a"
    if old:
        written(folder)
    with monkeypatch.context() as patch:
        killed_after(patch, target, name, number)
        if leftovers:  # nor does a killed process tidy up
            patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(Killed):
            artifact.save(folder, *compiled("matching"))
    assert leftovers == any(path.suffix == ".tmp" for path in folder.iterdir())
    whole = old and (name == "fsync" or number == 0)
    for check in (True, False):
        if whole:
            assert_same(compiled("bb2")[0], artifact.load(folder, check=check)[0])
        else:
            refused(folder, check)
    artifact.save(folder, *compiled("matching"))
    assert contents(folder) == saved("matching")


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    def full(number):
        raise OSError(28, "No space left on device")

    before = saved("bb2")
    folder = written(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match=r"No space left on device.*make room"):
        artifact.save(folder, *compiled("matching"))
    assert contents(folder) == before


@pytest.mark.skipif(sys.platform == "win32", reason="no locks on folders there")
def test_saves_and_loads_at_the_same_time_see_whole_artifacts(tmp_path):
    names, problems = ("bb2", "matching", "bb3"), []
    artifact.save(tmp_path, *compiled("bb2"))
    known = {artifact.weights_sha256(compiled(name)[0]): compiled(name)[1] for name in names}

    def work(name):
        try:
            for _ in range(6):
                if name:
                    artifact.save(tmp_path, *compiled(name))
                weights, machine = artifact.load(tmp_path)
                assert known[artifact.weights_sha256(weights)] == machine
        except BaseException as problem:
            problems.append(problem)
            raise

    threads = [Thread(target=work, args=(name,)) for name in (*names, None)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert set(contents(tmp_path)) == set(FILES)
