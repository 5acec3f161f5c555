"""CellForCausalLM: predictions, loss, and generate with the state carried from token to token."""

from __future__ import annotations

import pytest
import torch
from hub_models import CELLS, VOCABULARY, build, padded, sequences
from torch.nn import functional as F

from cellzoo.hub import CellForCausalLM

WAYS = {
    "greedy": {},
    "beams": {"num_beams": 3, "num_return_sequences": 2},
    "sampled": {"do_sample": True, "temperature": 1.5, "num_return_sequences": 2},
}


def model_that_varies(cell="lstm"):
    """Large weights, so that the next token depends on much of what came before."""
    model = build(
        CellForCausalLM, cell, num_hidden_layers=2, hidden_size=16, tie_word_embeddings=False, pad_token_id=0
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter *= 4
    return model


def generate(model, ids, mask=None, **options):
    torch.manual_seed(1)
    mask = torch.ones_like(ids) if mask is None else mask
    return model.generate(ids, attention_mask=mask, max_new_tokens=8, **options)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("way", WAYS)
def test_a_carried_state_changes_nothing(cell, way):
    model = model_that_varies(cell)
    ids, mask = padded(sequences(3, 5, 2), "left")
    with_state = generate(model, ids, mask, use_cache=True, **WAYS[way])
    assert torch.equal(with_state, generate(model, ids, mask, use_cache=False, **WAYS[way]))
    assert len(with_state[:, 5:].unique()) > 1


def test_a_carried_state_is_used(monkeypatch):
    model = model_that_varies()
    lengths = []
    forward = model.model.forward

    def spy(input_ids, *arguments, **options):
        lengths.append(input_ids.size(1))
        return forward(input_ids, *arguments, **options)

    monkeypatch.setattr(model.model, "forward", spy)
    generate(model, torch.stack(sequences(4)))
    assert lengths == [4, 1, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_padded_prompt_goes_on_as_it_does_alone(side):
    model = model_that_varies()
    parts = sequences(3, 5, 2)
    ids, mask = padded(parts, side)
    found = generate(model, ids, mask)[:, ids.size(1) :]
    for row, part in enumerate(parts):
        assert torch.equal(found[row], generate(model, part.unsqueeze(0))[0, len(part) :])


def test_a_state_of_an_earlier_call_goes_on():
    model = model_that_varies()
    ids = torch.stack(sequences(6, 6))
    past = model(ids[:, :4], use_cache=True).past_key_values
    assert torch.equal(generate(model, ids, past_key_values=past), generate(model, ids))


def test_loss_is_the_cross_entropy_of_the_next_token():
    model = build(CellForCausalLM)
    ids, mask = padded(sequences(3, 5), "right")
    labels = ids.masked_fill(mask == 0, -100)
    output = model(ids, mask, labels=labels)
    rows = torch.cat([output.logits[0, :2], output.logits[1, :4]])
    targets = torch.cat([ids[0, 1:3], ids[1, 1:5]])
    torch.testing.assert_close(output.loss, F.cross_entropy(rows, targets).float())
    summed = model(ids, mask, labels=labels, num_items_in_batch=10).loss
    torch.testing.assert_close(summed, F.cross_entropy(rows, targets, reduction="sum").float() / 10)


def test_logits_may_be_asked_for_the_last_tokens_alone():
    model = build(CellForCausalLM)
    ids = torch.stack(sequences(5, 5))
    whole = model(ids).logits
    assert whole.shape == (2, 5, VOCABULARY)
    torch.testing.assert_close(model(ids, logits_to_keep=2).logits, whole[:, 3:])
    torch.testing.assert_close(model(ids, logits_to_keep=torch.tensor([0, 3])).logits, whole[:, [0, 3]])


def test_the_future_is_not_read():
    model = build(CellForCausalLM)
    ids = torch.stack(sequences(6))
    other = ids.clone()
    other[0, 4:] = 1
    assert torch.equal(model(ids).logits[:, :4], model(other).logits[:, :4])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bidirectional": True}, "must not read what it is to predict"),
        ({"embedding_size": 5}, "have 5 and 6. Set tie_word_embeddings=False"),
    ],
)
def test_what_is_no_causal_language_model_is_said(options, message):
    with pytest.raises(ValueError, match=message):
        build(CellForCausalLM, **options)


def test_sizes_may_differ_where_embeddings_are_not_tied():
    model = build(CellForCausalLM, embedding_size=5, tie_word_embeddings=False)
    assert model(torch.stack(sequences(3))).logits.shape == (1, 3, VOCABULARY)


def test_assisted_decoding_is_refused():
    model, assistant = model_that_varies(), model_that_varies("darts-v2")
    with pytest.raises(ValueError, match="stateful"):
        generate(model, torch.stack(sequences(4)), assistant_model=assistant)
