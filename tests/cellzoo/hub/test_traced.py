"""Models that are exported and traced: the mask stays an input, whatever it held when they were."""

from __future__ import annotations

import io
import warnings

import pytest
import torch
from hub_models import CELLS, build, padded, sequences
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from cellzoo.hub import (
    CellForCausalLM,
    CellForSequenceClassification,
    CellForTokenClassification,
    CellModel,
)

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
CLASSES = [CellModel, CellForCausalLM, CellForSequenceClassification, CellForTokenClassification]
FULL = torch.ones(3, 5, dtype=torch.long)


def batches():
    """Padded on either side, in the middle, not at all, and a text without a token."""
    for side in ("right", "left"):
        yield padded(sequences(2, 5, 1), side, junk=7)
    ids = torch.stack(sequences(5, 5, 5))
    yield ids, FULL
    yield ids, torch.tensor([[0, 1, 0, 1, 0], [0, 0, 0, 0, 0], [1, 0, 0, 0, 1]])


class Logits(nn.Module):
    """A model whose result is its first tensor."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        return self.model(input_ids, attention_mask, return_dict=False)[0]


def traced(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tracing is deprecated, and still what many export with.
        return torch.jit.trace(Logits(model), (FULL, FULL.clone()))


def exported(model):
    return torch.export.export(Logits(model), (FULL, FULL.clone())).module()


def strictly_exported(model):
    return torch.export.export(Logits(model), (FULL, FULL.clone()), strict=True).module()


def proxied(model):
    return make_fx(Logits(model))(FULL, FULL.clone())


@pytest.mark.parametrize(
    "make", [traced, exported, proxied, pytest.param(strictly_exported, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize(
    ("model_class", "cell"), [*zip(CLASSES, ["lstm", "delayed", "lstm", "darts-v2"], strict=True)]
)
def test_a_traced_model_obeys_its_mask(model_class, cell, make):
    model = build(model_class, cell, num_hidden_layers=2)
    with torch.no_grad():
        found = make(model)
        for ids, mask in batches():
            torch.testing.assert_close(found(ids, mask), model(ids, mask)[0], **CLOSE)


@pytest.mark.parametrize("make", [traced, exported])
@pytest.mark.parametrize("pooling", ["last", "mean", "max"])
def test_in_both_directions(make, pooling):
    model = build(
        CellForSequenceClassification, "lstm", bidirectional=True, num_hidden_layers=2, pooling=pooling
    )
    found = make(model)
    for ids, mask in batches():
        torch.testing.assert_close(found(ids, mask), model(ids, mask)[0], **CLOSE)


@pytest.mark.filterwarnings("ignore")
def test_an_onnx_file_has_the_mask_as_an_input():
    onnx = pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = build(CellForSequenceClassification, "lstm", num_hidden_layers=2).float()
    file = io.BytesIO()
    names = ["input_ids", "attention_mask"]
    torch.onnx.export(Logits(model), (FULL, FULL.clone()), file, input_names=names, dynamo=False)
    assert [value.name for value in onnx.load_from_string(file.getvalue()).graph.input] == names
    session = onnxruntime.InferenceSession(file.getvalue())
    for ids, mask in batches():
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        torch.testing.assert_close(torch.as_tensor(found), model(ids, mask)[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_a_model_is_exported_as_it_is_with_its_state(cell):
    """What transformers' own exporters do: the call of the model, its state among the results."""
    model = build(CellForCausalLM, cell, num_hidden_layers=2)
    inputs = {"input_ids": FULL, "attention_mask": FULL.clone()}
    program = torch.export.export(model, (), {**inputs, "use_cache": True})
    saved = io.BytesIO()
    torch.export.save(program, saved)
    saved.seek(0)
    found = torch.export.load(saved).module()
    for ids, mask in batches():
        given = found(input_ids=ids, attention_mask=mask, use_cache=True)
        expected = model(ids, mask, use_cache=True)
        torch.testing.assert_close(given.logits, expected.logits, **CLOSE)
        assert given.past_key_values.tokens == 5
        for one, other in zip(given.past_key_values.states, expected.past_key_values.states, strict=True):
            torch.testing.assert_close(one, other, **CLOSE)


def test_a_step_is_exported_with_the_state_that_it_takes():
    model = build(CellForCausalLM, "lstm")
    (part,) = sequences(4)
    past = model(part[None, :3]).past_key_values
    step = torch.export.export(model, (part[None, 3:],), {"past_key_values": past}).module()
    found = step(part[None, 3:], past_key_values=past)
    torch.testing.assert_close(found.logits[:, 0], model(part[None]).logits[:, 3], **CLOSE)
    assert found.past_key_values.tokens == 4


def test_shapes_of_a_model_without_data():
    model = build(CellForSequenceClassification).to("meta")
    assert model(FULL.to("meta"), FULL.to("meta")).logits.shape == (3, 2)


def test_a_compiled_model_takes_masks():
    model = build(CellForTokenClassification, "lstm")
    compiled = torch.compile(model, backend="eager")
    for ids, mask in batches():
        torch.testing.assert_close(compiled(ids, mask).logits, model(ids, mask).logits, **CLOSE)
    torch.compiler.reset()
