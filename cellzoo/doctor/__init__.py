"""Looks at what works here and what is missing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from cellzoo.doctor.finding import Finding, Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Finding", "Status", "examine"]

_FOLDER = "cellzoo.doctor"
# Topic, where its check is, and its name. None of the first list imports torch.
Check = tuple[str, str, str]
CHECKS: tuple[Check, ...] = (
    ("Python", "installation", "check_python"),
    ("cellzoo", "installation", "check_cellzoo"),
    ("packages", "installation", "check_packages"),
    ("torch", "hardware", "check_torch"),
    ("processor", "hardware", "check_processor"),
    ("threads", "hardware", "check_threads"),
    ("native engine", "engines", "check_native"),
    ("CUDA", "hardware", "check_cuda"),
    ("extras", "installation", "check_extras"),
    ("data", "folders", "check_data"),
    ("cache", "folders", "check_cache"),
    ("temporary files", "folders", "check_temporary"),
)
FULL_CHECKS: tuple[Check, ...] = (("engines", "engines", "check_engines"),)


def examine(*, full: bool = False, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Look at everything.

    Args:
        full: Whether to import torch, too, and run a cell by every engine.
        checks: What to look at instead.

    Returns:
        The findings. A check that fails itself is a finding, never an exception.
    """
    wanted = checks if checks is not None else (*CHECKS, *(FULL_CHECKS if full else ()))
    return [finding for check in wanted for finding in _examine(*check)]


def _examine(topic: str, module: str, name: str) -> Iterable[Finding]:
    findings: list[Finding] = []
    try:
        found = getattr(import_module(f"{_FOLDER}.{module}"), name)()
        if isinstance(found, Finding):
            findings.append(found)
        else:
            # One by one, so that those before a failure are kept.
            findings.extend(found)
    except Exception as error:
        words = (str(error).splitlines() or [""])[0]
        message = f"could not be looked at: {type(error).__name__}: {words}"
        findings.append(Finding(topic, Status.FAULT, message))
    return findings
