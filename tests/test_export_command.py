"""`tm2tf export`: folders that others' programs load, with nothing of ours installed."""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from click.testing import CliRunner

from tm2tf import api, formats
from tm2tf.cli import group
from tm2tf.errors import ArtifactError
from tm2tf.lowering import stock
from tm2tf.machine.simulator import Simulation

pytest.importorskip("tokenizers", reason="the extra `export` is not installed")

ROOT = Path(__file__).parents[1]

ALONE = """
import json, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tm2tf":
            raise ImportError("tm2tf is not to be used here")
sys.meta_path.insert(0, Refuse())
from transformers import AutoModelForCausalLM, AutoTokenizer
for folder, *texts in json.loads(sys.argv[1]):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    written = model.generate(**batch)
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    print(json.dumps([type(model).__name__, *texts]))
"""
"""A user's program: no import of ours can succeed in it."""


def invoke(*words):
    return CliRunner().invoke(group, ["export", *map(str, words)])


def alone(python, *jobs):
    """Run the user's program on (folder, *texts); return models' classes and what they wrote."""
    offline = {"HF_HUB_OFFLINE": "1", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    given = json.dumps([[str(folder), *texts] for folder, *texts in jobs])
    done = subprocess.run(
        [python, "-c", ALONE, given],
        cwd=jobs[0][0],
        env=offline,
        capture_output=True,
        text=True,
        check=True,
        timeout=110,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()[-len(jobs) :]]
    assert len(lines) == len(jobs)
    return [(kind, [text.split() for text in written]) for kind, *written in lines]


def spelled(name, word, origin, steps):
    """Return the tokens of a run on one tape, by the simulator: where it wrote and where it is."""
    machine = api.load(name)
    simulation = Simulation(machine, machine.initial([word] if word else []))
    tokens = []
    while simulation.outcome is None and len(tokens) < steps:
        head = simulation.heads[0]
        simulation.step()
        wrote = simulation.cells[0].get(head, machine.blank)
        move = "LSR"[simulation.heads[0] - head + 1]
        tokens.append(f"{wrote}{move}>{simulation.state}@{simulation.heads[0] + origin}")
    return tokens


@pytest.mark.parametrize(
    ("to", "kind"), [("gpt2", "GPT2LMHeadModel"), ("llama", "LlamaForCausalLM")]
)
def test_with_nothing_of_ours(to, kind, tmp_path):
    """Plain words in, the machine's run out, for two inputs in one batch."""
    folder = tmp_path / "out"
    result = invoke("binary-increment", "--to", to, "--tape", 32, "--steps", 30, "-o", folder)
    assert result.exit_code == 0, result.output
    texts = ["<bos> 1 0 1 1 <start>", "<bos> 1 <start>"]
    ((found, written),) = alone(sys.executable, (folder, *texts))
    assert found == kind
    for word, tokens in zip(["1011", "1"], written, strict=True):
        run = spelled("binary-increment", word, 16, 30)
        assert tokens == [*(f"{s}@{16 + i}" for i, s in enumerate(word)), "<start@16>", *run]


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("to", ["gpt2", "llama"])
def test_in_a_clean_environment(to, tmp_path):
    """An environment with torch, transformers and tokenizers alone runs bb4 to its end."""
    folder, environment = tmp_path / "out", tmp_path / "environment"
    result = invoke("bb4", "--to", to, "--tape", 32, "--steps", 107, "-o", folder)
    assert result.exit_code == 0, result.output
    venv.create(environment, with_pip=True)
    python = environment / "bin" / "python"
    packages = ["torch", "transformers", "tokenizers", "numpy"]
    pins = ["-c", str(ROOT / "constraints.txt")]
    subprocess.run([python, "-m", "pip", "install", "-q", *pins, *packages], check=True)
    ((_, (tokens,)),) = alone(python, (folder, "<bos> <start>"))
    assert tokens == ["<start@16>", *spelled("bb4", "", 16, 200)]
    assert len(tokens) == 108


@pytest.mark.parametrize("to", ["gpt2", "llama", "gguf", "onnx"])
def test_files_and_facts(to, tmp_path):
    for package in {"gguf": ["gguf"], "onnx": ["onnx"]}.get(to, []):
        pytest.importorskip(package)
    folder = tmp_path / "out"
    words = ("bb4", "--to", to, "--tape", 16, "--steps", 40, "-o", folder, "--json")
    facts = json.loads(invoke(*words).output)
    assert facts["positions"] == 40 + 16 + 2
    assert facts["files"] == {p.name: p.stat().st_size for p in folder.iterdir()}
    certificate = json.loads((folder / "certificate.json").read_text())
    assert certificate["steps"] == 40
    assert certificate["greatest_positions"] == facts["greatest_positions"]
    assert certificate["wrong_token_probability_at_temperature_1"] < 1e-9
    labels = json.loads((folder / "labels.json").read_text())
    assert len(labels["directions"]) == facts["d_model"]
    assert len(labels["tokens"]) == facts["vocab"]
    assert api.load(folder / "machine.yaml").transitions == api.load("bb4").transitions
    first = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert invoke(*words).exit_code == 0  # over an earlier one, and the same bytes
    assert first == {p.name: p.read_bytes() for p in folder.iterdir()}


def test_a_model_without_end(tmp_path):
    folder = tmp_path / "out"
    words = ("bb4", "--to", "llama", "--construction", "summarised-addressed", "--tape", 20)
    result = invoke(*words, "--context", 90, "-o", folder)
    assert result.exit_code == 0, result.output
    assert "no end" in result.output
    assert json.loads((folder / "config.json").read_text())["max_position_embeddings"] == 90
    assert "</summary:" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("bb5", "--to", "gpt2", "--steps", "9999999"), "take --steps 4194046 or less"),
        (("bb5", "--to", "llama", "--steps", "9999999"), "take --steps 149822 or less"),
        (("bb5", "--to", "gtp2", "--steps", "9"), "did you mean 'gpt2'"),
        (("bb5", "--to", "gpt2"), "say --steps"),
        (("nosuch", "--to", "gpt2", "--steps", "9"), "nosuch"),
        (("bb5", "--to", "gpt2", "--steps", "-1"), "--steps"),
        (("bb5", "--to", "gpt2", "--steps", "9", "--construction", "looped"), "addressed"),
        (("bb5", "--to", "gpt2", "--steps", "9", "--dtype", "float64"), "float32, bfloat16"),
    ],
)
def test_refusals(words, said, tmp_path):
    result = invoke(*words, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert said in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "out").exists()


