"""Models of TransformerLens: their logits, and whether names say what activations are.

What a cell holds, who wrote it and which rule applies is the simulator's word here.
"""

import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from tm2tf import api
from tm2tf.errors import ExtraError, InputError
from tm2tf.export import transformer_lens as export
from tm2tf.export.bundle import bundle
from tm2tf.machine.simulator import Simulation

torch = pytest.importorskip("torch")
pytest.importorskip(
    "transformer_lens", reason="transformer-lens is of the extra 'transformer-lens'"
)
transformers = pytest.importorskip("transformers", reason="transformers is of the extra 'export'")

ARCHITECTURES = ("llama", "gpt2")
# machine, cells of each tape, steps, contents of each tape
BLANK = ("bb4", 32, 107, [""])
GIVEN = ("bb4", 32, 107, ["1011"])
INPUT = ("binary-increment", 32, 40, ["10110111"])
TWO_TAPES = ("matching", 24, 40, ["01#01", ""])
SILU_LEAK = 1e-10
"""silu(-32) = -4.1e-13, which is not quite off."""

architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)


def runs(*which):
    """Return a mark: a test of some runs, in both architectures."""
    cases = [(architecture, *run) for run in which for architecture in ARCHITECTURES]
    ids = [f"{case[0]}-{case[1]}-{'-'.join(case[4])}" for case in cases]
    return pytest.mark.parametrize("loaded", cases, ids=ids, indirect=True)


every = runs(BLANK, GIVEN, INPUT, TWO_TAPES)
on_one_tape = runs(BLANK, GIVEN, INPUT)


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@functools.cache
def made(name, architecture, tape=32, steps=107):
    return bundle(api.load(name), architecture, tape=tape, steps=steps)


def write(bundled, folder):
    for name, data in export.files(bundled).items():
        (folder / name).write_bytes(data)
    return folder


class Run:
    """A run of a machine, in the hooked model and in the simulator.

    `states`, `reads`: of the machine after each step, from its start. `writers`: the position of
    the token that wrote the cell under the head, or gave it, or 0; one tape only.
    """

    def __init__(self, model, bundled, contents):
        self.bundled = bundled
        start = bundled.machine.initial(contents)
        self.prompt = bundled.prompt(start)
        self.expected = bundled.expected(self.prompt, 200)
        self.tokens = torch.tensor([self.prompt + self.expected])
        with torch.no_grad():
            self.logits, self.cache = model.run_with_cache(self.tokens)
        simulation = Simulation(bundled.machine, start)
        first = start.tapes[0]
        wrote = {first.origin + i: 1 + i for i in range(len(first.contents))}
        self.states, self.reads, self.writers = [], [], []
        for last in range(len(self.prompt) - 1, self.tokens.shape[1]):
            head = simulation.heads[0]
            self.states.append(simulation.state)
            self.reads.append(simulation.cells[0].get(head, bundled.machine.blank))
            self.writers.append(wrote.get(head, 0))
            wrote[head] = last + 1
            if simulation.step() is None:
                break

    @property
    def start(self):
        return len(self.prompt) - 1

    def named(self, hooks, hook, position):
        """Return the names of what is on at a position."""
        values = self.cache[hook][0, position]
        return {name for name, x in zip(hooks[hook]["names"], values, strict=True) if x > 0.5}


@pytest.fixture(scope="module")
def loaded(request, tmp_path_factory):
    """Return a run, the hooks, the folder, the model."""
    architecture, name, tape, steps, contents = request.param
    bundled = made(name, architecture, tape, steps)
    folder = write(bundled, tmp_path_factory.mktemp("model"))
    model, hooks = export.load(folder, device="cpu")
    return Run(model, bundled, contents), hooks, folder, model


@every
def test_logits_are_those_of_transformers(loaded):
    run, _, folder, _ = loaded
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager")
    with torch.no_grad():
        expected = model(run.tokens).logits
    assert torch.equal(run.logits, expected)


