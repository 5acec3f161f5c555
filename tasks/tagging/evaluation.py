"""What a tagger finds in a batch of sentences, and how likely it takes the right tags to be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from flair.data import get_spans_from_bio

from tasks.tagging.viterbi import best_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flair.data import Sentence

    from tasks.data.tags import Span
    from tasks.tagging.tagger import CellTagger


@torch.no_grad()
def evaluate_batch(
    tagger: CellTagger, sentences: Sequence[Sentence], scored: Sequence[int]
) -> tuple[list[list[Span]], float]:
    """Find the spans of sentences, and sum the negative log-likelihoods of the gold tags of some of them.

    The sentences stay as they are. `CellTagger.predict` finds the same spans, but draws a random number from
    torch's default generator and asks for each token's confidence.

    Args:
        tagger: In evaluation mode.
        sentences: From long to short.
        scored: Places of the sentences whose likelihood counts, in order; all their types are known.

    Returns:
        The spans of each sentence, and the sum in nats.
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
    read = _spans if tagger.predict_spans else _tokens
    return [read([name(tag) for tag in sequence]) for sequence in tags], loss


def _spans(tags: list[str]) -> list[Span]:
    return [(places[0], places[-1] + 1, kind) for places, _, kind in get_spans_from_bio(tags)]


def _tokens(tags: list[str]) -> list[Span]:
    return [(place, place + 1, tag) for place, tag in enumerate(tags)]
