"""GGUF files: what is in them, read back by the package `gguf`, and what llama.cpp makes of it."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tm2tf import api, formats
from tm2tf.errors import ExtraError, InputError
from tm2tf.export import gguf as exported
from tm2tf.export.bundle import bundle
from tm2tf.export.card import shown_start
from tm2tf.kat.engines.llama_cpp import LlamaCpp, _Entry
from tm2tf.lowering.stock import llama as lowered

gguf = pytest.importorskip("gguf", reason="needs the extra gguf")

EXACT = LlamaCpp()
HALF_KEYS = [LlamaCpp("float16"), LlamaCpp("float32", flash=True), LlamaCpp("float16", flash=True)]
ORDINARY = 1
UNKNOWN_TYPE = 2


def llama(name, **options):
    return bundle(api.load(name), "llama", **{"tape": 32, "steps": 107} | options)


@pytest.fixture(scope="module")
def bb4():
    return llama("bb4")


@pytest.fixture(scope="module")
def increment():
    return llama("binary-increment")


def written(made, folder):
    (folder / "model.gguf").write_bytes(exported.model(made))
    return folder


def read(made, folder):
    return gguf.GGUFReader(written(made, folder) / "model.gguf")


def settings(reader):
    return {name: field.contents() for name, field in reader.fields.items()}


# --- tensors ---------------------------------------------------------------------------------


def stock_rows(rows, heads):
    """Put rows of neighbours back into the order of transformers, index by index."""
    width = len(rows) // heads
    found = np.empty_like(rows)
    for head in range(heads):
        for i in range(width // 2):
            found[head * width + i] = rows[head * width + 2 * i]
            found[head * width + width // 2 + i] = rows[head * width + 2 * i + 1]
    return found


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("bb4", {}, "F32"),
        ("palindrome-2tape", {}, "F32"),
        ("bb4", {"construction": "summarised-addressed", "steps": None, "context": 128}, "F32"),
        ("bb4", {"dtype": "float16"}, "F16"),
        ("bb4", {"tape": 16, "steps": 60, "dtype": "bfloat16"}, "BF16"),
    ],
)
def test_every_tensor_comes_back(name, options, kind, tmp_path):
    made = llama(name, **options)
    checkpoint = made.checkpoint
    layers, heads = len(checkpoint.layers), checkpoint.config["num_attention_heads"]
    theirs = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    reader = read(made, tmp_path)
    found = {tensor.name: tensor for tensor in reader.tensors}
    names = {ours: theirs.get_name(ours, try_suffixes=(".weight",)) for ours in checkpoint.tensors}
    assert set(names.values()) == set(found)
    for ours, tensor in checkpoint.tensors.items():
        there = found[names[ours]]
        assert there.tensor_type.name == ("F32" if tensor.ndim == 1 else kind)
        weight = gguf.quants.dequantize(there.data, there.tensor_type)
        if "q_proj" in ours or "k_proj" in ours:
            weight = stock_rows(weight, heads)
        np.testing.assert_array_equal(weight, tensor, err_msg=ours)


def test_scores_are_the_same_with_neighbours_turned():
    heads, width, d_model, theta = 3, 16, 24, 50.0
    random = np.random.default_rng(0)
    W_Q, W_K = random.normal(size=(2, heads * width, d_model))
    x, y = random.normal(size=(2, d_model))
    angles = theta ** (-np.arange(width // 2) / (width // 2))

    def turned(vector, position, neighbours):
        heads_of = vector.reshape(heads, width).copy()
        half = width // 2
        a, b = slice(0, half), slice(half, None)
        if neighbours:
            a, b = slice(0, None, 2), slice(1, None, 2)
        first, second = heads_of[:, a].copy(), heads_of[:, b].copy()
        cos, sin = np.cos(position * angles), np.sin(position * angles)
        heads_of[:, a] = first * cos - second * sin
        heads_of[:, b] = second * cos + first * sin
        return heads_of

    stock = (turned(W_Q @ x, 9, False) * turned(W_K @ y, 4, False)).sum(axis=1)
    put = [exported.neighbours(W, heads) for W in (W_Q, W_K)]
    other = (turned(put[0] @ x, 9, True) * turned(put[1] @ y, 4, True)).sum(axis=1)
    np.testing.assert_allclose(other, stock)


def test_the_file_is_the_same_each_time(bb4):
    assert exported.model(bb4) == exported.model(bb4)


# --- settings and vocabulary -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["bb4", "palindrome-2tape"])
def test_the_sizes_are_those_of_the_checkpoint(name, tmp_path):
    made = llama(name)
    config, found = made.checkpoint.config, settings(read(made, tmp_path))
    assert found["general.architecture"] == "llama"
    expected = {
        "vocab_size": config["vocab_size"],
        "context_length": made.checkpoint.limits.positions,
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "block_count": config["num_hidden_layers"],
        "attention.head_count": config["num_attention_heads"],
        "attention.head_count_kv": config["num_attention_heads"],
        "attention.key_length": config["head_dim"],
        "attention.value_length": config["head_dim"],
        "attention.layer_norm_rms_epsilon": np.float32(1e-12),
        "rope.dimension_count": config["head_dim"],
        "rope.freq_base": np.float32(made.checkpoint.constants["theta"]),
    }
    there = {key.removeprefix("llama."): v for key, v in found.items() if key[:6] == "llama."}
    assert there == expected  # so there is nothing about scaling either
    assert found["general.sampling.temp"] == 0


def test_the_vocabulary_is_that_of_the_bundle(increment, tmp_path):
    found = settings(read(increment, tmp_path))
    names = [token.name for token in increment.tokens]
    assert found["tokenizer.ggml.model"] == "t5"
    assert found["tokenizer.ggml.tokens"] == [f"▁{name}" for name in names[:-1]] + ["<unk>"]
    assert found["tokenizer.ggml.token_type"] == [ORDINARY] * (len(names) - 1) + [UNKNOWN_TYPE]
    assert set(found["tokenizer.ggml.scores"]) == {-1.0}
    special = {"bos": "<bos>", "eos": "<stuck>", "unknown": "<unk>", "padding": "<pad>"}
    for what, name in special.items():
        assert found[f"tokenizer.ggml.{what}_token_id"] == names.index(name)
    assert not found["tokenizer.ggml.add_bos_token"]
    assert not found["tokenizer.ggml.add_eos_token"]


# --- files and errors ------------------------------------------------------------------------


def test_the_folder_has_what_every_format_has(increment):
    found = exported.files(increment)
    assert set(found) == {
        "model.gguf",
        "certificate.json",
        "labels.json",
        "circuit.json",
        "machine.yaml",
        "README.md",
    }
    assert found["model.gguf"] == exported.model(increment)


@pytest.mark.parametrize(
    ("dtype", "said"),
    [("float32", "`--dtype float16`, for at most 977 tokens"), ("float16", "up to the same 141")],
)
def test_the_readme_says_for_which_keys_it_is_exact(dtype, said):
    text = exported.readme(llama("binary-increment", dtype=dtype))
    assert "type_k=0, type_v=0, flash_attn=False" in text
    assert "<bos> 1@16 0@17" in text
    assert said in text


def test_another_architecture_is_refused():
    with pytest.raises(InputError, match="llama, and the checkpoint is a gpt2"):
        exported.model(bundle(api.load("bb4"), "gpt2", tape=32, steps=107))


def test_without_the_package_its_extra_is_named(bb4, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[gguf\]"):
        exported.model(bb4)


def test_without_the_engine_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(ExtraError, match=r"tm2tf\[llama-cpp\]"):
        EXACT.load(tmp_path)


# --- llama.cpp -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def llama_cpp():
    return pytest.importorskip("llama_cpp", reason="needs the extra llama-cpp")


def starts(made, *inputs):
    return [made.prompt(made.machine.initial([word] if word else [])) for word in inputs]


def generated(made, folder, prompt, count=200, engine=EXACT):
    return engine.load(written(made, folder)).generate([prompt], count, made.ends)[0]


@pytest.mark.slow
def test_bb4_runs_to_its_end(llama_cpp, bb4, tmp_path):
    (prompt,) = starts(bb4, "")
    found = generated(bb4, tmp_path, prompt)
    assert found == bb4.expected(prompt, 200)
    assert len(found) == 107
    assert bb4.tokens[found[-1]].outcome == "halted"


@pytest.mark.slow
@pytest.mark.parametrize("engine", [EXACT, *HALF_KEYS])
def test_prompts_of_different_lengths_are_one_batch(llama_cpp, increment, engine, tmp_path):
    prompts = starts(increment, "1011", "", "0", "111111", "10000")
    found = engine.load(written(increment, tmp_path)).generate(prompts, 50, increment.ends)
    assert found == [increment.expected(prompt, 50) for prompt in prompts]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word"),
    [("palindrome-2tape", "1001001"), ("palindrome-2tape", "100101"), ("palindrome", "abba")],
)
def test_words_are_judged(llama_cpp, name, word, tmp_path):
    made = llama(name)
    (prompt,) = starts(made, word)
    found = generated(made, tmp_path, prompt)
    assert found == made.expected(prompt, 200)
    assert made.tokens[found[-1]].outcome == ("rejected" if word == "100101" else "accepted")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "word", "tape", "outcome"),
    [
        ("bb4", "", 32, "halted"),
        ("bb4", "", 6, "tape-full"),
        ("divisible-by-3", "101", 16, "rejected"),
        ("palindrome-2tape", "1", 4, "accepted"),
        ("palindrome-2tape", "11", 4, "tape-full"),
        ("unary-to-binary-2tape", "1111", 8, "tape-full"),
    ],
)
def test_the_end_of_texts_comes_once_a_run_is_over(llama_cpp, name, word, tape, outcome, tmp_path):
    made = llama(name, tape=tape)
    (prompt,) = starts(made, word)
    expected = made.expected(prompt, 200)
    assert made.tokens[expected[-1]].outcome == outcome
    end = made.checkpoint.wiring.default
    session = EXACT.load(written(made, tmp_path))
    (found,) = session.generate([prompt], len(expected) + 10, {end})
    assert found[: len(expected)] == expected
    assert found[-1] == end
    assert len(found) <= len(expected) + made.machine.tapes + 1


@pytest.mark.slow
def test_contexts_begin_anew_with_a_summary(llama_cpp, tmp_path):
    options = {"construction": "summarised-addressed", "steps": None, "context": 80}
    made = llama("bb4", **options)
    session = EXACT.load(written(made, tmp_path))
    (context,) = starts(made, "")
    expected = made.expected(context, 1000)
    found, contexts = [], 0
    while not found or made.tokens[found[-1]].outcome is None:
        room = made.checkpoint.limits.positions - len(context)
        (more,) = session.generate([context], room, {*made.ends, *made.cuts})
        assert more[-1] in {*made.ends, *made.cuts}
        found += more
        contexts += 1
        summaries = [i for i, token in enumerate(more) if made.tokens[token].role == "summary"]
        context = [made.begin, *more[max(summaries, default=0) :]]
    assert contexts > 1
    assert found == expected


@pytest.mark.slow
@pytest.mark.parametrize("engine", [EXACT, *HALF_KEYS])
def test_many_positions_are_scored_at_once(llama_cpp, engine, tmp_path):
    made = llama("bb5", tape=64, steps=600)
    (prompt,) = starts(made, "")
    expected = made.expected(prompt, 600)
    found = engine.load(written(made, tmp_path)).score(prompt + expected)
    assert found[len(prompt) - 1 : -1] == expected


@pytest.mark.slow
@pytest.mark.parametrize("engine", HALF_KEYS)
def test_float16_keys_do_up_to_their_limit(llama_cpp, engine, tmp_path):
    most = llama("bb5", tape=128).checkpoint.limits.by_dtype["float16"]
    steps = most - 2 - 128
    made = llama("bb5", tape=128, steps=steps, origin=110, dtype="float16")
    assert made.checkpoint.limits.positions == most
    (prompt,) = starts(made, "")
    expected = made.expected(prompt, steps)
    assert len(expected) == steps
    assert generated(made, tmp_path, prompt, steps, engine) == expected


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_sixteen_thousand_steps(llama_cpp, tmp_path):
    made = llama("bb5", tape=256, steps=16_000, origin=232)
    (prompt,) = starts(made, "")
    expected = made.expected(prompt, 16_000)
    assert len(expected) == 16_000
    assert generated(made, tmp_path, prompt, 16_000) == expected


@pytest.mark.slow
def test_tokens_drawn_are_the_right_ones(llama_cpp, bb4, tmp_path):
    (prompt,) = starts(bb4, "")
    session = EXACT.load(written(bb4, tmp_path))
    drawn = session.sample(prompt, 200, bb4.ends, seed=1)
    assert drawn.tokens == bb4.expected(prompt, 200)
    assert 0 < drawn.doubt < 1e-27  # e^-64 for the default token, e^-128 for others
    session = EXACT.load(written(with_weight(bb4, "lm_head.weight", level), tmp_path))
    drawn = session.sample(prompt, 200, bb4.ends, seed=1)
    assert drawn.tokens != bb4.expected(prompt, 200)
    assert drawn.doubt > 0.9


def level(weight):
    weight *= 1e-4


WRITES_WHERE_IT_WROTE = """
start: a
blank: 0
rules:
  a: {0: 1 S b, 1: 2 S a, 2: 0 S b}
  b: {0: 2 S a, 1: 0 S b, 2: 1 S a}
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "engine", "beyond"),
    [("float32", EXACT, 32), *(("float16", engine, 4) for engine in HALF_KEYS)],
)
def test_the_longest_context_is_exact_to_its_end(
    llama_cpp, dtype, engine, beyond, tmp_path, monkeypatch
):
    """The hardest case: neighbours differ, and angles are greatest. Far beyond, it fails."""
    monkeypatch.setattr(lowered, "require_exact", lambda limits: None)
    machine = formats.parse(WRITES_WHERE_IT_WROTE)

    def wrong(positions):
        made = bundle(machine, "llama", tape=128, steps=positions - 130, dtype=dtype)
        prompt = made.prompt(machine.initial([]))
        expected = made.expected(prompt, min(4000, positions - len(prompt)))
        tokens = prompt + expected
        first = positions - len(tokens)
        session = engine.load(written(made, tmp_path))
        with session._context(1, len(tokens)) as context:
            entries = [_Entry(token, first + i, 0, True) for i, token in enumerate(tokens)]
            found = list(context.decode(entries))[len(prompt) - 1 : -1]
        return made.checkpoint.limits, sum(a != b for a, b in zip(found, expected, strict=True))

    limits, _ = wrong(200)
    longest = limits.by_dtype[dtype]
    assert wrong(longest)[1] == 0
    assert wrong(beyond * longest)[1] > 0


