"""Vectors of cells, learned from the words of their graphs by gensim's Doc2Vec: what graph2vec is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.words import graph_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell

# gensim's defaults, 10 passes with 0.025, leave a few hundred graphs near where their vectors started.
_EPOCHS, _FIRST_RATE, _LAST_RATE = 60, 0.05, 0.0001


class GraphVectors:
    """Vectors that were learned from some cells, and those of other cells in the same space.

    The same cells and seed give the same vectors in every process. gensim's own `infer_vector` would not: it
    starts from Python's hash of the words, which is another one in each process.

    Args:
        cells: What is learned from; where a prediction is to be tested, the training part alone.
        dimensions: Of a vector; the published features of NAS-Bench-NLP have 10 and 50.
        seed: Of everything random.

    Raises:
        MissingDependencyError: gensim is not installed.
    """

    def __init__(self, cells: Sequence[Cell], dimensions: int = 10, seed: int = 0) -> None:
        require("gensim", "search")
        from gensim.models.doc2vec import Doc2Vec, TaggedDocument

        self.dimensions, self.seed = dimensions, seed
        documents = [TaggedDocument(graph_words(cell), [number]) for number, cell in enumerate(cells)]
        self._model: Any = Doc2Vec(
            documents,
            vector_size=dimensions,
            dm=0,
            window=0,
            min_count=1,
            sample=0.0,
            workers=1,
            epochs=_EPOCHS,
            alpha=_FIRST_RATE,
            min_alpha=_LAST_RATE,
            seed=seed,
        )

    def learned(self) -> NDArray[np.float64]:
        """The vectors of the cells that were learned from, one a row."""
        return np.asarray(self._model.dv.vectors, dtype=np.float64)

    def of(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """The vectors of any cells, one a row; words that were not learned from are left out."""
        return np.stack([self._infer(graph_words(cell)) for cell in cells])

    def _infer(self, words: Sequence[str]) -> NDArray[np.float64]:
        from gensim.models.doc2vec import train_document_dbow

        start = np.random.default_rng(self.seed).random((1, self.dimensions))
        vector = ((start - 0.5) / self.dimensions).astype(np.float32)
        self._model.random = np.random.RandomState(self.seed)
        for rate in np.linspace(_FIRST_RATE, _LAST_RATE, _EPOCHS):
            train_document_dbow(
                self._model,
                list(words),
                [0],
                float(rate),
                np.zeros(self.dimensions, dtype=np.float32),
                learn_words=False,
                learn_hidden=False,
                doctag_vectors=vector,
                doctags_lockf=np.ones(1, dtype=np.float32),
            )
        return vector[0].astype(np.float64)
