"""The table of formats, and how a machine is written in one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tm2tf.errors import ArtifactError, choose
from tm2tf.export.bundle import Bundle, bundle
from tm2tf.machine.spec import Machine
from tm2tf.weights.files import locked, replace_files

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """Something that others' programs load.

    Attributes:
        name: what `--to` calls it.
        summary: what it is.
        architecture: the stock architecture that it is a checkpoint of; None if it is of none.
        module: the module of `tm2tf.export` that makes it: by `files(bundle)`, which returns what
            is written; without a stock architecture by `make(machine, **options)`, a `Made`.
        main: the file that says that a folder holds it.
    """

    name: str
    summary: str
    architecture: Literal["gpt2", "llama"] | None
    module: str
    main: str


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A machine in a format: facts about it, as JSON has them, and files by name."""

    facts: Mapping[str, object]
    files: Files


CERTIFICATE = "certificate.json"
"""What every export has, and others' checkpoints have not."""

FORMATS = (
    Format("gpt2", "transformers' GPT2LMHeadModel", "gpt2", "huggingface", "config.json"),
    Format("llama", "transformers' LlamaForCausalLM", "llama", "huggingface", "config.json"),
    Format("gguf", "a Llama for llama.cpp", "llama", "gguf", "model.gguf"),
    Format("onnx", "a Llama with its cache, for onnxruntime", "llama", "onnx", "model.onnx"),
    Format(
        "transformer-lens",
        "a Llama for TransformerLens, with our names for what is in it",
        "llama",
        "transformer_lens",
        "transformer_lens.json",
    ),
    Format("tracr", "tracr's own model of one step of the machine", None, "tracr", "params.npz"),
)


def by_name(name: str) -> Format:
    """Return the format called `name`."""
    return choose("format", name, FORMATS)


def make(machine: Machine, target: Format, **options: Any) -> Made:
    """Return a machine in a format.

    `options` are those of `bundle.bundle`, or of `make` in the format's module.

    Raises:
        BoundError: it would not be exact; the message says what would.
        InputError: an option is missing, or is not for this format.
        ExtraError: a package that the format needs is not installed.
    """
    if target.architecture is None:
        own: Callable[..., Made] = _module(target).make
        return own(machine, **options)
    made = bundle(machine, target.architecture, **options)
    return Made(facts(made), _files(made, target))


def facts(made: Bundle) -> dict[str, object]:
    """Return what there is to say of a bundle; steps are None where there is no end to them."""
    checkpoint = made.checkpoint
    return {
        "architecture": checkpoint.architecture,
        "construction": made.construction,
        "dtype": checkpoint.limits.dtype,
        "tape_cells": made.cells,
        "steps": made.steps,
        "positions": checkpoint.limits.positions,
        "greatest_positions": checkpoint.limits.greatest,
        "layers": len(checkpoint.layers),
        "d_model": len(checkpoint.directions),
        "vocab": len(made.tokens),
        "parameters": checkpoint.parameters,
    }


def write(bundle: Bundle, target: Format, folder: Path) -> dict[str, int]:
    """Write a bundle into a folder; return the sizes of its files. See `put`.

    Raises:
        ExtraError: a package that the format needs is not installed.
    """
    return put(_files(bundle, target), target, folder)


def put(made: Files, target: Format, folder: Path) -> dict[str, int]:
    """Write files into a folder, which is made if need be; return their sizes.

    An earlier export is replaced, files that are of none are left alone.

    Raises:
        ArtifactError: the folder cannot be written, or holds something else.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, exclusive=True):
            _require_free(folder, target, made)
            for each in FORMATS:  # of an earlier export, which this one takes the place of
                if each.main not in made:
                    (folder / each.main).unlink(missing_ok=True)
            replace_files(folder, made.items())
    except OSError as error:
        raise ArtifactError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder, or "
            "make room"
        ) from None
    return {name: len(data) for name, data in made.items()}


def _module(target: Format) -> Any:
    return importlib.import_module(f"tm2tf.export.{target.module}")


def _files(made: Bundle, target: Format) -> Files:
    files: Callable[[Bundle], Files] = _module(target).files
    return files(made)


def _require_free(folder: Path, target: Format, made: Files) -> None:
    """Refuse a folder with anything that is no earlier export in the same format."""
    there = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    missing = [name for name in (target.main, CERTIFICATE) if name not in there]
    if there and missing:
        raise ArtifactError(
            f"{folder} holds something else ({there[0]}, ...), and no {missing[0]}: choose "
            "another folder"
        )
    # several formats have a config.json, and those of one architecture can share a folder
    others = [
        each
        for each in FORMATS
        if each.main in there and each.main not in made and each.architecture != target.architecture
    ]
    if others:
        raise ArtifactError(
            f"{folder} holds format {others[0].name!r} ({others[0].main}): choose another folder"
        )