# --- texts -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spoken(llama_cpp, increment, tmp_path_factory):
    path = written(increment, tmp_path_factory.mktemp("spoken")) / "model.gguf"
    EXACT.load(path.parent)  # quiet from here on
    return llama_cpp.Llama(str(path), n_ctx=256, type_k=0, type_v=0, flash_attn=False)


@pytest.mark.slow
def test_texts_become_our_ids_and_come_back(increment, spoken):
    (prompt,) = starts(increment, "1011")
    text = increment.text(prompt)
    spaced = f"  {text.replace(' ', '   ')} "
    for written_so in (text, spaced):
        for special in (True, False):
            found = spoken.tokenize(written_so.encode(), add_bos=True, special=special)
            assert found == prompt
    assert spoken.detokenize(prompt).decode().strip() == text
    everything = [i for i in range(len(increment.tokens)) if i != increment.unknown]
    assert spoken.detokenize(everything).decode().strip() == increment.text(everything)
    assert spoken.tokenize(increment.text(everything).encode(), special=True) == everything


@pytest.mark.slow
@pytest.mark.parametrize("word", ["1@165", "x1@16", "1@99", "1", "1R>right@", "1@16\n", "é"])
def test_words_that_are_no_tokens_are_unknown(increment, spoken, word):
    found = spoken.tokenize(f"<bos> {word} <start@16>".encode(), add_bos=False, special=True)
    assert increment.unknown in found
    assert len(spoken.tokenize(b"<bos> <start@16>", add_bos=False)) == 2


