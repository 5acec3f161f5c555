"""CellModel: masks, states, dropout, bad input."""

from __future__ import annotations

import pytest
import torch
from hub_models import CELLS, VOCABULARY, build, config, padded, sequences

from cellzoo.hub import (
    CellForCausalLM,
    CellForSequenceClassification,
    CellForTokenClassification,
    CellModel,
    RecurrentState,
)

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("side", ["right", "left"])
def test_a_padded_row_gives_what_it_gives_alone(cell, bidirectional, side):
    options = {"embedding_size": 12, "bidirectional": True} if bidirectional else {}
    model = build(CellModel, cell, num_hidden_layers=2, **options)
    parts = sequences(2, 5, 1, 4)
    ids, mask = padded(parts, side, junk=7)
    found = model(ids, mask)
    for row, part in enumerate(parts):
        alone = model(part.unsqueeze(0))
        torch.testing.assert_close(found[0][row][mask[row] != 0], alone[0][0], **CLOSE)
        if not bidirectional:
            states = zip(found.past_key_values.states, alone.past_key_values.states, strict=True)
            for batched, single in states:
                torch.testing.assert_close(batched[:, row], single[:, 0], **CLOSE)


def test_a_token_that_is_skipped_repeats_the_one_before_it():
    model = build(CellModel)
    (part,) = sequences(3)
    ids = torch.tensor([[9, part[0], 9, part[1], part[2], 9]])
    mask = torch.tensor([[0, 1, 0, 1, 1, 0]])
    found, alone = model(ids, mask)[0][0], model(part.unsqueeze(0))[0][0]
    expected = torch.stack([torch.zeros_like(alone[0]), alone[0], alone[0], alone[1], alone[2], alone[2]])
    torch.testing.assert_close(found, expected, **CLOSE)


def test_what_is_skipped_gets_no_gradient():
    model = build(CellModel)
    ids, mask = padded([torch.tensor([3, 4]), torch.tensor([5, 6, 3])], "right", junk=7)
    model(ids, mask)[0].sum().backward()
    used = model.embed_tokens.weight.grad.abs().sum(dim=1) > 0
    assert used.nonzero().flatten().tolist() == [3, 4, 5, 6]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mask", [False, True])
def test_a_state_goes_on_where_it_stopped(cell, mask):
    model = build(CellModel, cell, num_hidden_layers=2)
    ids = torch.stack(sequences(7, 7))
    whole = model(ids)
    first = model(ids[:, :3], use_cache=True)
    assert first.past_key_values.get_seq_length() == 3
    given = torch.ones(2, 7) if mask else None
    second = model(ids[:, 3:], given, first.past_key_values)
    torch.testing.assert_close(torch.cat([first[0], second[0]], dim=1), whole[0], **CLOSE)
    assert second.past_key_values.tokens == 7
    assert not second.past_key_values.detach().states[0].requires_grad
    for one, other in zip(second.past_key_values.states, whole.past_key_values.states, strict=True):
        torch.testing.assert_close(one, other, **CLOSE)


def test_the_state_is_given_as_asked():
    model = build(CellModel)
    ids = torch.stack(sequences(4))
    assert model(ids, use_cache=False).past_key_values is None
    assert model.train()(ids).past_key_values is None
    assert model(ids, use_cache=True).past_key_values is not None
    assert build(CellModel, bidirectional=True)(ids, use_cache=True).past_key_values is None
    assert isinstance(model(ids, return_dict=False), tuple)


def test_embeddings_may_be_given():
    model = build(CellModel, embedding_size=5)
    ids = torch.stack(sequences(4, 4))
    given = model(inputs_embeds=model.embed_tokens(ids))
    assert torch.equal(given[0], model(ids)[0])


@pytest.mark.parametrize("name", ["embedding_dropout", "dropout", "output_dropout", "dropout_x", "dropout_h"])
def test_each_dropout_works_in_training_alone(name):
    model = build(CellModel, num_hidden_layers=2, **{name: 0.5})
    ids = torch.stack(sequences(6, 6))
    assert torch.equal(model(ids)[0], model(ids)[0])
    assert torch.equal(model(ids)[0], build(CellModel, num_hidden_layers=2)(ids)[0])
    model.train()
    assert not torch.equal(model(ids)[0], model(ids)[0])


