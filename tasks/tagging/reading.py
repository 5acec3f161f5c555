"""Read and check the data of tagging, without Flair."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from cellzoo.errors import DataError
from tasks.data.read import read_tagged, read_word_vectors, with_reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.data.found import FoundData
    from tasks.data.read import TaggedData
    from tasks.tagging.settings import TaggingSettings


def read_corpus(data: Mapping[str, FoundData], settings: TaggingSettings) -> TaggedData:
    """Read the corpus that the settings name, shortened to the numbers of sentences that they allow.

    Raises:
        DataError: A file cannot be read, or the training data hold no entity.
    """
    found = data[settings.corpus]
    reading = with_reading(
        found,
        text_column=settings.text_column,
        tag_column=settings.tag_column,
        scheme=settings.scheme,
        comments=settings.comments,
        tags=settings.tags,
        encoding=settings.encoding,
    )
    corpus = read_tagged(found, reading)
    splits = dict(corpus.splits)
    splits["train"] = splits["train"][: settings.train_sentences or None]
    splits["dev"] = splits["dev"][: settings.dev_sentences or None]
    if corpus.scheme != "tokens" and not any(one.spans for one in splits["train"]):
        where = "train holds" if any(one.spans for one in splits["dev"]) else "train and dev hold"
        raise DataError(f"{found.places}: {where} no entity, so there is nothing to learn")
    return replace(corpus, splits=splits)


def check_data(data: Mapping[str, FoundData], settings: TaggingSettings) -> None:
    """Read all data that the settings name; see `tasks.problem.ProblemKind.check`."""
    corpus = read_corpus(data, settings)
    for feature in settings.declared:
        if feature.kind == "vectors":
            tokens = (token for split in corpus.splits.values() for one in split for token in one.tokens)
            read_word_vectors(data[feature.data], looked_up(tokens))


def looked_up(tokens: Iterable[str]) -> set[str]:
    """List all spellings under which Flair's `WordEmbeddings` looks tokens up."""
    forms = set()
    for token in tokens:
        lower = token.lower()
        forms |= {token, lower, re.sub(r"\d", "#", lower), re.sub(r"\d", "0", lower)}
    return forms
