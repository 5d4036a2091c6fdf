"""Forged manifests are refused: their hashes are right, their contents are not."""

import json
import random

import numpy as np
import pytest
from safetensors.numpy import save as bytes_of

from tests.artifacts import BOTH, forged, manifest_of, put, refused, tensors_of, written
from tm2tf.errors import ArtifactError
from tm2tf.weights import folder as artifact

pytestmark = pytest.mark.usefixtures("no_waiting_for_the_disk")


def drop(*path):
    def change(value):
        for step in path[:-1]:
            value = value[step]
        del value[path[-1]]

    return change


def more(field, item):
    return lambda value: value[field].append(item)


def readout(name, key, item):
    def change(value):
        (found,) = (r for r in value["readouts"] if r["feature"] == name)
        found[key] = item

    return change


def claim(layer, d_value):
    """Return a change by which a head's labels and tensors claim another width."""

    def change(value):
        head, model = value["layers"][layer]["heads"][0], value["sizes"]["d_model"]
        value["sizes"]["parameters"] += 2 * model * (d_value - head["d_value"])
        head["d_value"] = d_value
        for part, shape in (("W_V", [model, d_value]), ("W_O", [d_value, model])):
            value["tensors"][f"blocks.{layer}.attn.0.{part}"]["shape"] = shape

    return change


