"""A wiring as a stock GPT-2: `transformers.GPT2LMHeadModel`, unchanged.

Each direction v of the wiring stands twice in the stream, as v and as -v, so that the mean of the
stream is 0; its variance is 1, as all entries are +1 or -1; so a layer norm gives back what it is
given, but for GPT-2's epsilon, 1e-5, and for rounding: means that are carried along as running
ones (Welford) are not 0 exactly, and in float32 +1 may come out as 1 + 2^-23, too much for scores
of 2^24 units. So the norms before attention and neurons have a bias of 2^10: the numbers there,
2^10 + 1 and 2^10 - 1, are 2^-14 apart from the next ones, errors up to 2^-15 = 3.1e-5 are rounded
away, and the next layer's bias takes 2^10 off again, exactly. Half precision needs none of that, as
its numbers next to 1 are 2^-11 (float16) and 2^-8 (bfloat16) away, and has no room for it: so such
a checkpoint is exact in its own dtype, and not loaded as float32. Logits do not need it either.
Only v is read; what is written is written to both.

wte has the words, and 0 for `begin` and the bits of the position, which wpe has: what begins the
context is what stands at position 0. gelu_new(8) = 8 and gelu_new(-8 or less) = 0 in float32, as
tanh(24.6) = 1 - 8.6e-22 there: a neuron adds exactly 0 or 2. The constants are in `precision`.
"""

from __future__ import annotations

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
    GPT2_HEAD,
    GPT2_R,
    LOGIT,
    Dtype,
    gpt2_bits,
    gpt2_limits,
    require_exact,
    split,
)
from tm2tf.lowering.stock.wiring import BEGIN, VOID, Conjunction, Lookup, Wiring

GELU = 8.0
SNAP = 2.0**10
SCALE = GPT2_HEAD**0.5


