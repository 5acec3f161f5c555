"""Properties of this machine and installation, found without importing torch."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_CPU_INFO = Path("/proc/cpuinfo")


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def processor() -> str:
    """The model name of the processor."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def processor_features() -> frozenset[str]:
    """The instruction sets that /proc/cpuinfo lists, such as `avx2`; empty if there are none."""
    return frozenset((_cpu_field("flags") or _cpu_field("Features")).split())


def usable_cores() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_field(name: str) -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    fields = (line.partition(":") for line in lines)
    return next((value.strip() for title, _, value in fields if title.strip() == name), "")
