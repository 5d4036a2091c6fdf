"""The table of formats, and how a bundle is written in one of them."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tm2tf.errors import ArtifactError, choose
from tm2tf.export.bundle import Bundle
from tm2tf.weights.files import locked, replace_files

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Format:
    """Something that others' programs load.

    Attributes:
        name: what `--to` calls it.
        summary: what it is.
        architecture: what it is a checkpoint of.
        module: the module of `tm2tf.export` whose `files(bundle)` returns what is written.
        main: the file that says that a folder holds it.
    """

    name: str
    summary: str
    architecture: Literal["gpt2", "llama"]
    module: str
    main: str


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
)


def by_name(name: str) -> Format:
    """Return the format called `name`."""
    return choose("format", name, FORMATS)


def write(bundle: Bundle, target: Format, folder: Path) -> dict[str, int]:
    """Write a bundle into a folder, which is made if need be; return the sizes of its files.

    Files of the same names are replaced, others left alone.

    Raises:
        ArtifactError: the folder cannot be written, or holds another format.
        ExtraError: a package that the format needs is not installed.
    """
    make: Callable[[Bundle], Files] = importlib.import_module(f"tm2tf.export.{target.module}").files
    made = make(bundle)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder, exclusive=True):
            _require_free(folder, target)
            replace_files(folder, made.items())
    except OSError as error:
        raise ArtifactError(
            f"{folder} cannot be written: {error.strerror or error}; choose another folder, or "
            "make room"
        ) from None
    return {name: len(data) for name, data in made.items()}


def _require_free(folder: Path, target: Format) -> None:
    """Refuse a folder with anything that is no earlier export in the same format."""
    there = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
    if there and target.main not in there:
        raise ArtifactError(
            f"{folder} holds something else ({there[0]}, ...), and no {target.main}: choose "
            "another folder"
        )
