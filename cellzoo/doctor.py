"""Checks of the installation: one function for each topic, which yields its findings.

Only `engines` imports torch, and no package that may be missing is imported without a check.
"""

from __future__ import annotations

import os
import platform
import runpy
import shlex
import shutil
import sysconfig
import tempfile
from dataclasses import dataclass
from enum import Enum
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cellzoo.runtime.native.binding import has_bfloat16, status
from cellzoo.system.machine import installed, processor, processor_features, usable_cores
from cellzoo.system.paths import typed_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SOURCES = Path(__file__).parents[1]
EXTRAS = {
    "nlp": "tasks on text: Flair taggers, word similarity",
    "hub": "cells in transformers",
    "datasets": "data sets from the Hugging Face hub",
    "glove": "GloVe vectors from a package",
    "export": "cells as ONNX",
    "board": "leaderboards as Parquet files",
    "search": "samplers that learn",
    "smac": "the sampler smac",
    "toolboxes": "NAS-Bench-NLP for other toolboxes",
    "ray": "runs on a Ray cluster",
    "tensorboard": "runs in TensorBoard",
    "trackio": "runs in Trackio",
    "wandb": "runs in Weights & Biases",
}
# Flag in /proc/cpuinfo -> common name, the widest first.
_INSTRUCTION_SETS = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX", "sve": "SVE", "asimd": "NEON"}
_NVIDIA_DRIVER = Path("/proc/driver/nvidia/version")
_LITTLE_SPACE = 500_000_000
_TOLERANCE = 1e-4
_OLDEST_PYTHON = (3, 11)


class Status(Enum):
    """The result of a check."""

    OK = "ok"
    ABSENT = "absent"
    """Missing but optional: something is slower, or not available."""
    FAULT = "fault"
    """Required, and missing or wrong."""


@dataclass(frozen=True)
class Finding:
    """The result of a check on one topic, with a message, and advice if something can be fixed."""

    topic: str
    state: Status
    message: str
    advice: str = ""


def examine(*, full: bool = False, checks: Sequence[Callable[[], Iterator[Finding]]] = ()) -> list[Finding]:
    """Run all checks.

    A check that raises an exception becomes a fault.

    Args:
        full: Whether to also import torch and run a cell with every engine.
        checks: Checks to run instead of the default ones.
    """
    findings: list[Finding] = []
    for check in checks or (*CHECKS, *((engines,) if full else ())):
        try:
            findings.extend(check())
        except Exception as error:
            words = (str(error).splitlines() or [""])[0]
            message = f"the check failed: {type(error).__name__}: {words}"
            findings.append(Finding(check.__name__.replace("_", " "), Status.FAULT, message))
    return findings


def install_command(extra: str = "") -> str:
    """The command that installs cellzoo again, from its sources if it runs from them."""
    brackets = f"[{extra}]" if extra else ""
    if (SOURCES / "pyproject.toml").is_file():
        return f"pip install --editable '{SOURCES}{brackets}'"
    return f"pip install 'cellzoo{brackets}'"


def python() -> Iterator[Finding]:
    """The interpreter."""
    message = f"{platform.python_version()} ({platform.python_implementation()})"
    if tuple(map(int, platform.python_version_tuple()[:2])) >= _OLDEST_PYTHON:
        yield Finding("Python", Status.OK, message)
    else:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        yield Finding("Python", Status.FAULT, f"{message} is too old", f"use Python {oldest} or newer")


