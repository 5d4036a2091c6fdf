"""tracr's own model of one step of a machine, as files that tracr's classes are rebuilt from.

What tracr can say is construction `tracr`: one pass over a window of cells is one step. The loop is
outside its class, so whoever runs the model feeds what it decodes back in. The folder has

- `params.npz`: the parameters, by haiku's `module/name`;
- `config.json`: the fields of `TransformerConfig`, both encoders, and the directions that the
  unembedding picks (it has no parameters in tracr);
- `labels.json`: tracr's residual labels in order, our names for them, and what each head and each
  neuron does;
- `cells.json`: what each word means as a cell, which word of the next pass each word that comes out
  is, which words end a run, how a start is spelled, and an example;
- `model.safetensors`: the same weights as TransformerLens' `HookedTransformer` (before version 4)
  names and shapes them, and `W_U`;
- `certificate.json`: the bound; `machine.yaml`; `README.md`, the model card.

tracr's labels end in a counter of its process, `state_31:0`, which is left out: `state:0`.
"""

from __future__ import annotations

import importlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tm2tf.errors import ArtifactError, ExtraError, InputError, InternalError
from tm2tf.export.formats import Files, Made
from tm2tf.export.huggingface import text
from tm2tf.export.tracr_card import card
from tm2tf.export.tracr_cells import cells
from tm2tf.export.tracr_step import NAME, Step, certificate, facts, step_of
from tm2tf.formats import native_writer
from tm2tf.lowering.tracr import BOS, PAD
from tm2tf.machine.spec import Machine

PARAMS, CONFIG, LABELS, CELLS = "params.npz", "config.json", "labels.json", "cells.json"
Tensors = dict[str, np.ndarray]


def make(
    machine: Machine,
    *,
    tape: int | None = None,
    construction: str | None = None,
    steps: int | None = None,
    context: int | None = None,
    dtype: str | None = None,
    origin: int | None = None,
) -> Made:
    """Return a machine's step as tracr's model, in a window of `tape` cells (24 if not said).

    Raises:
        InputError: anything else was asked for, or a window that is too narrow or too wide.
        BoundError: attention is not sharp enough in so wide a window; says in which it is.
        ConstructionError: the machine has several tapes, or tracr's tables would be too large.
        ExtraError: tracr is not installed.
    """
    others = {
        "construction": construction,
        "steps": steps,
        "context": context,
        "dtype": dtype,
        "origin": origin,
    }
    for name, value in others.items():
        if value is not None:
            raise InputError(
                f"--{name} is not for format 'tracr', which has one step of the machine, in "
                "float32: say --tape, the cells of its window, and nothing else"
            )
    step = step_of(machine, tape)
    return Made(facts(step), files(step))


def files(step: Step) -> Files:
    """Return the files of the folder by name."""
    from safetensors.numpy import save

    tensors, made, meant = params(step), config(step), cells(step)
    packed = io.BytesIO()
    np.savez_compressed(packed, **tensors)  # type: ignore[arg-type]  # no name is one of numpy's
    return {
        PARAMS: packed.getvalue(),
        CONFIG: text(made),
        LABELS: text(labels(step)),
        CELLS: text(meant),
        "model.safetensors": save(lens(tensors, made), metadata={"format": "np"}),
        "certificate.json": text(certificate(step)),
        "machine.yaml": native_writer.dump(step.machine).encode(),
        "README.md": card(step, meant).encode(),
    }


# --- what is written ----------------------------------------------------------------------


def params(step: Step) -> Tensors:
    """Return the parameters by haiku's `module/name`, sorted."""
    found = {
        f"{module}/{name}": np.asarray(tensor, dtype=np.float32)
        for module, tensors in step.model.params.items()
        for name, tensor in tensors.items()
    }
    return dict(sorted(found.items()))


