"""The model card of tracr's model: how to rebuild it with tracr alone, and how to loop it."""

from __future__ import annotations

from typing import Any

from tm2tf.export.tracr_step import Step, certificate, facts

REBUILD = """\
import json

import haiku as hk
import jax
import numpy as np
from tracr.compiler.assemble import AssembledTransformerModel
from tracr.craft.bases import BasisDirection
from tracr.transformer.encoder import CategoricalEncoder
from tracr.transformer.model import CompiledTransformerModel, Transformer, TransformerConfig

config, labels, cells = (json.load(open(f"{x}.json")) for x in ("config", "labels", "cells"))
tensors, params = dict(np.load("params.npz")), {}
for key, tensor in tensors.items():
    module, name = key.rsplit("/", 1)
    params.setdefault(module, {})[name] = jax.numpy.asarray(tensor)
size = TransformerConfig(**config["transformer"])
size.activation_function = getattr(jax.nn, config["transformer"]["activation_function"])
out = np.array(config["output_encoder"]["directions"])


def embedding(name):
    rows, columns = tensors[f"{name}/embeddings"].shape
    return hk.Embed(vocab_size=rows, embed_dim=columns, name=name)


def compiled_model():
    return CompiledTransformerModel(
        transformer=Transformer(size),
        token_embed=embedding("token_embed"),
        position_embed=embedding("pos_embed"),
        unembed=lambda x, use_unembed_argmax: x[..., out].argmax(axis=-1),
        use_unembed_argmax=True,
    )


def encoder(words, **options):
    return CategoricalEncoder([BasisDirection("tokens", word) for word in words], **options)


forward = hk.transform(lambda tokens: compiled_model()(tokens, use_dropout=False))
model = AssembledTransformerModel(
    forward=hk.without_apply_rng(forward).apply,
    get_compiled_model=compiled_model,
    params=params,
    model_config=size,
    residual_labels=labels["residual_labels"],
    input_encoder=encoder(**config["input_encoder"], enforce_bos=True),
    output_encoder=encoder(config["output_encoder"]["words"]),
)
"""

LOOP = """\
words, steps = cells["example"]["words"], 0
while True:
    window = [cells["cells"][word] for word in words]
    print(" ".join(cell["shown"] for cell in window))
    heads = [cell for cell in window if cell["head"] == "here"]
    if not heads or heads[0]["outcome"]:
        break
    decoded = model.apply([cells["begin"], *words, cells["edge"]]).decoded
    words, steps = [cells["next"][word] for word in decoded[1:-1]], steps + 1
print(heads[0]["outcome"] if heads else "the head has left the window", "after", steps, "steps")
"""


def card(step: Step, cells: dict[str, Any]) -> str:
    """Return `README.md`, for a model with these `cells.json`."""
    machine, known, bound = step.machine, facts(step), certificate(step)
    told = f" {machine.description}" if machine.description else ""
    given = cells["example"]["input"]
    shown = " ".join(cells["cells"][word]["shown"] for word in cells["example"]["words"])
    return f"""---
library_name: tracr
tags:
- turing-machine
- compiled
- tm2tf
---

# {machine.name}: one step of a Turing machine, compiled by tracr

Nothing here was trained: the step was written in RASP, and DeepMind's tracr compiled it.{told}

| | |
|---|---|
| machine | {len(machine.states)} states, {len(machine.symbols)} symbols, 1 tape |
| window | {step.window} cells, {known["positions"]} positions with begin and edge |
| model | {known["layers"]} layers, {known["heads"]} heads, d_model {known["d_model"]}, \
d_mlp {known["d_mlp"]}, key size {known["key_size"]}, {known["vocab"]} tokens, \
{known["parameters"]:,} parameters, float32 |

## Rebuild it

With tracr and what it depends on, in this folder:

```python
{REBUILD}```

`model` is tracr's `AssembledTransformerModel`: `model.apply` returns residuals, attention and what
is decoded. The unembedding picks directions and has no parameters, here as in tracr.

## Loop it

A pass is a step of the machine. What comes out at each cell is what stands there next, as a word
of the output; `next` in `cells.json` has the same as a word of the input, to be put in again.

```python
{LOOP}```

It begins with {f"the input `{given}`" if given else "a blank tape"}:

```
{shown}
```

`[A 0]` is the cell under the head, in state `A`; from `0>` the head lies to the right, from `<0` to
the left. Other starts: for each cell take `start` in `cells.json`, by where the head lies from
there and by the symbol.

## Limits

- The loop is outside: a pass is one step, and nothing in the model says that a run is over. Cells
  say it: `outcome` in `cells.json`. Stop there; in passes after that the head is lost.
- The window is fixed, as every place has a direction of its own. A head that leaves it is gone. All
  {step.window} cells have to be given.
- Attention is a softmax, and bidirectional: nothing is causal, and this is no language model. In
  this window an entry of what comes out is off by {bound["error"]:.2g} at most, and words are
  decoded right below 1/2. The widest window for this machine is {bound["greatest_tape_cells"]}.
- Supposed is that {bound["supposing"]}.

## What is in it

- `params.npz`: the parameters, by haiku's `module/name`. `config.json`: `TransformerConfig`, both
  encoders, the directions that the unembedding picks.
- `labels.json`: tracr's residual labels (without the counter that tracr adds to names) and ours, in
  the same order; what each head brings, what each neuron asks for and sets.
- `cells.json`: what words mean. `certificate.json`: the bound. `machine.yaml`: the machine.
- `model.safetensors`: the same weights under the names of `HookedTransformer`, which
  TransformerLens had before version 4: `embed.W_E`, `blocks.0.attn.W_Q` `[head, d_model, d_head]`,
  and so on; `unembed.W_U` picks the directions of the output's words. It takes `act_fn="relu"`,
  `normalization_type=None`, `attention_dir="bidirectional"`, `d_head` the key size.
"""
