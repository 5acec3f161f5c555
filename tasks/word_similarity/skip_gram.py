"""The baseline: word2vec's skip-gram with negative sampling, by gensim, on the same training text."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

GENSIM_SEEDS = 2**32


def skip_gram(
    documents: Sequence[Sequence[str]],
    words: Sequence[str],
    *,
    size: int,
    window: int,
    negative: int,
    epochs: int,
    seed: int,
) -> NDArray[np.float32]:
    """Train word vectors (Mikolov et al., arXiv 1310.4546) with one thread, so that results are deterministic.

    gensim removes words outside the vocabulary before it forms contexts, as word2vec does with rare words.

    Args:
        documents: Training text.
        words: The vocabulary, in the order of the vectors; all words must occur in the text.
        size: E.
        window: Largest distance of a context word.
        negative: Noise words for each context word.
        epochs: Passes over the text.
        seed: Any integer from 0; gensim gets it modulo 2**32.

    Returns:
        One row per word, (V, E).
    """
    from gensim.models import Word2Vec

    counts = Counter(word for document in documents for word in document)
    model = Word2Vec(
        vector_size=size,
        window=window,
        negative=negative,
        sg=1,
        min_count=1,
        workers=1,
        seed=seed % GENSIM_SEEDS,
        epochs=epochs,
        sorted_vocab=0,
    )
    model.build_vocab_from_freq({word: counts[word] for word in words}, corpus_count=len(documents))
    model.train(documents, total_examples=len(documents), epochs=epochs)
    return model.wv[list(words)]