def config(step: Step) -> dict[str, Any]:
    """Return `config.json`."""
    model, size = step.model, step.model.model_config
    into, out = (_in_order(e.encoding_map) for e in (model.input_encoder, model.output_encoder))
    next_cell = step.graph.next_cell.name
    return {
        "transformer": {
            "num_heads": size.num_heads,
            "num_layers": size.num_layers,
            "key_size": size.key_size,
            "mlp_hidden_size": size.mlp_hidden_size,
            "dropout_rate": size.dropout_rate,
            "activation_function": size.activation_function.__name__,
            "layer_norm": size.layer_norm,
            "causal": size.causal,
        },
        "input_encoder": {
            "words": into,
            "bos_token": BOS,
            "pad_token": PAD,
            "max_seq_len": len(params(step)["pos_embed/embeddings"]),
        },
        "output_encoder": {
            "words": out,
            "directions": [step.labels.index(f"{next_cell}:{word}") for word in out],
        },
    }


def labels(step: Step) -> dict[str, Any]:
    """Return `labels.json`.

    - `residual_labels`: tracr's, in order; `directions`: our names, in the same order.
    - `layers`: for each its `heads`, by the S-op that they bring (None: one that fills up the
      matrix), and its `neurons`: one is on if `any` of some directions is, or `all` of them, and
      then sets `then`; one with neither does nothing.
    """
    tensors, size = params(step), step.model.model_config
    layers = []
    for number in range(size.num_layers):
        module = f"transformer/layer_{number}"
        rows = tensors[f"{module}/attn/linear/w"]
        parts = rows.reshape(size.num_heads, size.key_size, len(step.labels))
        heads = [_owner(step, np.flatnonzero(part.any(axis=0)).tolist()) for part in parts]
        first, second = (tensors[f"{module}/mlp/linear_{n}/w"] for n in (1, 2))
        neurons = [_neuron(step, first[:, i], second[i]) for i in range(size.mlp_hidden_size)]
        layers.append({"heads": heads, "neurons": neurons})
    return {
        "residual_labels": list(step.labels),
        "directions": list(step.names),
        "layers": layers,
    }


def lens(tensors: Mapping[str, np.ndarray], made: Mapping[str, Any]) -> Tensors:
    """Return parameters as a `HookedTransformer` names and shapes them.

    Args:
        tensors: by haiku's `module/name`.
        made: `config.json`, which says which directions the unembedding picks.
    """
    size = made["transformer"]
    heads, key = size["num_heads"], size["key_size"]
    embedded = tensors["token_embed/embeddings"]
    width, out = embedded.shape[1], made["output_encoder"]["directions"]
    found = {
        "embed.W_E": embedded,
        "pos_embed.W_pos": tensors["pos_embed/embeddings"],
        "unembed.W_U": np.eye(width, dtype=np.float32)[:, out],
        "unembed.b_U": np.zeros(len(out), dtype=np.float32),
    }
    for number in range(size["num_layers"]):
        theirs, ours = f"transformer/layer_{number}", f"blocks.{number}"
        for letter, part in zip("QKV", ("query", "key", "value"), strict=True):
            w, b = (tensors[f"{theirs}/attn/{part}/{name}"] for name in "wb")
            found[f"{ours}.attn.W_{letter}"] = w.reshape(width, heads, key).transpose(1, 0, 2)
            found[f"{ours}.attn.b_{letter}"] = b.reshape(heads, key)
        w, b = (tensors[f"{theirs}/attn/linear/{name}"] for name in "wb")
        found[f"{ours}.attn.W_O"] = w.reshape(heads, key, width)
        found[f"{ours}.attn.b_O"] = b
        for side, part in (("in", "linear_1"), ("out", "linear_2")):
            for letter in "Wb":
                found[f"{ours}.mlp.{letter}_{side}"] = tensors[
                    f"{theirs}/mlp/{part}/{letter.lower()}"
                ]
    return {name: np.ascontiguousarray(tensor) for name, tensor in found.items()}


# --- and read back ------------------------------------------------------------------------


