"""Load the pretrained embeddings that the settings declare, and freeze them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flair.embeddings import FlairEmbeddings, TransformerWordEmbeddings

from cellzoo.errors import DataError
from tasks.embeddings.frozen import freeze
from tasks.embeddings.pooled import PooledFeatures
from tasks.tagging.flair_language_model import load_language_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from flair.data import Sentence
    from flair.embeddings import TokenEmbeddings

    from tasks.data.found import FoundData
    from tasks.embeddings.batch import BatchEmbeddings
    from tasks.embeddings.features import Feature


def pretrained_model(feature: Feature, found: FoundData) -> TokenEmbeddings:
    """Load a character language model or a transformer.

    Raises:
        DataError: The files hold no such model.
    """
    try:
        if feature.kind == "flair":
            made: TokenEmbeddings = FlairEmbeddings(load_language_model(found.parts["model"].path))
        else:
            folder = found.parts["config.json"].path.parent
            made = TransformerWordEmbeddings(str(folder), fine_tune=False, use_context=False)
    except DataError:
        raise
    except Exception as error:  # whatever torch, transformers and a pickle raise
        words = " ".join(str(error).split())
        raise DataError(
            f"{found.places}: cannot be loaded as {feature.data!r} ({type(error).__name__}: {words:.160})"
        ) from error
    return made


def frozen_features(
    parts: Sequence[tuple[Feature, TokenEmbeddings]],
    sentences: Sequence[Sentence],
    training: Sequence[Sentence],
    cache: Path | None,
) -> list[BatchEmbeddings]:
    """Freeze embeddings, fill their cache, and add pooling where it was declared.

    Args:
        parts: Declarations and their embeddings.
        sentences: All sentences of all splits.
        training: The sentences of the training data.
        cache: Folder of the cache that runs share; None computes features each time.

    Returns:
        One per part; their names begin with their index, so that Flair concatenates features in this order.
    """
    made: list[BatchEmbeddings] = []
    for number, (feature, embeddings) in enumerate(parts):
        if feature.kind != "vectors":
            embeddings.name = f"{number}-{feature.kind}"
        frozen: BatchEmbeddings = freeze(embeddings, sentences, cache)
        made.append(PooledFeatures(frozen, training) if feature.is_pooled else frozen)
    return made
