"""How a deployed model reads text: the JSON in the metadata of its ONNX file.

Tokens are mapped to numbers by vocabularies, one per input of the graph:

    {"name": "words", "kind": "words", "forms": ["exact", "lower", ...], "items": [...], "unknown": 9}
    {"name": "characters", "kind": "characters", "items": [...], "unknown": 0}

The number of a word is the index of the first of its forms that is among the items, plus `first`, or `unknown`
if none is. Characters form a matrix with one row per word, padded with -1 on the right.

This module needs only the standard library, numpy and pydantic.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

PROPERTY = "cellzoo"
"""Key of the JSON in the metadata."""
FORMAT: Literal["cellzoo model 1"] = "cellzoo model 1"
PADDING = -1
Form: TypeAlias = Literal["exact", "lower", "hash", "zero"]
_DIGIT = re.compile(r"\d")
_FORMS: dict[str, Callable[[str], str]] = {
    "exact": str,
    "lower": str.lower,
    "hash": lambda word: _DIGIT.sub("#", word.lower()),
    "zero": lambda word: _DIGIT.sub("0", word.lower()),
}
FLAIR_FORMS: tuple[Form, ...] = ("exact", "lower", "hash", "zero")
"""The forms under which Flair looks up pretrained word vectors, in this order."""


class Input(BaseModel):
    """How tokens are mapped to one input of the graph.

    Attributes:
        name: Name of the input.
        kind: `words`: one number per token; `characters`: one number per character.
        forms: Forms under which a token is looked up, in this order.
        items: The vocabulary.
        first: Number of the first item.
        unknown: Number of everything that is not in the vocabulary.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["words", "characters"]
    forms: tuple[Form, ...] = ("exact",)
    items: tuple[str, ...] = Field(repr=False)
    first: int = 0
    unknown: int


class Description(BaseModel):
    """The metadata of an exported model.

    Attributes:
        format: Version of this format.
        task: Task of the model.
        inputs: Inputs of the graph; a classifier of pairs has the same vocabulary for `first` and `second`.
        labels: Names of tags or classes, by number; empty if a score is predicted.
        scheme: Tagging scheme; `tokens` if tags label single tokens.
        tokens: Tokenisation: tokens are `given`, or made by `tasks.classification.texts.words_of` (`glove`).
        max_length: Maximum number of tokens of a text; longer ones are truncated. 0 for no limit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["cellzoo model 1"] = FORMAT
    task: Literal["tagging", "classification", "pairs"]
    inputs: tuple[Input, ...]
    labels: tuple[str, ...]
    scheme: Literal["IOB2", "BIOES", "tokens"] = "tokens"
    tokens: Literal["given", "glove"] = "given"
    max_length: int = 0


class Numbers:
    """Maps tokens to an input of the graph.

    Args:
        described: Description of the input.
    """

    def __init__(self, described: Input) -> None:
        self.name = described.name
        self._index = {item: number for number, item in enumerate(described.items, start=described.first)}
        self._forms = [_FORMS[form] for form in described.forms]
        self._unknown = described.unknown
        self._number = self._words if described.kind == "words" else self._characters

    def __call__(self, tokens: Sequence[str]) -> np.ndarray:
        """Return int64 numbers: (T,) of words, (T, longest word) of characters."""
        return self._number(tokens)

    def _words(self, tokens: Sequence[str]) -> np.ndarray:
        return np.array([self._word(token) for token in tokens], dtype=np.int64)

    def _word(self, token: str) -> int:
        found = (self._index.get(form(token)) for form in self._forms)
        return next((number for number in found if number is not None), self._unknown)

    def _characters(self, tokens: Sequence[str]) -> np.ndarray:
        codes = np.full((len(tokens), max(map(len, tokens))), PADDING, dtype=np.int64)
        for row, token in zip(codes, tokens, strict=True):
            row[: len(token)] = [self._index.get(letter, self._unknown) for letter in token]
        return codes
