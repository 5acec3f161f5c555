"""Embeddings that are not trained, with a cache on disk of the vectors of each sentence."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Self

import flair
import torch
from flair.embeddings import WordEmbeddings
from flair.embeddings.base import load_embeddings, register_embeddings

from cellzoo.errors import CellzooError
from tasks.embeddings.batch import (
    BatchEmbeddings,
    is_computed_here,
    is_lookup,
    parts,
    token_features,
    word_rows,
    word_vectors,
)
from tasks.embeddings.identity import identity as identity_of
from tasks.embeddings.store import VectorStore, sentence_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from flair.data import Sentence
    from flair.embeddings import TokenEmbeddings
    from torch import Tensor

LIMIT = 4 * 2**30
_BLOCK = 64 * 2**20
"""Bytes per file, which bounds what a killed process loses."""
_SENTENCES = 2**17
"""Maximum number of sentences whose rows of word vectors are cached: about 70 MB with 20 tokens each."""


@register_embeddings("cellzoo-frozen")
class FrozenEmbeddings(BatchEmbeddings):
    """Token embeddings that are never trained.

    The wrapped embeddings stay in evaluation mode and get no gradient. (Flair runs a frozen transformer with
    dropout while the model around it is trained, and then caches noisy vectors.)

    With a cache folder, `fill` stores the vectors of sentences there for all later runs; those of other
    sentences are computed whenever they are needed. Vectors are stored in float32: with float16 a run with a
    cache would give other numbers than the same run without.

    A saved model holds the wrapped embeddings but not the folder; see `keep_in`.

    Args:
        inner: The embeddings, or a stack of them; this freezes them.
        folder: Cache folder; None computes all vectors each time. Several processes may use one folder at the
            same time, for different embeddings too.
        limit: Maximum number of bytes in `folder`.
        identity: A name that identifies the embeddings, for classes that `tasks.embeddings.identity` does not
            know.

    Raises:
        CellzooError: With a folder: the vectors depend on more than the tokens of a sentence, or it is unknown
            what they depend on.
    """

    def __init__(
        self,
        inner: TokenEmbeddings,
        folder: Path | None = None,
        *,
        limit: int = LIMIT,
        identity: str | None = None,
    ) -> None:
        super().__init__()
        self.name = inner.name
        self.static_embeddings = True
        self.inner = inner.requires_grad_(False)
        self._store: VectorStore | None = None
        self._rows: dict[tuple[str, ...], Tensor] = {}
        self.eval()
        if folder is not None:
            self.keep_in(folder, limit=limit, identity=identity)

    @property
    def embedding_length(self) -> int:
        """Size of the wrapped embeddings."""
        return self.inner.embedding_length

    def keep_in(self, folder: Path, *, limit: int = LIMIT, identity: str | None = None) -> None:
        """Use a cache folder from now on; arguments as in the constructor."""
        self._store = VectorStore(folder, identity_of(self.inner, identity), self.embedding_length, limit)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode."""
        super().train(False)
        return self

    def token_features(self, sentences: Sequence[Sentence]) -> Tensor:
        """Read or compute the vectors of all tokens, (N, E)."""
        if self._store is None and type(self.inner) is WordEmbeddings and self.inner.field is None:
            with torch.no_grad():
                rows = torch.cat([self._rows_of(self.inner, sentence) for sentence in sentences])  # (N,)
                return word_vectors(self.inner, rows).float()
        kept = [self._kept(sentence) for sentence in sentences]
        missing = [sentence for sentence, rows in zip(sentences, kept, strict=True) if rows is None]
        if len(missing) == len(sentences):
            return self._compute(missing)
        computed = iter(self._split(self._compute(missing), missing) if missing else ())
        vectors = [next(computed).cpu() if one is None else one for one in kept]
        return torch.cat(vectors).to(flair.device)

    def fill(
        self,
        sentences: Iterable[Sentence],
        batch_size: int = 32,
        report: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        """Compute and cache the vectors of all sentences that are not in the cache yet.

        A second process that fills the same folder waits for the first one and reuses its vectors.

        Args:
            sentences: Sentences in any order; repetitions are ignored.
            batch_size: Sentences per batch; batches are sorted by length.
            report: Called with the fraction done.

        Raises:
            CellzooError: There is no cache folder.
            OutputError: The folder cannot be written.
        """
        if self._store is None:
            raise CellzooError(f"embeddings {self.name!r}: name the folder to fill by keep_in(folder)")
        with self._store.locked():
            missing = {sentence_key(_texts(sentence)): sentence for sentence in sentences}
            missing = {key: sentence for key, sentence in missing.items() if self._store.get(key) is None}
            ordered = sorted(missing.items(), key=lambda entry: len(entry[1].tokens), reverse=True)
            pending: dict[bytes, Tensor] = {}
            for start in range(0, len(ordered), batch_size):
                batch = ordered[start : start + batch_size]
                vectors = self._compute([sentence for _, sentence in batch]).cpu()
                rows = self._split(vectors, [sentence for _, sentence in batch])
                pending |= {key: one for (key, _), one in zip(batch, rows, strict=True)}
                last = start + batch_size >= len(ordered)
                if last or sum(one.nbytes for one in pending.values()) >= _BLOCK:
                    if not self._store.write(pending):
                        left = len(ordered) - start - len(batch) + len(pending)
                        warnings.warn(
                            f"{self._store.root}: {left} sentences do not fit below its limit of "
                            f"{self._store.limit} bytes; they will be embedded each time. Raise limit, or "
                            "take another folder",
                            stacklevel=2,
                        )
                        return
                    pending = {}
                report(min(1.0, (start + batch_size) / len(ordered)))

    def _kept(self, sentence: Sentence) -> Tensor | None:
        return None if self._store is None else self._store.get(sentence_key(_texts(sentence)))

    def _rows_of(self, words: WordEmbeddings, sentence: Sentence) -> Tensor:
        texts = _texts(sentence)
        rows = self._rows.get(texts)
        if rows is None:
            rows = word_rows(words, texts)  # (T,)
            if len(self._rows) < _SENTENCES:
                self._rows[texts] = rows
        return rows

    def _compute(self, sentences: Sequence[Sentence]) -> Tensor:
        with torch.no_grad():
            vectors = token_features(self.inner, list(sentences)).float()  # (N, E)
        if not all(map(is_computed_here, parts(self.inner))):
            for sentence in sentences:
                sentence.clear_embeddings(self.inner.get_names())
        return vectors

    @staticmethod
    def _split(vectors: Tensor, sentences: Sequence[Sentence]) -> tuple[Tensor, ...]:
        return vectors.split([len(sentence.tokens) for sentence in sentences])

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> FrozenEmbeddings:
        """Build from the result of `to_params`; the weights are loaded with those of the model."""
        inner: Any = load_embeddings(params["inner"])
        # Flair concatenates features in the order of their names, and not every class saves its name.
        for part, name in zip(parts(inner), params["inner_names"], strict=True):
            part.name = name
        made = cls(inner)
        made.name = params["name"]
        return made

    def to_params(self) -> dict[str, Any]:
        """Return the wrapped embeddings and all names."""
        return {
            "inner": self.inner.save_embeddings(use_state_dict=False),
            "inner_names": [part.name for part in parts(self.inner)],
            "name": self.name,
        }


def freeze(
    embeddings: TokenEmbeddings, sentences: Iterable[Sentence], cache: Path | None = None
) -> FrozenEmbeddings:
    """Freeze embeddings, and fill the cache with the vectors of sentences, unless they are only table lookups.

    Args:
        embeddings: The embeddings, or a stack of them.
        sentences: All sentences that will be embedded, in any order.
        cache: Cache folder that all runs share; None computes all vectors each time.

    Raises:
        CellzooError: As in `FrozenEmbeddings`.
        OutputError: The folder cannot be written.
    """
    frozen = FrozenEmbeddings(embeddings)
    if cache is not None and not all(map(is_lookup, parts(embeddings))):
        frozen.keep_in(cache)
        frozen.fill(sentences)
    return frozen


def _texts(sentence: Sentence) -> tuple[str, ...]:
    return tuple([token.form for token in sentence.tokens])
