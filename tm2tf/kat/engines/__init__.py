"""Inference engines, one module each: how it loads a checkpoint, generates and scores."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

from tm2tf.errors import InputError, choose
from tm2tf.kat.engine import Engine


@dataclass(frozen=True, slots=True)
class Kind:
    """An engine by name.

    Attributes:
        name: what `--engine` calls it.
        summary: what it is.
        module, engine: where its class is.
        weights: what of `suite.FORMATS` it loads.
        devices: whether it can be told a device.
    """

    name: str
    summary: str
    module: str
    engine: str
    weights: str = "hf"
    devices: bool = False


ENGINES = (
    Kind(
        "transformers",
        "transformers, generate() and sdpa attention",
        "transformers_engine",
        "TransformersEngine",
        devices=True,
    ),
    Kind(
        "torch-compile",
        "the same, compiled by torch.compile, with a cache of fixed length",
        "torch_compile",
        "TorchCompileEngine",
        devices=True,
    ),
    Kind(
        "onnxruntime", "onnxruntime on the CPU", "onnxruntime_engine", "OnnxruntimeEngine", "onnx"
    ),
    Kind("llama.cpp", "llama.cpp by llama-cpp-python", "llama_cpp", "LlamaCpp", "gguf"),
)


def weights_for(name: str) -> str:
    """Return the format of weights that an engine loads; a server has loaded its own."""
    return next((kind.weights for kind in ENGINES if kind.name == name), "hf")


def engine_called(
    name: str, *, device: str = "cpu", model: str | None = None, as_text: bool = False
) -> Engine:
    """Return the engine of a name, or of the URL of an OpenAI-compatible server.

    Args:
        name: one of `ENGINES`, or `http://HOST:PORT/v1`.
        device: where transformers' models run.
        model: what a server calls the model.
        as_text: whether a server is sent text instead of ids.

    Raises:
        NotFoundError: there is no such engine.
        InputError: no server answers there, or an option is not for this engine.
    """
    if name.startswith(("http://", "https://")):
        from tm2tf.kat.engines.http import HttpEngine

        if device != "cpu":
            raise InputError("a server chooses its device itself: leave out --device")
        server = HttpEngine(name.rstrip("/"), model, as_text)
        server.models()  # is there one?
        return server
    kind = choose("engine", name, ENGINES)
    if model is not None or as_text:
        raise InputError(f"--model and --as-text are for servers, and {name!r} is none")
    if device != "cpu" and not kind.devices:
        able = ", ".join(other.name for other in ENGINES if other.devices)
        raise InputError(f"engine {name!r} runs on the CPU; --device is for {able}")
    if device != "cpu":
        from tm2tf.kat.engines.transformers_engine import require_device

        require_device(device)
    module = importlib.import_module(f"tm2tf.kat.engines.{kind.module}")
    made: Callable[..., Engine] = getattr(module, kind.engine)
    return made(device=device) if kind.devices else made()
