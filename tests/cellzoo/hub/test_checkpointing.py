"""Gradient checkpointing, as transformers' Trainer sets it."""

from __future__ import annotations

import pytest
import torch
from hub_models import CELLS, build, padded, sequences
from transformers import Trainer, TrainingArguments

from cellzoo.hub import (
    CellForCausalLM,
    CellForSequenceClassification,
    CellForTokenClassification,
)
from cellzoo.runtime.reference import ReferenceRuntime

CLASSES = [CellForCausalLM, CellForSequenceClassification, CellForTokenClassification]


def gradients(model, ids, mask, **inputs):
    model.train().zero_grad()
    torch.manual_seed(0)
    model(ids, mask, **inputs)[0].square().sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("model_class", CLASSES)
def test_gradients_are_the_same(model_class, cell, reentrant):
    options = {"num_hidden_layers": 2, "dropout": 0.3, "dropout_x": 0.2, "dropout_h": 0.2}
    model = build(model_class, cell, **options)
    ids, mask = padded(sequences(2, 5, 3), "right")
    expected = gradients(model, ids, mask)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    assert model.is_gradient_checkpointing
    for name, gradient in gradients(model, ids, mask).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("reentrant", [True, False])
def test_weights_learn_where_nothing_below_does(reentrant):
    model = build(CellForTokenClassification, "lstm", num_hidden_layers=2)
    model.model.embed_tokens.requires_grad_(False)
    ids, mask = padded(sequences(4, 2), "right")
    expected = gradients(model, ids, mask)
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    for name, gradient in gradients(model, ids, mask).items():
        assert (gradient is None) == (name == "model.embed_tokens.weight")
        if gradient is not None:
            torch.testing.assert_close(gradient, expected[name], rtol=1e-12, atol=1e-12)


def test_layers_run_again_in_the_backward_pass_alone_and_while_it_is_on(monkeypatch):
    model = build(CellForTokenClassification, "gru", num_hidden_layers=2).train()
    for index in range(2):
        direction = model.model.rnn.direction(index)
        direction.engine = ReferenceRuntime(direction.cell)
    calls = []
    original = ReferenceRuntime.__call__
    monkeypatch.setattr(ReferenceRuntime, "__call__", lambda *a, **k: (calls.append(1), original(*a, **k))[1])
    ids = torch.stack(sequences(3))
    counts = []
    for switch in (None, model.gradient_checkpointing_enable, model.gradient_checkpointing_disable):
        if switch is not None:
            switch()
        calls.clear()
        loss = model(ids).logits.sum()
        before = len(calls)
        loss.backward()
        counts.append((before, len(calls)))
    assert counts == [(2, 2), (2, 4), (2, 2)]


def test_the_trainer_may_set_it(tmp_path):
    model = build(CellForSequenceClassification, "lstm").float()
    data = [{"input_ids": part, "attention_mask": torch.ones(4), "labels": 1} for part in sequences(4, 4, 4)]
    data.append({"input_ids": torch.zeros(4).long(), "attention_mask": torch.zeros(4), "labels": 0})
    arguments = TrainingArguments(
        tmp_path, gradient_checkpointing=True, max_steps=3, report_to=[], use_cpu=True, save_strategy="no"
    )
    before = model.model.rnn.all_weights[0][0].detach().clone()
    assert torch.isfinite(torch.tensor(Trainer(model, arguments, train_dataset=data).train().training_loss))
    assert not torch.equal(model.model.rnn.all_weights[0][0], before)
