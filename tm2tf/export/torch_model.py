"""A checkpoint as the model that `transformers` has for it: others' code, our weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tm2tf.constructions.tokens import BEGIN
from tm2tf.errors import ExtraError
from tm2tf.lowering.stock.checkpoint import Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def stock_model(checkpoint: Checkpoint) -> PreTrainedModel:
    """Return the `GPT2LMHeadModel` or `LlamaForCausalLM` of a checkpoint, to be evaluated.

    It is in the dtype of the checkpoint's limits, on the CPU, with attention `sdpa`, and nothing
    in it wants gradients. Every parameter comes from the checkpoint: one too many or too few is
    an error of torch.

    Raises:
        ExtraError: the package `transformers` is not installed.
    """
    try:
        import transformers
    except ImportError:
        raise ExtraError("a model to be run by torch", "transformers", "export") from None
    import torch

    kind: Any = getattr(transformers, checkpoint.config["architectures"][0])
    config = kind.config_class(
        **checkpoint.config, **_special(checkpoint), attn_implementation="sdpa"
    )
    dtype = getattr(torch, checkpoint.limits.dtype)
    made: Any = kind(config).to(dtype)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in checkpoint.tensors.items()}
    made.load_state_dict(tensors, strict=True)
    model: PreTrainedModel = made.eval().requires_grad_(False)
    return model


def _special(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the ids of the tokens that configurations name, so that none is out of place."""
    tokens = checkpoint.wiring.tokens
    ends = [number for number, token in enumerate(tokens) if token.outcome is not None]
    return {
        "bos_token_id": checkpoint.wiring.ids()[BEGIN],
        "eos_token_id": list(dict.fromkeys([*ends, checkpoint.wiring.default])),
        "pad_token_id": len(tokens) - 2,
    }
