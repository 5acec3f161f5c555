"""Tagged sentences as Flair's, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flair.data import Dictionary, Sentence

from cellzoo.errors import DataError
from tasks.data.conll import spans

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tasks.data.conll import TaggedSentence
    from tasks.tagging.scores import Span

LABEL = "ner"
PREDICTED = "predicted"


def flair_sentences(sentences: Iterable[TaggedSentence]) -> list[Sentence]:
    """Make Flair sentences with the entities as spans under the label `ner`.

    Raises:
        DataError: Flair would drop or change a token, so that positions would shift.
    """
    made = []
    for number, source in enumerate(sentences, start=1):
        sentence = Sentence(list(source.tokens))
        if tuple(token.text for token in sentence.tokens) != source.tokens:
            raise DataError(f"sentence {number}: Flair changes its tokens {' '.join(source.tokens)!r:.80}")
        for start, end, kind in spans(source.tags):
            sentence[start:end].add_label(LABEL, kind)
        made.append(sentence)
    return made


def type_dictionary(sentences: Iterable[TaggedSentence]) -> Dictionary:
    """List the entity types that occur, in alphabetical order."""
    types = {kind for sentence in sentences for _, _, kind in spans(sentence.tags)}
    dictionary = Dictionary(add_unk=False)
    dictionary.span_labels = True
    for kind in sorted(types):
        dictionary.add_item(kind)
    return dictionary


def labelled_spans(sentence: Sentence, label: str) -> list[Span]:
    """Read the spans that a sentence holds under `label`."""
    return [
        (found.data_point.tokens[0].idx - 1, found.data_point.tokens[-1].idx, found.value)
        for found in sentence.get_labels(label)
    ]
