"""The machine that figures were measured on, and the versions that ran."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from tm2tf.runtime.streams import cores

PACKAGES = ("numpy", "numba", "torch")
UNKNOWN = "unknown"


def host() -> Mapping[str, str | int | float | None]:
    """Return what is known of this machine: CPU, cores, memory, system, versions, GPU, date."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cpu": cpu(),
        "cores": cores(),
        "memory_bytes": memory(),
        "system": platform.platform(),
        "gpu": gpu(),
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in (*PACKAGES, "tm2tf")},
    }


def cpu() -> str:
    """Return the processor's name, or what kind of processor it is."""
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        told = ""
    for line in told.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and value.strip():
            return value.strip()
    return platform.processor() or platform.machine() or UNKNOWN


def memory() -> int | None:
    """Return the bytes of memory, if the system says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def gpu() -> str | None:
    """Return the name of the first GPU that torch can use, if there is one."""
    import torch

    return str(torch.cuda.get_device_name(0)) if torch.cuda.is_available() else None


def version(package: str) -> str:
    """Return the version of a package that is installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return UNKNOWN
