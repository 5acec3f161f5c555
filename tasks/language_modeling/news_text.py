"""The news corpus as numbers: vocabulary, streams, and losses back by document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from tasks.data.news import read_news, split_news
from tasks.data.vocabulary import END, Vocabulary
from tasks.language_modeling import streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from tasks.data.found import FoundData
    from tasks.data.splits import Split
    from tasks.language_modeling.streams import Streams
    from tasks.task import Json


@dataclass(frozen=True)
class NewsText:
    """The documents of each split and the vocabulary of the training text.

    Attributes:
        documents: Split -> documents, each a list of words.
        vocabulary: Words of the training split.
        source: The data set the documents were read from.
    """

    documents: Mapping[Split, list[list[str]]]
    vocabulary: Vocabulary
    source: FoundData

    @classmethod
    def read(cls, found: FoundData, min_count: int) -> NewsText:
        """Read and split the corpus; words rarer than `min_count` in train are left out of the vocabulary.

        Raises:
            DataError: The corpus is not what it should be.
        """
        documents = split_news(read_news(found))
        return cls(documents, Vocabulary.build(documents["train"], min_count), found)

    def training_streams(self, count: int) -> Streams:
        """The training text in `count` streams."""
        return streams.training_streams(self._words("train"), self._end, count)

    def evaluation_streams(self, split: Split, count: int) -> Streams:
        """The text of a split in `count` streams, every word predicted once."""
        return streams.evaluation_streams(self._words(split), self._end, count)

    def items(self, split: Split, losses: Tensor) -> list[dict[str, Json]]:
        """Sum the losses of a split by document.

        Args:
            split: Which.
            losses: Negative log-likelihood of every word of the split, (N,), as `word_losses` gives them.
        """
        lengths = [len(document) + 1 for document in self.documents[split]]
        return [
            {"split": split, "index": index, "nll": piece.sum().item(), "tokens": piece.numel()}
            for index, piece in enumerate(losses.split(lengths))
        ]

    @property
    def _end(self) -> int:
        return self.vocabulary.index[END]

    def _words(self, split: Split) -> Tensor:
        return torch.tensor(self.vocabulary.stream(self.documents[split]))  # (N,)
