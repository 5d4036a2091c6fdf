"""`tm2tf export --to tracr`: tracr's own model of a step, by tracr, by its files and by a stand-in.

Without tracr the files come from the stand-in, and are run by the arithmetic written down here.
"""

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from tests import tracr_stand_in
from tm2tf import api, formats
from tm2tf.cli import group
from tm2tf.errors import ArtifactError, BoundError, ConstructionError, ExtraError
from tm2tf.export import formats as targets
from tm2tf.export import tracr
from tm2tf.export.tracr_cells import spelled
from tm2tf.export.tracr_step import step_of
from tm2tf.machine.sampling import sample
from tm2tf.machine.simulator import Simulation
from tm2tf.machine.spec import Tape

needs_tracr = pytest.mark.skipif(
    importlib.util.find_spec("tracr") is None, reason="the extra `tracr` is not installed"
)
CASES = [("bb2", "", 8), ("bb4", "", 24), ("binary-increment", "1011", 8)]


@pytest.fixture
def stand_in(monkeypatch):
    tracr_stand_in.install(monkeypatch)


def invoke(*words):
    return CliRunner().invoke(group, ["export", *map(str, words)])


def read(folder, name):
    return json.loads((folder / f"{name}.json").read_text())


# --- runs -----------------------------------------------------------------------------------


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


class Arrays:
    """tracr's model as its authors describe it, in float32, from `params.npz`."""

    def __init__(self, folder):
        self.config = read(folder, "config")
        self.params = dict(np.load(folder / "params.npz"))

    def linear(self, module, x):
        return x @ self.params[f"{module}/w"] + self.params[f"{module}/b"]

    def __call__(self, words):
        size, p = self.config["transformer"], self.params
        ids = [self.config["input_encoder"]["words"].index(word) for word in words]
        x = p["token_embed/embeddings"][ids] + p["pos_embed/embeddings"][: len(ids)]
        for layer in range(size["num_layers"]):
            part = f"transformer/layer_{layer}"
            q, k, v = (
                self.linear(f"{part}/attn/{name}", x)
                .reshape(len(ids), size["num_heads"], size["key_size"])
                .swapaxes(0, 1)
                for name in ("query", "key", "value")
            )
            pattern = softmax(q @ k.swapaxes(1, 2) / np.sqrt(np.float32(size["key_size"])))
            mixed = (pattern @ v).swapaxes(0, 1).reshape(len(ids), -1)
            x = x + self.linear(f"{part}/attn/linear", mixed)
            hidden = np.maximum(self.linear(f"{part}/mlp/linear_1", x), 0)
            x = x + self.linear(f"{part}/mlp/linear_2", hidden)
        assert x.dtype == np.float32
        out = self.config["output_encoder"]
        return [out["words"][i] for i in x[:, out["directions"]].argmax(axis=1)]


class Lens(Arrays):
    """The same from `model.safetensors`, as TransformerLens does it."""

    def __init__(self, folder):
        self.config = read(folder, "config")
        self.params = load_file(folder / "model.safetensors")

    def __call__(self, words):
        p = self.params
        ids = [self.config["input_encoder"]["words"].index(word) for word in words]
        x = p["embed.W_E"][ids] + p["pos_embed.W_pos"][: len(ids)]
        for layer in range(self.config["transformer"]["num_layers"]):
            at, mlp = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
            q, k, v = (
                np.einsum("pm,hmd->hpd", x, p[f"{at}.W_{n}"]) + p[f"{at}.b_{n}"][:, None]
                for n in "QKV"
            )
            pattern = softmax(q @ k.swapaxes(1, 2) / np.sqrt(np.float32(q.shape[-1])))
            x = x + np.einsum("hpd,hdm->pm", pattern @ v, p[f"{at}.W_O"]) + p[f"{at}.b_O"]
            hidden = np.maximum(x @ p[f"{mlp}.W_in"] + p[f"{mlp}.b_in"], 0)
            x = x + hidden @ p[f"{mlp}.W_out"] + p[f"{mlp}.b_out"]
        logits = x @ p["unembed.W_U"] + p["unembed.b_U"]
        return [self.config["output_encoder"]["words"][i] for i in logits.argmax(axis=1)]


def by_tracr(model):
    return lambda words: model.apply(words).decoded


