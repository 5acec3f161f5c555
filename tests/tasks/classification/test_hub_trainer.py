"""The model of GLUE's tasks, trained by transformers' Trainer: the same loss, step by step."""

from __future__ import annotations

import pytest
import torch
from small_examples import write_pairs
from torch.utils.data import SequentialSampler
from transformers import Trainer, TrainingArguments

import cellzoo
from cellzoo.hub import CellConfig, CellForTextClassification
from tasks.classification.problem import KIND
from tasks.classification.settings import ClassificationSettings
from tasks.data.locate import find
from tasks.problem import Batch
from tasks.training.fit import recurrent_layer

BATCH, STEPS, RATE = 8, 5, 0.1


class InOrder(Trainer):
    def _get_train_sampler(self, *args):
        return SequentialSampler(self.train_dataset)


def same_model(ours, model, settings, cell):
    """The classifier as one of transformers, weights and all."""
    config = CellConfig(
        cell=cell,
        vocab_size=len(model.vectors),
        embedding_size=model.vectors.size(1),
        hidden_size=settings.hidden_size,
        bidirectional=True,
        pooling=settings.pooling,
        pairs=ours.corpus.is_pairs,
        cross_attention=settings.cross_attention,
        head_size=settings.mlp_size,
        num_labels=2,
    )
    theirs = CellForTextClassification(config)
    theirs.model.embed_tokens.weight.data.copy_(model.vectors)
    theirs.model.rnn.load_state_dict(model.rnn.state_dict())
    theirs.head.load_state_dict(model.head.state_dict())
    return theirs


def rows_of(ours, items):
    """What the Trainer reads: padded token numbers and masks of both texts."""
    longest = max(len(text) for item in items for text in (item.first, item.second))
    rows = []
    for item in items:
        row = {"labels": int(item.label)}
        for prefix, text in (("", item.first), ("pair_", item.second)):
            numbers = [ours._index.get(word, 1) for word in text]
            padding = longest - len(numbers)
            row[f"{prefix}input_ids"] = numbers + [0] * padding
            row[f"{prefix}attention_mask"] = [1] * len(numbers) + [0] * padding
        rows.append(row)
    return rows


@pytest.mark.parametrize(("cell", "pooling", "attention"), [("darts-v2", "max", True), ("lstm", "last", False)])
def test_the_trainer_of_transformers_gives_the_same_losses(tmp_path, cell, pooling, attention):
    settings = ClassificationSettings(
        corpus=write_pairs(tmp_path, train=60, dev=20),
        hidden_size=6,
        word_size=5,
        mlp_size=7,
        dropout=0.0,
        pooling=pooling,
        cross_attention=attention,
    )
    ours = KIND.build({settings.corpus: find(settings.corpus)}, settings, torch.device("cpu"))
    drawn = torch.Generator().manual_seed(0)
    model = ours.model(recurrent_layer(cellzoo.load(cell), ours.layer, drawn), drawn)
    theirs = same_model(ours, model, settings, cell)
    items = ours.corpus.splits["train"][: BATCH * STEPS]

    optimizer = torch.optim.SGD(model.parameters(), RATE)
    expected = []
    for start in range(0, len(items), BATCH):
        loss = ours.loss(model, Batch(ours._encode(items[start : start + BATCH]), tokens=1), None).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())

    arguments = TrainingArguments(
        str(tmp_path / "out"),
        per_device_train_batch_size=BATCH,
        num_train_epochs=1,
        max_grad_norm=0.0,
        logging_steps=1,
        logging_first_step=True,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
        lr_scheduler_type="constant",
        disable_tqdm=True,
    )
    trainer = InOrder(
        theirs,
        arguments,
        train_dataset=rows_of(ours, items),
        optimizers=(torch.optim.SGD(theirs.parameters(), RATE), None),
    )
    trainer.train()
    logged = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert len(set(expected)) == STEPS
    assert logged == pytest.approx(expected, abs=2e-4)  # the Trainer rounds what it logs to four digits
    for name, weight in model.head.state_dict().items():
        torch.testing.assert_close(theirs.head.state_dict()[name], weight, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(theirs.model.embed_tokens.weight, model.vectors, rtol=1e-4, atol=1e-5)


def test_texts_are_padded_on_the_right_and_pairs_are_pairs():
    config = CellConfig(cell="gru", vocab_size=9, hidden_size=4, pairs=True, num_labels=2)
    model = CellForTextClassification(config)
    ids = torch.ones(2, 3, dtype=torch.long)
    with pytest.raises(ValueError, match="expected input_ids and pair_input_ids, as pairs is True"):
        model(ids)
    with pytest.raises(ValueError, match="padded on the left"):
        model(ids, torch.tensor([[0, 1, 1], [1, 1, 1]]), pair_input_ids=ids)
    assert model(ids, pair_input_ids=ids[:, :2]).logits.shape == (2, 2)
