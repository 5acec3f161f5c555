"""Convert tagged sentences to Flair's sentences and dictionaries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flair.data import Dictionary, Sentence

from cellzoo.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.data.conll import TaggedSentence
    from tasks.data.tags import Scheme, Span

LABEL = "ner"


def gold_spans(sentence: TaggedSentence, scheme: Scheme) -> list[Span]:
    """List the gold spans of a sentence; with the scheme `tokens` each token is a span."""
    if scheme == "tokens":
        return [(place, place + 1, tag) for place, tag in enumerate(sentence.tags)]
    return sentence.spans


def flair_sentences(sentences: Iterable[TaggedSentence], scheme: Scheme = "IOB2") -> list[Sentence]:
    """Make Flair sentences with the spans, or the labels of single tokens, under the label type `ner`.

    Raises:
        DataError: Flair would drop or change a token, so that positions would shift.
    """
    made = []
    for number, source in enumerate(sentences, start=1):
        sentence = Sentence(list(source.tokens))
        if tuple(token.text for token in sentence.tokens) != source.tokens:
            raise DataError(f"sentence {number}: Flair changes its tokens {' '.join(source.tokens)!r:.80}")
        for start, end, kind in gold_spans(source, scheme):
            place = sentence[start] if scheme == "tokens" else sentence[start:end]
            place.add_label(LABEL, kind)
        made.append(sentence)
    return made


def type_dictionary(sentences: Iterable[TaggedSentence], scheme: Scheme = "IOB2") -> Dictionary:
    """Collect the types that occur, in alphabetical order."""
    types = {kind for sentence in sentences for _, _, kind in gold_spans(sentence, scheme)}
    dictionary = Dictionary(add_unk=False)
    dictionary.span_labels = scheme != "tokens"
    for kind in sorted(types):
        dictionary.add_item(kind)
    return dictionary