def test_the_dropouts_are_where_they_should_be():
    """With everything dropped at one place, what comes after sees zeros there."""
    ids, others = torch.stack(sequences(4)), torch.stack(sequences(4, seed=1))
    assert not build(CellModel, output_dropout=1.0).train()(ids)[0].any()
    for name in ("embedding_dropout", "dropout_x", "dropout"):
        model = build(CellModel, num_hidden_layers=2, **{name: 1.0}).train()
        assert torch.equal(model(ids)[0], model(others)[0])
    recurrent = build(CellModel, "delayed", dropout_h=1.0).train()
    short = recurrent(ids[:, 2:])[0]
    torch.testing.assert_close(recurrent(ids)[0][:, 3:], short[:, 1:], **CLOSE)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, "give either input_ids or inputs_embeds"),
        ({"input_ids": torch.ones(1, 2).long(), "inputs_embeds": torch.ones(1, 2, 6)}, "give either"),
        ({"input_ids": torch.ones(2).long()}, r"input_ids has the shape \(2,\); expected \(batch, tokens\)"),
        ({"inputs_embeds": torch.ones(2, 6)}, r"inputs_embeds has the shape \(2, 6\)"),
        (
            {"input_ids": torch.ones(2, 3).long(), "attention_mask": torch.ones(2, 4)},
            r"attention_mask has the shape \(2, 4\); expected \(2, 3\)",
        ),
    ],
)
def test_bad_inputs_are_said(inputs, message):
    with pytest.raises(ValueError, match=message):
        build(CellModel)(**inputs)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("side", ["right", "left"])
def test_what_passes_between_the_layers(cell, side):
    """Embeddings, then each layer: one layer alone gives what it gives below another."""
    parts = sequences(2, 5, 1)
    ids, mask = padded(parts, side, junk=7)
    two, one = (build(CellModel, cell, num_hidden_layers=count) for count in (2, 1))
    one.load_state_dict({name: value for name, value in two.state_dict().items() if "directions.1" not in name})
    found = two(ids, mask, output_hidden_states=True)
    assert [tuple(state.shape) for state in found.hidden_states] == [(3, 5, 6)] * 3
    torch.testing.assert_close(found.hidden_states[0], two.embed_tokens(ids), **CLOSE)
    torch.testing.assert_close(found.hidden_states[1], one(ids, mask)[0], **CLOSE)
    assert found.hidden_states[2] is found.last_hidden_state
    torch.testing.assert_close(found.last_hidden_state, two(ids, mask)[0], **CLOSE)


@pytest.mark.parametrize(
    "model_class", [CellModel, CellForCausalLM, CellForSequenceClassification, CellForTokenClassification]
)
def test_hidden_states_are_given_as_asked(model_class):
    ids = torch.stack(sequences(4, 4))
    model = build(model_class, num_hidden_layers=3)
    assert "hidden_states" not in model(ids)
    assert len(model(ids, output_hidden_states=True).hidden_states) == 4
    assert isinstance(model(ids, output_hidden_states=True, return_dict=False)[-1], tuple)
    model = build(model_class, num_hidden_layers=3, output_hidden_states=True)
    assert len(model(ids).hidden_states) == 4
    assert "hidden_states" not in model(ids, output_hidden_states=False)
    found = model(ids)
    found.hidden_states[0].retain_grad()
    found[0].sum().backward()
    assert found.hidden_states[0].grad.abs().sum() > 0


def test_widths_of_hidden_states_in_both_directions():
    model = build(CellModel, "lstm", num_hidden_layers=2, embedding_size=5, bidirectional=True)
    found = model(torch.stack(sequences(3)), output_hidden_states=True)
    assert [state.size(2) for state in found.hidden_states] == [5, 12, 12]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("given", [False, True])
def test_a_text_without_tokens_gives_zeros_and_its_initial_state(cell, given):
    model = build(CellModel, cell, num_hidden_layers=2)
    full, part = sequences(4, 2)
    past = model(torch.stack([full, full])).past_key_values if given else None
    ids = torch.stack([torch.zeros_like(part), part])
    mask = torch.tensor([[0, 0], [1, 1]])
    found = model(ids, mask, past)
    assert not found[0][0].any()
    alone_past = None
    if given:
        alone_past = RecurrentState(tuple(state[:, 1:] for state in past.states), past.tokens)
    alone = model(part.unsqueeze(0), past_key_values=alone_past)
    torch.testing.assert_close(found[0][1], alone[0][0], **CLOSE)
    for position, state in enumerate(found.past_key_values.states):
        initial = past.states[position][:, 0] if given else torch.zeros_like(state[:, 0])
        torch.testing.assert_close(state[:, 0], initial, **CLOSE)
        torch.testing.assert_close(state[:, 1], alone.past_key_values.states[position][:, 0], **CLOSE)


def test_a_batch_of_texts_without_tokens():
    model = build(CellModel, "lstm")
    found = model(torch.zeros(2, 3).long(), torch.zeros(2, 3))
    assert not found[0].any()
    assert not any(state.any() for state in found.past_key_values.states)


def test_both_directions_take_no_state():
    ids = torch.ones(1, 2).long()
    past = build(CellModel)(ids).past_key_values
    with pytest.raises(ValueError, match="reads whole sequences; it takes no state"):
        build(CellModel, bidirectional=True)(ids, past_key_values=past)


def test_first_weights_are_in_their_ranges():
    torch.manual_seed(0)
    model = CellModel(config("lstm", hidden_size=25, embedding_size=8, initializer_range=0.3))
    spread = model.embed_tokens.weight.abs().max().item()
    assert 0.28 < spread <= 0.3
    assert model.embed_tokens.weight.shape == (VOCABULARY, 8)
    spread = max(weight.abs().max().item() for weight in model.rnn.parameters())
    assert 0.19 < spread <= 0.2
