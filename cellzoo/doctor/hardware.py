"""The processor, its threads, torch's build, and CUDA, as far as they show without importing torch."""

from __future__ import annotations

import ast
import os
from importlib.util import find_spec
from pathlib import Path

from cellzoo.doctor.finding import Finding, Status
from cellzoo.doctor.installation import install_command
from cellzoo.system.machine import processor, processor_features, usable_cores

# Widest first; as the system calls it, and as people do.
_INSTRUCTION_SETS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")


def check_processor() -> Finding:
    """The processor and its widest vector instructions."""
    features = processor_features()
    widest = next((name for flag, name in _INSTRUCTION_SETS.items() if flag in features), "")
    wording = f", {widest}" if widest else ", instruction sets not named by the system"
    return Finding("processor", Status.OK, f"{processor()}{wording}")


def check_threads() -> Finding:
    """How many threads torch will start with."""
    cores = usable_cores()
    given = {name: value for name in _THREAD_VARIABLES if (value := os.environ.get(name))}
    wording = ", ".join(f"{name}={value}" for name, value in given.items())
    wrong = [f"{name}={value}" for name, value in given.items() if not _is_count(value)]
    if wrong:
        advice = f"set a whole number, or unset it: unset {wrong[0].partition('=')[0]}"
        return Finding("threads", Status.FAULT, f"{', '.join(wrong)} is not a number of threads", advice)
    usable = f"{cores} usable core" + ("" if cores == 1 else "s")
    return Finding("threads", Status.OK, f"{usable}{f'; {wording}' if wording else ''}")


def _is_count(value: str) -> bool:
    """Whether OpenMP takes it: a number, or several for nested regions."""
    return all(part.strip().isdecimal() and int(part) > 0 for part in value.split(","))


def check_torch() -> Finding:
    """The build of torch."""
    build = _torch_build()
    if build is None:
        return Finding("torch", Status.FAULT, "not installed", install_command())
    return Finding("torch", Status.OK, f"{build['__version__']}, {_gpu_words(build)}")


def check_cuda() -> Finding:
    """Whether a GPU can be used."""
    build = _torch_build() or {}
    has_driver = _NVIDIA_DRIVER.exists()
    is_for_gpu = bool(build.get("cuda") or build.get("hip"))
    if has_driver and not is_for_gpu:
        advice = "install a build for CUDA, see https://pytorch.org/get-started/locally"
        message = "the driver of an NVIDIA GPU is here, but torch is built for the CPU alone"
        return Finding("CUDA", Status.ABSENT, message, advice)
    if build.get("cuda") and not has_driver:
        return Finding("CUDA", Status.ABSENT, "no driver of an NVIDIA GPU is here; cells run on the CPU")
    if is_for_gpu:
        return Finding("CUDA", Status.OK, "driver and torch's build are here; --full asks torch for devices")
    return Finding("CUDA", Status.ABSENT, "no GPU that torch is built for; cells run on the CPU")


def _torch_build() -> dict[str, object] | None:
    """What torch/version.py says; importing torch would take seconds.

    Gives version, CUDA and ROCm version; None without torch.
    """
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    found: dict[str, object] = {"__version__": "unknown version"}
    tree = ast.parse(Path(spec.origin).with_name("version.py").read_text(encoding="utf-8"))
    for statement in tree.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        value = getattr(statement, "value", None)
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant):
                found[target.id] = value.value
    return found


def _gpu_words(build: dict[str, object]) -> str:
    if build.get("cuda"):
        return f"built for CUDA {build['cuda']}"
    return f"built for ROCm {build['hip']}" if build.get("hip") else "built for the CPU alone"
