"""How many threads torch may use: small matrices are multiplied fastest by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

SMALL = 20_000_000
"""Multiplications in a pass up to which one thread is taken: a few milliseconds of one core. With
more threads each of a pass's dozens of products waits until all of them have come, and on a machine
that has other work that has been seen to take a hundred times as long."""


@contextmanager
def few_threads(multiplications: int) -> Iterator[None]:
    """Let torch use one thread meanwhile if a pass has so few multiplications."""
    before = torch.get_num_threads()
    if multiplications > SMALL or before == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
