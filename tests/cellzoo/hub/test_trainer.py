"""A real, small training by transformers.Trainer: it learns, stops, goes on as if it had not."""

from __future__ import annotations

import pytest
import torch
from hub_models import config
from torch.utils.data import Dataset
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from cellzoo.hub import CellForCausalLM, CellForSequenceClassification, CellForTokenClassification

WORDS = 12
STEPS = 40


class Sequences(Dataset):
    """Sequences of many lengths; `labels` says what is to be learnt from one."""

    def __init__(self, labels, count=64):
        generator = torch.Generator().manual_seed(5)
        lengths = torch.randint(3, 9, (count,), generator=generator).tolist()
        starts = torch.randint(1, WORDS, (count,), generator=generator).tolist()
        # Each word is followed by the word three on, so that the next one can be known.
        parts = [
            (start - 1 + 3 * torch.arange(length)) % (WORDS - 1) + 1
            for start, length in zip(starts, lengths, strict=True)
        ]
        self.items = [{"input_ids": part, "labels": labels(part)} for part in parts]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


def collate(items):
    length = max(len(item["input_ids"]) for item in items)

    def stretched(values, filler):
        return torch.cat([values, torch.full((length - len(values),), filler)])

    labels = [item["labels"] for item in items]
    return {
        "input_ids": torch.stack([stretched(item["input_ids"], 0) for item in items]),
        "attention_mask": torch.stack([stretched(torch.ones_like(item["input_ids"]), 0) for item in items]),
        "labels": torch.stack([stretched(value, -100) if value.dim() else value for value in labels]),
    }


LEARNT = {
    CellForCausalLM: lambda part: part,
    CellForSequenceClassification: lambda part: (part[-1] > 5).long(),
    CellForTokenClassification: lambda part: (part > 5).long(),
}


def train(model_class, folder, *, resume=None, **options):
    torch.manual_seed(1)
    model = model_class(config("gru", vocab_size=WORDS, hidden_size=12, dropout_h=0.1, pad_token_id=0))
    data = Sequences(LEARNT[model_class])
    arguments = TrainingArguments(
        str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=8,
        learning_rate=0.02,
        logging_steps=5,
        save_steps=STEPS // 2,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=3,
        **options,
    )
    trainer = Trainer(model, arguments, train_dataset=data, eval_dataset=data, data_collator=collate)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def losses(trainer):
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


@pytest.mark.parametrize("model_class", LEARNT)
def test_it_learns(model_class, tmp_path):
    trainer = train(model_class, tmp_path)
    found = losses(trainer)
    assert found[-1] < 0.5 * found[0]
    assert trainer.evaluate()["eval_loss"] < 0.5 * found[0]
    assert trainer.predict(trainer.eval_dataset).predictions.shape[0] == len(trainer.eval_dataset)


def test_a_stopped_training_goes_on_to_the_same_weights(tmp_path):
    whole = train(CellForCausalLM, tmp_path / "run", gradient_accumulation_steps=2)
    half = str(tmp_path / "run" / f"checkpoint-{STEPS // 2}")
    resumed = train(CellForCausalLM, tmp_path / "again", resume=half, gradient_accumulation_steps=2)
    for one, other in zip(whole.model.parameters(), resumed.model.parameters(), strict=True):
        assert torch.equal(one, other)
    assert losses(resumed) == losses(whole)
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / f"checkpoint-{STEPS}")
    for one, other in zip(whole.model.parameters(), saved.parameters(), strict=True):
        assert torch.equal(one, other)
