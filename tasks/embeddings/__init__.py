"""Embeddings of tokens: a whole batch at once, and frozen ones kept on disk.

Flair is imported when the first of these names is used, not before.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.embeddings.frozen import FrozenEmbeddings

__all__ = ["FrozenEmbeddings"]

_HOMES = {"FrozenEmbeddings": "tasks.embeddings.frozen"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
