"""Features of tokens: pretrained word vectors, word vectors that are trained, and characters."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import flair
import torch
from flair.data import Dictionary
from flair.embeddings import OneHotEmbeddings, WordEmbeddings
from flair.embeddings.base import register_embeddings
from torch.nn.utils.rnn import pack_padded_sequence

import cellzoo
from tasks.data.parts import Part
from tasks.data.vectors import read_vectors
from tasks.embeddings.batch import BatchEmbeddings
from tasks.tagging.reading import looked_up

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from flair.data import Sentence

    from tasks.data.conll import TaggedSentence
    from tasks.data.vectors import WordVectors

_UNKNOWN = 0


def pretrained_words(path: Path | Part, tokens: Iterable[str] | None = None) -> WordEmbeddings:
    """Load pretrained word vectors from a text file, see `tasks.data.vectors`; they are not trained further.

    A word is looked up as it is, then lower-cased, then with its digits replaced by `#` and by `0`; a word
    that is not found has a vector of zeros.

    Args:
        path: The file.
        tokens: All words that will be looked up, so that no others are kept in memory; None keeps all.

    Raises:
        DataError: The file holds no word vectors, or a row is malformed.
    """
    wanted = None if tokens is None else looked_up(tokens)
    return word_embeddings(read_vectors(path if isinstance(path, Part) else Part(path), wanted))


def word_embeddings(vectors: WordVectors) -> WordEmbeddings:
    """Make Flair embeddings of pretrained word vectors; they are not trained further."""
    words = WordEmbeddings(
        embeddings=None,
        vocab={word: row for row, word in enumerate(vectors.words)},
        embedding_length=vectors.size,
        name="words",
    )
    with torch.no_grad():
        words.embedding.weight[:-1] = vectors.vectors
    return words


def trained_words(sentences: Sequence[TaggedSentence], size: int, min_count: int) -> OneHotEmbeddings:
    """Build trainable word vectors for the words that occur at least `min_count` times.

    All other words, also unseen ones, share one vector.
    """
    counts = Counter(token for sentence in sentences for token in sentence.tokens)
    return OneHotEmbeddings(_dictionary(counts, min_count), embedding_length=size)


def characters(
    sentences: Sequence[TaggedSentence], size: int, hidden_size: int, min_count: int = 2
) -> CharacterFeatures:
    """Build character features for the characters that occur at least `min_count` times.

    All other characters, also unseen ones, share one vector.
    """
    counts = Counter(character for sentence in sentences for token in sentence.tokens for character in token)
    return CharacterFeatures(_dictionary(counts, min_count), size, hidden_size)


def _dictionary(counts: Counter[str], min_count: int) -> Dictionary:
    dictionary = Dictionary(add_unk=True)
    for item in sorted(item for item, count in counts.items() if count >= min_count):
        dictionary.add_item(item)
    return dictionary


@register_embeddings("cellzoo-characters")
class CharacterFeatures(BatchEmbeddings):
    """The last states of a bidirectional LSTM over a word's characters (Lample et al., 2016, section 4.1).

    Unlike `CharacterEmbeddings` of Flair 0.15.1 it runs once over the distinct words of all given sentences,
    and a word has the same features in every position. (In Flair's, a word that occurs twice in a sentence gets
    another word's features at its first position, and the backward half has seen the last character only.)

    Args:
        dictionary: The characters; index 0 is for unknown ones.
        size: Size of a character's vector.
        hidden_size: Size of the LSTM in each direction; a token's features have twice this size.
        name: Name of the features within a token.
    """

    def __init__(
        self, dictionary: Dictionary, size: int = 25, hidden_size: int = 25, name: str = "characters"
    ) -> None:
        super().__init__()
        self.name = name
        self.static_embeddings = False
        self.dictionary = dictionary
        self._codes = {character: code for code, character in enumerate(dictionary.get_items())}
        self.vectors = torch.nn.Embedding(len(dictionary), size)
        self.rnn = cellzoo.rnn("lstm", size, hidden_size, bidirectional=True, batch_first=True)
        self.to(flair.device)
        self.eval()

    @property
    def embedding_length(self) -> int:
        """Twice the hidden size."""
        return 2 * self.rnn.hidden_size

    def token_features(self, sentences: Sequence[Sentence]) -> torch.Tensor:
        """Compute the features of all tokens, (N, 2 hidden_size)."""
        texts = [token.text for sentence in sentences for token in sentence.tokens]
        rows = {word: row for row, word in enumerate(dict.fromkeys(texts))}
        features = self._encode(list(rows))  # (U, 2 hidden_size)
        return features[torch.tensor([rows[text] for text in texts], device=features.device)]

    def _encode(self, words: list[str]) -> torch.Tensor:
        lengths = torch.tensor([len(word) for word in words])  # (U,)
        known = self._codes
        codes = torch.zeros(len(words), int(lengths.max()), dtype=torch.long)  # (U, longest word)
        inside = torch.arange(codes.size(1)) < lengths.unsqueeze(1)
        codes[inside] = torch.tensor([known.get(letter, _UNKNOWN) for word in words for letter in word])
        codes = codes.to(self.vectors.weight.device)
        packed = pack_padded_sequence(codes, lengths, batch_first=True, enforce_sorted=False)
        vectors = packed._replace(data=self.vectors(packed.data))  # (characters, size)
        _, (last, _) = self.rnn(vectors)  # (2, U, hidden_size)
        return torch.cat([last[0], last[1]], dim=1)  # (U, 2 hidden_size)

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> CharacterFeatures:
        """Build from the result of `to_params`; the weights are loaded with those of the model."""
        return cls(**params)

    def to_params(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {
            "dictionary": self.dictionary,
            "size": self.vectors.embedding_dim,
            "hidden_size": self.rnn.hidden_size,
            "name": self.name,
        }
