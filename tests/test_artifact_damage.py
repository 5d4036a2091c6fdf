"""Artifacts whose bytes, files or folder are not what was saved are refused."""

import json
import random
from contextlib import suppress

import numpy as np
import pytest
from safetensors.numpy import save as bytes_of

from tests.artifacts import BOTH, FILES, assert_same, compiled, manifest_of, refused, saved, written
from tm2tf.errors import ArtifactError
from tm2tf.weights import folder as artifact

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


@pytest.mark.parametrize("dense", [artifact.DENSE_ENTRIES, 0])
@pytest.mark.parametrize("file", FILES)
def test_a_changed_byte_is_always_refused(file, dense, tmp_path):
    folder, rng = written(tmp_path, dense=dense), random.Random(0)
    data = saved("bb2", dense)[file]
    for _ in range(80):
        changed, at = bytearray(data), rng.randrange(len(data))
        if rng.random() < 0.5:
            changed[at] ^= 1 << rng.randrange(8)
        else:
            changed[at] = rng.choice(sorted(set(b' \t\n\r09-"{}[]') - {data[at]}))
        (folder / file).write_bytes(changed)
        refused(folder, True)
        with suppress(ArtifactError):
            artifact.load(folder, check=False)


@BOTH
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("keep", [0, 1, 7, 8, 9, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(file, keep, check, tmp_path):
    folder, data = written(tmp_path), saved("bb2")[file]
    (folder / file).write_bytes(data[: keep if keep >= 1 else int(keep * len(data))])
    refused(folder, check, file)


def test_other_layouts_of_the_same_json_are_refused_unless_unchecked(tmp_path):
    value = manifest_of("bb2")
    for text in (json.dumps(value), json.dumps(value, indent=2)):
        folder = written(tmp_path, manifest=text.encode())
        refused(folder, True, artifact.MANIFEST, "edited or damaged")
        assert_same(compiled("bb2")[0], artifact.load(folder, check=False)[0])


def test_weights_of_another_artifact_are_refused(tmp_path):
    refused(written(tmp_path, model=saved("bb3")[artifact.WEIGHTS]), True, artifact.WEIGHTS)
    refused(written(tmp_path, manifest=saved("bb3")[artifact.MANIFEST]), False, artifact.WEIGHTS)


# --- folders ------------------------------------------------------------------------------


@BOTH
def test_a_folder_of_something_else_is_refused(check, tmp_path):
    refused(tmp_path, check, "found []")
    refused(tmp_path / "missing", check, "no such folder")
    (tmp_path / "file").write_text("")
    refused(tmp_path / "file", check, "no such folder")
    for file in FILES:
        folder = written(tmp_path / file.replace(".", "-"))
        (folder / file).unlink()
        refused(folder, check, f"expected {artifact.MANIFEST} and {artifact.WEIGHTS}")
    hugging = tmp_path / "hugging"
    hugging.mkdir()
    (hugging / "config.json").write_text('{"model_type": "gpt2"}')
    (hugging / artifact.WEIGHTS).write_bytes(bytes_of({"wte": np.zeros((2, 2))}))
    refused(hugging, check, "looks like a Hugging Face model")
    (hugging / artifact.MANIFEST).write_text('{"manifest_version": 3}')
    refused(hugging, check, artifact.MANIFEST, "no artifact of tm2tf")


@BOTH
@pytest.mark.parametrize("file", FILES)
def test_links_and_folders_in_the_place_of_files_are_refused(file, check, tmp_path):
    folder, real = written(tmp_path / "a"), tmp_path / "elsewhere"
    (folder / file).rename(real)
    (folder / file).symlink_to(real)
    refused(folder, check, file, "regular file")
    (folder / file).unlink()
    (folder / file).mkdir()
    refused(folder, check, file, "regular file")
