"""A GGUF file: a Llama for llama.cpp and all that is built on it, tokenizer included.

Tensors. llama.cpp turns neighbours, dimensions 2 i and 2 i + 1 of a head, where `transformers`
turns i and i + d_head / 2; so the rows of queries and keys are put in the other order. Matrices
have the checkpoint's dtype, norms float32, as llama.cpp wants them. There are no keys for scaling
rotary positions: their frequencies are used as they are.

Tokenizer. It is a unigram model ("t5"): the most likely way to cut a text into tokens, each of
them as likely as the others, and what is in no token far less likely. Spaces become "▁", one is
put before the text, and many are as one; names stand in the vocabulary with "▁" before them. So
a word is one token if it is one of ours, and any other has `<unk>` in it, which ends the run. All
tokens but `<unk>` are "normal", so that texts show them; llama.cpp would look for others before
it cuts a text, and find `1R>B@5` in `11R>B@5`. Ids are as in the bundle. Cells have to be given
with their addresses: llama.cpp has no regular expressions to number them with.

llama.cpp stops before it shows a token that ends a text. So it is not told of the tokens that end
a run, which say how, but of the one that comes once a run is over: at once on one tape, and else
after the tokens of the tapes.

Source: the format is that of ggml, docs/gguf.md there; what is done with it is original.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tm2tf.constructions.tokens import BEGIN
from tm2tf.errors import ExtraError, InputError
from tm2tf.export.bundle import Bundle
from tm2tf.export.card import shown_start
from tm2tf.export.huggingface import described
from tm2tf.lowering.stock.linear import Array

if TYPE_CHECKING:
    from gguf import GGUFWriter

MODEL = "model.gguf"

SPACE = "▁"
"""What unigram tokenizers of llama.cpp have for a space."""

SCORE = -1.0
"""The logarithm of how likely a token is, the same for all; llama.cpp gives what is in none 10
less, so the fewest such characters win, and among these the fewest tokens."""

OUTSIDE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
INSIDE = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""GGUF's names of tensors, and of those of a layer, by those of `transformers`."""


def files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of the folder by name.

    Raises:
        ExtraError: the package `gguf` is not installed.
        InputError: the checkpoint is no Llama.
    """
    return {
        MODEL: model(bundle),
        **described(bundle),
        "README.md": readme(bundle).encode(),
    }


def model(bundle: Bundle) -> bytes:
    """Return the GGUF file.

    Raises:
        ExtraError: the package `gguf` is not installed.
        InputError: the checkpoint is no Llama.
    """
    made = bundle.checkpoint
    if made.architecture != "llama":
        raise InputError(
            f"a GGUF file is written of a llama, and the checkpoint is a {made.architecture}; "
            "take a bundle for 'llama'"
        )
    try:
        import gguf
    except ImportError:
        raise ExtraError("a GGUF file", "gguf", "gguf") from None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL
        writer = gguf.GGUFWriter(path, "llama")
        _sizes(writer, bundle)
        _tokenizer(writer, bundle)
        _tensors(writer, bundle)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


def neighbours(weight: Array, heads: int) -> Array:
    """Return the rows of a query or key, `[heads * d_head, d_model]`, in llama.cpp's order.

    Row 2 i of a head is its row i, and row 2 i + 1 its row i + d_head / 2.
    """
    rows, d_model = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, d_model)
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(rows, d_model))


def tensor_name(name: str) -> str:
    """Return GGUF's name of a tensor that `transformers` calls `name`."""
    if name in OUTSIDE:
        return OUTSIDE[name]
    number, _, rest = name.removeprefix("model.layers.").partition(".")
    return f"blk.{number}.{INSIDE[rest.removesuffix('.weight')]}.weight"


