"""Sequence tagging with Flair: a tagger around any cell, its features, and the tagging problem.

Flair is imported only when one of these names is first used. `flair.nn.Classifier.load` searches the imported
classes for the class of a saved model, so write `from tasks.tagging import CellTagger` before calling it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.tagging.embeddings import CharacterFeatures
    from tasks.tagging.flair_language_model import register_language_model_cell
    from tasks.tagging.tagger import CellTagger

__all__ = ["CellTagger", "CharacterFeatures", "register_language_model_cell"]

_HOMES = {
    "CellTagger": "tasks.tagging.tagger",
    "CharacterFeatures": "tasks.tagging.embeddings",
    "register_language_model_cell": "tasks.tagging.flair_language_model",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
