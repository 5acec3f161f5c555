"""The native engine, and with torch whether every engine runs a cell."""

from __future__ import annotations

import os
import shlex
import shutil
import sysconfig
from typing import TYPE_CHECKING

from cellzoo.doctor.finding import Finding, Status
from cellzoo.doctor.installation import install_command
from cellzoo.runtime.native.binding import status

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMPILERS = ("c++", "g++", "clang++")
_TOLERANCE = 1e-4


def check_native() -> Finding:
    """Whether the native engine was built and loads, and with which instruction set."""
    available, message = status()
    if available:
        return Finding("native engine", Status.OK, message)
    compiler = find_compiler()
    if compiler:
        advice = f"a compiler is here ({compiler}); build it: {_rebuild()}"
    else:
        advice = (
            "no C++ compiler is here; install one (Debian: apt install g++; Fedora: dnf install gcc-c++; "
            f"macOS: xcode-select --install), then {_rebuild()}"
        )
    return Finding("native engine", Status.ABSENT, f"{message}; cells run by the engine torch", advice)


def find_compiler() -> str | None:
    """The C++ compiler that building would use, or None."""
    named = (os.environ.get("CXX"), sysconfig.get_config_var("CXX"))
    words = [shlex.split(name)[0] for name in named if name and name.strip()]
    return next((found for name in (*words, *_COMPILERS) if (found := shutil.which(name))), None)


def _rebuild() -> str:
    return install_command().replace("pip install", "pip install --force-reinstall --no-deps", 1)


def check_engines() -> Iterator[Finding]:
    """Run a small cell by every engine, against the reference; imports torch."""
    import torch

    import cellzoo
    from cellzoo.errors import CellzooError
    from cellzoo.runtime import RUNTIMES

    count = torch.get_num_threads()
    capability = torch.backends.cpu.get_cpu_capability()
    yield Finding("torch's CPU", Status.OK, f"{count} threads, {capability} kernels")
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    yield Finding("torch's GPUs", Status.OK if gpus else Status.ABSENT, ", ".join(gpus) or "none")
    expected = None
    for name in ("reference", *(name for name in RUNTIMES if name != "reference")):
        try:
            rnn = cellzoo.rnn("lstm", 3, 5, runtime=name)
            rnn.reset_parameters(torch.Generator().manual_seed(1))
            x = torch.linspace(-1.0, 1.0, 4 * 2 * 3).view(4, 2, 3).requires_grad_()
            output = rnn(x)[0]
            output.square().sum().backward()
        except CellzooError as error:
            yield Finding(f"engine {name}", Status.ABSENT, str(error))
            continue
        assert x.grad is not None  # noqa: S101 - the lstm reads x
        found = torch.cat([output.detach().flatten(), x.grad.flatten()])
        expected = found if expected is None else expected
        error_size = (found - expected).abs().max().item()
        if error_size <= _TOLERANCE:
            yield Finding(f"engine {name}", Status.OK, "runs a cell and its gradients")
        else:
            message = f"its results differ from the reference's by {error_size:.1e}"
            yield Finding(f"engine {name}", Status.FAULT, message, f"build it anew: {_rebuild()}")
