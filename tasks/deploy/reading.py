"""How a deployed model reads text: what stands in the metadata of its ONNX file, as JSON.

Tokens become numbers by a list of vocabularies, one for each input of the graph:

    {"name": "words", "kind": "words", "forms": ["exact", "lower", ...], "items": [...], "unknown": 9}
    {"name": "characters", "kind": "characters", "items": [...], "unknown": 0}

A word's number is the place of the first of its forms that is among the items, else `unknown`; `first` is added
to places. Characters of a sentence are one row a word, filled with -1 on the right.

Imports nothing but the standard library, numpy and pydantic, as whoever deploys a model may have nothing else.
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
"""In which Flair looks pretrained word vectors up."""


class Input(BaseModel):
    """How one input of the graph is made of tokens.

    Attributes:
        name: Of the input.
        kind: A number a token, or numbers of its characters.
        forms: In which a token is looked up.
        items: What has a number.
        first: The number of the first item.
        unknown: The number of all else.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Literal["words", "characters"]
    forms: tuple[Form, ...] = ("exact",)
    items: tuple[str, ...] = Field(repr=False)
    first: int = 0
    unknown: int


class Description(BaseModel):
    """What a file says of its model.

    Attributes:
        format: Of this description.
        task: What the model does.
        inputs: Inputs of the graph; a classifier of pairs has the same words for `first` and `second`.
        labels: Names of tags or classes, by number; none where a score is predicted.
        scheme: How tags make spans; `tokens` where each stands for itself.
        tokens: How a text becomes tokens: `given` ones, or those of `tasks.classification.texts.words_of`.
        max_length: Tokens after which a text is cut; 0 for none.
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
    """Turns tokens into an input of the graph.

    Args:
        described: The input.
    """

    def __init__(self, described: Input) -> None:
        self.name = described.name
        self._index = {item: number for number, item in enumerate(described.items, start=described.first)}
        self._forms = [_FORMS[form] for form in described.forms]
        self._unknown = described.unknown
        self._number = self._words if described.kind == "words" else self._characters

    def __call__(self, tokens: Sequence[str]) -> np.ndarray:
        """Give int64 numbers: (T,) of words, (T, longest word) of characters."""
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
