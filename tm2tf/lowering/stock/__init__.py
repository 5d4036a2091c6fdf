"""Stock architectures: programs of words as GPT-2 and Llama, whose code is others'.

`wiring` is what a program becomes before any constant is chosen; `precision` derives the constants
and the longest context in which they are exact; `gpt2` and `llama` put both into tensors under the
names that `transformers` has for them. What files a checkpoint becomes is for `export` to say.
"""

from __future__ import annotations

from tm2tf.lowering.stock import gpt2, llama
from tm2tf.lowering.stock.checkpoint import Checkpoint
from tm2tf.lowering.stock.precision import TooLongError, dtype_called
from tm2tf.lowering.stock.wiring import wire
from tm2tf.program.program import Program

__all__ = ["ARCHITECTURES", "Checkpoint", "TooLongError", "lower", "wire"]

ARCHITECTURES = {"gpt2": gpt2.lower, "llama": llama.lower}


def lower(program: Program, architecture: str, positions: int, dtype: str) -> Checkpoint:
    """Return the checkpoint of a program for contexts of up to so many tokens.

    Raises:
        TargetError: the program computes with something else than words.
        TooLongError: the checkpoint would not be exact in so long a context.
    """
    wiring = wire(program, architecture)
    return ARCHITECTURES[architecture](wiring, positions, dtype_called(dtype))