@every
def test_the_most_probable_tokens_are_those_on_target_hard(loaded):
    run, _, _, _ = loaded
    found = run.logits[0].argmax(dim=-1).tolist()
    assert found[run.start : -1] == run.expected


@every
def test_it_generates(loaded):
    run, _, _, model = loaded
    found = model.generate(
        torch.tensor([run.prompt]),
        max_new_tokens=len(run.expected),
        do_sample=False,
        verbose=False,
    )
    assert found[0].tolist() == run.prompt + run.expected


@every
def test_a_text_is_taken_as_it_is(loaded):
    run, _, _, model = loaded
    text = run.bundled.text(run.prompt)
    assert model.to_tokens(text).tolist() == [run.prompt]


@every
def test_each_name_is_for_an_entry(loaded):
    run, hooks, _, _ = loaded
    layers = len(run.bundled.checkpoint.layers)
    assert layers == (2 if run.bundled.machine.tapes > 1 else 1)
    for layer in range(layers):
        for hook in ("hook_resid_pre", "attn.hook_z", "attn.hook_pattern", "mlp.hook_post"):
            assert f"blocks.{layer}.{hook}" in hooks
    for hook, named in hooks.items():
        assert run.cache[hook].shape[named["axis"]] == len(named["names"]), hook
        assert len(set(named["names"])) == len(named["names"]), hook


@every
def test_the_stream_is_one_or_minus_one(loaded):
    run, hooks, _, _ = loaded
    streams = [name for name in hooks if "hook_resid" in name or "hook_normalized" in name]
    assert len(streams) == 5 * len(run.bundled.checkpoint.layers) + 1
    for name in streams:
        # GPT-2's norm takes epsilon off, 5e-6 of 1; the stream itself has nothing but 1 and -1
        off = (run.cache[name].abs() - 1).abs().max().item()
        gpt2 = run.bundled.checkpoint.architecture == "gpt2"
        assert off <= (1e-5 if gpt2 and "normalized" in name else 0), name


@every
def test_heads_set_what_they_are_said_to_set(loaded):
    run, hooks, _, _ = loaded
    for layer, place in enumerate(run.bundled.checkpoint.layers):
        hook = f"blocks.{layer}.attn.hook_z"
        brought, after = run.cache[hook][0], run.cache[f"blocks.{layer}.hook_resid_mid"][0]
        names = hooks[f"blocks.{layer}.hook_resid_mid"]["names"]
        assert hooks[hook]["names"][: len(place.heads)] == [head.name for head in place.heads]
        written = 0
        for head, sets in enumerate(hooks[hook]["sets"]):
            for column, direction in enumerate(sets):
                on = brought[:, head, column] == 2
                assert torch.equal(on, after[:, names.index(direction)] == 1), direction
                written += int(on.sum())
            assert (brought[:, head, len(sets) :] == 0).all()
        assert written


@on_one_tape
def test_the_head_attends_to_who_wrote_the_cell(loaded):
    run, hooks, _, _ = loaded
    hook = "blocks.0.attn.hook_pattern"
    pattern = run.cache[hook][0, hooks[hook]["names"].index("tape0.read")]
    assert len(set(run.writers)) > 3
    for step, writer in enumerate(run.writers):
        assert pattern[run.start + step, writer] > 1 - 1e-6


@on_one_tape
def test_directions_say_state_and_symbol(loaded):
    run, hooks, _, _ = loaded
    for step, (state, read) in enumerate(zip(run.states, run.reads, strict=True)):
        on = run.named(hooks, "blocks.0.hook_resid_mid", run.start + step)
        assert {n for n in on if n.startswith("state=")} == {f"state={state}"}
        assert {n for n in on if n.startswith("tape0.read=")} == {f"tape0.read={read}"}
        before = run.named(hooks, "blocks.0.hook_resid_pre", run.start + step)
        assert not {n for n in before if n.startswith("tape0.read=")}


