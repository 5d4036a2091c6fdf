"""Streams on the device: a batch of jobs with as many cells each, and the launches that run it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from tm2tf.runtime.gpu.launch import kernel
from tm2tf.runtime.gpu.streams import Left, Standing
from tm2tf.runtime.gpu.tables import Tables
from tm2tf.runtime.partial.unfit import Unfit

BLOCK, INTERPRETED_BLOCK = 128, 16
"""Lanes of a program: four warps, a lane for each thread. The interpreter takes as long for few."""

CHUNK, INTERPRETED_CHUNK = 128, 8
"""Passes between two looks at the queue. Looking takes some 15 loads and stores, a pass 3."""

CHUNKS = 4096
"""Chunks of a launch at most: half a million passes, a tenth of a second or so. So long do jobs
wait whose next case is not known."""

LANES_EACH = 1024
"""Lanes for each multiprocessor, unless told: with up to 64 registers a lane they fit twice."""

WAITING, LEFT = 2, 0

AT_ONCE = 2**26
"""Cells that are laid out at once."""


class Jobs:
    """A batch: job i stands as `standing[which[i]]`, and emits up to `limits[i]` tokens.

    Attributes:
        counts: tokens emitted so far, those of `emitted` before the batch included.
        statuses: whether a job waits (2), goes on (1) or left (0).
    """

    def __init__(
        self,
        tables: Tables,
        standing: Sequence[Standing],
        which: Int64[np.ndarray, " jobs"],
        limits: Int64[np.ndarray, " jobs"],
        *,
        emitted: Int64[np.ndarray, " jobs"] | None = None,
        lanes: int | None = None,
        tellers: Int64[np.ndarray, " jobs"] | None = None,
        tokens: torch.Tensor | None = None,
    ) -> None:
        self.tables, self.device = tables, tables.device
        interpreted = self.device == "cpu"
        self._block = INTERPRETED_BLOCK if interpreted else BLOCK
        self._chunk = INTERPRETED_CHUNK if interpreted else CHUNK
        self._kernel = kernel(interpreted)
        count = len(which)
        self._which, self._standing = which, standing
        self.size = standing[0].cells.shape[1]
        self._groups = -(-count // self._block)
        programs = -(-min(lanes or self._lanes(), count) // self._block)
        self._grid = (programs,)
        self._cells = self._lay_out()
        before = np.zeros(count, dtype=np.int64) if emitted is None else emitted
        places = np.stack([it.places for it in standing])[which].T * self._block
        begins = np.array([tables.begins(it.last) for it in standing])[which]
        flat = np.zeros(count, dtype=np.int64)
        columns = {
            "places": places, "bases": begins, "cases": flat - 1, "befores": flat - 1,
            "asks": flat - 1, "feds": flat + 1, "statuses": flat + WAITING,
            "tellers": flat if tellers is None else tellers,
        }  # fmt: skip
        self._by_job: dict[str, torch.Tensor] = {
            name: self._tensor(np.ascontiguousarray(it), torch.int32)
            for name, it in columns.items()
        }
        self.counts = self._tensor(before, torch.int64)
        self._limits = self._tensor(before + limits, torch.int64)
        self._before = before
        self._held = torch.full((programs * self._block,), -1, dtype=torch.int32).to(self.device)
        self._queue = torch.zeros(1, dtype=torch.int32, device=self.device)
        self._order = torch.arange(count, dtype=torch.int32, device=self.device)
        self._recorded = 0 if tokens is None else tokens.shape[1]
        self._tokens = self._queue if tokens is None else tokens

    def _lanes(self) -> int:
        if self.device == "cpu":
            return INTERPRETED_BLOCK
        return LANES_EACH * torch.cuda.get_device_properties(self.device).multi_processor_count

    def _tensor(self, values: np.ndarray, dtype: torch.dtype) -> torch.Tensor:
        return torch.tensor(values, dtype=dtype, device=self.device)  # a copy, on the CPU too

    def _lay_out(self) -> torch.Tensor:
        """Return the cells, [tapes, groups, size, block], a byte or two each."""
        narrow = np.uint8 if self.tables.cell == torch.uint8 else np.int16
        given = np.stack([it.cells for it in self._standing]).astype(narrow)
        source = torch.from_numpy(given).to(self.device)
        tapes, block = self.tables.tapes, self._block
        padded = np.resize(self._which, self._groups * block)
        which = torch.from_numpy(padded).to(self.device).view(self._groups, block)
        shape = (tapes, self._groups, self.size, block)
        cells = torch.empty(shape, dtype=self.tables.cell, device=self.device)
        step = max(1, AT_ONCE // (block * tapes * self.size))
        for begin in range(0, self._groups, step):
            part = source[which[begin : begin + step]]  # [groups, block, tapes, size]
            cells[:, begin : begin + step] = part.permute(2, 0, 3, 1)
        return cells

    @property
    def statuses(self) -> torch.Tensor:
        """Whether each job waits (2), goes on (1) or left (0)."""
        return self._by_job["statuses"]

    @property
    def places(self) -> torch.Tensor:
        """The present places, by tape and job."""
        return self._by_job["places"] // self._block

    def run(self, chunks: int = CHUNKS) -> bool:
        """Make passes until all jobs have left, or `chunks` times as many as a chunk has.

        Rows that are asked for are entered, and their jobs wait again. Return whether any job still
        waits or goes on.
        """
        self._launch(chunks)
        left = self.statuses == LEFT
        asking = left & (self._by_job["asks"] >= 0)
        if bool(asking.any()):
            self._learn(asking)
        waiting = torch.nonzero(self.statuses == WAITING)[:, 0].to(torch.int32)
        self._order = waiting
        self._queue.zero_()
        return bool((self.statuses != LEFT).any())

    def _launch(self, chunks: int) -> None:
        tables, jobs = self.tables, self._by_job
        _, _, size, block = self._cells.shape
        arguments: dict[str, Any] = {
            "cells": self._cells, "plane": self._cells.stride(0), "size": size,
            "rows": tables.arrays["words"].shape[1], **tables.arrays,
            "held": self._held, "order": self._order, "queue": self._queue,
            "total": len(self._order), "chunks": chunks,
            "jobs": len(self._which), **jobs, "counts": self.counts, "limits": self._limits,
            "tokens": self._tokens,
        }  # fmt: skip
        constants = {"BLOCK": block, "CHUNK": self._chunk, "RECORD": self._recorded}
        launched = self._kernel[self._grid]
        # sums and products are rounded one by one, as on the CPU
        how = {"num_warps": max(1, block // 32), "enable_fp_fusion": False}
        if self.device == "cpu":
            launched(**arguments, **constants, **tables.constants)
            return
        with torch.cuda.device(self.device):
            launched(**arguments, **constants, **tables.constants, **how)

    def _learn(self, asking: torch.Tensor) -> None:
        """Enter rows that are asked for; where they can be entered, let their jobs wait again."""
        asks = self._by_job["asks"][asking].cpu().numpy()
        numbers = torch.nonzero(asking)[:, 0].cpu().numpy()
        rows, examples, back = np.unique(asks, return_index=True, return_inverse=True)
        refused = np.zeros(len(rows), dtype=np.bool_)
        for i, left in enumerate(self.leave(numbers[examples])):
            tapes = np.arange(self.tables.tapes)
            last = (
                left.last if left.count else self._standing[self._which[numbers[examples[i]]]].last
            )
            try:
                self.tables.learn(int(rows[i]), last, left.cells[tapes, left.places])
            except Unfit:
                refused[i] = True
        again = torch.from_numpy(numbers[~refused[back]]).to(self.device)
        self.statuses[again] = WAITING
        self.tables.send()

    def leave(self, numbers: Int64[np.ndarray, " some"]) -> list[Left]:
        """Return how some jobs stand."""
        if not len(numbers):
            return []
        index = torch.from_numpy(numbers).to(self.device)
        tapes, _, size, block = self._cells.shape
        group, slot = index // block, index % block
        cells = self._cells[:, group, :, slot].cpu().numpy()  # [some, tapes, size]
        cells = cells.astype(np.uint8 if self.tables.cell == torch.uint8 else np.uint16)
        told = {
            name: self._by_job[name][..., index].cpu().numpy()
            for name in ("places", "cases", "befores", "feds", "asks")
        }
        counts = self.counts[index].cpu().numpy() - self._before[numbers]
        tokens = self.tables.rows.token.astype(np.int64)
        return [
            Left(
                cells=np.ascontiguousarray(cells[i], dtype=np.uint16).reshape(tapes, size),
                places=told["places"][:, i].astype(np.int64) // block,
                count=int(counts[i]),
                last=int(tokens[told["cases"][i]]),
                stood=int(tokens[told["befores"][i]]) if told["befores"][i] >= 0 else -1,
                fed=bool(told["feds"][i]),
                asked=int(told["asks"][i]),
            )
            for i in range(len(numbers))
        ]
