"""The model of AWD-LSTM: its count of parameters against published ones, weight drop, states, training."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from language_models import AWD, StoppedError, equal, problem_on, train_on, weights, write_text
from real_data import data_folder
from torch.nn import functional as F

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.notations import nas_bench_nlp
from tasks.language_modeling.model import LanguageModel
from tasks.language_modeling.modeling import layer_spec
from tasks.language_modeling.settings import LanguageModelingSettings
from tasks.layers.stack import CellStack
from tasks.training.fit import recurrent_layer

WIKITEXT_2, PTB = 33_278, 10_000


def spec(embedding=400, hidden=600, layers=3, **options):
    settings = LanguageModelingSettings(
        model="awd", embedding_size=embedding, hidden_size=hidden, num_layers=layers, **options
    )
    return layer_spec(settings)


def built(cell, sizes, vocabulary):
    layers = [cellzoo.CellRNN(cell, *layer, device="meta") for layer in sizes.sizes]
    model = LanguageModel(CellStack(layers), vocabulary)
    return sum(parameter.numel() for parameter in model.parameters())


def counted(cell, sizes, vocabulary):
    return sizes.num_parameters(cell) + vocabulary * (sizes.input_size + 1)


def test_counts_equal_those_of_all_345_published_runs():
    path = (
        data_folder("nas-bench-nlp/train_logs_wikitext-2.zip") / "nas-bench-nlp" / "train_logs_wikitext-2.zip"
    )
    with zipfile.ZipFile(path) as archive:
        runs = [json.loads(archive.read(name)) for name in archive.namelist()]
    assert len(runs) == 345
    for place, run in enumerate(runs):
        cell = nas_bench_nlp.parse(run["recepie"])
        sizes = spec(run["emsize"], run["nhid"], run["nlayers"])
        assert counted(cell, sizes, WIKITEXT_2) == run["num_params"]
        if place % 15 == 0:
            assert built(cell, sizes, WIKITEXT_2) == run["num_params"]


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
    cell = cellzoo.load(name)
    assert counted(cell, spec(), vocabulary) == built(cell, spec(), vocabulary) == expected


def test_the_layers_go_from_the_embedding_out_and_back():
    assert spec().sizes == ((400, 600), (600, 600), (600, 400))
    assert spec(layers=1).sizes == ((400, 400),)
    flops = cellzoo.load("lstm").flops
    pairs = [flops(input_size=e, hidden_size=h) for e, h in spec().sizes]
    assert spec().flops(cellzoo.load("lstm")) == sum(pairs)


def model(name, between=0.0, weight_drop=0.0, trains_dropped=True, **around):
    generator = torch.Generator().manual_seed(3)
    layers = [cellzoo.CellRNN(cellzoo.load(name), *size, dtype=torch.float64) for size in spec(4, 6).sizes]
    for layer in layers:
        layer.reset_parameters(generator)
    stack = CellStack(layers, dropout=between, weight_drop=weight_drop, trains_dropped=trains_dropped)
    return LanguageModel(stack, 11, generator=generator, embedding_range=0.1, **around)


TOKENS = torch.tensor([[0, 3], [7, 10], [2, 2]])  # (T, B)


def test_logits_are_those_of_torchs_layers_in_a_row():
    """An LSTM with torch's own layers and the same weights."""
    ours = model("lstm")
    values = F.embedding(TOKENS, ours.embedding)
    for layer in ours.rnn.layers:
        theirs = torch.nn.LSTM(layer.input_size, layer.hidden_size, dtype=torch.float64)
        named = layer.directions[0].weights
        with torch.no_grad():
            theirs.weight_ih_l0.copy_(torch.cat([named[f"{gate}_1_0"] for gate in "ifgo"]))
            theirs.weight_hh_l0.copy_(torch.cat([named[f"{gate}_1_1"] for gate in "ifgo"]))
            theirs.bias_ih_l0.copy_(torch.cat([named[f"{gate}_1_b"] for gate in "ifgo"]))
            theirs.bias_hh_l0.zero_()
        values, _ = theirs(values)
    expected = values @ ours.embedding.T + ours.decoder_bias
    output = ours(TOKENS)
    torch.testing.assert_close(output.logits, expected, rtol=1e-12, atol=1e-12)
    assert output.raw.shape == (3, 2, 4)


@pytest.mark.parametrize("name", ["nbnlp-7537", "gru"])
def test_a_carried_state_continues_the_text(name):
    ours = model(name).eval()
    whole = ours(TOKENS)
    first = ours(TOKENS[:1])
    second = ours(TOKENS[1:], first.hidden)
    torch.testing.assert_close(torch.cat([first.logits, second.logits]), whole.logits, rtol=1e-12, atol=1e-12)


def gradients(ours):
    torch.manual_seed(5)
    ours(TOKENS).logits.square().sum().backward()
    return {name: parameter.grad for name, parameter in ours.named_parameters()}


