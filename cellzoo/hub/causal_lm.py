"""A causal language model: the next token from the tokens before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from transformers import GenerationMixin
from transformers.modeling_outputs import CausalLMOutputWithPast

from cellzoo.hub.model import CellModel, CellPreTrainedModel, wants_dict

if TYPE_CHECKING:
    from cellzoo.hub.config import CellConfig
    from cellzoo.hub.state import RecurrentState


class CellForCausalLM(CellPreTrainedModel, GenerationMixin):  # type: ignore[misc]  # conflicting base classes
    """A language model with any cell; `generate` carries the recurrent state from token to token.

    Args:
        config: The configuration. With `tie_word_embeddings` the head's matrix is the embeddings'.

    Raises:
        ValueError: The model is bidirectional; or its embeddings are tied, and not as wide as its outputs.
        CellError: The cell does not fit the sizes.
    """

    _tied_weights_keys = ["lm_head.weight"]  # type: ignore[assignment]  # noqa: RUF012 - as transformers has it

    def __init__(self, config: CellConfig) -> None:
        if config.bidirectional:
            raise ValueError(
                "bidirectional is true; a causal language model must not read what it is to predict"
            )
        if config.tie_word_embeddings and config.embedding_size != config.hidden_size:
            raise ValueError(
                "tie_word_embeddings needs embeddings as wide as the hidden state; they have "
                f"{config.embedding_size} and {config.hidden_size}. Set tie_word_embeddings=False, or give "
                "both one size"
            )
        super().__init__(config)
        self.model = CellModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: RecurrentState | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast | tuple[Any, ...]:
        """Predict the token after each token; other behaviour is that of `CellModel.forward`.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T); tokens to skip may stand on either side. At a skipped token the
                prediction of the last token before it is repeated.
            past_key_values: The initial state.
            inputs_embeds: (B, T, E).
            labels: (B, T), the tokens themselves (they are shifted here), -100 for what does not count.
            use_cache: Whether to return the state.
            output_hidden_states: Whether to return `hidden_states`.
            return_dict: False for a tuple.
            logits_to_keep: Predict only after this many last tokens, or after those at the given positions; 0
                for all.
            **kwargs: `num_items_in_batch`, by which the Trainer divides the loss.

        Returns:
            `loss` if there are labels, `logits` (B, T, V), `past_key_values`.
        """
        body = self.model(
            input_ids,
            attention_mask,
            past_key_values,
            inputs_embeds,
            use_cache,
            output_hidden_states,
            return_dict=True,
        )
        kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
        logits = self.lm_head(body.last_hidden_state[:, kept])  # (B, T, V)
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size, **kwargs)
        result = CausalLMOutputWithPast(
            loss=loss, logits=logits, past_key_values=body.past_key_values, hidden_states=body.hidden_states
        )
        return result if wants_dict(self, return_dict) else result.to_tuple()