@pytest.mark.slow
def test_a_text_goes_on_as_the_machine_does(increment, spoken):
    (prompt,) = starts(increment, "1011")
    answer = spoken(increment.text(prompt), max_tokens=None, temperature=0.0)["choices"][0]
    assert answer["text"].strip() == increment.text(increment.expected(prompt, 50))
    assert answer["finish_reason"] == "stop"
    assert spoken.token_eos() == increment.checkpoint.wiring.default


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("binary-increment", {}),
        ("palindrome-2tape", {"tape": 16}),
        ("bb4", {"construction": "summarised-addressed", "steps": None, "context": 256}),
    ],
)
def test_the_code_of_the_readme_runs(llama_cpp, name, options, tmp_path):
    made = llama(name, **options)
    text = exported.readme(made)
    code = text.partition("```python\n")[2].partition("```")[0]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=written(made, tmp_path), capture_output=True, check=True
    )
    prompt, _ = shown_start(made)
    expected = made.text(made.expected(prompt, 256 - len(prompt)))
    shown = done.stdout.decode().strip()
    assert shown.startswith(expected)
    assert len(shown[len(expected) :].split()) == (0 if made.machine.tapes == 1 else 2)


# --- what must not pass ----------------------------------------------------------------------


def with_weight(made, name, change):
    tensors = {key: tensor.copy() for key, tensor in made.checkpoint.tensors.items()}
    change(tensors[name])
    return replace(made, checkpoint=replace(made.checkpoint, tensors=tensors))