def test_a_folder_with_something_else_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match=r"holds something else \(notes.txt"):
        api.export("bb4", "gpt2", tmp_path, tape=16, steps=9)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]


def test_a_checkpoint_of_someone_else_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"no certificate.json"):
        api.export("bb4", "llama", tmp_path, tape=16, steps=9)


def test_nothing_of_an_earlier_export_stays(tmp_path):
    api.export("bb2", "transformer-lens", tmp_path, tape=8, steps=9)
    api.export("bb4", "llama", tmp_path, tape=8, steps=9)
    assert not (tmp_path / "transformer_lens.json").exists()
    assert "name: bb4" in (tmp_path / "machine.yaml").read_text()


@pytest.mark.parametrize("to", ["gpt2", "llama", "gguf", "onnx", "transformer-lens"])
def test_a_machine_without_rules(to, tmp_path):
    """Such a run is over at once."""
    for package in {"gguf": ["gguf"], "onnx": ["onnx"]}.get(to, []):
        pytest.importorskip(package)
    for tapes in (1, 2):
        machine = formats.parse(f"tapes: {tapes}\nstart: one\nrules: {{one: {{}}}}\n")
        api.export(machine, to, tmp_path / str(tapes), tape=4, steps=3)
    if to in ("gpt2", "llama"):
        jobs = [(tmp_path / str(tapes), "<bos> <start>") for tapes in (1, 2)]
        for _, (tokens,) in alone(sys.executable, *jobs):
            assert tokens[-1].startswith("<start") or "stuck" in tokens[-1]


def test_without_the_memory(monkeypatch, tmp_path):
    def full(*_):
        raise MemoryError

    monkeypatch.setattr(stock, "lower", full)
    result = invoke("bb4", "--to", "gpt2", "--tape", 8, "--steps", 9999, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "not enough memory" in result.output


def test_without_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    result = invoke("bb4", "--to", "gpt2", "--steps", 9, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "tm2tf[export]" in result.output
