"""Numbers in words: times and rates with fitting units, a median with its quartiles."""

from __future__ import annotations

import math

from tm2tf.bench.results import Goal
from tm2tf.bench.statistics import Spread

_SMALL = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))
_LARGE = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, ""))
_BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))
NOTHING = "-"


def significant(value: float) -> str:
    """Return a number with three significant digits, and never fewer than its whole digits."""
    if math.isnan(value):
        return NOTHING
    if abs(value) >= 100 or value == 0:
        return f"{value:,.0f}"
    places = 2 - math.floor(math.log10(abs(value)))
    return f"{value:.{max(0, places)}f}"


def seconds(value: float) -> str:
    """Return a time: 12.3 ms."""
    scale, unit = next(((s, u) for s, u in _SMALL if value >= s), _SMALL[-1])
    return f"{significant(value / scale)} {unit}"


def rate(value: float) -> str:
    """Return a rate: 310 M."""
    scale, unit = next(((s, u) for s, u in _LARGE if value >= s), _LARGE[-1])
    return f"{significant(value / scale)}{unit}"


def size(value: float) -> str:
    """Return a number of bytes: 1.20 MB."""
    scale, unit = next(((s, u) for s, u in _BYTES if value >= s), _BYTES[-1])
    return f"{significant(value / scale)} {unit}"


def measured(value: float, unit: str) -> str:
    """Return a value of a growth, whose axis says what it is."""
    if unit.startswith("seconds"):
        return seconds(value)
    return size(value) if unit.startswith("bytes") else significant(value)


def spread(value: Spread, scale: float = 1.0) -> str:
    """Return a median with its quartiles, if there are several measurements."""
    median = significant(value.median * scale)
    if value.count < 2:
        return median
    return f"{median} ({significant(value.low * scale)} to {significant(value.high * scale)})"


def goal(wanted: Goal | None) -> str:
    """Return what is wanted."""
    if wanted is None:
        return ""
    unit = " s" if wanted.of == "seconds" else ""
    parts = []
    if wanted.most is not None:
        parts.append(f"at most {wanted.most:g}{unit}")
    if wanted.least is not None:
        parts.append(f"at least {wanted.least:g}{unit}")
    return ", ".join(parts)
