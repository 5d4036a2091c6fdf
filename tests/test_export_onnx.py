"""ONNX graphs against the weights on target hard, which share only the program with them."""

import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tm2tf import api
from tm2tf.errors import ExtraError, InputError
from tm2tf.export import onnx as export
from tm2tf.export.bundle import bundle
from tm2tf.export.huggingface import config, text
from tm2tf.kat.engines import onnxruntime_engine
from tm2tf.kat.engines.onnxruntime_engine import OnnxruntimeEngine
from tm2tf.machine import simulator

onnx = pytest.importorskip("onnx", reason="onnx is of the extra 'onnx'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is of the extra 'onnx'")

ARCHITECTURES = ("llama", "gpt2")
SUMMARIES = {"construction": "summarised-addressed", "tape": 32, "context": 128}

architectures = pytest.mark.parametrize("architecture", ARCHITECTURES)


@functools.cache
def made(name, architecture, tape=32, steps=107):
    return bundle(api.load(name), architecture, tape=tape, steps=steps)


@functools.cache
def summarised(architecture):
    return bundle(api.load("bb4"), architecture, **SUMMARIES)


def two_tapes(architecture):
    return made("matching", architecture, tape=24, steps=40)


def written(bundled, folder, model=None):
    """Write what the engine needs of an export; return the folder."""
    graph = model or export.model(bundled.checkpoint)
    (folder / "model.onnx").write_bytes(graph.SerializeToString())
    (folder / "config.json").write_bytes(text(config(bundled)))
    return folder


@pytest.fixture
def load(tmp_path):
    return lambda bundled, model=None: OnnxruntimeEngine().load(written(bundled, tmp_path, model))


def starts(bundled, *tapes):
    return [bundled.prompt(bundled.machine.initial(contents)) for contents in tapes]


@architectures
def test_checker_takes_the_graph_and_it_has_the_customary_names(architecture):
    model = export.model(made("bb4", architecture).checkpoint)
    onnx.checker.check_model(model, full_check=True)
    assert [i.name for i in model.graph.input] == [
        "input_ids",
        "attention_mask",
        "position_ids",
        "past_key_values.0.key",
        "past_key_values.0.value",
    ]
    assert [o.name for o in model.graph.output] == ["logits", "present.0.key", "present.0.value"]
    assert {opset.domain for opset in model.opset_import} == {""}
    assert {node.domain for node in model.graph.node} == {""}


@architectures
@pytest.mark.parametrize("contents", ["", "1", "1011"])
def test_a_run_to_its_end(architecture, contents, load):
    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, [contents])
    expected = bundled.expected(prompt, 107)
    session = load(bundled)
    assert session.generate([prompt], 107, bundled.ends) == [expected]
    assert session.score(prompt + expected)[len(prompt) - 1 : -1] == expected


@architectures
def test_it_runs_as_long_as_the_machine(architecture, load):
    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, [])
    (found,) = load(bundled).generate([prompt], 107, bundled.ends)
    run = simulator.run(bundled.machine, bundled.machine.initial([]))
    assert len(found) == run.steps == 107
    assert bundled.tokens[found[-1]].outcome == run.outcome


@architectures
@pytest.mark.parametrize("name", ["binary-addition-2tape", "matching", "palindrome-2tape"])
def test_two_tapes(name, architecture, load):
    bundled = made(name, architecture, tape=24, steps=40)
    prompts = [bundled.prompt(bundled.machine.initial(e.tapes)) for e in bundled.machine.examples]
    prompts = [prompt for prompt in prompts if len(prompt) < 24][:4]
    expected = [bundled.expected(prompt, 90) for prompt in prompts]
    assert len(prompts) >= 2
    assert load(bundled).generate(prompts, 90, bundled.ends) == expected


@architectures
def test_left_padded_batch_is_the_single_runs(architecture, load):
    bundled = made("binary-increment", architecture, tape=32, steps=40)
    prompts = starts(bundled, ["1011"], ["1"], ["11111111"], ["1000"], ["0"])
    expected = [bundled.expected(prompt, 40) for prompt in prompts]
    assert len({len(run) for run in expected}) > 1
    session = load(bundled)
    assert session.generate(prompts, 40, bundled.ends) == expected
    assert [session.generate([p], 40, bundled.ends)[0] for p in prompts] == expected


def test_attended_padding_is_noticed(load):
    bundled = made("bb4", "llama")
    (prompt,) = starts(bundled, ["1011"])
    expected = bundled.expected(prompt, 20)
    session = load(bundled)
    assert session.score([*prompt, *expected])[len(prompt) - 1 : -1] == expected
    padded = session.score([bundled.pad, bundled.pad, *prompt, *expected])[len(prompt) + 1 : -1]
    assert padded != expected


@architectures
def test_a_run_goes_on_from_its_first_half(architecture, load):
    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, [])
    expected = bundled.expected(prompt, 107)
    found = load(bundled).generate([prompt + expected[:50]], 57, bundled.ends)
    assert found == [expected[50:]]


