"""transformers compiled by torch.compile, with a cache of fixed length, as served models have it.

Nothing falls back to uncompiled code in silence: where torch would give up compiling once more, it
raises.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tm2tf.errors import InputError
from tm2tf.kat.engine import Session
from tm2tf.kat.engines.transformers_engine import TransformersEngine, TransformersSession

COMPILED = 32
"""Compilations of a model at most: for batches of one and more, prompts and single tokens, and
each number of rows."""


@dataclass(frozen=True, slots=True)
class TorchCompileEngine:
    """transformers' model on a device, its forward pass compiled."""

    device: str = "cpu"

    @property
    def name(self) -> str:
        """What it is called, with its version."""
        import torch

        return f"torch.compile {torch.__version__}, {TransformersEngine(self.device).name}"

    def load(self, folder: Path) -> Session:
        """Return a session for a folder; errors as those of `TransformersEngine.load`."""
        import torch

        model = TransformersEngine(self.device).model(folder)
        torch.compiler.reset()  # what was compiled for the checkpoint before
        model.forward = torch.compile(model.forward, dynamic=True)
        return _CompiledSession(model, disable_compile=True)


class _CompiledSession(TransformersSession):
    """A compiled model, whose caches hold as many tokens as any context of it may have."""

    def score(self, tokens: Sequence[int]) -> list[int]:
        """Return the most probable next token after each position, all in one pass."""
        with _strict():
            return super().score(tokens)

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        count: int,
        stop: Collection[int],
        past_key_values: Any = None,
        **how: Any,
    ) -> Any:
        from transformers import StaticCache

        config = self.model.config
        # the last token is written and not read, but generate counts it
        length = config.max_position_embeddings + 1
        cache = StaticCache(config=config, max_cache_len=length)
        with _strict():
            return super()._generate(prompts, count, stop, past_key_values=cache, **how)


def _strict() -> Any:
    """Return a context in which torch raises where it would go on uncompiled."""
    from torch._dynamo import config

    try:
        return config.patch(recompile_limit=COMPILED, fail_on_recompile_limit_hit=True)
    except AttributeError as error:
        raise InputError(f"torch.compile has no such setting: {error}; take torch 2.6+") from None
