"""What a checkpoint promises, in numbers: which contexts are exact, and by which derivation."""

from __future__ import annotations

import math
from typing import Any

from tm2tf.export.bundle import Bundle, longest_prompt
from tm2tf.lowering.stock.precision import LOGIT

SUPPOSED = {
    "gpt2": "scores are accumulated and put through softmax in float32, whatever the dtype of "
    "their factors (transformers: attn_implementation sdpa, or eager in float32), and positions "
    "that are masked are left out whatever their scores; the weights are loaded in their own dtype",
    "llama": "scores are accumulated and put through softmax in float32, angles of rotary "
    "positions are computed in float32, cached keys keep the dtype, and positions that are masked "
    "are left out whatever their scores",
}
DERIVED = "tm2tf/lowering/stock/precision.py, docs/checkpoints.md"


def certificate(bundle: Bundle) -> dict[str, Any]:
    """Return the certificate as JSON: the limits, the constants, and what they rest on."""
    limits = bundle.checkpoint.limits
    # the right token has logit 0, the default -LOGIT at most, all others -2 LOGIT
    wrong = math.exp(-LOGIT) + len(bundle.tokens) * math.exp(-2 * LOGIT)
    return {
        "machine": bundle.machine.name,
        "construction": bundle.construction,
        "architecture": bundle.checkpoint.architecture,
        "dtype": limits.dtype,
        "tape_cells": bundle.cells,
        "steps": bundle.steps,
        "positions": limits.positions,
        "longest_prompt": longest_prompt(bundle.machine, bundle.cells),
        "greatest_positions": limits.greatest,
        "greatest_positions_by_dtype": limits.by_dtype,
        "bound": limits.formula,
        "n": limits.agree,
        "constants": bundle.checkpoint.constants,
        "attention_lead_nats": limits.lead,
        "logit_lead_nats": limits.logit,
        "wrong_token_probability_at_temperature_1": wrong,
        "residual_stream": "every entry is exactly +1 or -1, at every position, after every layer",
        "supposing": SUPPOSED[bundle.checkpoint.architecture],
        "derivation": DERIVED,
    }