def configuration(cells, words, origin, blank):
    """Return state, head, and trimmed tape that a window's words say, and the outcome."""
    found = [cells["cells"][word] for word in words]
    (at,) = [i for i, cell in enumerate(found) if cell["head"] == "here"]
    assert {cell["head"] for cell in found[:at]} <= {"right"}
    assert {cell["head"] for cell in found[at + 1 :]} <= {"left"}
    tape = Tape(tuple(cell["symbol"] for cell in found), origin, origin + at).trimmed(blank)
    return found[at]["state"], tape, found[at]["outcome"]


def looped(turn, folder, name, word, words, origin):
    """Loop a model, hold every configuration against the simulator's; return steps, outcome."""
    cells, machine = read(folder, "cells"), api.load(name)
    simulation = Simulation(machine, machine.initial([word] if word else []))
    while True:
        state, tape, outcome = configuration(cells, words, origin, machine.blank)
        now = simulation.configuration()
        assert (state, tape) == (now.state, now.tapes[0])
        if outcome is not None:
            simulation.step()  # to meet a missing rule
            assert simulation.outcome == outcome
            return simulation.steps, outcome
        assert simulation.step() is not None
        out = turn([cells["begin"], *words, cells["edge"]])
        words = [cells["next"][each] for each in out[1:-1]]


def run(turn, folder, name, word):
    step = read(folder, "cells")["example"]
    machine = api.load(name)
    if step["input"] == word:
        return looped(turn, folder, name, word, step["words"], step["origin"])
    with pytest.MonkeyPatch.context() as patch:
        tracr_stand_in.install(patch)  # words do not hang on what compiles them
        made = step_of(machine, read(folder, "cells")["window"])
        return looped(turn, folder, name, word, *spelled(made, machine.initial([word])))


@pytest.mark.parametrize(("name", "word", "window"), CASES)
def test_the_arrays_are_the_machine(name, word, window, stand_in, tmp_path):
    api.export(name, "tracr", tmp_path, tape=window)
    done = run(Arrays(tmp_path), tmp_path, name, word)
    assert done[1] is not None
    assert run(Lens(tmp_path), tmp_path, name, word) == done
    expected = {"bb2": (6, "halted"), "bb4": (107, "halted")}
    assert done == expected.get(name, done)


def test_the_widest_window(stand_in, tmp_path):
    """Where attention is least sharp; and float32 is further from the bound than is allowed for."""
    facts = api.export("bb2", "tracr", tmp_path, tape=224).facts
    assert facts["greatest_positions"] == facts["positions"] == 226
    assert run(Arrays(tmp_path), tmp_path, "bb2", "") == (6, "halted")
    assert 0.49 < read(tmp_path, "certificate")["error"] < 0.5


def test_a_broken_weight_is_noticed(stand_in, tmp_path):
    api.export("bb2", "tracr", tmp_path, tape=8)
    arrays, names = Arrays(tmp_path), read(tmp_path, "labels")
    row = names["directions"].index("leaves.right=B")
    layer = next(i for i, x in enumerate(names["layers"]) if "from.left.brought" in x["heads"])
    arrays.params[f"transformer/layer_{layer}/attn/value/w"][row] *= -1
    with pytest.raises((AssertionError, ValueError)):
        run(arrays, tmp_path, "bb2", "")


def test_a_head_that_leaves_is_gone(stand_in, tmp_path):
    machine = formats.parse("start: a\nrules: {a: {_: 1 R a}}")
    api.export(machine, "tracr", tmp_path, tape=4)
    cells, turn = read(tmp_path, "cells"), Arrays(tmp_path)
    words, heads = cells["example"]["words"], []
    for _ in range(3):
        heads.append([cells["cells"][word]["head"] for word in words].count("here"))
        out = turn([cells["begin"], *words, cells["edge"]])
        words = [cells["next"][each] for each in out[1:-1]]
    assert heads == [1, 1, 1]
    assert "here" not in {cells["cells"][word]["head"] for word in words}
    assert [cells["cells"][word]["symbol"] for word in words] == ["_", "1", "1", "1"]


# --- files ----------------------------------------------------------------------------------


