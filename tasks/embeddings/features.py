"""The features of a token, declared in one line: `glove:FILE + char`, `flair:DIR forward + backward`.

A part is one of

- `words`: vectors of the words of the training data, trained with the model;
- `char`: a character LSTM, trained with the model;
- frozen word vectors: a data set by name (`glove-6b-50d`) or `glove:FILE`, `fasttext:FILE`, `word2vec:FILE`,
  `vectors:FILE`;
- `flair:SOURCE`, the states of frozen character language models: a file, or a folder or name followed by
  `forward`, `backward` or `forward + backward` (the default), and with `pooled` before these;
- `transformer:SOURCE`, the last layer of a frozen pretrained model: a folder, or the name of a model that is in
  the local cache of the Hugging Face hub.

This module imports nothing heavy, so that the data of a task are known before anything is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError

Kind: TypeAlias = Literal["words", "char", "vectors", "flair", "transformer"]
DIRECTIONS = ("forward", "backward")
MODELS = ("flair", "transformer")
"""Kinds that need a pretrained model."""
POOLED = "pooled"
_TRAINED: dict[str, Kind] = {"words": "words", "char": "char"}
_EXAMPLE = "such as 'glove-6b-50d + char', 'flair:DIR forward + backward' or 'transformer:DIR'"


@dataclass(frozen=True)
class Feature:
    """A part of the features of a token.

    Attributes:
        kind: Kind of the feature.
        data: Name of its data; empty for trained features.
        is_pooled: Whether states pooled over all occurrences of a word are added to the word's own.
    """

    kind: Kind
    data: str = ""
    is_pooled: bool = False


def parse_features(text: str) -> tuple[Feature, ...]:
    """Parse a declaration.

    Raises:
        CellzooError: A part is unknown, empty or repeated; the message names the part and gives valid ones.
    """
    found: list[Feature] = []
    source = ""
    is_pooled = False
    for part in (" ".join(part.split()) for part in text.split("+")):
        if part in DIRECTIONS:
            if not source:
                raise CellzooError(f"features {text!r}: {part!r} must follow a part flair:SOURCE, {_EXAMPLE}")
            found.append(Feature("flair", f"{source} {part}", is_pooled))
            continue
        kind, colon, rest = part.partition(":")
        source = ""
        if not part or (colon and not rest.strip()):
            raise CellzooError(f"features {text!r}: a part is empty; expected parts joined by +, {_EXAMPLE}")
        if part in _TRAINED:
            found.append(Feature(_TRAINED[part]))
        elif kind == "flair" and colon:
            words, said = rest.split(), []
            while len(words) > 1 and words[-1] in (*DIRECTIONS, POOLED):
                said.append(words.pop())
            source, is_pooled = f"flair:{' '.join(words)}", POOLED in said
            named = [word for word in reversed(said) if word != POOLED]
            directions = named or ([""] if words[-1].endswith(".pt") else DIRECTIONS)
            found += [Feature("flair", f"{source} {word}".strip(), is_pooled) for word in directions]
        elif kind == "transformer" and colon:
            found.append(Feature("transformer", part))
        else:
            _require_vectors(part, text)
            found.append(Feature("vectors", part))
    doubled = next((one for number, one in enumerate(found) if one in found[:number]), None)
    if doubled is not None:
        raise CellzooError(f"features {text!r}: {doubled.data or doubled.kind!r} is given twice")
    return tuple(found)


def declared(features: str, vectors: str, characters: int) -> tuple[Feature, ...]:
    """Return the features that settings declare: by `features`, or else by the settings for the usual kinds.

    Args:
        features: The declaration; empty to use the other arguments.
        vectors: Name of pretrained word vectors; empty for trained ones.
        characters: Size of the character LSTM; 0 for none.

    Raises:
        CellzooError: As in `parse_features`, or `features` has `char` while `characters` is 0.
    """
    if not features:
        words = Feature("vectors", vectors) if vectors else Feature("words")
        return (words, Feature("char")) if characters else (words,)
    found = parse_features(features)
    if Feature("char") in found and not characters:
        raise CellzooError(f"features {features!r}: char needs a character_hidden above 0")
    return found


def _require_vectors(part: str, text: str) -> None:
    from tasks.data.catalog import SUFFIX, find_set, set_names
    from tasks.data.own import KINDS

    if KINDS.get(part.partition(":")[0]) == "vectors" and ":" in part:
        return
    if part.endswith(SUFFIX):
        return
    if part not in set_names() or find_set(part).format != "vectors":
        known = ", ".join(name for name in set_names() if find_set(name).format == "vectors")
        raise CellzooError(
            f"features {text!r}: {part!r} is not known; expected words, char, flair:SOURCE, "
            f"transformer:SOURCE, glove:FILE, or word vectors by name ({known})"
        )