def packages() -> Iterator[Finding]:
    """Cellzoo, its required dependencies, and those of its extras, as its installation declares them."""
    from packaging.requirements import Requirement

    try:
        declared = [Requirement(line) for line in requires("cellzoo") or ()]
    except PackageNotFoundError:
        advice = f"its commands and dependencies cannot be found; run: {install_command()}"
        yield Finding("cellzoo", Status.ABSENT, f"not installed, runs from {SOURCES}", advice)
        return
    yield Finding("cellzoo", Status.OK, f"{installed('cellzoo')} in {SOURCES}")
    needed = [one for one in declared if one.marker is None or one.marker.evaluate({"extra": ""})]
    for extra, purpose in {"": "", **EXTRAS}.items():
        here = [one for one in declared if one.marker and one.marker.evaluate({"extra": extra})]
        here = [one for one in here if one not in needed] if extra else needed
        releases = {one.name: installed(one.name) for one in here}
        problems = [
            f"{one.name} is not installed"
            if release is None
            else f"{one.name} is {release}, not {one.specifier}"
            for one in here
            if (release := releases[one.name]) is None or not one.specifier.contains(release, prereleases=True)
        ]
        if extra and not here:
            problems = ["the installed version does not have this extra"]
        words = "; ".join(problems) or ", ".join(f"{name} {release}" for name, release in releases.items())
        broken = Status.ABSENT if extra else Status.FAULT
        yield Finding(
            f"extra {extra}" if extra else "packages",
            broken if problems else Status.OK,
            f"{words} ({purpose})" if extra else words,
            install_command(extra) if problems else "",
        )


def torch_and_gpu() -> Iterator[Finding]:
    """The build of torch, from torch/version.py (importing torch takes seconds), and the driver of a GPU."""
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        yield Finding("torch", Status.FAULT, "not installed", install_command())
        return
    build = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    kinds = [f"{name} {build[key]}" for key, name in (("cuda", "CUDA"), ("hip", "ROCm")) if build.get(key)]
    words = f"built for {kinds[0] if kinds else 'the CPU only'}"
    yield Finding("torch", Status.OK, f"{build['__version__']}, {words}")
    has_driver = _NVIDIA_DRIVER.exists()
    if has_driver and not kinds:
        advice = "install a build for CUDA, see https://pytorch.org/get-started/locally"
        message = "there is an NVIDIA driver, but torch is built for the CPU only"
        yield Finding("CUDA", Status.ABSENT, message, advice)
    elif build.get("cuda") and not has_driver:
        yield Finding("CUDA", Status.ABSENT, "no NVIDIA driver was found; cells run on the CPU")
    elif kinds:
        yield Finding(
            "CUDA",
            Status.OK,
            "there are an NVIDIA driver and a build of torch for it; --full lists the devices",
        )
    else:
        yield Finding("CUDA", Status.ABSENT, "torch is built for the CPU only; cells run on the CPU")


def processor_and_threads() -> Iterator[Finding]:
    """The processor, its widest vector instructions, and the number of threads that torch will use."""
    features = processor_features()
    names = [name for flag, name in _INSTRUCTION_SETS.items() if flag in features]
    widest = names[0] if names else "instruction sets unknown"
    yield Finding("processor", Status.OK, f"{processor()}, {widest}")
    usable = [f"usable cores: {usable_cores()}"]
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        value = os.environ.get(name, "")
        # OpenMP accepts a number, or a list of numbers for nested parallel regions.
        if value and not all(part.strip().isdecimal() and int(part) > 0 for part in value.split(",")):
            advice = f"set a whole number, or unset it: unset {name}"
            yield Finding("threads", Status.FAULT, f"{name}={value} is not a number of threads", advice)
            return
        usable += [f"{name}={value}"] if value else []
    yield Finding("threads", Status.OK, "; ".join(usable))


def native_engine() -> Iterator[Finding]:
    """Whether the native engine is built and loads, and its instruction set."""
    available, message = status()
    if available:
        yield Finding("native engine", Status.OK, message)
        if has_bfloat16():
            yield Finding("bf16", Status.OK, "bfloat16 products with AMX, for precision 'bf16'")
        else:
            message = "no bfloat16 products on this machine: precision 'bf16' is the same as 'full'"
            yield Finding("bf16", Status.ABSENT, message, "they need a processor with AMX, and Linux")
        return
    # The compiler that a build would use.
    named = (os.environ.get("CXX"), sysconfig.get_config_var("CXX"))
    words = [shlex.split(name)[0] for name in named if name and name.strip()]
    compilers = filter(None, map(shutil.which, (*words, "c++", "g++", "clang++")))
    compiler = next(compilers, None)
    advice = f"there is a compiler ({compiler}); build the engine: {_rebuild()}"
    if compiler is None:
        advice = (
            "no C++ compiler was found; install one (Debian: apt install g++; Fedora: dnf install gcc-c++; "
            f"macOS: xcode-select --install), then {_rebuild()}"
        )
    yield Finding("native engine", Status.ABSENT, f"{message}; cells run with the engine torch", advice)


