"""The classifier of texts and pairs of texts that GLUE's tasks train, as a model of transformers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers.modeling_outputs import SequenceClassifierOutput

from cellzoo.heads import TextHead
from cellzoo.hub.model import CellModel, CellPreTrainedModel, wants_dict

if TYPE_CHECKING:
    from cellzoo.heads import Pooling
    from cellzoo.hub.config import CellConfig


class CellForTextClassification(CellPreTrainedModel):
    """A class or a score for each text or pair of texts; see `cellzoo.heads.TextHead`.

    Unlike `CellForSequenceClassification` it has a hidden layer, and reads the texts of a pair side by side.

    Args:
        config: The configuration, with `num_labels` or `id2label`; `pairs`, `cross_attention` and `head_size`
            decide what the head is.
    """

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.loss_type = "ForSequenceClassification"  # by default transformers derives it from the class name
        self.model = CellModel(config)
        self.head = TextHead(
            config.output_size,
            config.num_labels,
            units=config.head_size,
            pairs=config.pairs,
            cross_attention=config.cross_attention,
            pooling=cast("Pooling", config.pooling),
            bidirectional=config.bidirectional,
            dropout=config.head_dropout,
        )
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pair_input_ids: Tensor | None = None,
        pair_attention_mask: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Classify.

        Args:
            input_ids: (B, T), padded on the right.
            attention_mask: (B, T), 0 for padding; every text keeps at least one token.
            pair_input_ids: The other texts, (B, T'), if and only if `pairs` is set.
            pair_attention_mask: (B, T').
            labels: (B,): classes, or with one label scores.
            return_dict: False for a tuple.
            **kwargs: `num_items_in_batch`, by which the Trainer divides the loss.

        Returns:
            `loss` if there are labels, `logits` (B, num_labels).

        Raises:
            ValueError: Texts are missing, or padded on the left.
        """
        if input_ids is None or (pair_input_ids is None) == self.config.pairs:
            wanted = "input_ids and pair_input_ids" if self.config.pairs else "input_ids alone"
            raise ValueError(f"expected {wanted}, as pairs is {self.config.pairs} in the configuration")
        texts = [(input_ids, attention_mask)]
        if pair_input_ids is not None:
            texts.append((pair_input_ids, pair_attention_mask))
        longest = max(ids.size(1) for ids, _ in texts)
        encoded = [self._encode(ids, mask, longest) for ids, mask in texts]
        states = torch.cat([one for one, _ in encoded])  # (B', T, width)
        logits = self.head(states, torch.cat([lengths for _, lengths in encoded]))  # (B, num_labels)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        result = SequenceClassifierOutput(loss=loss, logits=logits)
        return result if wants_dict(self, return_dict) else result.to_tuple()

    def _encode(self, ids: Tensor, mask: Tensor | None, longest: int) -> tuple[Tensor, Tensor]:
        """States of texts, (B, longest, width), and their lengths, (B,), on the CPU."""
        kept = torch.ones_like(ids) if mask is None else (mask != 0).long()  # (B, T)
        lengths = kept.sum(1).cpu()  # (B,)
        if not bool(kept[:, 0].all()) or bool((kept[:, 1:] > kept[:, :-1]).any()):
            raise ValueError("a text is padded on the left or has no token; pad on the right (padding_side)")
        states = self.model(ids, kept, use_cache=False, return_dict=True).last_hidden_state
        return torch.nn.functional.pad(states, (0, 0, 0, longest - ids.size(1))), lengths
