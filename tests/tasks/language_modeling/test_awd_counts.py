"""The AWD macro model: its count of parameters against published ones, weight drop, states."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from real_data import data_folder
from tasks.language_modeling.awd import AWDLanguageModel
from tasks.language_modeling.awd_sizes import AWDSizes
from torch.nn import functional as F

import cellzoo
from cellzoo.notations import nas_bench_nlp

WIKITEXT_2, PTB = 33_278, 10_000
SMALL = AWDSizes(vocabulary_size=11, embedding_size=4, hidden_size=6)


def built(cell: cellzoo.Cell, sizes: AWDSizes) -> int:
    model = AWDLanguageModel(cell, sizes, device="meta")
    return sum(parameter.numel() for parameter in model.parameters())


def test_counts_equal_those_of_all_345_published_runs():
    path = (
        data_folder("nas-bench-nlp/train_logs_wikitext-2.zip") / "nas-bench-nlp" / "train_logs_wikitext-2.zip"
    )
    with zipfile.ZipFile(path) as archive:
        runs = [json.loads(archive.read(name)) for name in archive.namelist()]
    assert len(runs) == 345
    for run in runs:
        cell = nas_bench_nlp.parse(run["recepie"])
        sizes = AWDSizes(WIKITEXT_2, run["emsize"], run["nhid"], run["nlayers"])
        assert sizes.num_parameters(cell) == run["num_params"]
        assert built(cell, sizes) == run["num_params"]


@pytest.mark.parametrize(
    ("name", "vocabulary", "expected"),
    [
        ("rnn", WIKITEXT_2, 15_066_078),
        ("nbnlp-gru", WIKITEXT_2, 18_509_278),
        ("nbnlp-lstm-tanh-gate", WIKITEXT_2, 20_230_878),
        ("rnn", PTB, 5_731_600),
        ("nbnlp-gru", PTB, 9_174_800),
        ("nbnlp-lstm-tanh-gate", PTB, 10_896_400),
        ("nbnlp-7537", PTB, 9_214_800),
        ("nbnlp-7507", PTB, 10_976_400),
    ],
)
def test_counts_of_known_cells(name, vocabulary, expected):
    sizes = AWDSizes(vocabulary)
    assert sizes.num_parameters(cellzoo.load(name)) == expected
    assert built(cellzoo.load(name), sizes) == expected


def test_the_layers_go_from_the_embedding_out_and_back():
    assert AWDSizes(PTB).layers == ((400, 600), (600, 600), (600, 400))
    assert AWDSizes(PTB, num_layers=1).layers == ((400, 400),)


def model(name: str, **options) -> AWDLanguageModel:
    torch.manual_seed(3)
    return AWDLanguageModel(cellzoo.load(name), SMALL, dtype=torch.float64, **options)


TOKENS = torch.tensor([[0, 3], [7, 10], [2, 2]])  # (T, B)


def test_logits_are_those_of_torchs_layers_in_a_row():
    """An LSTM with torch's own layers and the same weights."""
    ours = model("lstm")
    values = F.embedding(TOKENS, ours.embedding)
    for layer in ours.layers:
        theirs = torch.nn.LSTM(layer.input_size, layer.hidden_size, dtype=torch.float64)
        weights = dict(layer.directions[0].weights.items())
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(torch.cat([weights[f"{gate}_1_0"] for gate in "ifgo"]))
            theirs.weight_hh_l0.copy_(torch.cat([weights[f"{gate}_1_1"] for gate in "ifgo"]))
            theirs.bias_ih_l0.copy_(torch.cat([weights[f"{gate}_1_b"] for gate in "ifgo"]))
            theirs.bias_hh_l0.zero_()
        values, _ = theirs(values)
    expected = values @ ours.embedding.T + ours.decoder_bias
    output = ours(TOKENS)
    torch.testing.assert_close(output.logits, expected, rtol=1e-12, atol=1e-12)
    assert output.raw.shape == (3, 2, SMALL.embedding_size)


def test_a_carried_state_continues_the_text():
    ours = model("nbnlp-7537").eval()
    whole = ours(TOKENS)
    first = ours(TOKENS[:1])
    second = ours(TOKENS[1:], first.hidden)
    torch.testing.assert_close(torch.cat([first.logits, second.logits]), whole.logits, rtol=1e-12, atol=1e-12)


def gradients(ours: AWDLanguageModel) -> dict[str, torch.Tensor | None]:
    torch.manual_seed(5)
    ours(TOKENS).logits.square().sum().backward()
    return {name: parameter.grad for name, parameter in ours.named_parameters()}


def test_weight_drop_masks_what_does_not_read_x_and_trains_it():
    ours = model("nbnlp-7537", weight_drop=0.5)
    # node_0 reads h_prev_0 and x, node_2 x and node_1, node_5 node_1 and h_new_1.
    assert {name.rpartition(".")[2] for name in ours.recurrent_weights} == {
        "node_0_0",
        "node_2_1",
        "node_5_0",
        "node_5_1",
    }
    found = gradients(ours)
    for name, gradient in found.items():
        assert gradient is not None
        recurrent = any(name.endswith(f".{weight}") for weight in ours.recurrent_weights)
        assert gradient.count_nonzero() > 0
        # About half of a masked matrix gets no gradient.
        assert (0.2 < (gradient == 0).double().mean().item() < 0.8) is recurrent


def test_frozen_weight_drop_gives_the_recurrent_matrices_no_gradient():
    ours = model("nbnlp-7537", weight_drop=0.5, freeze_dropped=True)
    for name, gradient in gradients(ours).items():
        assert (gradient is None) is any(name.endswith(f".{weight}") for weight in ours.recurrent_weights)


def test_weight_drop_and_dropout_act_in_training_alone():
    options = {"dropout": 0.5, "dropout_e": 0.5, "dropout_h": 0.5, "dropout_i": 0.5}
    plain = model("lstm").eval()(TOKENS).logits
    for option in ({"weight_drop": 0.5}, *({name: value} for name, value in options.items())):
        ours = model("lstm", **option)
        assert not torch.equal(ours(TOKENS).logits, ours(TOKENS).logits)
        assert torch.equal(ours.eval()(TOKENS).logits, plain)


def test_weights_are_drawn_as_the_benchmark_draws_them():
    ours = AWDLanguageModel(cellzoo.load("lstm"), AWDSizes(500, 20, 30))
    assert 0.099 < ours.embedding.abs().max() <= 0.1
    assert ours.decoder_bias.count_nonzero() == 0
    for layer in ours.layers:
        bound = layer.hidden_size**-0.5
        assert 0.95 * bound < max(weight.abs().max() for weight in layer.parameters()) <= bound
