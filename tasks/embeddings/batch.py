"""Compute the features of all tokens of a batch as one matrix.

Flair stores one vector per token and stacks them again, in the forward and in the backward pass. For embeddings
that are only a table lookup, this takes several times longer than the lookup itself.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

import flair
import torch
from flair.embeddings import OneHotEmbeddings, StackedEmbeddings, TokenEmbeddings, WordEmbeddings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from flair.data import Sentence, Token
    from torch import Tensor


class BatchEmbeddings(TokenEmbeddings):
    """Token embeddings that compute the features of all tokens of a batch at once."""

    @abstractmethod
    def token_features(self, sentences: Sequence[Sentence]) -> Tensor:
        """Compute the features of all tokens, sentence after sentence, (N, embedding_length)."""

    def _add_embeddings_internal(self, sentences: list[Sentence]) -> list[Sentence]:
        for token, vector in zip(_tokens(sentences), self.token_features(sentences).unbind(), strict=True):
            token.set_embedding(self.name, vector)
        return sentences


def token_features(embeddings: TokenEmbeddings, sentences: list[Sentence]) -> Tensor:
    """Compute the same features as Flair, for all tokens at once.

    Flair's word and one-hot embeddings and all `BatchEmbeddings` store nothing in the sentences. Other
    embeddings are computed by Flair, which reuses features that are already stored in the sentences.

    Args:
        embeddings: Any token embeddings; the parts of a stack are concatenated in the order of their names, as
            in Flair.
        sentences: Sentences, at least one of them with a token.

    Returns:
        The features, sentence after sentence, (N, E), on Flair's device.
    """
    tokens = _tokens(sentences)
    columns: dict[str, Tensor] = {}
    for part in parts(embeddings):
        if isinstance(part, BatchEmbeddings):
            columns[part.name] = part.token_features(sentences)
        elif type(part) in _LOOKUPS:
            columns[part.name] = _LOOKUPS[type(part)](part, tokens)
        else:
            part.embed(sentences)
            for name in part.get_names():
                columns[name] = torch.stack([token.get_embedding([name]) for token in tokens])
    return torch.cat([columns[name] for name in sorted(columns)], dim=1)


def is_computed_here(part: TokenEmbeddings) -> bool:
    """Tell whether `token_features` computes a part without Flair: it then stores nothing in sentences."""
    return isinstance(part, BatchEmbeddings) or type(part) in _LOOKUPS


def is_lookup(part: TokenEmbeddings) -> bool:
    """Tell whether the features of a part are rows of a table."""
    return type(part) in _LOOKUPS


def parts(embeddings: TokenEmbeddings) -> Iterator[TokenEmbeddings]:
    """Iterate over the parts of possibly nested stacks of embeddings."""
    if isinstance(embeddings, StackedEmbeddings):
        for part in embeddings.embeddings:
            yield from parts(part)
    else:
        yield embeddings


def _tokens(sentences: Sequence[Sentence]) -> list[Token]:
    return [token for sentence in sentences for token in sentence.tokens]


def _words(part: WordEmbeddings, tokens: Sequence[Token]) -> Tensor:
    texts = (token.text if part.field is None else token.get_label(part.field).value for token in tokens)
    return word_vectors(part, word_rows(part, texts))


def word_rows(part: WordEmbeddings, texts: Iterable[str]) -> Tensor:
    """Return the rows of the vectors of words, (N,), on the CPU."""
    return torch.tensor([part.get_cached_token_index(text) for text in texts], dtype=torch.long)


def word_vectors(part: WordEmbeddings, rows: Tensor) -> Tensor:
    """Return the vectors of some rows (N,) as (N, E), on Flair's device."""
    return _normalised(part.embedding(rows.to(part.device)), part.layer_norm).to(flair.device)


def _one_hot(part: OneHotEmbeddings, tokens: Sequence[Token]) -> Tensor:
    texts = (token.text if part.field == "text" else token.get_label(part.field).value for token in tokens)
    rows = [part.vocab_dictionary.get_idx_for_item(text) for text in texts]
    vectors = part.embedding_layer(torch.tensor(rows, device=flair.device))  # (N, E)
    return _normalised(vectors, part.layer_norm)


def _normalised(vectors: Tensor, norm: torch.nn.Module | None) -> Tensor:
    return vectors if norm is None else norm(vectors)


_LOOKUPS: dict[type, Callable[[Any, Sequence[Token]], Tensor]] = {
    WordEmbeddings: _words,
    OneHotEmbeddings: _one_hot,
}
