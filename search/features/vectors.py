"""Vectors of cells by graph2vec: gensim's Doc2Vec on the words of their graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.words import graph_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from cellzoo.cells.cell import Cell

# With gensim's defaults, 10 passes and 0.025, vectors of a few hundred graphs hardly leave their start.
_EPOCHS, _FIRST_RATE, _LAST_RATE = 60, 0.05, 0.0001


class GraphVectors:
    """A vector model trained on some cells, which also infers vectors of other cells.

    The same cells and seed give the same vectors in every process. gensim's own `infer_vector` would not: it
    starts from Python's hash of the words, which differs between processes.

    Args:
        cells: The training cells; to evaluate predictions, leave the test cells out.
        dimensions: Of a vector; the published features of NAS-Bench-NLP have 10 and 50.
        seed: Of all random numbers.

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
        """The vectors of the training cells, (cells, dimensions)."""
        return np.asarray(self._model.dv.vectors, dtype=np.float64)

    def of(self, cells: Sequence[Cell]) -> NDArray[np.float64]:
        """Infer the vectors of any cells, (cells, dimensions); words that no training cell has are ignored."""
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
