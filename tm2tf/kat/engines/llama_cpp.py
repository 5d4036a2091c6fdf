"""llama.cpp, by llama-cpp-python: GGUF files on a CPU, or on what else it was built for.

The functions of llama.h are called themselves: the class `llama_cpp.Llama` takes more time around
a layer than the layer does. Each call of a session has a context of its own, just as long as it
needs. Prompts are sequences of one batch, each with positions from 0 on, so there is no padding.
Logits are taken only where they are asked for, and only the place of the greatest is kept: a
vocabulary has thousands of tokens, and a context tens of thousands.

What its settings mean for exactness: keys are kept in `kv`, and flash attention makes float16 of
float32 keys before it uses them; so the bound for float32 needs kv="float32" and flash=False.
"""

from __future__ import annotations

import importlib
import logging
import weakref
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tm2tf.errors import ExtraError, InputError
from tm2tf.kat.engine import Sampled, UnsupportedError

Logits = np.ndarray[Any, np.dtype[np.float32]]

MODEL = "model.gguf"
"""The file that a folder has to have."""

BATCH = 256
"""Tokens that are decoded at once, at most: their logits are 4 BATCH bytes for each token of the
vocabulary."""

KV_TYPES = {"float32": 0, "float16": 1}
"""ggml's numbers for the types that keys and values can be kept in."""


@dataclass(frozen=True, slots=True)
class LlamaCpp:
    """llama.cpp with its settings.

    Attributes:
        kv: what keys and values are kept in.
        flash: whether attention is computed by the flash kernel.
        threads: of the CPU.
    """

    kv: Literal["float32", "float16"] = "float32"
    flash: bool = False
    threads: int = 1

    @property
    def name(self) -> str:
        """What it is called, with its version and what differs from the settings of the bound."""
        flash = ", flash attention" if self.flash else ""
        return f"llama-cpp-python {_package().__version__} (keys in {self.kv}{flash})"

    def load(self, folder: Path) -> LlamaCppSession:
        """Return a session for the GGUF file of a folder.

        Raises:
            ExtraError: llama-cpp-python is not installed.
            InputError: there is no such file, or llama.cpp cannot load it.
        """
        return LlamaCppSession(folder / MODEL, self)