@on_one_tape
def test_a_neuron_is_on_exactly_where_its_rule_applies(loaded):
    run, hooks, _, _ = loaded
    hook = "blocks.0.mlp.hook_post"
    post, names = run.cache[hook][0], hooks[hook]["names"]
    full = 32 if run.bundled.checkpoint.architecture == "llama" else 8
    machine = run.bundled.machine
    should = torch.zeros_like(post)
    fired = 0
    for step, (state, read) in enumerate(zip(run.states, run.reads, strict=True)):
        to = machine.transitions.get((state, (read,)))
        if to is not None:
            rule = f"transitions: {state}, {read} -> {to.state}, {to.writes[0]}, {to.moves[0]}"
            should[run.start + step, names.index(rule)] = full
            fired += 1
    assert fired == len(run.expected)
    steps = slice(run.start, run.start + len(run.states))
    assert ((post - should)[steps].abs() < SILU_LEAK).all()
    assert (post[: run.start].abs() < SILU_LEAK).all()


@architectures
def test_a_broken_weight_is_noticed(architecture, tmp_path):
    bundled = made("bb4", architecture)
    name = {
        "llama": "model.layers.0.self_attn.o_proj.weight",
        "gpt2": "transformer.h.0.attn.c_proj.weight",
    }[architecture]
    tensors = dict(bundled.checkpoint.tensors)
    tensor = tensors[name].copy()
    place = tuple(part[0] for part in tensor.nonzero())
    tensor[place] = -tensor[place]
    tensors[name] = tensor
    broken = replace(bundled, checkpoint=replace(bundled.checkpoint, tensors=tensors))
    model, _ = export.load(write(broken, tmp_path), device="cpu")
    run = Run(model, bundled, [""])
    assert run.logits[0].argmax(dim=-1).tolist()[run.start : -1] != run.expected
    stream = run.cache["blocks.0.hook_resid_mid"]
    assert not (stream.abs() == 1).all()


@pytest.mark.slow  # another process has to import everything
def test_the_folder_works_as_its_readme_says(tmp_path):
    bundled = made("binary-increment", "llama", 32, 40)
    write(bundled, tmp_path)
    section = (tmp_path / "README.md").read_text().split("## In TransformerLens")[1]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stream, neurons, token = done.stdout.splitlines()
    start = bundled.machine.initial(bundled.machine.examples[0].tapes)
    read = start.tapes[0].contents[0]
    to = bundled.machine.transitions[bundled.machine.start, (read,)]
    assert f"'state={bundled.machine.start}'" in stream
    assert f"'tape0.read={read}'" in stream
    rule = f"{bundled.machine.start}, {read} -> {to.state}, {to.writes[0]}, {to.moves[0]}"
    assert neurons == f"blocks.0.mlp.hook_post ['transitions: {rule}']"
    prompt = bundled.prompt(start)
    assert token == bundled.text(bundled.expected(prompt, 1))


def test_a_smaller_dtype_runs_in_float32(tmp_path):
    bundled = bundle(api.load("bb4"), "gpt2", tape=32, steps=107, dtype="bfloat16")
    model, _ = export.load(write(bundled, tmp_path), device="cpu")
    assert model.cfg.dtype == torch.float32
    run = Run(model, bundled, [""])
    assert run.logits[0].argmax(dim=-1).tolist()[run.start : -1] == run.expected


def test_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "transformer_lens.model_bridge", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[transformer-lens\]"):
        export.load(tmp_path)


def test_folders_without_labels_are_refused(tmp_path):
    for text in (None, "", "[]", json.dumps({"heads": 1})):
        if text is not None:
            (tmp_path / export.LABELS).write_text(text)
        with pytest.raises(InputError, match="tm2tf export --to transformer-lens"):
            export.load(tmp_path)
