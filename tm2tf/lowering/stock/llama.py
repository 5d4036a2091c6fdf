"""A wiring as a stock Llama: `transformers.LlamaForCausalLM`, unchanged.

All entries of the stream are +1 or -1, so its mean square is 1, and an RMS norm with weight 1 and
epsilon 1e-12 gives back what it is given. There are no biases: the direction `one` has them.

Rotary positions turn dimension i of a head, i < d_head / 2, together with dimension i + d_head / 2.
What must agree stands at i alone, for the slowest i; the recency's pair has the query on the second
and the key on the first. silu(32) = 32 in float32 and silu(-32 or less) is above -4.1e-13, of which
2/32 is added: far below what -1 could show. The constants are in `precision`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tm2tf.lowering.stock.checkpoint import Checkpoint, LayerPlace, places
from tm2tf.lowering.stock.linear import (
    Array,
    Linear,
    bring,
    compare,
    embedding,
    fire,
    unembedding,
)
from tm2tf.lowering.stock.precision import (
    LOGIT,
    Dtype,
    Rotary,
    llama_limits,
    require_exact,
    split,
)
from tm2tf.lowering.stock.wiring import BEGIN, Conjunction, Lookup, Wiring

SILU = 32.0
MULTIPLE = 32
"""Widths are multiples of it, as blocked formats and kernels ask for."""


def lower(wiring: Wiring, positions: int, dtype: Dtype) -> Checkpoint:
    """Return the checkpoint for contexts of up to `positions` tokens.

    Raises:
        TooLongError: it would not be exact in so long a context.
    """
    lookups = [head for layer in wiring.layers for head in layer.lookups]
    asks = any(head.until for head in lookups)
    wide = max([1, *(len(head.pairs) + (head.until is not None) for head in lookups)])
    limits, rotary = llama_limits(wiring.agree, wide, positions, dtype, asks)
    require_exact(limits)
    placed = places(wiring, rotary.d_head)
    heads = max([1, *(len(layer.heads) for layer in placed)])
    # transformers wants the width to be a multiple of the heads, though d_head does not hang on it
    d_model = _rounded(len(wiring.directions), math.lcm(MULTIPLE, heads))
    inner = _rounded(max([1, *(len(layer.neurons) for layer in placed)]))
    tensors = {"model.embed_tokens.weight": embedding(wiring, d_model)}
    for number, (layer, place) in enumerate(zip(wiring.layers, placed, strict=True)):
        block = f"model.layers.{number}"
        tensors[f"{block}.input_layernorm.weight"] = np.ones(d_model, dtype=np.float32)
        tensors |= _attention(
            f"{block}.self_attn", layer.lookups, place, rotary, heads, d_model, dtype
        )
        tensors[f"{block}.post_attention_layernorm.weight"] = np.ones(d_model, dtype=np.float32)
        tensors |= _mlp(f"{block}.mlp", layer.conjunctions, inner, d_model)
    tensors["model.norm.weight"] = np.ones(d_model, dtype=np.float32)
    tensors["lm_head.weight"] = unembedding(wiring, d_model)
    idle = range(d_model - len(wiring.directions))
    return Checkpoint(
        architecture="llama",
        config=_config(wiring, rotary, positions, d_model, inner, heads),
        tensors=tensors,
        directions=(*wiring.directions, *(f"idle.{i}" for i in idle)),
        layers=placed,
        wiring=wiring,
        limits=limits,
        constants={
            "A": rotary.A,
            "C": rotary.C,
            "w": rotary.w,
            "theta": rotary.theta,
            "pair": rotary.pair,
            "logit": LOGIT,
            "silu": SILU,
        },
    )


def _config(
    wiring: Wiring, rotary: Rotary, positions: int, d_model: int, inner: int, heads: int
) -> dict[str, Any]:
    """Return what `config.json` says of the architecture."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "head_dim": rotary.d_head,
        "hidden_act": "silu",
        "hidden_size": d_model,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "mlp_bias": False,
        "num_attention_heads": heads,
        "num_hidden_layers": len(wiring.layers),
        "num_key_value_heads": heads,
        "rms_norm_eps": 1e-12,
        "rope_parameters": {"rope_theta": rotary.theta, "rope_type": "default"},
        "rope_theta": rotary.theta,
        "tie_word_embeddings": False,
        "vocab_size": len(wiring.tokens),
    }


def _rounded(width: int, multiple: int = MULTIPLE) -> int:
    return -(-width // multiple) * multiple


def _attention(
    name: str,
    lookups: tuple[Lookup, ...],
    place: LayerPlace,
    rotary: Rotary,
    heads: int,
    d_model: int,
    dtype: Dtype,
) -> dict[str, Array]:
    width, half = rotary.d_head, rotary.d_head // 2
    query, key, value = (Linear(d_model, heads * width) for _ in range(3))
    W_O = np.zeros((heads * width, d_model), dtype=np.float32)
    scale = math.sqrt(width)
    content = _halves(rotary.C * scale, dtype)
    a_q, a_k = split(rotary.A * scale)
    for index, head in enumerate(place.heads):
        lookup, first = lookups[head.lookup], index * width
        slowest = [first + half - 1 - i for i in range(len(lookup.pairs) + 1)]
        compare(lookup, query, key, [(i, i) for i in slowest], content)
        query.constant(first + half + rotary.pair, a_q)
        key.constant(first + rotary.pair, a_k)
        if lookup.until is not None:  # begin is ahead of the latest while it is not too far back
            far = rotary.A * math.sin(rotary.w * (lookup.until - 0.5))
            f_q, f_k = _halves(far * scale, dtype)
            query.constant(slowest[0], f_q)
            key.truth(slowest[0], BEGIN, f_k)
        set_by = {to: first + i for i, to in enumerate(head.destinations)}
        bring(lookup, value, set_by)
        for to, column in set_by.items():
            W_O[column, to] = 1
    return {
        f"{name}.q_proj.weight": query.without_bias().T.copy(),
        f"{name}.k_proj.weight": key.without_bias().T.copy(),
        f"{name}.v_proj.weight": value.without_bias().T.copy(),
        f"{name}.o_proj.weight": W_O.T.copy(),
    }


def _halves(product: float, dtype: Dtype) -> tuple[float, float]:
    """Return weights of a query, exact in the dtype, and of a key, a power of two.

    Their product is the given one, or a little more: the query's has half of the dtype's bits
    (its last ones are free for the factor 1/2 of `Linear.truth` and for sums).
    """
    exponent = math.ceil(math.log2(product))
    f_k = 2.0 ** (exponent // 2)
    unit = 2.0 ** (exponent - exponent // 2 - dtype.bits)
    return math.ceil(product / f_k / unit) * unit, f_k


def _mlp(name: str, neurons: tuple[Conjunction, ...], inner: int, d_model: int) -> dict[str, Array]:
    gate, up = Linear(d_model, inner), Linear(d_model, inner)
    down = np.zeros((inner, d_model), dtype=np.float32)
    for column, neuron in enumerate(neurons):
        fire(neuron, gate, column, SILU)
        up.constant(column, 1.0)
        down[column, list(neuron.outputs)] = 2 / SILU
    return {
        f"{name}.gate_proj.weight": gate.without_bias().T.copy(),
        f"{name}.up_proj.weight": up.without_bias().T.copy(),
        f"{name}.down_proj.weight": down.T.copy(),
    }