class LlamaCppSession:
    """A GGUF file that llama.cpp has loaded."""

    def __init__(self, path: Path, engine: LlamaCpp) -> None:
        self._llama = _package()
        if not path.is_file():
            raise InputError(
                f"{path.parent} has no {path.name}: llama.cpp runs what `tm2tf export --to gguf` "
                "writes"
            )
        self._engine = engine
        params = self._llama.llama_model_default_params()
        self._model = self._llama.llama_model_load_from_file(str(path).encode(), params)
        if not self._model:
            raise InputError(f"{path} cannot be loaded by llama.cpp: write it anew")
        weakref.finalize(self, self._llama.llama_model_free, self._model)
        vocab = self._llama.llama_model_get_vocab(self._model)
        self._vocab: int = self._llama.llama_vocab_n_tokens(vocab)

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, stop: Collection[int]
    ) -> list[list[int]]:
        """Return up to `count` tokens that follow each prompt, greedily, as ids.

        A token of `stop` is the last one of its row.

        Raises:
            InputError: a prompt is empty or has what is no token, or memory is short.
            UnsupportedError: there are more prompts than llama.cpp takes at once.
        """
        found: list[list[int]] = [[] for _ in prompts]
        if not all(prompts):
            raise InputError("llama.cpp reads at least one token before it goes on: `<bos>`")
        if not prompts or count < 1:
            return found
        longest = max(map(len, prompts)) + count - 1  # the last token is not read
        ends = frozenset(stop)
        with self._context(len(prompts), longest) as context:
            entries = [
                _Entry(token, position, row, position == len(prompt) - 1)
                for row, prompt in enumerate(prompts)
                for position, token in enumerate(prompt)
            ]
            while entries:
                rows = [entry.row for entry in entries if entry.asked]
                following = list(context.decode(entries))
                entries = []
                for row, token in zip(rows, following, strict=True):
                    found[row].append(token)
                    if token not in ends and len(found[row]) < count:
                        position = len(prompts[row]) + len(found[row]) - 1
                        entries.append(_Entry(token, position, row, True))
        return found

    def score(self, tokens: Sequence[int]) -> list[int]:
        """Return the most probable next token after each position; many are read at once.

        Raises:
            InputError: there are no tokens, or one is none, or memory is short.
        """
        with self._context(1, len(tokens)) as context:
            entries = [_Entry(token, position, 0, True) for position, token in enumerate(tokens)]
            return list(context.decode(entries))

    def sample(
        self, prompt: Sequence[int], count: int, stop: Collection[int], seed: int
    ) -> Sampled:
        """Return tokens that llama.cpp draws at temperature 1, and the greatest 1 - p of any.

        Raises:
            InputError: the prompt is empty or has what is no token, or memory is short.
        """
        tokens: list[int] = []
        doubt = None
        entries = [
            _Entry(token, position, 0, position == len(prompt) - 1)
            for position, token in enumerate(prompt)
        ]
        drawer = self._llama.llama_sampler_init_dist(seed)
        try:
            with self._context(1, len(prompt) + count) as context:
                while len(tokens) < count and (not tokens or tokens[-1] not in stop):
                    (logits,) = context.read(entries)
                    tokens.append(self._llama.llama_sampler_sample(drawer, context.made, -1))
                    doubt = max(doubt or 0.0, _rest(logits[0], tokens[-1]))
                    entries = [_Entry(tokens[-1], len(prompt) + len(tokens) - 1, 0, True)]
        finally:
            self._llama.llama_sampler_free(drawer)
        return Sampled(tokens, doubt)

    @contextmanager
    def _context(self, rows: int, length: int) -> Iterator[_Context]:
        """Yield a context for so many sequences of up to so many tokens each."""
        most = self._llama.llama_max_parallel_sequences()
        if rows > most:
            raise UnsupportedError(f"llama.cpp takes up to {most} prompts at once, not {rows}")
        params = self._llama.llama_context_default_params()
        # of several sequences, each has its share of a length that is a multiple of 256
        params.n_ctx = rows * -(-max(length, 1) // 256) * 256
        params.n_batch = params.n_ubatch = BATCH
        params.n_seq_max = rows
        params.n_threads = params.n_threads_batch = self._engine.threads
        params.type_k = params.type_v = KV_TYPES[self._engine.kv]
        params.flash_attn_type = int(self._engine.flash)
        params.no_perf = True
        made = self._llama.llama_init_from_model(self._model, params)
        if not made:
            raise InputError(f"llama.cpp has no memory for {rows} x {length} tokens; take fewer")
        batch = self._llama.llama_batch_init(BATCH, 0, 1)
        try:
            yield _Context(self._llama, made, batch, self._vocab)
        finally:
            self._llama.llama_batch_free(batch)
            self._llama.llama_free(made)


@dataclass(frozen=True, slots=True)
class _Entry:
    """A token to be read: where it stands, in which sequence, whether what follows is asked."""

    token: int
    position: int
    row: int
    asked: bool


@dataclass(frozen=True, slots=True)
class _Context:
    """What llama.cpp keeps of the tokens it has read, and the batch by which it is given more."""

    llama: Any
    made: Any
    batch: Any
    vocab: int

    def decode(self, entries: Sequence[_Entry]) -> Iterator[int]:
        """Read tokens; yield the most probable next one where it is asked for, in order."""
        for logits in self.read(entries):
            yield from logits.argmax(axis=1).tolist()

    def read(self, entries: Sequence[_Entry]) -> Iterator[Logits]:
        """Read tokens; yield logits `[asked, vocab]`, each good until the next are read."""
        if not entries or not all(0 <= entry.token < self.vocab for entry in entries):
            raise InputError(f"llama.cpp reads tokens with ids from 0 to {self.vocab - 1}")
        for first in range(0, len(entries), BATCH):
            part = entries[first : first + BATCH]
            for i, entry in enumerate(part):
                self.batch.token[i] = entry.token
                self.batch.pos[i] = entry.position
                self.batch.n_seq_id[i] = 1
                self.batch.seq_id[i][0] = entry.row
                self.batch.logits[i] = entry.asked
            self.batch.n_tokens = len(part)
            status = self.llama.llama_decode(self.made, self.batch)
            if status:
                raise InputError(f"llama.cpp cannot read {len(part)} tokens (status {status})")
            asked = sum(entry.asked for entry in part)
            if asked:
                there = self.llama.llama_get_logits(self.made)
                yield np.ctypeslib.as_array(there, shape=(asked, self.vocab))


def _rest(logits: Logits, token: int) -> float:
    """Return the probability of all tokens but one at temperature 1, in float64."""
    odds = np.exp(logits.astype(np.float64) - logits.max())
    rest = odds.sum(where=np.arange(len(odds)) != token)
    return float(rest / (rest + odds[token]))


def _package() -> Any:
    """Return llama-cpp-python, told to be quiet.

    Raises:
        ExtraError: it is not installed.
    """
    # by name: it is not there wherever types are checked
    try:
        package = importlib.import_module("llama_cpp")
    except ImportError:
        raise ExtraError("llama.cpp", "llama-cpp-python", "llama-cpp") from None
    # it takes llama.cpp's warnings (of contexts rounded up to 256) for errors
    logging.getLogger("llama-cpp-python").setLevel(logging.CRITICAL)
    package.llama_backend_init()
    return package
