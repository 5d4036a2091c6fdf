"""Results as files: JSON and CSV, and how sure a share of trials is."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tm2tf.errors import InputError

CONFIDENCE = 0.95
"""Of every interval: the customary level."""

Z = 1.959963984540054
"""The normal distribution's quantile at (1 + CONFIDENCE) / 2."""


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """Return the Wilson score interval of a share at level `CONFIDENCE`; (0, 1) without trials.

    With p = successes / n: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    Source: Wilson (1927), JASA 22, 209-212.
    """
    if trials == 0:
        return 0.0, 1.0
    p, n = successes / trials, trials
    middle = p + Z * Z / (2 * n)
    half = Z * math.sqrt(p * (1 - p) / n + Z * Z / (4 * n * n))
    low, high = ((middle + sign * half) / (1 + Z * Z / n) for sign in (-1, 1))
    return (0.0 if successes == 0 else low, 1.0 if successes == trials else high)


def share_interval(shares: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of numbers from 0 to 1 and Wilson's interval of it.

    None with the same mean spreads more than numbers that are 0 or 1, so it errs to the safe side;
    and where all numbers are alike it does not say that the mean is certain.
    """
    total = math.fsum(shares)
    return total / len(shares), *wilson(total, len(shares))


def mean_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean and its normal interval at level `CONFIDENCE` (infinite for one value)."""
    n = len(values)
    mean = math.fsum(values) / n
    if n == 1:
        return mean, -math.inf, math.inf
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    half = Z * math.sqrt(variance / n)
    return mean, mean - half, mean + half


def save_json(folder: Path, name: str, value: Any) -> Path:
    """Write `NAME.json`; return its path.

    Raises:
        InputError: it cannot be written.
    """
    return _write(folder / f"{name}.json", json.dumps(value, indent=2, allow_nan=False) + "\n")


def save_csv(folder: Path, name: str, rows: Iterable[Mapping[str, object]]) -> Path:
    """Write `NAME.csv` with the keys of the first row as its header; return its path.

    Raises:
        InputError: it cannot be written.
    """
    listed = list(rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(listed[0]) if listed else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(listed)
    return _write(folder / f"{name}.csv", text.getvalue())


def _write(path: Path, text: str) -> Path:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from None
    return path
