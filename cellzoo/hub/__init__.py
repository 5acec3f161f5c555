"""Recurrent cells in Hugging Face transformers: configuration, models, Auto classes, model cards.

    import cellzoo.hub                                   # registers the model type `cellzoo`
    from transformers import AutoModelForCausalLM

    config = cellzoo.hub.CellConfig(cell="darts-v2", vocab_size=10_000, hidden_size=256)
    model = cellzoo.hub.CellForCausalLM(config)          # trains with transformers.Trainer
    model.save_pretrained("folder")                      # the cell itself goes into config.json
    model = AutoModelForCausalLM.from_pretrained("folder")

Needs the extra `hub`.
"""

from __future__ import annotations

from cellzoo.system.extras import require

require("transformers", "hub")

from transformers import (  # noqa: E402 - after the check that it is there
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
)

from cellzoo.hub.card import model_card, save_model_card  # noqa: E402
from cellzoo.hub.causal_lm import CellForCausalLM  # noqa: E402
from cellzoo.hub.classification import (  # noqa: E402
    CellForSequenceClassification,
    CellForTokenClassification,
)
from cellzoo.hub.config import CellConfig  # noqa: E402
from cellzoo.hub.model import CellModel, CellPreTrainedModel  # noqa: E402
from cellzoo.hub.state import RecurrentState  # noqa: E402
from cellzoo.hub.texts import CellForTextClassification  # noqa: E402

__all__ = [
    "CellConfig",
    "CellForCausalLM",
    "CellForSequenceClassification",
    "CellForTextClassification",
    "CellForTokenClassification",
    "CellModel",
    "CellPreTrainedModel",
    "RecurrentState",
    "model_card",
    "save_model_card",
]

AutoConfig.register(CellConfig.model_type, CellConfig, exist_ok=True)
AutoModel.register(CellConfig, CellModel, exist_ok=True)
AutoModelForCausalLM.register(CellConfig, CellForCausalLM, exist_ok=True)
AutoModelForSequenceClassification.register(CellConfig, CellForSequenceClassification, exist_ok=True)
AutoModelForTokenClassification.register(CellConfig, CellForTokenClassification, exist_ok=True)
