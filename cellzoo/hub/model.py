"""CellModel: token embeddings and recurrent layers, the base of the models with a head."""

from __future__ import annotations

import re
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.jit import is_tracing  # type: ignore[attr-defined]
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from cellzoo.hub.checkpointing import CheckpointedRNN
from cellzoo.hub.config import CellConfig
from cellzoo.hub.masked import run_masked
from cellzoo.hub.state import RecurrentState
from cellzoo.layer import CellRNN

_FORMER_KEY = re.compile(r"(\bdirections\.\d+\.)weights\.")


class CellPreTrainedModel(PreTrainedModel):
    """Base class of all models here: configuration, initial weights, names of saved weights."""

    config_class = CellConfig
    base_model_prefix = "model"
    # The state cannot be rolled back to an earlier token, which assisted decoding needs.
    _is_stateful = True
    # The layers must be on one device.
    _no_split_modules = ["CheckpointedRNN"]  # noqa: RUF012 - as transformers has it
    supports_gradient_checkpointing = True

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, CellRNN):
            loaded = [
                (parameter, parameter.detach().clone())
                for parameter in module.parameters()
                if getattr(parameter, "_is_hf_initialized", False)
            ]
            module.reset_parameters()
            with torch.no_grad():
                for parameter, value in loaded:
                    parameter.copy_(value)
        elif isinstance(module, nn.Linear | nn.Embedding):
            spread = self.config.initializer_range
            with torch.no_grad():
                module.weight.uniform_(-spread, spread)
                if isinstance(module, nn.Linear) and module.bias is not None:
                    module.bias.zero_()

    @staticmethod
    def _fix_state_dict_key_on_load(key: str) -> tuple[str, bool]:
        """Rename keys of older files, in which weights were in a submodule `weights`; keep all others.

        The base class would rename weights called `weight_g`, which may be a cell's own name.
        """
        renamed = _FORMER_KEY.sub(r"\1", key)
        return renamed, renamed != key


class CellModel(CellPreTrainedModel):
    """Token embeddings and recurrent layers over them.

    Args:
        config: The configuration.

    Raises:
        CellError, ValueError: The cell does not fit the sizes.
    """

    def __init__(self, config: CellConfig) -> None:
        super().__init__(config)
        self.embed_tokens = nn.Embedding(config.vocab_size, config.embedding_size)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.rnn = CheckpointedRNN(
            config.to_cell(),
            config.embedding_size,
            config.hidden_size,
            num_layers=config.num_hidden_layers,
            bias=config.bias,
            batch_first=True,
            dropout=config.dropout,
            bidirectional=config.bidirectional,
            dropout_x=config.dropout_x,
            dropout_h=config.dropout_h,
        )
        self.output_dropout = nn.Dropout(config.output_dropout)
        self.post_init()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        past_key_values: RecurrentState | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast | tuple[Any, ...]:
        """Run the layers.

        Args:
            input_ids: (B, T).
            attention_mask: (B, T) or, where a state is given, (B, tokens read before + T); 0 for tokens to
                skip, wherever they stand. Each sequence gives what it gives alone; one that keeps no token
                gives zeros, and the state that it began with.
            past_key_values: The state to begin with; zeros if None. Not for both directions.
            inputs_embeds: (B, T, E), in place of `input_ids`.
            use_cache: Whether to give the state; None for the configuration's choice, outside of training and
                of torch.jit.trace, whose results are tensors alone.
            output_hidden_states: Whether to give what passes between the layers; None for the configuration's
                choice.
            return_dict: False for a tuple.
            **kwargs: Ignored; other models of transformers know more inputs.

        Returns:
            `last_hidden_state` (B, T, H or 2 H): at a token that is skipped, the value of the last one
            before it, or zeros; `past_key_values`; and `hidden_states`, the embeddings and what each layer
            gives, of which the last is `last_hidden_state`.

        Raises:
            ValueError: An input is missing, has a wrong shape, or asks for what these models do not have.
        """
        if past_key_values is not None and self.config.bidirectional:
            raise ValueError("past_key_values: a bidirectional model reads whole sequences; it takes no state")
        embedded = self._embed(input_ids, inputs_embeds)
        mask = self._mask(attention_mask, embedded, past_key_values)
        states: Any = None
        if past_key_values is not None:
            given = past_key_values.states
            states = given if len(given) > 1 else given[0]
        every = self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        embedded = self.embedding_dropout(embedded)
        outputs, final = run_masked(self.rnn, embedded, mask, states, every=every)
        # Typed as the attention cache of transformers, whose part it plays.
        past: Any = None
        by_default = self.config.use_cache and not self.training and not is_tracing()
        wanted = use_cache if use_cache is not None else by_default
        if wanted and not self.config.bidirectional:
            before = past_key_values.tokens if past_key_values is not None else 0
            past = RecurrentState(final if isinstance(final, tuple) else (final,), before + embedded.size(1))
        last = self.output_dropout(outputs[-1])
        # Typed as if there were one layer.
        between: Any = (embedded, *outputs[:-1], last) if every else None
        result = BaseModelOutputWithPast(last_hidden_state=last, past_key_values=past, hidden_states=between)
        return result if wants_dict(self, return_dict) else result.to_tuple()

    def _embed(self, input_ids: Tensor | None, inputs_embeds: Tensor | None) -> Tensor:
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("give either input_ids or inputs_embeds")
        if inputs_embeds is None:
            ids = cast("Tensor", input_ids)
            if ids.dim() != 2:
                raise ValueError(f"input_ids has the shape {tuple(ids.shape)}; expected (batch, tokens)")
            return self.embed_tokens(ids)  # (B, T, E)
        if inputs_embeds.dim() != 3:
            raise ValueError(
                f"inputs_embeds has the shape {tuple(inputs_embeds.shape)}; expected (batch, tokens, width)"
            )
        return inputs_embeds

    def _mask(
        self, attention_mask: Tensor | None, embedded: Tensor, past: RecurrentState | None
    ) -> Tensor | None:
        if attention_mask is None:
            return None
        batch, tokens = embedded.shape[:2]
        allowed = [(batch, tokens), *([(batch, past.tokens + tokens)] if past is not None else [])]
        if tuple(attention_mask.shape) not in allowed:
            raise ValueError(
                f"attention_mask has the shape {tuple(attention_mask.shape)}; expected "
                + " or ".join(map(str, allowed))
            )
        return attention_mask[:, -tokens:]


def wants_dict(model: PreTrainedModel, return_dict: bool | None) -> bool:
    """Whether a model gives a dictionary: what the call says, else the configuration."""
    return model.config.use_return_dict if return_dict is None else return_dict