def _sizes(writer: GGUFWriter, bundle: Bundle) -> None:
    """Add what the architecture is given, and how to sample: greedily, nothing penalised."""
    config = bundle.checkpoint.config
    writer.add_name(bundle.machine.name)
    writer.add_description(f"a Turing machine, compiled by tm2tf, construction {_made(bundle)}")
    writer.add_sampling_temp(0.0)
    writer.add_sampling_top_k(1)
    writer.add_sampling_penalty_repeat(1.0)
    writer.add_file_type(_types(bundle)[1])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(config["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _made(bundle: Bundle) -> str:
    if bundle.steps is None:
        return bundle.construction
    return f"{bundle.construction}, {bundle.steps} steps"


def _tokenizer(writer: GGUFWriter, bundle: Bundle) -> None:
    """Add the vocabulary, and which tokens are special."""
    from gguf import TokenType

    names = [SPACE + token.name for token in bundle.tokens]
    types = [TokenType.NORMAL] * len(names)
    names[bundle.unknown] = bundle.tokens[bundle.unknown].name
    types[bundle.unknown] = TokenType.UNKNOWN
    writer.add_tokenizer_model("t5")
    writer.add_token_list(names)
    writer.add_token_scores([SCORE] * len(names))
    writer.add_token_types(types)
    writer.add_bos_token_id(bundle.begin)
    writer.add_eos_token_id(bundle.checkpoint.wiring.default)
    writer.add_unk_token_id(bundle.unknown)
    writer.add_pad_token_id(bundle.pad)
    writer.add_add_bos_token(False)  # prompts have it written
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(True)
    writer.add_remove_extra_whitespaces(True)


def _types(bundle: Bundle) -> tuple[int, int]:
    """Return GGUF's numbers for the checkpoint's dtype: of a tensor, and of a file."""
    from gguf import GGMLQuantizationType, LlamaFileType

    return {
        "float32": (GGMLQuantizationType.F32, LlamaFileType.ALL_F32),
        "float16": (GGMLQuantizationType.F16, LlamaFileType.MOSTLY_F16),
        "bfloat16": (GGMLQuantizationType.BF16, LlamaFileType.MOSTLY_BF16),
    }[bundle.checkpoint.limits.dtype]


def _tensors(writer: GGUFWriter, bundle: Bundle) -> None:
    """Add the tensors; rounding to their dtype changes none of their entries."""
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    kind = GGMLQuantizationType(_types(bundle)[0])
    heads = bundle.checkpoint.config["num_attention_heads"]
    for name, tensor in bundle.checkpoint.tensors.items():
        if name.endswith(("q_proj.weight", "k_proj.weight")):
            tensor = neighbours(tensor, heads)  # noqa: PLW2901 - the same tensor
        if tensor.ndim == 1 or kind == GGMLQuantizationType.F32:
            writer.add_tensor(tensor_name(name), tensor)
        else:
            writer.add_tensor(tensor_name(name), quantize(tensor, kind), raw_dtype=kind)


def readme(bundle: Bundle) -> str:
    """Return `README.md`: how to run the file, and with which settings it is exact."""
    prompt, _ = shown_start(bundle)
    limits = bundle.checkpoint.limits
    end = bundle.tokens[bundle.checkpoint.wiring.default].name
    most = limits.by_dtype["float16"]
    if limits.dtype == "float16":
        halves = f"This file was made for it too, up to the same {limits.positions:,} tokens."
    else:
        halves = (
            f"This file was not made for it: export with `--dtype float16`, for at most {most:,} "
            "tokens."
        )
    after = "" if bundle.machine.tapes == 1 else " and the last tape's token is written"
    summed = (
        "\n\nWhere a token `</summary:...>` is written, what stands before the last `<summary>` "
        f"can be dropped: go on with `{BEGIN}` and what comes from there on."
        if bundle.cuts
        else ""
    )
    return f"""# {bundle.machine.name}: a Turing machine for llama.cpp

Every weight was computed from the machine ({bundle.construction}, {bundle.cells} cells a tape);
nothing was trained.

## With llama-cpp-python

```python
from llama_cpp import Llama

context = {limits.positions}
llm = Llama("{MODEL}", n_ctx=context, type_k=0, type_v=0, flash_attn=False, verbose=False)
prompt = {bundle.text(prompt)!r}
ids = llm.tokenize(prompt.encode(), add_bos=False)
for part in llm(ids, max_tokens=context - len(ids), temperature=0.0, stream=True):
    print(part["choices"][0]["text"], end="", flush=True)
```

With llama.cpp's own programs: `-m {MODEL} -c {limits.positions} -ctk f32 -ctv f32 -fa off --temp 0`
and the same prompt, as plain completion, not as a chat.

A prompt begins with `{BEGIN}` (none is added), and all its cells have their addresses; words are
separated by spaces. A word that is no token becomes `<unk>`, which ends the run. Generation ends
with `{end}` (not shown), which comes once a run is over{after}.{summed}

## How far it is exact

`certificate.json` holds for contexts of up to {limits.positions:,} tokens if keys are kept in
float32 and flash attention is off, as above. By default llama.cpp keeps keys in float16, and its
flash attention makes float16 of float32 keys; for float16 keys there is another bound. {halves}
There is none for quantized keys (`q8_0` and the like).
"""