def _rebuild() -> str:
    return install_command().replace("pip install", "pip install --force-reinstall --no-deps", 1)


def data() -> Iterator[Finding]:
    """The folder with original data files."""
    value = os.environ.get("CELLZOO_DATA", "")
    where = "`cellzoo data where` lists what belongs there"
    folder = typed_path(value, "CELLZOO_DATA") if value else Path()
    if not value:
        message = "CELLZOO_DATA is not set; tasks on real text need it, or --data"
        yield Finding("data", Status.ABSENT, message, where)
    elif not folder.is_dir():
        yield Finding("data", Status.FAULT, f"CELLZOO_DATA is {value}, which is not a folder", where)
    elif not os.access(folder, os.R_OK | os.X_OK):
        yield Finding("data", Status.FAULT, f"{folder} cannot be read", "give yourself read access")
    else:
        count = sum(path.is_dir() for path in folder.iterdir())
        yield Finding("data", Status.OK, f"{folder}, {count} folder{'' if count == 1 else 's'}; {where}")


def cache() -> Iterator[Finding]:
    """The cache folder of Flair, transformers and others."""
    value = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(value).expanduser() if value else Path.home() / ".cache"
    except RuntimeError:
        yield Finding("cache", Status.ABSENT, "there is no home folder", "set XDG_CACHE_HOME")
    else:
        yield _writable("cache", folder, "set XDG_CACHE_HOME to a folder of yours")


def temporary_files() -> Iterator[Finding]:
    """The folder for temporary files."""
    advice = "set TMPDIR to a folder of yours"
    try:
        yield _writable("temporary files", Path(tempfile.gettempdir()), advice)
    except FileNotFoundError:
        yield Finding("temporary files", Status.FAULT, "no folder can be written", advice)


def _writable(topic: str, folder: Path, advice: str) -> Finding:
    """Check that a folder can be written, or created."""
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding(topic, Status.ABSENT, f"{folder} cannot be written", advice)
    free = shutil.disk_usage(there).free
    message = f"{folder}, {free / 1e9:.1f} GB free"
    if free < _LITTLE_SPACE:
        return Finding(topic, Status.ABSENT, message, f"that is little; {advice}")
    return Finding(topic, Status.OK, message)


def engines() -> Iterator[Finding]:
    """Compare a small cell in every engine with the reference engine; imports torch."""
    import torch

    import cellzoo
    from cellzoo.errors import CellzooError
    from cellzoo.runtime import RUNTIMES

    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("torch's CPU", Status.OK, f"{torch.get_num_threads()} threads, {capability} kernels")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    yield Finding("torch's GPUs", Status.OK if gpus else Status.ABSENT, ", ".join(gpus) or "none")
    expected: Any = None
    for name in sorted(RUNTIMES, key=lambda name: name != "reference"):
        try:
            rnn = cellzoo.rnn("lstm", 3, 5, runtime=name)
            rnn.reset_parameters(torch.Generator().manual_seed(1))
            x = torch.linspace(-1.0, 1.0, 4 * 2 * 3).view(4, 2, 3).requires_grad_()
            output = rnn(x)[0]
            (gradient,) = torch.autograd.grad(output.square().sum(), x)
        except CellzooError as error:
            yield Finding(f"engine {name}", Status.ABSENT, str(error))
            continue
        found = torch.cat([output.detach().flatten(), gradient.flatten()])
        expected = found if expected is None else expected
        apart = (found - expected).abs().max().item()
        if apart <= _TOLERANCE:
            yield Finding(f"engine {name}", Status.OK, "runs a cell and its gradients")
        else:
            message = f"its results differ from those of the reference by {apart:.1e}"
            yield Finding(f"engine {name}", Status.FAULT, message, f"rebuild it: {_rebuild()}")


CHECKS = (python, packages, torch_and_gpu, processor_and_threads, native_engine, data, cache, temporary_files)