def test_files_and_facts(stand_in, tmp_path):
    words = ("bb4", "--to", "tracr", "--tape", 12, "-o", tmp_path / "out", "--json")
    facts = json.loads(invoke(*words).output)
    assert facts["files"] == {p.name: p.stat().st_size for p in (tmp_path / "out").iterdir()}
    assert (facts["tape_cells"], facts["positions"], facts["layers"]) == (12, 14, 6)
    assert not {"dtype", "steps"} & set(facts)
    out = tmp_path / "out"
    arrays = dict(np.load(out / "params.npz"))
    assert sum(x.size for x in arrays.values()) == facts["parameters"]
    assert arrays["token_embed/embeddings"].shape == (facts["vocab"], facts["d_model"])
    labels, cells, config = (read(out, name) for name in ("labels", "cells", "config"))
    assert len(labels["directions"]) == len(labels["residual_labels"]) == facts["d_model"]
    assert len(set(labels["directions"])) == facts["d_model"]
    assert not [label for label in labels["residual_labels"] if re.search(r"_[0-9]+:", label)]
    assert {*cells["cells"], cells["begin"], "compiler_pad"} == {*config["input_encoder"]["words"]}
    assert {*cells["next"]} == {*config["output_encoder"]["words"]}
    assert {*cells["next"].values()} <= {*cells["cells"]}
    assert config["input_encoder"]["max_seq_len"] == 14
    assert api.load(out / "machine.yaml").transitions == api.load("bb4").transitions
    shown = invoke(*words[:-1])
    assert shown.exit_code == 0
    assert "no end" not in shown.output


def test_outcomes_are_those_of_the_machine(stand_in, tmp_path):
    machine = api.load("palindrome")
    api.export(machine, "tracr", tmp_path)
    found = set()
    for cell in read(tmp_path, "cells")["cells"].values():
        if cell["head"] != "here":
            assert (cell["state"], cell["outcome"]) == (None, None)
            continue
        tape = Tape((cell["symbol"],), 0, 0)
        start = machine.initial([tape])
        simulation = Simulation(machine, type(start)(cell["state"], start.tapes))
        simulation.step()
        assert cell["outcome"] == (None if simulation.steps else simulation.outcome)
        found.add(cell["outcome"])
    assert {None, "accepted", "rejected"} <= found


def test_labels_say_what_is_there(stand_in, tmp_path):
    api.export("bb3", "tracr", tmp_path, tape=6)
    labels, arrays = read(tmp_path, "labels"), dict(np.load(tmp_path / "params.npz"))
    names = labels["directions"]
    heads = [head for layer in labels["layers"] for head in layer["heads"]]
    assert sorted(filter(None, heads)) == ["from.left.brought", "from.right.brought"]
    checked = set()
    for number, layer in enumerate(labels["layers"]):
        first, second = (arrays[f"transformer/layer_{number}/mlp/linear_{n}/w"] for n in (1, 2))
        for place, neuron in enumerate(layer["neurons"]):
            if not neuron:
                assert not second[place].any()
                continue
            (kind,) = set(neuron) - {"then"}
            stream = np.zeros(len(names))
            stream[names.index("one")] = 1
            needed = neuron[kind] if kind == "all" else neuron[kind][:1]
            for name in needed[:-1]:
                stream[names.index(name)] = 1
            assert np.maximum(stream @ first[:, place], 0) == 0
            stream[names.index(needed[-1])] = 1
            written = np.maximum(stream @ first[:, place], 0) * second[place]
            assert [names[i] for i in np.flatnonzero(written)] == neuron["then"]
            checked.add(kind)
    assert checked == {"any", "all"}


