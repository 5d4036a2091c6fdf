"""What a checkpoint's tensors read and write, by architecture: nothing here knows the wiring.

Both architectures are brought to one shape, so that a circuit is derived from the numbers alone.
The weight of a norm counts as part of what is read behind it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32

from tm2tf.lowering.stock.checkpoint import Checkpoint

Array = Float32[np.ndarray, "..."]
Directions = Bool[np.ndarray, "d_model"]

LOGITS = "logits"
IN = "in"
"""The only port of what is not a head."""


@dataclass(frozen=True, slots=True, eq=False)
class LayerTensors:
    """A layer: which numbers are not 0.

    Attributes:
        q, k, v: `[heads, d_model, width]`, what each column of a head reads. A column of a query
            reads nothing where the key it is multiplied with is 0, and the other way round.
        out: `[heads, width, d_model]`, what each column of values is written to.
        into: `[d_model, inner]`, what each neuron reads.
        down: `[inner, d_model]`, what it is written to.
    """

    q: Bool[np.ndarray, "heads d_model width"]
    k: Bool[np.ndarray, "heads d_model width"]
    v: Bool[np.ndarray, "heads d_model width"]
    out: Bool[np.ndarray, "heads width d_model"]
    into: Bool[np.ndarray, "d_model inner"]
    down: Bool[np.ndarray, "inner d_model"]


@dataclass(frozen=True, slots=True, eq=False)
class ModelTensors:
    """A checkpoint: what its embeddings vary, its layers, and what each token's logit reads.

    Attributes:
        embedded: by source (`embed`, `pos_embed`), the directions that are not the same for all
            tokens, or at all positions.
        layers: what follows.
        unembed: `[vocab, d_model]`.
    """

    embedded: dict[str, Directions]
    layers: tuple[LayerTensors, ...]
    unembed: Bool[np.ndarray, "vocab d_model"]


def tensors_of(checkpoint: Checkpoint) -> ModelTensors:
    """Return what a checkpoint's tensors read and write."""
    return _gpt2(checkpoint) if checkpoint.architecture == "gpt2" else _llama(checkpoint)


def varying(matrix: Array) -> Directions:
    """Return the columns that are not the same in all rows."""
    found: Directions = matrix.min(axis=0) != matrix.max(axis=0)
    return found


def said(tensors: ModelTensors) -> dict[str, Directions]:
    """Return the directions that each node says, whether anybody reads them or not."""
    says = dict(tensors.embedded)
    so_far = any_of(list(says.values()))
    for number, layer in enumerate(tensors.layers):
        heads = {
            f"L{number}.H{h}": _some(out[_some(values[so_far])])
            for h, (values, out) in enumerate(zip(layer.v, layer.out, strict=True))
        }
        so_far = any_of([so_far, *heads.values()])
        speaks = _some(layer.into[so_far])
        down = layer.down & speaks[:, None]
        so_far = any_of([so_far, *down])
        says |= heads | {f"L{number}.N{n}": row for n, row in enumerate(down)}
    return says | {LOGITS: np.zeros_like(so_far)}


def wanted(tensors: ModelTensors, says: dict[str, Directions]) -> dict[tuple[str, str], Directions]:
    """Return what each port reads, for nodes that are on the way to the logits."""
    live = _some(tensors.unembed)
    found = {(LOGITS, IN): live}
    for number in reversed(range(len(tensors.layers))):
        layer = tensors.layers[number]
        neurons = [n for n in range(len(layer.down)) if (says[f"L{number}.N{n}"] & live).any()]
        read_by = {(f"L{number}.N{n}", IN): layer.into[:, n] for n in neurons}
        live = any_of([live, *read_by.values()])
        found |= read_by
        read_by = {}
        for h in range(len(layer.q)):
            name = f"L{number}.H{h}"
            if (says[name] & live).any():
                brings = _some(layer.out[h].T[live])
                read_by[name, "q"] = _some(layer.q[h].T)
                read_by[name, "k"] = _some(layer.k[h].T)
                read_by[name, "v"] = _some(layer.v[h].T[brings])
        live = any_of([live, *read_by.values()])
        found |= read_by
    return found


def any_of(sets: list[Directions]) -> Directions:
    """Return what is in any of some sets of directions."""
    return _some(np.stack(sets))


def _some(matrix: Bool[np.ndarray, "rows columns"]) -> Directions:
    """Return the columns that have an entry."""
    found: Directions = np.any(matrix, axis=0)
    return found


