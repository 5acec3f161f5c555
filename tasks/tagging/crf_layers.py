"""Replacements for Flair's CRF, loss and decoder that work on emissions (B, T, K).

In Flair 0.15.1 the CRF returns the sums of emissions and transitions, (B, T, K, K), which the loss and the
decoder read. Here it returns the emissions unchanged.
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
"""Emissions (B, T, K), lengths (B,) in descending order, transitions (K, K)."""


class EmissionCRF(CRF):
    """A CRF that returns the emissions; it takes over the weights of Flair's CRF, under the same name."""

    def __init__(self, crf: CRF) -> None:
        # The constructor of Flair's CRF would draw new transitions.
        nn.Module.__init__(self)
        self.tagset_size = crf.tagset_size
        self.transitions = crf.transitions

    def forward(self, features: Tensor) -> Tensor:
        """Return the emissions, (B, T, K)."""
        return features


class EmissionLoss(ViterbiLoss):
    """Flair's loss, the summed negative log-likelihood of the gold tags, computed from emissions."""

    def forward(self, features_tuple: Scores, targets: Tensor) -> Tensor:
        """Compute the loss; `targets` are the tags of all tokens, sentence after sentence, (N,)."""
        emissions, lengths, transitions = features_tuple
        return crf_loss(emissions, transitions, targets, lengths, self.start_tag, self.stop_tag)


class EmissionDecoder(ViterbiDecoder):
    """Flair's Viterbi decoder, computed from emissions."""

    def decode(
        self, features_tuple: Scores, probabilities_for_all_classes: bool, sentences: list[Sentence]
    ) -> tuple[list[list[tuple[str, float]]], list[list[list[Label]]]]:
        """Find the best tags of each sentence, as `ViterbiDecoder.decode`."""
        emissions, lengths, transitions = features_tuple
        scores = emissions.unsqueeze(-1) + transitions  # (B, T, K, K)
        # Flair compares each length with each step in Python, which is very slow with a tensor.
        return super().decode((scores, lengths.tolist(), transitions), probabilities_for_all_classes, sentences)