@architectures
def test_scores_in_blocks_are_those_of_one_pass(architecture, load, monkeypatch):
    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, [])
    session, tokens = load(bundled), prompt + bundled.expected(prompt, 107)
    whole = session.score(tokens)
    monkeypatch.setattr(onnxruntime_engine, "BLOCK", 7)
    assert session.score(tokens) == whole


@architectures
def test_the_count_and_the_ends_stop_a_row(architecture, load):
    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, [])
    expected = bundled.expected(prompt, 107)
    session = load(bundled)
    assert session.generate([prompt], 0, bundled.ends) == [[]]
    assert session.generate([prompt], 3, bundled.ends) == [expected[:3]]
    assert session.generate([prompt], 107, [expected[4]]) == [
        expected[: expected.index(expected[4]) + 1]
    ]


@architectures
def test_summaries(architecture, load):
    bundled = summarised(architecture)
    (prompt,) = starts(bundled, [])
    count = 128 - len(prompt)
    expected = bundled.expected(prompt, count)
    assert any(i in bundled.cuts for i in expected)
    assert load(bundled).generate([prompt], count, bundled.ends) == [expected]


@architectures
@pytest.mark.parametrize("kind", ["summaries", "two tapes"])
def test_every_entry_of_the_stream_is_one_or_minus_one(kind, architecture):
    bundled = summarised(architecture) if kind == "summaries" else two_tapes(architecture)
    model = export.model(bundled.checkpoint)
    layers = len(bundled.checkpoint.layers)
    for layer in range(layers):
        info = onnx.helper.make_tensor_value_info(f"stream.{layer}", onnx.TensorProto.FLOAT, None)
        model.graph.output.append(info)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    assert layers == (1 if kind == "summaries" else 2)
    (prompt,) = starts(bundled, [] if kind == "summaries" else ["01#01", ""])
    run = prompt + bundled.expected(prompt, 100)
    for stream in session.run([f"stream.{layer}" for layer in range(layers)], feed(session, run)):
        assert stream.shape == (1, len(run), len(bundled.checkpoint.directions))
        assert (np.abs(stream) == 1).all()


def feed(session, run):
    return {
        "input_ids": np.array([run]),
        "attention_mask": np.ones((1, len(run)), np.int64),
        "position_ids": np.arange(len(run))[None],
    } | {
        i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32)
        for i in session.get_inputs()
        if i.name.startswith("past_key_values.")
    }


