"""onnxruntime on the CPU: the graph that `tm2tf.export.onnx` writes, with its cache fed back.

Keys and values that a call returns are what the next one is given, as onnxruntime's own buffers:
nothing is brought to numpy but the logits. A graph appends to a cache by making a new one, so a
token costs a copy of all that stand before it.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from tm2tf.errors import ExtraError, InputError
from tm2tf.kat.engine import Sampled

GRAPH, CONFIG = "model.onnx", "config.json"

LONGEST = ("max_position_embeddings", "n_positions")
"""What configurations call the longest context: a Llama's and a GPT-2's."""

BLOCK = 1024
"""Tokens that are read in one call, so that scores take BLOCK times the context in memory."""

Cache = dict[str, Any]
"""Keys and values of a batch: onnxruntime's own, by the names of inputs."""

Ids = Int64[np.ndarray, "batch sequence"]
Logits = Float32[np.ndarray, "batch sequence vocab"]


@dataclass(frozen=True, slots=True)
class OnnxruntimeEngine:
    """onnxruntime with so many threads for an operator; these are too small to gain by more."""

    threads: int = 1

    @property
    def name(self) -> str:
        """What it is called, with its version."""
        return f"onnxruntime {_package().__version__}"

    def load(self, folder: Path) -> OnnxruntimeSession:
        """Return a session for a folder with `model.onnx` and `config.json`.

        Raises:
            ExtraError: onnxruntime is not installed.
            InputError: the folder has no such files, or something else is in them.
        """
        package = _package()
        path = folder / GRAPH
        if not path.is_file():
            raise InputError(f"{folder} has no {GRAPH}; write one with: tm2tf export --to onnx")
        try:
            config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
            pad = int(config["pad_token_id"])
            longest = next(int(config[name]) for name in LONGEST if name in config)
        except (OSError, ValueError, KeyError, TypeError, StopIteration):
            raise InputError(
                f"{folder / CONFIG} is missing, or does not say which token pads and "
                "how long a context may be; write the folder again with: tm2tf export --to onnx"
            ) from None
        options = package.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.enable_mem_pattern = False  # every call has other shapes
        state = package.capi.onnxruntime_pybind11_state
        try:
            loaded = package.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except (
            state.Fail,
            state.InvalidArgument,
            state.InvalidGraph,
            state.InvalidProtobuf,
        ) as error:
            raise InputError(f"{path} is no graph that onnxruntime loads: {error}") from None
        return OnnxruntimeSession(loaded, pad, longest)


