"""What a model reads of each token, declared in a line: `glove:FILE + char`, `flair:DIR forward + backward`.

A part is one of

- `words`: vectors of the words of the training data, trained with the model;
- `char`: a character LSTM, trained with the model;
- word vectors, which stay as they are: a data set by name (`glove-6b-50d`) or `glove:FILE`, `fasttext:FILE`,
  `word2vec:FILE`, `vectors:FILE`;
- `flair:SOURCE`, the states of character language models, which stay as they are: a file, or a folder or name
  with `forward`, `backward` or `forward + backward` (both when none is said), and with `pooled` before them;
- `transformer:SOURCE`, the last layer of a pretrained model, which stays as it is: a folder, or a name that the
  Hugging Face hub's own packages have downloaded.

Imports nothing heavy: what a task needs is known before any of it is loaded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cellzoo.errors import CellzooError

Kind: TypeAlias = Literal["words", "char", "vectors", "flair", "transformer"]
DIRECTIONS = ("forward", "backward")
MODELS = ("flair", "transformer")
"""Kinds that are computed by pretrained models."""
POOLED = "pooled"
_TRAINED: dict[str, Kind] = {"words": "words", "char": "char"}
_EXAMPLE = "such as 'glove-6b-50d + char', 'flair:DIR forward + backward' or 'transformer:DIR'"


@dataclass(frozen=True)
class Feature:
    """A part of what is read of each token.

    Attributes:
        kind: Which.
        data: Name of the data that it comes from; empty where it is trained.
        is_pooled: Whether the states of all occurrences of a word are pooled beside the word's own.
    """

    kind: Kind
    data: str = ""
    is_pooled: bool = False


def parse_features(text: str) -> tuple[Feature, ...]:
    """Read a declaration.

    Raises:
        CellzooError: A part is not known or stands twice; the part and what would be right are in the message.
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
        raise CellzooError(f"features {text!r}: {doubled.data or doubled.kind!r} stands twice")
    return tuple(found)


def declared(features: str, vectors: str, characters: int) -> tuple[Feature, ...]:
    """What settings declare: in a line, or by the settings for the usual kinds.

    Args:
        features: The line; empty if the others say it.
        vectors: Name of word vectors; empty for trained ones.
        characters: Size of the character LSTM; 0 for none.

    Raises:
        CellzooError: As `parse_features`; or characters of no size are asked for.
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