@pytest.mark.slow
@pytest.mark.parametrize("part", ["self_attn.q_proj", "self_attn.o_proj", "mlp.down_proj"])
def test_a_flipped_sign_is_noticed(llama_cpp, bb4, part, tmp_path):
    def flip(weight):
        row, column = np.argwhere(weight)[0]
        weight[row, column] *= -1

    broken = with_weight(bb4, f"model.layers.0.{part}.weight", flip)
    (prompt,) = starts(bb4, "")
    assert generated(broken, tmp_path, prompt) != bb4.expected(prompt, 200)


@pytest.mark.slow
def test_rows_in_the_order_of_transformers_are_noticed(llama_cpp, bb4, tmp_path, monkeypatch):
    monkeypatch.setattr(exported, "neighbours", lambda weight, heads: weight)
    (prompt,) = starts(bb4, "")
    assert generated(bb4, tmp_path, prompt) != bb4.expected(prompt, 200)


@pytest.mark.slow
def test_what_cannot_be_read_is_refused(llama_cpp, bb4, tmp_path):
    with pytest.raises(InputError, match=r"has no model\.gguf"):
        EXACT.load(tmp_path)
    session = EXACT.load(written(bb4, tmp_path))
    for prompt in ([], [-1], [len(bb4.tokens)]):
        with pytest.raises(InputError, match=r"llama\.cpp reads"):
            session.generate([prompt], 5, bb4.ends)
    assert session.generate([], 5, bb4.ends) == []
    assert session.generate([[bb4.begin]], 0, bb4.ends) == [[]]
    (tmp_path / "model.gguf").write_bytes(exported.model(bb4)[:-1000])
    with pytest.raises(InputError, match="cannot be loaded"):
        EXACT.load(tmp_path)
