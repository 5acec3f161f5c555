"""save_pretrained and from_pretrained: every bit, tied embeddings once, odd names of weights."""

from __future__ import annotations

import re

import pytest
import torch
from hub_models import CELLS, build, config, sequences
from safetensors import safe_open
from safetensors.torch import save_file

import cellzoo
from cellzoo.hub import (
    CellForCausalLM,
    CellForSequenceClassification,
    CellForTokenClassification,
    CellModel,
)

CLASSES = [CellModel, CellForCausalLM, CellForSequenceClassification, CellForTokenClassification]


def saved_names(folder):
    with safe_open(folder / "model.safetensors", "pt") as file:
        return set(file.keys())


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("cell", CELLS)
def test_every_bit_comes_back(model_class, cell, tmp_path):
    torch.manual_seed(3)
    model = model_class(config(cell, num_hidden_layers=2)).eval()
    model.save_pretrained(tmp_path / "first")
    again, report = model_class.from_pretrained(tmp_path / "first", output_loading_info=True)
    assert not any(report.values())
    assert again.config.to_cell() == model.config.to_cell()
    for (name, one), (other_name, other) in zip(
        model.state_dict().items(), again.state_dict().items(), strict=True
    ):
        assert name == other_name
        assert torch.equal(one, other)
    ids = torch.stack(sequences(5, 5))
    assert torch.equal(model(ids)[0], again(ids)[0])
    again.save_pretrained(tmp_path / "second")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@pytest.mark.parametrize("tied", [True, False])
def test_tied_embeddings_are_saved_once_and_stay_tied(tied, tmp_path):
    model = build(CellForCausalLM, tie_word_embeddings=tied).float()
    model.save_pretrained(tmp_path)
    assert ("lm_head.weight" in saved_names(tmp_path)) is not tied
    again = CellForCausalLM.from_pretrained(tmp_path)
    assert (again.lm_head.weight is again.model.embed_tokens.weight) is tied
    ids = torch.stack(sequences(4))
    assert torch.equal(model(ids).logits, again(ids).logits)
    with torch.no_grad():
        again.model.embed_tokens.weight[3] += 1
    assert torch.equal(again.lm_head.weight[3], again.model.embed_tokens.weight[3]) is tied


def test_weights_that_transformers_would_rename_keep_their_names(tmp_path):
    """It takes `weight_g` and `gamma` for parts of layers of its own."""
    nodes = (
        cellzoo.cells.cell.Node("a", "linear", ("x", "h"), ("weight_g", "weight_v"), "gamma"),
        cellzoo.cells.cell.Node("v", "vector", (), ("beta",)),
        cellzoo.cells.cell.Node("y", "add", ("a", "v")),
    )
    cell = cellzoo.Cell((cellzoo.cells.cell.State("h", "y"),), nodes, "y", name="odd")
    torch.manual_seed(0)
    model = CellModel(config(cell))
    model.save_pretrained(tmp_path)
    again, report = CellModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    assert all(
        torch.equal(one, other) for one, other in zip(model.parameters(), again.parameters(), strict=True)
    )


def test_a_body_is_taken_over_into_a_classifier_and_back(tmp_path):
    language_model = build(CellForCausalLM).float()
    language_model.save_pretrained(tmp_path / "lm")
    classifier = CellForSequenceClassification.from_pretrained(tmp_path / "lm", num_labels=4)
    body = CellModel.from_pretrained(tmp_path / "lm")
    ids = torch.stack(sequences(4))
    expected = language_model.model(ids)[0]
    assert torch.equal(classifier.eval().model(ids)[0], expected)
    assert torch.equal(body(ids)[0], expected)
    assert classifier(ids).logits.shape == (1, 4)


def test_a_layer_that_the_file_lacks_is_drawn_and_the_others_are_kept(tmp_path):
    model = build(CellModel, "gru").float()
    model.save_pretrained(tmp_path)
    deeper = CellModel.from_pretrained(tmp_path, num_hidden_layers=2)
    for name, value in model.rnn.directions[0].weights.items():
        assert torch.equal(deeper.rnn.directions[0].weights[name], value)
        fresh = deeper.rnn.directions[1].weights[name]
        assert 0 < fresh.abs().max() <= 6**-0.5


def test_a_larger_vocabulary(tmp_path):
    model = build(CellForCausalLM).float()
    before = model(torch.tensor([[1, 2, 3]])).logits
    model.resize_token_embeddings(25)
    model.save_pretrained(tmp_path)
    again = CellForCausalLM.from_pretrained(tmp_path)
    assert again.config.vocab_size == 25
    assert torch.equal(again(torch.tensor([[1, 2, 3]])).logits[..., :20], before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_types_come_back_where_asked(dtype, tmp_path):
    model = build(CellForTokenClassification).to(dtype)
    model.save_pretrained(tmp_path)
    again = CellForTokenClassification.from_pretrained(tmp_path, dtype="auto")
    assert all(
        one.dtype == dtype and torch.equal(one, other)
        for one, other in zip(again.parameters(), model.parameters(), strict=True)
    )


@pytest.mark.parametrize("model_class", CLASSES)
def test_a_folder_from_before_the_weights_changed_their_owner_loads(model_class, tmp_path):
    model = model_class(config("lstm", num_hidden_layers=2)).eval()
    model.save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        former = {
            re.sub(r"(directions\.\d\.)", r"\1weights.", name): file.get_tensor(name)
            for name in saved_names(tmp_path)
        }
    assert sum(".weights." in name for name in former) == 2 * 12
    save_file(former, tmp_path / "model.safetensors", metadata={"format": "pt"})
    again, report = model_class.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    ids = torch.stack(sequences(4, 4))
    assert torch.equal(model(ids)[0], again(ids)[0])


@pytest.mark.parametrize("part", ["model.rnn", "model.embed_tokens", "lm_head"])
def test_a_part_of_a_model_may_stay_on_disk(part, tmp_path):
    model = CellForCausalLM(config(num_hidden_layers=2, tie_word_embeddings=False)).eval()
    model.save_pretrained(tmp_path / "saved")
    parts = [f"model.{name}" for name, _ in model.model.named_children()] + ["lm_head"]
    places = dict.fromkeys(parts, "cpu") | {part: "disk"}
    again = CellForCausalLM.from_pretrained(
        tmp_path / "saved", device_map=places, offload_folder=tmp_path / "offloaded"
    )
    assert any(parameter.device.type == "meta" for parameter in again.parameters())
    ids = torch.stack(sequences(4, 4))
    torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=1e-6, atol=1e-6)
