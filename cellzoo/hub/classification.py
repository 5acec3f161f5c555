"""Classifiers of whole sequences and of single tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput, TokenClassifierOutput

from cellzoo.hub.model import CellModel, CellPreTrainedModel, wants_dict

if TYPE_CHECKING:
    from cellzoo.hub.config import CellConfig


class CellForSequenceClassification(CellPreTrainedModel):
    """A class, several classes or a number for each sequence; see `pooling` of `CellConfig`.

    Args:
        config: The configuration, with `num_labels` or `id2label`.
    """

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.model = CellModel(config)
        self.classifier = nn.Linear(config.output_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> SequenceClassifierOutput | tuple[Any, ...]:
        """Classify; what is not said here is as in `CellModel.forward`.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T), 0 for tokens to skip. A text without a token is pooled to zeros.
            inputs_embeds: (B, T, E).
            labels: (B,) classes; (B,) or (B, num_labels) numbers; or (B, num_labels) zeros and ones, for
                several classes at once.
            output_hidden_states: Whether to give `hidden_states`, too.
            return_dict: False for a tuple.
            **kwargs: `num_items_in_batch`, by which the Trainer divides the loss.

        Returns:
            `loss` if there are labels, `logits` (B, num_labels).
        """
        body = self.model(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(self._pool(body.last_hidden_state, attention_mask))  # (B, num_labels)
        loss = None
        if labels is not None:
            loss = self.loss_function(labels=labels, pooled_logits=logits, config=self.config, **kwargs)
        result = SequenceClassifierOutput(loss=loss, logits=logits, hidden_states=body.hidden_states)
        return result if wants_dict(self, return_dict) else result.to_tuple()

    def _pool(self, outputs: Tensor, attention_mask: Tensor | None) -> Tensor:
        """From (B, T, width) to (B, width), over the tokens that are kept; zeros where there is none."""
        if attention_mask is None:
            attention_mask = outputs.new_ones(outputs.shape[:2])
        kept = (attention_mask != 0).unsqueeze(2)  # (B, T, 1)
        if self.config.pooling == "mean":
            return outputs.masked_fill(~kept, 0.0).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        if self.config.pooling == "max":
            highest = outputs.masked_fill(~kept, -torch.inf).amax(dim=1)
            return highest.masked_fill(~kept.any(dim=1), 0.0)
        # A skipped token repeats the last one before it, so the last place holds the last token's output.
        last = outputs[:, -1]
        if not self.config.bidirectional:
            return last
        place = kept.int().argmax(dim=1, keepdim=True)  # (B, 1, 1)
        first = outputs.gather(1, place.expand(-1, -1, outputs.size(2))).squeeze(1)
        size = self.config.hidden_size
        return torch.cat([last[:, :size], first[:, size:]], dim=1)


class CellForTokenClassification(CellPreTrainedModel):
    """A class for each token.

    Args:
        config: The configuration, with `num_labels` or `id2label`.
    """

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.model = CellModel(config)
        self.classifier = nn.Linear(config.output_size, config.num_labels)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> TokenClassifierOutput | tuple[Any, ...]:
        """Classify; what is not said here is as in `CellModel.forward`.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T), 0 for tokens to skip.
            inputs_embeds: (B, T, E).
            labels: (B, T) classes, -100 for what does not count.
            output_hidden_states: Whether to give `hidden_states`, too.
            return_dict: False for a tuple.
            **kwargs: `num_items_in_batch`, by which the Trainer divides the loss.

        Returns:
            `loss` if there are labels, `logits` (B, T, num_labels).
        """
        body = self.model(
            input_ids,
            attention_mask,
            inputs_embeds=inputs_embeds,
            use_cache=False,
            output_hidden_states=output_hidden_states,
            return_dict=True,
        )
        logits = self.classifier(body.last_hidden_state)  # (B, T, num_labels)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, config=self.config, **kwargs)
        result = TokenClassifierOutput(loss=loss, logits=logits, hidden_states=body.hidden_states)
        return result if wants_dict(self, return_dict) else result.to_tuple()
