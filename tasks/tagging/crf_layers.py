"""What a tagger holds in place of Flair's CRF, loss and decoder, so that scores stay (B, T, K).

Flair 0.15.1 hands the sums of emissions and transitions, (B, T, K, K), from its CRF to its loss and to its
decoder. Here the emissions are handed on as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from flair.models.sequence_tagger_utils.crf import CRF
from flair.models.sequence_tagger_utils.viterbi import ViterbiDecoder, ViterbiLoss
from torch import Tensor, nn

from tasks.tagging.crf import crf_loss

if TYPE_CHECKING:
    from flair.data import Label, Sentence

Scores: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Emissions (B, T, K), lengths (B,) from long to short, transitions (K, K)."""


class EmissionCRF(CRF):
    """A CRF with the weights of another, saved under the same name, that hands on the emissions."""

    def __init__(self, crf: CRF) -> None:
        # Flair's constructor would draw other transitions.
        nn.Module.__init__(self)
        self.tagset_size = crf.tagset_size
        self.transitions = crf.transitions

    def forward(self, features: Tensor) -> Tensor:
        """Give the emissions, (B, T, K)."""
        return features


class EmissionLoss(ViterbiLoss):
    """Flair's loss, the summed negative log-likelihood of the right tags, from emissions."""

    def forward(self, features_tuple: Scores, targets: Tensor) -> Tensor:
        """Compute the loss; `targets` are the tags of all tokens, sentence after sentence, (N,)."""
        emissions, lengths, transitions = features_tuple
        return crf_loss(emissions, transitions, targets, lengths, self.start_tag, self.stop_tag)


class EmissionDecoder(ViterbiDecoder):
    """Flair's decoder, from emissions."""

    def decode(
        self, features_tuple: Scores, probabilities_for_all_classes: bool, sentences: list[Sentence]
    ) -> tuple[list[list[tuple[str, float]]], list[list[list[Label]]]]:
        """Find the best tags of each sentence, as `ViterbiDecoder.decode`."""
        emissions, lengths, transitions = features_tuple
        scores = emissions.unsqueeze(-1) + transitions  # (B, T, K, K)
        # Flair compares each length with each step; with a tensor that takes longer than all the rest.
        return super().decode((scores, lengths.tolist(), transitions), probabilities_for_all_classes, sentences)