def load(folder: Path) -> Any:
    """Return tracr's `AssembledTransformerModel` of an exported folder.

    Raises:
        ExtraError: tracr is not installed.
        ArtifactError: the folder is no such export.
    """
    # by name: they are not there wherever types are checked
    try:
        hk, jax = importlib.import_module("haiku"), importlib.import_module("jax")
        assemble = importlib.import_module("tracr.compiler.assemble")
        bases = importlib.import_module("tracr.craft.bases")
        encoder = importlib.import_module("tracr.transformer.encoder")
        model = importlib.import_module("tracr.transformer.model")
    except ImportError:
        raise ExtraError("a model of tracr", NAME, NAME) from None
    made, named, tensors = _read(folder)
    sizes = made["transformer"]
    activation = getattr(jax.nn, sizes["activation_function"])
    size = model.TransformerConfig(**{**sizes, "activation_function": activation})
    loaded: dict[str, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        module, name = key.rsplit("/", 1)
        loaded.setdefault(module, {})[name] = jax.numpy.asarray(tensor)
    out = np.array(made["output_encoder"]["directions"])

    def embedding(name: str) -> Any:
        rows, columns = tensors[f"{name}/embeddings"].shape
        return hk.Embed(vocab_size=rows, embed_dim=columns, name=name)

    def get_compiled_model() -> Any:
        return model.CompiledTransformerModel(
            transformer=model.Transformer(size),
            token_embed=embedding("token_embed"),
            position_embed=embedding("pos_embed"),
            unembed=lambda x, use_unembed_argmax: x[..., out].argmax(axis=-1),
            use_unembed_argmax=True,
        )

    def forward(tokens: Any) -> Any:
        return get_compiled_model()(tokens, use_dropout=False)

    def encoded(words: list[str], **options: Any) -> Any:
        basis = [bases.BasisDirection("tokens", word) for word in words]
        return encoder.CategoricalEncoder(basis=basis, **options)

    return assemble.AssembledTransformerModel(
        forward=hk.without_apply_rng(hk.transform(forward)).apply,
        get_compiled_model=get_compiled_model,
        params=loaded,
        model_config=size,
        residual_labels=named["residual_labels"],
        input_encoder=encoded(enforce_bos=True, **made["input_encoder"]),
        output_encoder=encoded(made["output_encoder"]["words"]),
    )


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any], Tensors]:
    """Return configuration, labels and parameters of a folder."""
    refused = ArtifactError(
        f"{folder} does not hold {CONFIG}, {LABELS} and {PARAMS} of a model of tracr; write it "
        "with: tm2tf export --to tracr"
    )
    try:
        made = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        named = json.loads((folder / LABELS).read_text(encoding="utf-8"))
        with (folder / PARAMS).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            tensors = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, BadZipFile):
        raise refused from None
    needed = (made, "transformer"), (made, "output_encoder"), (named, "residual_labels")
    if not all(isinstance(where, dict) and name in where for where, name in needed):
        raise refused
    return made, named, tensors


# --- names --------------------------------------------------------------------------------


def _in_order(encoding: Mapping[str, int]) -> list[str]:
    """Return words in order of id."""
    return [str(word) for word, _ in sorted(encoding.items(), key=lambda pair: pair[1])]


def _owner(step: Step, directions: list[int]) -> str | None:
    """Return the name of the S-op that directions are of, None if there are none."""
    names = {sop.name for sop in (step.owners[d] for d in directions) if sop is not None}
    if len(names) > 1:
        raise InternalError(f"a head of tracr's brings several S-ops: {', '.join(sorted(names))}")
    return next(iter(names), None)


def _neuron(step: Step, reads: np.ndarray, writes: np.ndarray) -> dict[str, Any]:
    """Return what a neuron asks for and sets; nothing if it only fills up the matrix."""
    out = np.flatnonzero(writes).tolist()
    if not out:
        return {}
    asked = [step.names[i] for i in np.flatnonzero(reads > 0)]
    # of two it asks for both: it takes 1 off, by the constant direction
    kind = "all" if (reads < 0).any() else "any"
    return {kind: asked, "then": [step.names[i] for i in out]}
