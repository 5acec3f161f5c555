"""Which device runs take place on."""

from __future__ import annotations

import re

from cellzoo.errors import CellzooError

_NAME = re.compile(r"auto|cpu|cuda(:\d+)?")


def resolve_device(name: str) -> str:
    """Turn `auto` into a device that is there, and check any other.

    Raises:
        CellzooError: No such device.
    """
    if not _NAME.fullmatch(name):
        raise CellzooError(f"device {name!r}: expected auto, cpu, cuda, or cuda:N such as cuda:0")
    if name == "cpu":
        return name
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda:0" if count else "cpu"
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        there = f"{count} CUDA device(s) are there" if count else "no CUDA device is there"
        raise CellzooError(f"device {name!r}: {there}; try --device auto")
    return f"cuda:{number}"
