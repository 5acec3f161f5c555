"""Calls that torch.compile must not trace. A module of its own, as importing it loads the compiler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable


def _run(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


run_apart: Callable[..., Any] = torch.compiler.disable(
    _run, reason="the engines of cellzoo are compiled already"
)
"""Calls a function outside of torch.compile, with a graph break before it."""
