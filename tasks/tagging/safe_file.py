"""Save a tagger as one safetensors file with JSON in its header: without pickle, loading executes no code.

Only embeddings whose settings are JSON values can be saved this way. Flair's language models and transformers
need pickle.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import flair
from flair.data import Dictionary
from flair.embeddings import OneHotEmbeddings, StackedEmbeddings, WordEmbeddings

from cellzoo.errors import CellzooError, DataError
from cellzoo.system.tensor_file import read_tensors, write_tensors
from tasks.embeddings.frozen import FrozenEmbeddings
from tasks.tagging.embeddings import CharacterFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from flair.embeddings import TokenEmbeddings
    from flair.models import SequenceTagger

Tagger = TypeVar("Tagger", bound="SequenceTagger")

_FORMAT = "cellzoo tagger 1"
_PLAIN = (
    "tag_format",
    "tag_type",
    "use_crf",
    "use_rnn",
    "hidden_size",
    "rnn_layers",
    "rnn_type",
    "use_dropout",
    "use_word_dropout",
    "use_locked_dropout",
    "reproject_embeddings",
    "weight_dict",
    "train_initial_hidden_state",
    "layer",
)
"""Entries of a tagger's state that are JSON values."""
_MALFORMED = (KeyError, TypeError, ValueError, AttributeError, RuntimeError, AssertionError)


def write(path: Path, tagger: SequenceTagger) -> None:
    """See `CellTagger.save_safely`."""
    embeddings = _describe(tagger.embeddings)
    state = dict(tagger._get_state_dict())
    content = {
        "format": _FORMAT,
        **{name: state[name] for name in _PLAIN},
        "labels": _describe_dictionary(tagger.label_dictionary),
        "embeddings": embeddings,
    }
    write_tensors(path, tagger.state_dict(), content)


def read(path: Path, kind: type[Tagger]) -> Tagger:
    """See `CellTagger.load_safely`."""
    tensors, content = read_tensors(path)
    if content.get("format") != _FORMAT:
        raise DataError(f"{path}: is not a tagger written by CellTagger.save_safely")
    try:
        state = {
            **{name: content[name] for name in _PLAIN},
            "tag_dictionary": _build_dictionary(content["labels"]),
            "embeddings": _build(content["embeddings"]),
            "state_dict": tensors,
        }
        tagger = kind._init_model_with_state_dict(state)
    except _MALFORMED as error:
        raise DataError(f"{path}: is damaged: {type(error).__name__}: {error!s:.200}") from error
    tagger.to(flair.device)
    tagger.eval()
    return tagger


def _describe(part: TokenEmbeddings) -> dict[str, Any]:
    """Describe embeddings, without their weights, as JSON values."""
    if type(part) is StackedEmbeddings:
        return {"class": "stack", "parts": [_describe(inner) for inner in part.embeddings]}
    if type(part) is FrozenEmbeddings:
        return {"class": "frozen", "name": part.name, "inner": _describe(part.inner)}
    if type(part) is WordEmbeddings:
        settings = part.to_params()
        vocabulary = settings.pop("vocab")
        words = sorted(vocabulary, key=vocabulary.__getitem__)
        return {"class": "words", "name": part.name, "words": words, "settings": settings}
    if type(part) is OneHotEmbeddings:
        settings = part.to_params()
        items = _describe_dictionary(settings.pop("vocab_dictionary"))
        return {"class": "one-hot", "name": part.name, "items": items, "settings": settings}
    if type(part) is CharacterFeatures:
        settings = part.to_params()
        items = _describe_dictionary(settings.pop("dictionary"))
        return {"class": "characters", "name": part.name, "items": items, "settings": settings}
    raise CellzooError(
        f"embeddings {part.name!r}: {type(part).__name__} cannot be written without pickle (word vectors, "
        "one-hot embeddings and CharacterFeatures can); use CellTagger.save, and load the file where you "
        "trust who wrote it"
    )


def _build(description: Mapping[str, Any]) -> TokenEmbeddings:
    """Build embeddings from the result of `_describe`."""
    kind = description["class"]
    if kind == "stack":
        return StackedEmbeddings([_build(part) for part in description["parts"]], overwrite_names=False)
    made: Any
    if kind == "frozen":
        made = FrozenEmbeddings(_build(description["inner"]))
    elif kind == "words":
        vocabulary = {word: row for row, word in enumerate(description["words"])}
        made = WordEmbeddings(None, vocab=vocabulary, **description["settings"])
    elif kind == "one-hot":
        made = OneHotEmbeddings(_build_dictionary(description["items"]), **description["settings"])
    elif kind == "characters":
        made = CharacterFeatures(_build_dictionary(description["items"]), **description["settings"])
    else:
        raise ValueError(f"embeddings of the unknown kind {kind!r}")
    made.name = description["name"]
    return made


def _describe_dictionary(dictionary: Dictionary) -> dict[str, Any]:
    return {
        "items": dictionary.get_items(),
        "add_unk": dictionary.add_unk,
        "multi_label": dictionary.multi_label,
        "span_labels": dictionary.span_labels,
    }


def _build_dictionary(description: Mapping[str, Any]) -> Dictionary:
    dictionary = Dictionary(add_unk=False)
    for item in description["items"]:
        dictionary.add_item(item)
    dictionary.add_unk = description["add_unk"]
    dictionary.multi_label = description["multi_label"]
    dictionary.span_labels = description["span_labels"]
    return dictionary