def lower(wiring: Wiring, positions: int, dtype: Dtype) -> Checkpoint:
    """Return the checkpoint for contexts of up to `positions` tokens.

    Raises:
        TooLongError: it would not be exact in so long a context.
    """
    asks = any(head.until for layer in wiring.layers for head in layer.lookups)
    limits = gpt2_limits(wiring.agree, positions, dtype, asks)
    require_exact(limits)
    bits = gpt2_bits(positions)
    placed = places(wiring, GPT2_HEAD)
    used = len(wiring.directions) + bits
    heads = max([-(-2 * used // GPT2_HEAD), *(len(layer.heads) for layer in placed)])
    half = heads * GPT2_HEAD // 2
    inner = max([8, *(len(layer.neurons) for layer in placed)])
    snap = SNAP if dtype.bits == 24 else 0.0
    tensors = _embeddings(wiring, positions, bits, half)
    for number, (layer, place) in enumerate(zip(wiring.layers, placed, strict=True)):
        block = f"transformer.h.{number}"
        tensors |= _norm(f"{block}.ln_1", 2 * half, snap)
        tensors |= _attention(f"{block}.attn", layer.lookups, place, wiring, half, bits, snap)
        tensors |= _norm(f"{block}.ln_2", 2 * half, snap)
        tensors |= _mlp(f"{block}.mlp", layer.conjunctions, inner, half, snap)
    tensors |= _norm("transformer.ln_f", 2 * half, 0.0)
    tensors["lm_head.weight"] = unembedding(wiring, 2 * half)
    names = [*wiring.directions, *(f"position.{b}" for b in range(bits))]
    names += [f"idle.{i}" for i in range(half - used)]
    return Checkpoint(
        architecture="gpt2",
        config={
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "activation_function": "gelu_new",
            "attn_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "resid_pdrop": 0.0,
            "layer_norm_epsilon": 1e-5,
            "n_embd": 2 * half,
            "n_head": heads,
            "n_inner": inner,
            "n_layer": len(wiring.layers),
            "n_positions": positions,
            "scale_attn_weights": True,
            "tie_word_embeddings": False,
            "vocab_size": len(wiring.tokens),
        },
        tensors=tensors,
        directions=(*names, *(f"-{name}" for name in names)),
        layers=placed,
        wiring=wiring,
        limits=limits,
        constants={"r": GPT2_R, "K": bits, "C": GPT2_R * 2.0**bits, "logit": LOGIT, "gelu": GELU},
    )


def _embeddings(wiring: Wiring, positions: int, bits: int, half: int) -> dict[str, Array]:
    first = len(wiring.directions)
    W_E = embedding(wiring, half)
    W_E[:, [BEGIN, *range(first, first + bits)]] = 0
    W_pos = np.zeros((positions, 2 * half), dtype=np.float32)
    W_pos[:, BEGIN] = -1
    W_pos[0, BEGIN] = 1
    numbers = np.arange(positions)
    for b in range(bits):
        W_pos[:, first + b] = (numbers >> b & 1) * 2 - 1
    W_pos[:, half:] = -W_pos[:, :half]
    return {
        "transformer.wte.weight": np.concatenate([W_E, -W_E], axis=1),
        "transformer.wpe.weight": W_pos,
    }


def _norm(name: str, d_model: int, bias: float) -> dict[str, Array]:
    return {
        f"{name}.weight": np.ones(d_model, dtype=np.float32),
        f"{name}.bias": np.full(d_model, bias, dtype=np.float32),
    }


def _attention(
    name: str,
    lookups: tuple[Lookup, ...],
    place: LayerPlace,
    wiring: Wiring,
    half: int,
    bits: int,
    snap: float,
) -> dict[str, Array]:
    """Return a layer's attention: queries, keys and values side by side, as GPT-2 has them."""
    d_model = 2 * half
    query, key, value = (Linear(d_model, d_model) for _ in range(3))
    W_O = np.zeros((d_model, d_model), dtype=np.float32)
    for index, head in enumerate(place.heads):
        lookup, first = lookups[head.lookup], index * GPT2_HEAD
        free = first + len(lookup.pairs)
        columns = [(column, column) for column in range(first, free)]
        compare(lookup, query, key, columns, split(GPT2_R * 2.0**bits * SCALE)[::-1])
        for b in range(bits):
            r_q, r_k = split(GPT2_R * 2.0**b * SCALE)
            query.constant(free + b, r_q)
            key.truth(free + b, len(wiring.directions) + b, r_k)
        if lookup.until is not None:
            # begin has the recency of position until - 1, by the bits of that, and half of r more
            last = lookup.until - 1
            for b in range(bits):
                if last >> b & 1:
                    key.truth(free + b, BEGIN, split(GPT2_R * 2.0**b * SCALE)[1])
            b_q, b_k = split(GPT2_R / 2 * SCALE)
            query.constant(free + bits, b_q)
            key.truth(free + bits, BEGIN, b_k)
        set_by = {to: first + i for i, to in enumerate(head.destinations)}
        bring(lookup, value, set_by)
        for to, sign in lookup.defaults:  # padding at position 0 begins nothing
            if to in set_by:
                value.truth(set_by[to], VOID, -2.0 * sign)
        for to, column in set_by.items():
            W_O[column, [to, half + to]] = 1, -1
    return {
        f"{name}.c_attn.weight": np.concatenate([query.weight, key.weight, value.weight], axis=1),
        f"{name}.c_attn.bias": np.concatenate([m.of_shifted(snap) for m in (query, key, value)]),
        f"{name}.c_proj.weight": W_O,
        f"{name}.c_proj.bias": np.zeros(d_model, dtype=np.float32),
    }


def _mlp(
    name: str, neurons: tuple[Conjunction, ...], inner: int, half: int, snap: float
) -> dict[str, Array]:
    into = Linear(2 * half, inner)
    out = np.zeros((inner, 2 * half), dtype=np.float32)
    for column, neuron in enumerate(neurons):
        fire(neuron, into, column, GELU)
        for to in neuron.outputs:
            out[column, [to, half + to]] = 2 / GELU, -2 / GELU
    return {
        f"{name}.c_fc.weight": into.weight,
        f"{name}.c_fc.bias": into.of_shifted(snap),
        f"{name}.c_proj.weight": out,
        f"{name}.c_proj.bias": np.zeros(2 * half, dtype=np.float32),
    }