# --- refusals -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", 9), "--steps is not for format 'tracr'"),
        (("--context", 90), "--context is not for format 'tracr'"),
        (("--dtype", "float32"), "--dtype is not for format 'tracr'"),
        (("--origin", 3), "--origin is not for format 'tracr'"),
        (("--construction", "addressed"), "--construction is not for format 'tracr'"),
        (("--tape", 225), "windows of 2 to 224 cells"),
        (("--tape", 1), "windows of 2 to 224 cells"),
        (("--tape", "x"), "--tape"),
    ],
)
def test_refusals(words, said, tmp_path):
    result = invoke("bb4", "--to", "tracr", *words, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
    assert not (tmp_path / "out").exists()


def test_several_tapes_are_refused(tmp_path):
    machine = next(m for m in (sample(31, n) for n in range(99)) if m.tapes > 1)
    with pytest.raises(ConstructionError, match="it takes machines of one tape"):
        api.export(machine, "tracr", tmp_path / "out")


def test_too_wide_for_the_machine(monkeypatch):
    from tm2tf.export import tracr_step

    monkeypatch.setattr(tracr_step, "ROUNDING", 0.25)
    with pytest.raises(BoundError, match=r"in a window of 224 cells; take --tape 18\d or less"):
        step_of(api.load("bb2"), 224)


def test_without_tracr_the_extra_is_named(monkeypatch, stand_in, tmp_path):
    api.export("bb2", "tracr", tmp_path, tape=4)
    for name in ("tracr", "tracr.compiler", "tracr.compiler.assemble"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraError, match=r"tm2tf\[tracr\]"):
        api.export("bb2", "tracr", tmp_path, tape=4)
    with pytest.raises(ExtraError, match=r"tm2tf\[tracr\]"):
        tracr.load(tmp_path)
    result = invoke("bb2", "--to", "tracr", "-o", tmp_path / "other")
    assert (result.exit_code, "tm2tf[tracr]" in result.output) == (2, True)


def test_formats_do_not_mix(stand_in, tmp_path):
    api.export("bb2", "tracr", tmp_path, tape=4)
    api.export("bb2", "tracr", tmp_path, tape=6)  # over an earlier one
    bundled = targets.Made({}, {"config.json": b"{}"})
    with pytest.raises(ArtifactError, match=r"holds format 'tracr' \(params.npz\)"):
        targets.put(bundled.files, targets.by_name("gpt2"), tmp_path)
    assert read(tmp_path, "cells")["window"] == 6


# --- tracr itself ---------------------------------------------------------------------------

REFUSE = """
import sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tm2tf":
            raise ImportError("tm2tf is not to be used here")
sys.meta_path.insert(0, Refuse())
"""


@needs_tracr
@pytest.mark.slow
@pytest.mark.parametrize(("name", "word", "window"), [*CASES, ("bb2", "", 224)])
def test_loaded_models_are_the_machine(name, word, window, tmp_path):
    """The folder's model, and the one that it was written from, bit for bit."""
    api.export(name, "tracr", tmp_path, tape=window)
    model = tracr.load(tmp_path)
    assert run(by_tracr(model), tmp_path, name, word)[1] is not None
    first = step_of(api.load(name), window).model
    cells = read(tmp_path, "cells")
    tokens = [cells["begin"], *cells["example"]["words"], cells["edge"]]
    mine, theirs = model.apply(tokens), first.apply(tokens)
    assert mine.decoded == theirs.decoded
    for one, other in zip(mine.residuals, theirs.residuals, strict=True):
        assert np.array_equal(one, other)
    assert len(model.residual_labels) == mine.transformer_output.shape[-1]


@needs_tracr
@pytest.mark.slow
def test_the_code_of_the_readme(tmp_path):
    """It rebuilds the model and loops it with nothing of ours."""
    api.export("bb4", "tracr", tmp_path)
    readme = (tmp_path / "README.md").read_text()
    code = REFUSE + "\n".join(re.findall(r"```python\n(.*?)```", readme, re.DOTALL))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    first, *_, last, said = done.stdout.splitlines()
    assert first in readme
    assert said == "halted after 107 steps"
    assert (last.count("1"), "[Z 0]" in last) == (13, True)


@needs_tracr
@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    code = "import sys; from tm2tf import api; api.export('bb2', 'tracr', sys.argv[1], tape=6)"
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / seed)],
            cwd=Path(__file__).parents[1],
            env={"PYTHONHASHSEED": seed, "PATH": "/usr/bin:/bin", "PYTHONPATH": "."},
            check=True,
            timeout=110,
        )
    api.compile("counter", "tracr")  # moves tracr's counter on
    api.export("bb2", "tracr", tmp_path / "3", tape=6)
    written = [{p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in "123"]
    assert written[0] == written[1] == written[2]


@needs_tracr
@pytest.mark.slow
def test_damaged_folders(tmp_path):
    made = tracr.make(api.load("bb2"), tape=4).files
    for broken in ("config.json", "labels.json", "params.npz"):
        for data in (b"", b"{}", b"PK\x03\x04 nonsense", None):
            for name, content in made.items():
                (tmp_path / name).write_bytes(content)
            if data is None:
                (tmp_path / broken).unlink()
            else:
                (tmp_path / broken).write_bytes(data)
            with pytest.raises(ArtifactError, match="tm2tf export --to tracr"):
                tracr.load(tmp_path)
