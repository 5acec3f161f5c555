"""Classifiers: what they read, their losses, and the pipelines of transformers."""

from __future__ import annotations

import pytest
import torch
from hub_models import build, config, padded, sequences
from tokenizers import Tokenizer, models, pre_tokenizers
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast, pipeline

from cellzoo.hub import CellForCausalLM, CellForSequenceClassification, CellForTokenClassification

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def pooled(outputs, pooling, size):
    """By hand, for one sequence (T, width) without padding."""
    if pooling == "mean":
        return sum(outputs) / len(outputs)
    if pooling == "max":
        return outputs.max(dim=0).values
    return torch.cat([outputs[-1, :size], outputs[0, size:]])


@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_sequence_is_read_as_the_setting_says(pooling, bidirectional, side):
    model = build(
        CellForSequenceClassification, "lstm", pooling=pooling, bidirectional=bidirectional, num_labels=3
    )
    parts = sequences(2, 5, 1)
    found = model(*padded(parts, side, junk=4)).logits
    for row, part in enumerate(parts):
        outputs = model.model(part.unsqueeze(0))[0][0]
        expected = model.classifier(pooled(outputs, pooling, 6))
        torch.testing.assert_close(found[row], expected, **CLOSE)
        torch.testing.assert_close(model(part.unsqueeze(0)).logits[0], expected, **CLOSE)


@pytest.mark.parametrize(
    ("labels", "options", "loss"),
    [
        (torch.tensor([2, 0]), {"num_labels": 3}, lambda found, wanted: F.cross_entropy(found, wanted)),
        (
            torch.tensor([0.5, -1.0]).double(),
            {"num_labels": 1},
            lambda found, wanted: F.mse_loss(found[:, 0], wanted),
        ),
        (
            torch.tensor([[1.0, 0, 1], [0, 0, 1]]).double(),
            {"num_labels": 3, "problem_type": "multi_label_classification"},
            lambda found, wanted: F.binary_cross_entropy_with_logits(found, wanted),
        ),
    ],
)
def test_the_loss_of_each_kind_of_labels(labels, options, loss):
    model = build(CellForSequenceClassification, **options)
    output = model(torch.stack(sequences(4, 4)), labels=labels)
    torch.testing.assert_close(output.loss, loss(output.logits, labels))


def test_the_loss_over_tokens_leaves_padding_out():
    model = build(CellForTokenClassification, num_labels=3, bidirectional=True)
    ids, mask = padded(sequences(2, 4), "right")
    labels = torch.tensor([[0, 1, -100, -100], [2, 2, 0, 1]])
    output = model(ids, mask, labels=labels)
    expected = F.cross_entropy(output.logits[labels >= 0], labels[labels >= 0])
    torch.testing.assert_close(output.loss, expected.float())
    assert isinstance(model(ids, mask, return_dict=False), tuple)


def build_tokenizer(side):
    unknown = {"unk_token": "?"}
    words = ["_", "?", "the", "cat", "sat", "on", "a", "mat", "dog"]
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, **unknown))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = {"pad_token": words[0], **unknown}
    return PreTrainedTokenizerFast(tokenizer_object=inner, padding_side=side, **marks)


@pytest.mark.parametrize(
    ("task", "model_class"),
    [
        ("text-generation", CellForCausalLM),
        ("text-classification", CellForSequenceClassification),
        ("token-classification", CellForTokenClassification),
    ],
)
def test_pipelines_give_each_text_what_it_gets_alone(task, model_class, tmp_path):
    torch.manual_seed(0)
    model_class(config("gru", vocab_size=9, pad_token_id=0)).save_pretrained(tmp_path)
    build_tokenizer("left" if task == "text-generation" else "right").save_pretrained(tmp_path)
    run = pipeline(task, str(tmp_path), device="cpu")
    options = {"max_new_tokens": 4, "do_sample": False} if task == "text-generation" else {}
    texts = ["the cat", "a dog sat on the mat"]
    for text, together in zip(texts, run(texts, batch_size=2, **options), strict=True):
        (alone,) = run([text], **options)
        for one, other in zip(listed(alone), listed(together), strict=True):
            assert one.pop("score", 0.0) == pytest.approx(other.pop("score", 0.0), abs=1e-6)
            assert one == other


def listed(result):
    return result if isinstance(result, list) else [result]
