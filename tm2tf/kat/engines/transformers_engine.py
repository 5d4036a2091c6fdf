"""transformers: `AutoModelForCausalLM` and its `generate`, as anyone uses them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tm2tf.errors import ExtraError, InputError
from tm2tf.kat.engine import Sampled, Session


@dataclass(frozen=True, slots=True)
class TransformersEngine:
    """transformers on a device, in the dtype of the checkpoint.

    `attention`: sdpa. (Eager attention rounds scores to the dtype, which half precision does not
    survive.)
    """

    device: str = "cpu"
    attention: str = "sdpa"

    @property
    def name(self) -> str:
        """What it is called, with its version."""
        return f"transformers {_package().__version__} ({self.attention}, {self.device})"

    def load(self, folder: Path) -> Session:
        """Return a session for a folder with `config.json` and `model.safetensors`.

        Raises:
            ExtraError: transformers is not installed.
            InputError: the folder has no such files, or the device is not there.
        """
        return TransformersSession(self.model(folder))

    def model(self, folder: Path) -> Any:
        """Return the model, ready to generate; errors as those of `load`."""
        transformers = _package()
        require_device(self.device)
        if not (folder / "config.json").is_file():
            raise InputError(f"{folder} has no config.json: it is no folder of a checkpoint")
        try:
            with _quiet(transformers):
                model = transformers.AutoModelForCausalLM.from_pretrained(
                    folder,
                    attn_implementation=self.attention,
                    dtype="auto",
                    local_files_only=True,
                )
        except (OSError, ValueError) as error:
            raise InputError(f"transformers does not load {folder}: {error}") from None
        return model.to(self.device).eval()


class TransformersSession:
    """A model of transformers.

    `options`: what `generate` is told besides.
    """

    def __init__(self, model: Any, **options: Any) -> None:
        self.model = model
        self.options = options

    def generate(
        self, prompts: Sequence[Sequence[int]], count: int, stop: Collection[int]
    ) -> list[list[int]]:
        """Return up to `count` tokens that follow each prompt, as one batch padded on the left."""
        out = self._generate(prompts, count, stop, do_sample=False)
        return [_until(row, stop) for row in out.sequences[:, self._length(prompts) :].tolist()]

    def score(self, tokens: Sequence[int]) -> list[int]:
        """Return the most probable next token after each position, all in one pass."""
        import torch

        ids = torch.tensor([list(tokens)], device=self.model.device)
        with torch.inference_mode():
            logits = self.model(input_ids=ids, use_cache=False).logits
        found: list[int] = logits[0].argmax(dim=-1).tolist()
        return found

    def sample(
        self, prompt: Sequence[int], count: int, stop: Collection[int], seed: int
    ) -> Sampled:
        """Return tokens drawn at temperature 1, and the greatest 1 - p of any, in float64."""
        import torch

        with torch.random.fork_rng(devices=_devices(self.model.device)):
            torch.manual_seed(seed)
            out = self._generate(
                [prompt],
                count,
                stop,
                do_sample=True,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
                output_logits=True,
            )
        tokens = _until(out.sequences[0, len(prompt) :].tolist(), stop)
        doubts = []
        for token, logits in zip(tokens, out.logits, strict=False):
            logs = torch.log_softmax(logits[0].double(), dim=-1)
            logs[token] = -torch.inf
            doubts.append(float(logs.exp().sum()))
        return Sampled(tokens, max(doubts, default=None))

    def _length(self, prompts: Sequence[Sequence[int]]) -> int:
        return max(map(len, prompts))

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        count: int,
        stop: Collection[int],
        past_key_values: Any = None,
        **how: Any,
    ) -> Any:
        import torch

        transformers = _package()
        pad, longest = self.model.config.pad_token_id, self._length(prompts)
        ids = torch.tensor([[pad] * (longest - len(p)) + list(p) for p in prompts])
        mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts])
        config = transformers.GenerationConfig(
            max_length=longest + count,
            eos_token_id=list(stop),
            pad_token_id=pad,
            return_dict_in_generate=True,
            **how,
            **self.options,
        )
        with torch.inference_mode():
            return self.model.generate(
                input_ids=ids.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=config,
                past_key_values=past_key_values,
            )


@contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Keep transformers from drawing a bar for every checkpoint that it loads."""
    logging = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def require_device(device: str) -> None:
    """Raise `InputError` where a device is asked for that torch does not have."""
    import torch

    if device not in ("cpu", "cuda"):
        raise InputError(f"unknown device {device!r}; known: cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("device 'cuda' is asked for, and torch finds no CUDA device")


def _package() -> Any:
    """Return the module `transformers`."""
    try:
        import transformers
    except ImportError:
        raise ExtraError("this engine", "transformers", "export") from None
    return transformers


def _devices(device: Any) -> list[Any]:
    return [device] if device.type == "cuda" else []


def _until(row: list[int], stop: Collection[int]) -> list[int]:
    """Return a row up to its first token of `stop`; what follows it is padding."""
    for i, token in enumerate(row):
        if token in stop:
            return row[: i + 1]
    return row