def _gpt2(checkpoint: Checkpoint) -> ModelTensors:
    tensors, count = checkpoint.tensors, checkpoint.config["n_head"]
    layers = []
    for number in range(checkpoint.config["n_layer"]):
        block = f"transformer.h.{number}"
        before = tensors[f"{block}.ln_1.weight"][:, None]
        q, k, v = np.split(before * tensors[f"{block}.attn.c_attn.weight"], 3, axis=1)
        bias = _behind(tensors, f"{block}.ln_1.bias", f"{block}.attn.c_attn")
        biases = np.split(bias, 3)
        into = tensors[f"{block}.ln_2.weight"][:, None] * tensors[f"{block}.mlp.c_fc.weight"]
        layers.append(
            _layer(
                (_columns(q, count), _columns(k, count), _columns(v, count)),
                (biases[0], biases[1]),
                tensors[f"{block}.attn.c_proj.weight"],
                into != 0,
                tensors[f"{block}.mlp.c_proj.weight"],
                rotary=False,
            )
        )
    head = tensors["lm_head.weight"] * tensors["transformer.ln_f.weight"]
    embedded = {
        "embed": varying(tensors["transformer.wte.weight"]),
        "pos_embed": varying(tensors["transformer.wpe.weight"]),
    }
    return ModelTensors(embedded, tuple(layers), head != 0)


def _behind(tensors: dict[str, Array], norm: str, linear: str) -> Array:
    """Return the bias of a linear map with what the norm's own bias adds to it."""
    found: Array = tensors[norm] @ tensors[f"{linear}.weight"] + tensors[f"{linear}.bias"]
    return found


def _llama(checkpoint: Checkpoint) -> ModelTensors:
    tensors, config = checkpoint.tensors, checkpoint.config
    count, keys = config["num_attention_heads"], config["num_key_value_heads"]
    layers = []
    for number in range(config["num_hidden_layers"]):
        block = f"model.layers.{number}"
        before = tensors[f"{block}.input_layernorm.weight"][:, None]
        after = tensors[f"{block}.post_attention_layernorm.weight"][:, None]
        q, k, v = (before * tensors[f"{block}.self_attn.{x}_proj.weight"].T for x in "qkv")
        gate, up = (after * tensors[f"{block}.mlp.{x}_proj.weight"].T for x in ("gate", "up"))
        # a neuron is the product of both: what one reads counts where the other is not 0
        into = (gate != 0) & (up != 0).any(axis=0) | (up != 0) & (gate != 0).any(axis=0)
        shared = np.arange(count) * keys // count
        none = np.zeros(count * config["head_dim"], dtype=np.float32)
        layers.append(
            _layer(
                (_columns(q, count), _columns(k, keys)[shared], _columns(v, keys)[shared]),
                (none, none),
                tensors[f"{block}.self_attn.o_proj.weight"].T,
                into,
                tensors[f"{block}.mlp.down_proj.weight"].T,
                rotary=True,
            )
        )
    head = tensors["lm_head.weight"] * tensors["model.norm.weight"]
    embedded = {"embed": varying(tensors["model.embed_tokens.weight"])}
    return ModelTensors(embedded, tuple(layers), head != 0)


def _columns(matrix: Array, heads: int) -> Array:
    """Return a `[d_model, heads * width]` matrix by head."""
    return matrix.reshape(len(matrix), heads, -1).transpose(1, 0, 2)


def _layer(
    qkv: tuple[Array, Array, Array],
    biases: tuple[Array, Array],
    out: Array,
    into: Bool[np.ndarray, "d_model inner"],
    down: Array,
    *,
    rotary: bool,
) -> LayerTensors:
    heads = len(qkv[0])
    q, k, v = (part != 0 for part in qkv)
    q_on, k_on = (
        part.any(axis=1) | (bias.reshape(heads, -1) != 0)
        for part, bias in zip((q, k), biases, strict=True)
    )
    q = q & _met(k_on, rotary)[:, None, :]
    k = k & _met(q_on, rotary)[:, None, :]
    written = out.reshape(heads, -1, out.shape[1]) != 0
    return LayerTensors(q, k, v, written, into, down != 0)


def _met(on: Bool[np.ndarray, "heads width"], rotary: bool) -> Bool[np.ndarray, "heads width"]:
    """Return the columns that a score multiplies with one that is not 0.

    Rotary positions turn a column together with the one half a head away.
    """
    return on | np.roll(on, on.shape[1] // 2, axis=1) if rotary else on