def test_weight_drop_masks_what_does_not_read_x_and_trains_it():
    ours = model("nbnlp-7537", weight_drop=0.5)
    # node_0 reads h_prev_0 and x, node_2 x and node_1, node_5 node_1 and h_new_1.
    assert {name.rpartition(".")[2] for name in ours.rnn.recurrent_weights} == {
        "node_0_0",
        "node_2_1",
        "node_5_0",
        "node_5_1",
    }
    found = gradients(ours)
    for name, gradient in found.items():
        assert gradient is not None
        recurrent = any(name.endswith(f".{weight}") for weight in ours.rnn.recurrent_weights)
        assert gradient.count_nonzero() > 0
        # About half of a masked matrix gets no gradient.
        assert (0.2 < (gradient == 0).double().mean().item() < 0.8) is recurrent


def test_frozen_weight_drop_gives_the_recurrent_matrices_no_gradient():
    ours = model("nbnlp-7537", weight_drop=0.5, trains_dropped=False)
    for name, gradient in gradients(ours).items():
        recurrent = any(name.endswith(f".{weight}") for weight in ours.rnn.recurrent_weights)
        assert (gradient is None) is recurrent


@pytest.mark.parametrize("option", ["dropout", "dropout_e", "dropout_i", "between", "weight_drop"])
def test_weight_drop_and_dropout_act_in_training_alone(option):
    ours = model("lstm", **{option: 0.5})
    assert not torch.equal(ours(TOKENS).logits, ours(TOKENS).logits)
    assert torch.equal(ours.eval()(TOKENS).logits, model("lstm").eval()(TOKENS).logits)


def test_locked_dropout_between_layers_has_one_mask_for_all_steps():
    layers = [cellzoo.CellRNN(cellzoo.load("rnn"), 50, 50) for _ in range(2)]
    with torch.no_grad():  # the second layer: h' = tanh of its own input, unit by unit
        for weight in layers[1].parameters():
            weight.zero_()
        matrix = next(weight for weight in layers[1].parameters() if weight.dim() == 2)
        matrix.copy_(torch.eye(50))
    stack = CellStack(layers, dropout=0.5)
    torch.manual_seed(0)
    values = stack(torch.randn(4, 8, 50))[0]  # (T, B, H)
    assert (values == 0).equal((values[:1] == 0).expand_as(values))
    assert 0.3 < (values[0] == 0).float().mean().item() < 0.7


def test_weights_are_drawn_as_the_benchmark_draws_them():
    rnn = recurrent_layer(cellzoo.load("lstm"), spec(20, 30), torch.Generator().manual_seed(0))
    for layer in rnn.layers:
        bound = layer.hidden_size**-0.5
        assert 0.95 * bound < max(weight.abs().max() for weight in layer.parameters()) <= bound
    ours = LanguageModel(rnn, 500, embedding_range=0.1, generator=torch.Generator().manual_seed(0))
    assert 0.099 < ours.embedding.abs().max() <= 0.1
    assert ours.decoder_bias.count_nonzero() == 0


@pytest.mark.parametrize("cell", ["lstm", "nbnlp-7537", "darts-v2"])
@pytest.mark.parametrize("mode", ["fixed", "reference_frozen"])
def test_training_goes_on_exactly_and_moves_what_the_mode_trains(cell, mode, tmp_path):
    problem = problem_on(write_text(tmp_path / "words.txt"), **{**AWD, "weight_drop_mode": mode})
    options = {"cell": cell, "optimizer": "adam", "learning_rate": 0.01, "epochs": 2}
    whole = train_on(problem, tmp_path / "whole", **options)
    with pytest.raises(StoppedError):
        train_on(problem, tmp_path / "part", stop_at=0.7, **options)
    torch.manual_seed(9)
    parts = train_on(problem, tmp_path / "part", **options)
    assert equal(weights(whole.model), weights(parts.model))
    generator = torch.Generator().manual_seed(0)
    first = recurrent_layer(cellzoo.load(cell), problem.layer, generator)
    start = train_on(problem, tmp_path / "still", **{**options, "learning_rate": 1e-30})
    moved = {
        name.removeprefix("rnn."): not torch.equal(tensor, weights(start.model)[name])
        for name, tensor in weights(whole.model).items()
        if name.startswith("rnn.")
    }
    for layer in range(3):
        for name in first.recurrent_weights:
            assert moved.pop(f"layers.{layer}.{name}") is (mode == "fixed")
    assert all(moved.values())


def test_a_search_in_a_model_of_several_layers_is_refused(tmp_path):
    problem = problem_on(write_text(tmp_path / "words.txt"), **AWD)
    with pytest.raises(CellzooError, match=r"one recurrent layer, and this model has 3 \(6 -> 8 -> 8 -> 6\)"):
        problem.layer.check_searchable(problem.name)
    problem_on(tmp_path / "words.txt").layer.check_searchable("words")