class OnnxruntimeSession:
    """A graph that onnxruntime has loaded.

    `loaded`: its `InferenceSession`; `pad`: the token for padding; `longest`: a context at most.
    """

    def __init__(self, loaded: Any, pad: int, longest: int) -> None:
        self._loaded = loaded
        self._pad = pad
        self._longest = longest
        self._outputs = [output.name for output in loaded.get_outputs()]
        self._past = {
            place.name: place.shape
            for place in loaded.get_inputs()
            if place.name.startswith("past_key_values.")
        }

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, stop: Collection[int]
    ) -> list[list[int]]:
        """Return up to `count` tokens that follow each prompt, as one batch padded on the left.

        A row ends where the context is full, too.

        Raises:
            InputError: a prompt is empty, or longer than a context.
        """
        return self._rows(prompts, count, stop, lambda logits: logits.argmax(axis=1).tolist())

    def score(self, tokens: Sequence[int]) -> list[int]:
        """Return the most probable next token after each position; many are read at once.

        Raises:
            InputError: there are more tokens than a context may have.
        """
        new = np.array([tokens], dtype=np.int64)
        found: list[int] = []
        for logits in self._read(new, np.ones_like(new), self._empty(1)):
            found += logits[0].argmax(axis=1).tolist()
        return found

    def sample(
        self, prompt: Sequence[int], count: int, stop: Collection[int], seed: int
    ) -> Sampled:
        """Return tokens drawn at temperature 1, and the greatest 1 - p of any.

        They are drawn in float64 by numpy: onnxruntime only gives the logits.

        Raises:
            InputError: the prompt is empty, or longer than a context.
        """
        generator = np.random.default_rng(seed)
        doubts: list[float] = []

        def draw(logits: Float32[np.ndarray, "1 vocab"]) -> list[int]:
            odds = np.exp(logits[0].astype(np.float64) - logits[0].max())
            token = int(generator.choice(len(odds), p=odds / odds.sum()))
            rest = odds.sum(where=np.arange(len(odds)) != token)
            doubts.append(float(rest / (rest + odds[token])))
            return [token]

        (tokens,) = self._rows([prompt], count, stop, draw)
        return Sampled(tokens, max(doubts, default=None))

    def _rows(
        self,
        prompts: Sequence[Sequence[int]],
        count: int,
        stop: Collection[int],
        choose: Callable[[Float32[np.ndarray, "batch vocab"]], list[int]],
    ) -> list[list[int]]:
        """Return what follows each prompt, if `choose` says which tokens come next."""
        if not all(map(len, prompts)):
            raise InputError("a prompt has no tokens; begin it with the token <bos>")
        width = max(map(len, prompts), default=0)
        found: list[list[int]] = [[] for _ in prompts]
        going = np.array([count > 0 for _ in prompts], dtype=bool)
        new = np.full((len(prompts), width), self._pad, dtype=np.int64)
        mask = np.zeros_like(new)
        for row, prompt in enumerate(prompts):
            new[row, width - len(prompt) :] = prompt
            mask[row, width - len(prompt) :] = 1
        cache = self._empty(len(prompts))
        while going.any():
            *_, logits = self._read(new, mask, cache)
            tokens = choose(logits[:, -1])
            new = np.full((len(prompts), 1), self._pad, dtype=np.int64)
            for row in np.flatnonzero(going).tolist():
                found[row].append(tokens[row])
                room = len(prompts[row]) + len(found[row]) <= self._longest
                going[row] = tokens[row] not in stop and len(found[row]) < count and room
                new[row] = tokens[row] if going[row] else self._pad
            # a row that is done goes on with padding, at the position where it ended
            mask = np.concatenate([mask, going[:, None].astype(np.int64)], axis=1)
        return found

    def _empty(self, batch: int) -> Cache:
        """Return the cache in which nothing is."""
        return {
            name: _value(np.zeros((batch, heads, 0, d_head), dtype=np.float32))
            for name, (_, heads, _, d_head) in self._past.items()
        }

    def _read(
        self, new: Ids, mask: Int64[np.ndarray, "batch total"], cache: Cache
    ) -> Iterator[Logits]:
        """Yield the logits after new tokens, block by block, and put them into the cache.

        `mask`: which tokens are no padding, of all that were ever read.
        """
        places = np.maximum(mask.cumsum(axis=1) - 1, 0)
        if places.size and places.max() >= self._longest:
            raise InputError(
                f"a context of {places.max() + 1:,} tokens is asked for, and this graph is made "
                f"for {self._longest:,}; export it for more --steps, or take fewer tokens"
            )
        past = mask.shape[1] - new.shape[1]
        for start in range(0, new.shape[1], BLOCK):
            block = new[:, start : start + BLOCK]
            end = past + start + block.shape[1]
            feed = {
                "input_ids": _value(block),
                "attention_mask": _value(mask[:, :end]),
                "position_ids": _value(places[:, past + start : end]),
            }
            made = self._loaded.run_with_ort_values(self._outputs, feed | cache)
            by_name = dict(zip(self._outputs, made, strict=True))
            for name in cache:
                cache[name] = by_name[name.replace("past_key_values", "present")]
            yield by_name["logits"].numpy()


def _value(array: np.ndarray) -> Any:
    """Return an array as onnxruntime's own."""
    return _package().OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array))


def _package() -> Any:
    """Return onnxruntime.

    Raises:
        ExtraError: it is not installed.
    """
    # by name: it has no types
    try:
        return importlib.import_module("onnxruntime")
    except ImportError:
        raise ExtraError("this engine", "onnxruntime", "onnx") from None
