"""Predicting a split and counting its spans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.tagging.corpus import LABEL, PREDICTED, labelled_spans
from tasks.tagging.scores import judge_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flair.data import Sentence

    from tasks.tagging.tagger import CellTagger
    from tasks.task import Json


def evaluate(
    tagger: CellTagger,
    sentences: Sequence[Sentence],
    split: str,
    batch_size: int,
    *,
    loss: bool = False,
    report: Callable[[float], None] = lambda fraction: None,
) -> tuple[list[dict[str, Json]], float]:
    """Predict every sentence and compare its spans with the gold ones.

    Args:
        tagger: The tagger.
        sentences: Sentences with gold spans under `ner`; predictions are left under `predicted`.
        split: Written into each item.
        batch_size: Sentences predicted at once, those of like length together.
        loss: Whether to compute the loss too; every gold type must then be known to the tagger.
        report: Takes the fraction that is done.

    Returns:
        One item a sentence, in the order given, and the mean loss a token (0 without `loss`).
    """
    ordered = sorted(sentences, key=len, reverse=True)
    total, tokens = 0.0, 0
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        result = tagger.predict(batch, mini_batch_size=batch_size, label_name=PREDICTED, return_loss=loss)
        if loss:
            total += float(result[0])
            tokens += result[1]
        report(min(1.0, (start + batch_size) / len(ordered)))
    items = [
        judge_sentence(split, index, labelled_spans(sentence, LABEL), labelled_spans(sentence, PREDICTED))
        for index, sentence in enumerate(sentences)
    ]
    return items, total / max(tokens, 1)