FORGERIES = {
    "version 1": (put("format_version", 1), "knows only 2"),
    "version true": (put("format_version", True), "knows only 2"),
    "version 2.0": (put("format_version", 2.0), "knows only 2"),
    "no version": (drop("format_version"), "knows only 2"),
    "another format": (put("format", "gguf"), "no artifact of tm2tf"),
    "unfinished": (put("unfinished", True), "cut short"),
    "missing field": (drop("readouts"), "missing are ['readouts']"),
    "unknown field": (put("pickle", "x"), "unknown are ['pickle']"),
    "dtype": (put("dtype", "float32"), "dtype: expected one of float64"),
    "tm2tf_version": (put("tm2tf_version", 1), "tm2tf_version: expected a text"),
    "construction": (put("construction", None), "construction: expected a text"),
    "sha": (put("weights_sha256", "0" * 63), "64 hexadecimal digits"),
    "sizes": (put("sizes", "d_model", 2**60), "sizes.d_model"),
    "sizes of another shape": (put("sizes", []), "sizes: expected an object"),
    "parameters": (put("sizes", "parameters", 0), "sizes.parameters"),
    "bound 0": (put("bounds", "position", 0), "bounds.position"),
    "bound too large": (put("bounds", "key", 2**53 + 1), "bounds.key"),
    "bound true": (put("bounds", "key", True), "bounds.key"),
    "bound 1.0": (put("bounds", "key", 1.0), "bounds.key"),
    "no bits": (drop("bounds", "bits"), "missing are ['bits']"),
    "bits 0": (put("bounds", "bits", 0), "bounds.bits"),
    "options null": (put("options", None), "options: expected an object"),
    "option a text": (put("options", {"tape": "8"}), "options.tape: expected an integer"),
    "looped 1": (put("looped", 1), "looped: expected true or false"),
    "looped without a loop": (put("looped", True), "sizes.parameters"),
    "position_table 1": (put("position_table", 1), "position_table: expected true or false"),
    "table without a loop": (put("position_table", True), "false, for weights that are not looped"),
    "no directions": (put("directions", []), "at least one residual direction"),
    "a direction fewer": (drop("directions", 0), "sizes.d_model"),
    "a direction more": (more("directions", "x"), "sizes.d_model"),
    "direction 7": (put("directions", 3, 7), "directions[3]: expected a text, found 7"),
    "directions as a text": (put("directions", "begin"), "directions: expected a list"),
    "no tokens": (put("tokens", []), "at least one token"),
    "a token fewer": (drop("tokens", -1), "sizes.d_vocab"),
    "token id": (put("tokens", 1, "id", 2), "tokens[1].id: expected 1"),
    "token id true": (put("tokens", 1, "id", True), "tokens[1].id: expected 1"),
    "token out of place": (drop("tokens", 0), "tokens[0].id: expected 0"),
    "token role": (put("tokens", 1, "role", "user"), "tokens[1].role: expected one of begin"),
    "token twice": (put("tokens", 1, "name", "<bos>"), "tokens[1].name"),
    "token with a space": (put("tokens", 1, "name", "a b"), "tokens[1].name"),
    "token value": (put("tokens", 1, "values", {"x": 0.5}), "tokens[1].values.x"),
    "token value null": (put("tokens", 1, "values", {"x": None}), "tokens[1].values.x"),
    "outcome": (put("tokens", 1, "outcome", "won"), "tokens[1].outcome"),
    "readout direction": (readout("state", "values", {"A": 10**6}), "values.A: expected"),
    "readout direction -1": (readout("state", "values", {"A": -1}), "values.A"),
    "term direction": (readout("tape0.head", "terms", [[1.0, 10**6]]), "terms[0][1]"),
    "term of three": (readout("tape0.head", "terms", [[1.0, 1, 1]]), "a pair"),
    "coefficient": (readout("tape0.head", "terms", [[1, 1]]), "terms[0][0]"),
    "coefficient infinite": (readout("tape0.head", "terms", [[1e999, 1]]), "finite number"),
    "constant NaN": (readout("tape0.head", "constant", float("nan")), "finite number"),
    "readout layer": (readout("state", "layer", 3), "from -1 to 2"),
    "readout layer -2": (readout("state", "layer", -2), "from -1 to 2"),
    "readout kind": (readout("state", "kind", "real"), "missing are"),
    "readout kind list": (readout("state", "kind", []), "missing are"),
    "no tolerance": (drop("readouts", 1, "tolerance"), "missing are ['tolerance']"),
    "tolerance 1/2": (readout("state", "tolerance", 0.5), "from 0 to less than 1/2"),
    "tolerance below 0": (readout("state", "tolerance", -0.1), "from 0 to less than 1/2"),
    "tolerance 0": (readout("state", "tolerance", 0), "finite number with a decimal point"),
    "readout low": (readout("tape0.head", "low", "0"), "low: expected an integer"),
    "readouts null": (put("readouts", None), "readouts: expected a list"),
    "a layer fewer": (drop("layers", -1), "from -1 to 1"),
    "a layer more": (lambda value: value["layers"].append(value["layers"][0]), "sizes."),
    "purpose": (put("layers", 0, "purpose", []), "layers[0].purpose: expected a text"),
    "head kind": (put("layers", 2, "heads", 0, "kind", "soft"), "one of uniform, latest"),
    "softmax without a loop": (put("layers", 2, "heads", 0, "kind", "softmax"), "one of uniform"),
    "uniform head with d_head": (put("layers", 0, "heads", 0, "d_head", 1), "from 0 to 0"),
    "latest head without d_head": (put("layers", 2, "heads", 0, "d_head", 0), "from 1 to"),
    "no offset": (drop("layers", 2, "heads", 0, "offset"), "missing are ['offset']"),
    "offset of another kind": (put("layers", 2, "heads", 0, "offset", 1), "from 0 to 0"),
    "a head fewer": (drop("layers", 2, "heads", 0), "sizes.heads"),
    "a neuron fewer": (drop("layers", 1, "neurons", 0), "sizes."),
    "neuron null": (put("layers", 1, "neurons", 0, None), "neurons[0]: expected a text"),
    "huge d_head": (put("layers", 2, "heads", 0, "d_head", 2**53), "sizes.parameters"),
    "huge d_value": (claim(2, 2**50), "rows, says manifest.json"),
    "huge shape": (put("tensors", "W_E", "shape", [2**60, 2**60]), "tensors.W_E.shape"),
    "negative shape": (put("tensors", "W_pos", "shape", [-1]), "tensors.W_pos.shape[0]"),
    "storage": (put("tensors", "W_E", "storage", "pickle"), "one of dense, sparse"),
    "storage of a vector": (put("tensors", "W_pos", "storage", "sparse"), "one of dense"),
    "storage of the other kind": (put("tensors", "W_E", "storage", "sparse"), "'W_E.columns'"),
    "tensor not listed": (drop("tensors", "b_U"), "missing are ['b_U']"),
    "path as a tensor": (put("tensors", "../../x", {}), "unknown are ['../../x']"),
    "machine not YAML": (put("machine", "rules: ["), "not valid YAML"),
    "machine without rules": (put("machine", "start: A\n"), "rules"),
    "machine empty": (put("machine", ""), "empty"),
    "machine null": (put("machine", None), "machine: expected a text"),
    "machine with too many rules": (
        put("machine", "start: A\ntapes: 64\nsymbols: [a, b]\nblank: a\nrules:\n  A:\n    "
            + " ".join("*" * 64) + ": " + " ".join("R" * 64)),
        "machine",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_manifest_is_refused(name, tmp_path):
    change, word = FORGERIES[name]
    folder = forged(tmp_path, change)
    for check in (True, False):
        refused(folder, check, artifact.MANIFEST, word)


@BOTH
@pytest.mark.parametrize(
    "data",
    [
        b"null",
        b"[]",
        b'"tm2tf"',
        b"{}",
        b"\xff\xfe{}",
        b"{" * 9,
        b"[" * 200_000,
        b'{"format": "tm2tf", "format_version": ' + b"9" * 5000 + b"}",
        b'{"format": "tm2tf", "format_version": 2, "x": ' + b"[" * 900 + b"]" * 900 + b"}",
        b'{"format": "tm2tf", "format_version": 2}',
        b"\x80\x04\x95",
    ],
    ids=lambda data: str(data[:12]) + str(len(data)),
)
def test_a_manifest_of_another_shape_is_refused(data, check, tmp_path):
    refused(written(tmp_path, manifest=data), check, artifact.MANIFEST)


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    value = manifest_of("bb2")
    for place in (put("directions", 3, "\ud800"), put("tokens", 1, "values", "\udfff", 1)):
        place(value)
        folder = written(tmp_path, manifest=json.dumps(value).encode())
        refused(folder, False, "expected a text")


def test_layers_without_data_cannot_claim_memory(tmp_path, monkeypatch):
    value = manifest_of("bb2")
    tensors, model = tensors_of("bb2"), value["sizes"]["d_model"]

    def change(value):
        for number in range(len(value["layers"]), 300):
            value["layers"].append({"purpose": "", "heads": [], "neurons": []})
            for part in ("W_gate", "b_gate", "W_in", "b_in", "W_out", "snap"):
                shape = {"W_gate": [model, 0], "W_in": [model, 0], "W_out": [0, model]}
                name, stated = f"blocks.{number}.mlp.{part}", shape.get(part, [0])
                value["tensors"][name] = {"shape": stated, "storage": "dense"}
                tensors[name] = np.zeros(stated, dtype=bool if part == "snap" else float)
        value["sizes"]["layers"] = 300

    change(value)
    folder = forged(tmp_path, change, bytes_of(tensors))
    assert len(artifact.load(folder)[0].layers) == 300
    monkeypatch.setattr(artifact, "MAX_GROWTH", 4)
    refused(folder, True, artifact.WEIGHTS, "rows, says manifest.json")


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items:
        if isinstance(item, dict | list) and item:
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


def test_odd_values_anywhere_in_the_manifest_load_or_are_refused(tmp_path):
    value, rng = manifest_of("bb2"), random.Random(1)
    odd = (None, True, -1, 2**70, 0.5, float("inf"), "", "x\n", "\ud800", [], {}, [[[]]], {"": 0})
    for path in rng.sample([path for path in places(value) if path], 120):
        folder = forged(tmp_path, put(*path, rng.choice(odd)))
        for check in (True, False):
            try:
                artifact.load(folder, check=check)
            except ArtifactError as error:
                str(error).encode()
