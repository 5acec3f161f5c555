"""Evaluate a tagger on a batch: predicted spans, and the likelihood of the gold tags."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from tasks.data.tags import read_spans, strict_spans
from tasks.tagging.viterbi import best_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flair.data import Sentence

    from tasks.data.tags import Scheme, Span
    from tasks.tagging.tagger import CellTagger


class Found(NamedTuple):
    """The spans that were predicted in a sentence.

    Attributes:
        spans: As conlleval reads the predicted tags.
        strict: As seqeval's strict mode reads them.
    """

    spans: list[Span]
    strict: list[Span]


NOTHING = Found([], [])


@torch.no_grad()
def evaluate_batch(
    tagger: CellTagger, sentences: Sequence[Sentence], scored: Sequence[int]
) -> tuple[list[Found], float]:
    """Predict the spans of sentences, and sum the negative log-likelihoods of the gold tags of some of them.

    The sentences are not changed. `CellTagger.predict` finds the same tags, but draws a random number from
    torch's default generator and computes confidences; from tag sequences that are invalid in the scheme it
    makes Flair's spans, which differ from both readings here.

    Args:
        tagger: In evaluation mode.
        sentences: In descending order of length.
        scored: Indices of the sentences whose likelihood counts, in ascending order; all their types are known.

    Returns:
        The predicted spans of each sentence, and the sum in nats.
    """
    features, lengths = tagger._prepare_tensors(list(sentences))
    scores = tagger(features, lengths)
    some = len(scored) < len(sentences)
    if tagger.use_crf:
        decoder = tagger.viterbi_decoder
        emissions, _, transitions = scores
        tags = best_tags(emissions, transitions, lengths, decoder.start_tag, decoder.stop_tag)
        if some:
            scores = emissions[list(scored)], lengths[list(scored)], transitions
    else:
        logits = scores.split(lengths.tolist())
        tags = [one.argmax(1).tolist() for one in logits]
        if some:
            scores = torch.cat([logits[place] for place in scored]) if scored else scores[:0]
    loss = 0.0
    if scored:
        gold = tagger._prepare_label_tensor([sentences[place] for place in scored])
        loss = float(tagger.loss_function(scores, gold))
    name = tagger.label_dictionary.get_item_for_index
    named = [[name(tag) for tag in sequence] for sequence in tags]
    if not tagger.predict_spans:
        return [Found(spans, spans) for spans in map(_tokens, named)], loss
    scheme: Scheme = "BIOES" if tagger.tag_format == "BIOES" else "IOB2"
    return [Found(read_spans(one, scheme)[0], strict_spans(one, scheme)) for one in named], loss


def _tokens(tags: list[str]) -> list[Span]:
    return [(place, place + 1, tag) for place, tag in enumerate(tags)]
