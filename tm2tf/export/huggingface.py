"""A folder that `transformers` loads as it loads any other model: nothing of ours is needed.

- `config.json`, `generation_config.json` and `model.safetensors` for `AutoModelForCausalLM`; the
  tokens that end a run are all end-of-sequence tokens;
- `tokenizer.json` and its configuration for `AutoTokenizer`;
- `README.md`, the model card; `certificate.json`, the bounds; `labels.json`, a name for every
  direction, head and neuron; `circuit.json`, which of them carry which output; `machine.yaml`.
"""

from __future__ import annotations

import json
from typing import Any

from tm2tf.export.bundle import Bundle
from tm2tf.export.card import card
from tm2tf.export.certificate import certificate
from tm2tf.export.circuit import circuit, to_json
from tm2tf.export.labels import labels
from tm2tf.export.tokenizer import tokenizer_files
from tm2tf.formats import native_writer

WEIGHTS = "model.safetensors"


def files(bundle: Bundle) -> dict[str, bytes]:
    """Return the files of the folder by name.

    Raises:
        ExtraError: the package `tokenizers` is not installed.
    """
    return {
        "config.json": text(config(bundle)),
        "generation_config.json": text(generation(bundle)),
        WEIGHTS: weights(bundle),
        **tokenizer_files(bundle),
        **described(bundle),
        "README.md": card(bundle).encode(),
    }


def described(bundle: Bundle) -> dict[str, bytes]:
    """Return the files that say what the weights are, which every format comes with."""
    return {
        "certificate.json": text(certificate(bundle)),
        "labels.json": text(labels(bundle)),
        "circuit.json": text(to_json(circuit(bundle.checkpoint))),
        "machine.yaml": native_writer.dump(bundle.machine).encode(),
    }


def config(bundle: Bundle) -> dict[str, Any]:
    """Return `config.json`."""
    return {
        **bundle.checkpoint.config,
        "bos_token_id": bundle.begin,
        "eos_token_id": list(bundle.ends),
        "pad_token_id": bundle.pad,
        "dtype": bundle.checkpoint.limits.dtype,
        "torch_dtype": bundle.checkpoint.limits.dtype,
        "use_cache": True,
    }


def generation(bundle: Bundle) -> dict[str, Any]:
    """Return `generation_config.json`: greedy, until a run is over or the context is full."""
    return {
        "bos_token_id": bundle.begin,
        "eos_token_id": list(bundle.ends),
        "pad_token_id": bundle.pad,
        "do_sample": False,
        "max_length": bundle.checkpoint.limits.positions,
    }


def weights(bundle: Bundle) -> bytes:
    """Return the tensors as safetensors, in the checkpoint's dtype."""
    import torch
    from safetensors.torch import save

    dtype = getattr(torch, bundle.checkpoint.limits.dtype)
    tensors = {
        name: torch.from_numpy(tensor).to(dtype).contiguous()
        for name, tensor in bundle.checkpoint.tensors.items()
    }
    return save(tensors, metadata={"format": "pt"})


def text(value: object) -> bytes:
    """Return a value as a JSON file."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
