"""What made a number: code and machine."""

from __future__ import annotations

import os
import platform
import subprocess
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tasks.record import Code, Environment

PACKAGES = ("torch", "numpy", "scipy", "flair", "gensim", "transformers", "safetensors", "pydantic", "cellzoo")
_SOURCES = ("cellzoo", "tasks", "search", "leaderboards", "pyproject.toml")
_CPU_INFO = Path("/proc/cpuinfo")


def describe_code(source: Path | None = None) -> Code:
    """Say which code runs.

    The git revision is given only if the package lies in a checkout of its own repository: the folder above
    it is the top of a work tree and holds cellzoo's own `pyproject.toml`. A package installed somewhere inside
    another project's repository has none. `dirty` says that files of the packages differ from the revision.

    Args:
        source: The folder that holds the packages; by default the one this module was loaded from.
    """
    folder = (source or Path(__file__).parents[2]).resolve()
    release = _own_version(folder)
    top = _git(folder, "rev-parse", "--show-toplevel") if release else None
    if not top or Path(top).resolve() != folder:
        return Code(version=release or _installed("cellzoo") or "unknown", revision=None, dirty=None)
    changes = _git(folder, "status", "--porcelain", "--", *_SOURCES)
    return Code(
        version=release or "unknown",
        revision=_git(folder, "rev-parse", "HEAD") or None,
        dirty=None if changes is None else bool(changes),
    )


def describe_environment(device: str, threads: int) -> Environment:
    """Say where a run takes place; `device` is a torch device string."""
    found = {name: _installed(name) for name in PACKAGES}
    return Environment(
        python=platform.python_version(),
        packages={name: release for name, release in found.items() if release},
        platform=platform.platform(),
        processor=_processor(),
        device=_device_name(device),
        threads=threads,
    )


def _own_version(folder: Path) -> str | None:
    """The version in `folder`'s pyproject.toml if that is cellzoo's."""
    try:
        project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return str(project["version"]) if project["name"] == "cellzoo" else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """Ask git; None if there is no git, no repository or no answer."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        answer = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
            env={**environment, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def _installed(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def _device_name(device: str) -> str:
    if not device.startswith("cuda"):
        return device
    import torch

    return f"{device} ({torch.cuda.get_device_name(device)})"
