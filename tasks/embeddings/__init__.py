"""Token embeddings: computed for a whole batch at once, with a cache on disk for frozen ones.

Flair is imported only when one of these names is first used.
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
