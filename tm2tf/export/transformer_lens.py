"""A checkpoint for TransformerLens: a folder of `transformers`, and names for its hooks.

TransformerLens 4 runs the model of `transformers` itself and puts hooks into it, so the folder is
that of `huggingface`. What is added is `transformer_lens.json`: for every hook whose activations
have an axis of directions, heads, neurons or tokens, which axis that is and what its entries are
called:

    {"hooks": {"blocks.0.mlp.hook_post": {"axis": 2, "of": "neurons", "names": [...]}, ...}}

There are as many names as the axis is long; what only fills up a size is called `idle.3`. Hooks on
a head's values say besides which direction each of their last axis' entries sets, head by head.

The attention of hooked models is eager, which rounds scores to the dtype of the model, so it has to
be float32, as it is by default; all weights of a checkpoint in a smaller dtype are exact in it.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

from tm2tf.errors import ExtraError, InputError
from tm2tf.export.bundle import Bundle
from tm2tf.export.card import shown_start
from tm2tf.lowering.stock.checkpoint import Checkpoint, LayerPlace

Hooks = dict[str, dict[str, Any]]

LABELS = "transformer_lens.json"

# The axes of activations: [batch, position, d_model], [batch, position, neuron],
# [batch, position, token], [batch, position, head, d_head], and [batch, head, query, key].
WIDTH_AXIS, HEAD_AXIS, PATTERN_AXIS = 2, 2, 1

STREAM = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out")
READ = ("ln1.hook_normalized", "ln2.hook_normalized")
"""What a block's parts read: its norms change nothing, so this is the stream again."""

HEADS = ("attn.hook_q", "attn.hook_k")
VALUES = ("attn.hook_v", "attn.hook_z")
PATTERNS = ("attn.hook_attn_scores", "attn.hook_pattern")
NEURONS = ("mlp.hook_pre", "mlp.hook_post")


def files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of the folder by name: those of `huggingface`, with names for hooks.

    Raises:
        ExtraError: the package `tokenizers` is not installed.
    """
    from tm2tf.export import huggingface

    found = huggingface.files(bundle)
    readme = found["README.md"].decode() + "\n" + _readme(bundle)
    named = {"hooks": hooks(bundle.checkpoint)}
    return {**found, "README.md": readme.encode(), LABELS: huggingface.text(named)}


def hooks(checkpoint: Checkpoint) -> Hooks:
    """Return for each hook the axis that has names (`axis`, `of`, `names`).

    `of` is "directions", "heads", "neurons" or "tokens". Hooks on values of heads have `sets` too:
    for each head, the directions that the entries of the last axis set.
    """
    llama = checkpoint.architecture == "llama"
    directions = _axis(WIDTH_AXIS, "directions", checkpoint.directions)
    outside = ("hook_embed", "ln_final.hook_normalized")
    found = dict.fromkeys(outside if llama else (*outside, "hook_pos_embed"), directions)
    count = checkpoint.config["num_attention_heads" if llama else "n_head"]
    inner = checkpoint.config["intermediate_size" if llama else "n_inner"]
    for number, place in enumerate(checkpoint.layers):
        heads = _filled([head.name for head in place.heads], count)
        neurons = _axis(WIDTH_AXIS, "neurons", _filled(place.neurons, inner))
        on_heads = _axis(HEAD_AXIS, "heads", heads)
        values = {**on_heads, "sets": _sets(checkpoint, place, count)}
        patterns = _axis(PATTERN_AXIS, "heads", heads)
        by_hook: Hooks = {
            **dict.fromkeys((*STREAM, *READ), directions),
            **dict.fromkeys(HEADS, on_heads),
            **dict.fromkeys(VALUES, values),
            **dict.fromkeys(PATTERNS, patterns),
            **dict.fromkeys(NEURONS, neurons),
        }
        found |= {f"blocks.{number}.{hook}": named for hook, named in by_hook.items()}
    tokens = [token.name for token in checkpoint.wiring.tokens]
    return {**found, "unembed.hook_out": _axis(WIDTH_AXIS, "tokens", tokens)}


def load(folder: Path, device: str | None = None) -> tuple[Any, Hooks]:
    """Return the model of an exported folder, and its `hooks`.

    It is a `TransformerBridge`, in float32 and unprocessed: its logits are those of `transformers`
    with eager attention. Texts are taken as they are: they begin with `<bos>`. `device`: None lets
    TransformerLens choose.

    Raises:
        ExtraError: the package `transformer-lens` is not installed.
        InputError: the folder is no such export.
    """
    # by name: it is not there wherever types are checked
    try:
        bridge = importlib.import_module("transformer_lens.model_bridge").TransformerBridge
    except ImportError:
        raise ExtraError(
            "a model of TransformerLens", "transformer-lens", "transformer-lens"
        ) from None
    try:
        named: Hooks = json.loads((folder / LABELS).read_text(encoding="utf-8"))["hooks"]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"{folder} has no {LABELS} that says what hooks are called; write the folder with: "
            "tm2tf export --to transformer-lens"
        ) from None
    model = bridge.boot_transformers(str(folder), device=device)
    model.enable_compatibility_mode(no_processing=True)
    model.cfg.default_prepend_bos = False
    return model, named


def _axis(axis: int, of: str, names: tuple[str, ...] | list[str]) -> dict[str, Any]:
    return {"axis": axis, "of": of, "names": list(names)}


def _filled(names: tuple[str, ...] | list[str], count: int) -> list[str]:
    """Return names for so many entries; what has none of its own does nothing."""
    return [*names, *(f"idle.{i}" for i in range(count - len(names)))]


def _sets(checkpoint: Checkpoint, place: LayerPlace, count: int) -> list[list[str]]:
    """Return for each head the directions that its values set, in order."""
    found = [[checkpoint.directions[to] for to in head.destinations] for head in place.heads]
    return found + [[] for _ in range(count - len(found))]


def _readme(bundle: Bundle) -> str:
    """Return the section of `README.md` on TransformerLens."""
    _, plain = shown_start(bundle)
    quoted = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f"""## In TransformerLens

```python
import json

from transformer_lens.model_bridge import TransformerBridge

model = TransformerBridge.boot_transformers(".")
model.enable_compatibility_mode(no_processing=True)
model.cfg.default_prepend_bos = False  # texts begin with it
hooks = json.load(open("transformer_lens.json"))["hooks"]

logits, cache = model.run_with_cache("{quoted}")
for hook in "blocks.0.hook_resid_post", "blocks.0.mlp.hook_post":
    here = cache[hook][0, -1]
    print(hook, [name for name, x in zip(hooks[hook]["names"], here) if x > 0.5])
print(model.tokenizer.convert_ids_to_tokens(int(logits[0, -1].argmax())))
```

`transformer_lens.json` names the entries of one axis of each hook: directions of the stream, heads,
neurons, tokens. Say `no_processing=True`: without it TransformerLens centres weights and folds
norms, and the stream is not +1 and -1 any more, though the most probable token is the same. Keep
float32, its default: hooked attention is eager and rounds scores to the dtype. The tokenizer that
it makes, `model.tokenizer`, puts `<bos>` before every text; `model.to_tokens` does as it is told.
"""
