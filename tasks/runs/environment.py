"""What made a number: code and machine."""

from __future__ import annotations

import platform
from dataclasses import asdict
from typing import TYPE_CHECKING

from cellzoo.system.machine import installed, processor
from cellzoo.system.source_code import source_code
from tasks.runs.record import CodeVersion, Environment

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("torch", "numpy", "scipy", "flair", "gensim", "transformers", "safetensors", "pydantic", "cellzoo")


def describe_code(source: Path | None = None) -> CodeVersion:
    """Say which code runs; see `cellzoo.system.source_code.source_code`."""
    return CodeVersion(**asdict(source_code(source)))


def describe_environment(device: str, threads: int) -> Environment:
    """Say where a run takes place; `device` is a torch device string."""
    found = {name: installed(name) for name in PACKAGES}
    return Environment(
        python=platform.python_version(),
        packages={name: release for name, release in found.items() if release},
        platform=platform.platform(),
        processor=processor(),
        device=_device_name(device),
        threads=threads,
    )


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