@architectures
def test_logits_are_those_of_transformers(architecture):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers", reason="transformers is of the extra 'export'")
    from tm2tf.export.torch_model import stock_model

    bundled = made("bb4", architecture)
    (prompt,) = starts(bundled, ["1011"])
    run = prompt + bundled.expected(prompt, 60)
    session = onnxruntime.InferenceSession(
        export.model(bundled.checkpoint).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    found = session.run(["logits"], feed(session, run))[0]
    with torch.no_grad():
        expected = stock_model(bundled.checkpoint)(torch.tensor([run])).logits.numpy()
    # all terms are whole multiples of 64, so that neither rounds
    assert np.array_equal(found, expected)


@architectures
@pytest.mark.parametrize("part", ["mlp", "value", "unembedding"])
def test_a_broken_weight_is_noticed(part, architecture, load):
    bundled = made("bb4", architecture)
    name = {
        ("llama", "mlp"): "model.layers.0.mlp.down_proj.weight",
        ("llama", "value"): "model.layers.0.self_attn.o_proj.weight",
        ("gpt2", "mlp"): "transformer.h.0.mlp.c_proj.weight",
        ("gpt2", "value"): "transformer.h.0.attn.c_proj.weight",
    }.get((architecture, part), "lm_head.weight")
    tensors = dict(bundled.checkpoint.tensors)
    (prompt,) = starts(bundled, [])
    expected = bundled.expected(prompt, 107)
    tensor = tensors[name].copy()
    if part == "unembedding":
        tensor[expected[50]] = 0
        tensor[expected[50], 0] = -128
    else:
        place = tuple(np.argwhere(tensor > 0)[0])
        tensor[place] = -tensor[place]
    broken = replace(
        bundled, checkpoint=replace(bundled.checkpoint, tensors=tensors | {name: tensor})
    )
    assert load(broken).generate([prompt], 107, bundled.ends) != [expected]


def test_the_folder_runs_as_its_readme_says(tmp_path):
    bundled = made("binary-increment", "llama", tape=32, steps=40)
    for name, data in export.files(bundled).items():
        (tmp_path / name).write_bytes(data)
    code = re.search(r"```python\n(.*?)```", (tmp_path / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", code[1]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        check=False,
    )
    assert not done.stderr
    example = bundled.machine.examples[0]
    prompt = bundled.prompt(bundled.machine.initial(example.tapes))
    assert done.stdout.split() == bundled.text(prompt + bundled.expected(prompt, 64)).split()
    session = OnnxruntimeEngine().load(tmp_path)
    assert session.generate([prompt], 40, bundled.ends) == [bundled.expected(prompt, 40)]


def test_files_are_the_same_each_time_and_complete():
    bundled = made("bb4", "gpt2")
    found = export.files(bundled)
    assert found == export.files(bundled)
    assert {"model.onnx", "tokenizer.json", "tokenizer_config.json", "config.json"} <= found.keys()
    assert {"generation_config.json", "labels.json", "README.md"} <= found.keys()


def test_other_dtypes_are_refused():
    bundled = bundle(api.load("bb4"), "gpt2", tape=32, steps=107, dtype="bfloat16")
    with pytest.raises(InputError, match=r"bfloat16: take --dtype float32"):
        export.model(bundled.checkpoint)


def test_a_graph_too_large_for_a_file_is_refused(monkeypatch):
    monkeypatch.setattr(export, "GREATEST", 1000)
    with pytest.raises(InputError, match="at most 1,000 bytes"):
        export.model(made("bb4", "llama").checkpoint)


def test_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[onnx\]"):
        export.model(made("bb4", "llama").checkpoint)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[onnx\]"):
        OnnxruntimeEngine().load(tmp_path)


def test_folders_without_a_graph_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"has no model\.onnx"):
        OnnxruntimeEngine().load(tmp_path)
    written(made("bb4", "llama"), tmp_path)
    whole = (tmp_path / "model.onnx").read_bytes()
    for damaged in (b"", b"no graph", whole[: len(whole) // 2]):
        (tmp_path / "model.onnx").write_bytes(damaged)
        with pytest.raises(InputError, match="no graph that onnxruntime loads"):
            OnnxruntimeEngine().load(tmp_path)
    (tmp_path / "model.onnx").write_bytes(whole)
    for wrong in (b"", b"{", json.dumps({"pad_token_id": 1}).encode(), b'{"n_positions": 9}'):
        (tmp_path / "config.json").write_bytes(wrong)
        with pytest.raises(InputError, match=r"config\.json"):
            OnnxruntimeEngine().load(tmp_path)


@architectures
def test_a_context_that_is_too_long_is_refused(architecture, load):
    bundled = made("bb4", architecture, tape=32, steps=20)
    longest = bundled.checkpoint.limits.positions
    session = load(bundled)
    run = [bundled.begin] * (longest + 1)
    session.score(run[:-1])
    with pytest.raises(InputError, match="more --steps"):
        session.score(run)
    with pytest.raises(InputError, match="more --steps"):
        session.generate([run], 1, ())


@architectures
def test_a_row_ends_where_the_context_is_full(architecture, load):
    bundled = made("bb4", architecture, tape=32, steps=20)
    longest = bundled.checkpoint.limits.positions
    prompts = starts(bundled, [], ["0000"])
    # the last token need not be read any more
    expected = [bundled.expected(prompt, longest + 1 - len(prompt)) for prompt in prompts]
    assert len(expected[0]) == len(expected[1]) + 4
    assert load(bundled).generate(prompts, 107, ()) == expected


def test_tokens_are_drawn(load):
    bundled = made("bb4", "llama")
    (prompt,) = starts(bundled, [])
    drawn = load(bundled).sample(prompt, 107, bundled.ends, seed=1)
    assert drawn.tokens == bundled.expected(prompt, 107)
    # 64 nats to the default token, 128 to the others
    assert 0 < drawn.doubt < 1.01 * np.exp(-64)


def test_drawing_takes_what_is_improbable_at_times(load):
    bundled = made("bb4", "llama")
    (prompt,) = starts(bundled, [])
    tensors = dict(bundled.checkpoint.tensors)
    flat = tensors["lm_head.weight"] * 2.0**-7  # half a nat where there were 64
    broken = replace(
        bundled,
        checkpoint=replace(bundled.checkpoint, tensors=tensors | {"lm_head.weight": flat}),
    )
    session = load(broken)
    drawn = [session.sample(prompt, 20, bundled.ends, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0].doubt > 0.5


def test_a_prompt_without_tokens_is_refused(load):
    with pytest.raises(InputError, match="no tokens"):
        load(made("bb4", "llama")).generate([[]], 3, ())


def test_the_engine_says_its_version():
    assert OnnxruntimeEngine().name == f"onnxruntime {onnxruntime.__version__}"


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "steps"), [("llama", 4000), ("gpt2", 1000)])
def test_thousands_of_steps(architecture, steps, load):
    bundled = made("bb5", architecture, tape=256, steps=steps)
    (prompt,) = starts(bundled, [])
    expected = bundled.expected(prompt, steps)
    assert len(expected) == steps
    session = load(bundled)
    assert session.generate([prompt], steps, bundled.ends) == [expected]
    assert session.score(prompt + expected)[len(prompt) - 1 : -1] == expected
