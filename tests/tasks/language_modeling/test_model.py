from __future__ import annotations

import pytest
import torch
from language_models import random_words, small_model
from supernets import DOUBLE, fill_like_the_reference, generator, wave
from torch.nn import functional as F

import cellzoo
from search.supernets.layout import CELL, Layout
from search.supernets.network import Supernet
from search.supernets.relaxation import LocalSoftmax
from tasks.language_modeling.model import LanguageModel, detach
from tasks.layers.dropout import embed, locked_dropout
from tasks.problem import LayerSpec


# Sizes of the models in Liu et al. (arXiv 1806.09055): 23M on PTB, 33M on WikiText-2, 300 units in search.
@pytest.mark.parametrize(
    ("cell", "nodes", "words", "size", "expected"),
    [
        ("darts-v2", 8, 10_000, 850, 22_960_000),
        ("enas", 11, 10_000, 850, 27_295_000),
        ("darts-v2", 8, 33_278, 700, 33_127_878),
        ("darts-v2", 8, 10_000, 300, 4_810_000),
    ],
)
def test_parameters_are_those_of_darts(cell: str, nodes: int, words: int, size: int, expected: int) -> None:
    graph = cellzoo.load(cell)
    model = LanguageModel(cellzoo.CellRNN(graph, size, size, device="meta"), words)
    assert sum(parameter.numel() for parameter in model.parameters()) == expected
    counted = graph.num_parameters(input_size=size, hidden_size=size)
    assert counted == (2 * size) ** 2 + nodes * size * 2 * size
    assert words * size + words + counted == expected


def test_a_tied_model_has_one_tensor_for_embedding_and_decoder() -> None:
    model = small_model()
    state = model.state_dict()
    assert [name for name, tensor in state.items() if tensor.shape == (11, 6)] == ["embedding"]
    tokens = torch.tensor([[3], [5]])
    with torch.no_grad():
        before = model(tokens).logits
        model.embedding[7] += 1.0  # read by the decoder alone, as 7 is not among the tokens
        after = model(tokens).logits
    changed = (before != after).any(dim=0).any(dim=0)
    assert changed.nonzero().flatten().tolist() == [7]


def test_an_untied_model_may_have_two_widths() -> None:
    rnn = cellzoo.rnn("gru", 3, 5)
    model = LanguageModel(rnn, 11, tied=False)
    assert model(random_words(8, 11).view(4, 2)).logits.shape == (4, 2, 11)
    assert (model.tied_weights, small_model().tied_weights) == ((), ("embedding",))
    with pytest.raises(ValueError, match="embedding_size == hidden_size, not 3 and 5"):
        LanguageModel(rnn, 11)


def test_initial_weights_follow_the_generator_and_the_ranges() -> None:
    one, same, other = (small_model(seed=seed, size=16, words=50) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.embedding, other.embedding)
    assert 0.039 < one.embedding.abs().max().item() <= 0.04
    assert not one.decoder_bias.any()
    largest = max(parameter.abs().max().item() for parameter in one.rnn.parameters())
    assert 0.24 < largest <= 0.25  # 1 / sqrt(16)
    assert 0.15 < small_model(words=50, embedding_range=0.2).embedding.abs().max().item() <= 0.2


@pytest.mark.parametrize("cell", ["lstm", "gru", "darts-v2"])
def test_carrying_the_state_equals_running_the_whole_text(cell: str) -> None:
    model = small_model(cell, dtype=torch.float64).eval()
    tokens = random_words(3 * 12, 11).view(12, 3)
    whole = model(tokens)
    first = model(tokens[:5])
    second = model(tokens[5:], detach(first.hidden))
    logits = torch.cat([first.logits, second.logits])
    torch.testing.assert_close(logits, whole.logits, rtol=0, atol=1e-13)
    assert whole.logits.std() > 1e-3


@pytest.mark.parametrize("cell", ["lstm", "darts-v2"])
def test_no_gradient_passes_a_detached_state(cell: str) -> None:
    model = small_model(cell)
    first = model(random_words(6, 11).view(3, 2))
    carried = detach(first.hidden)
    assert isinstance(carried, tuple) == (cell == "lstm")
    model(random_words(6, 11).view(3, 2), carried).logits.sum().backward()
    states = first.hidden if isinstance(first.hidden, tuple) else (first.hidden,)
    assert all(state.requires_grad for state in states)
    states[0].sum().backward()  # the graph of the first segment was not used up


def test_the_golden_values_of_the_search_hold_around_a_supernet() -> None:
    """Made with rnn/architect.py of quark0/darts: V 11, D = H = 4, 8 nodes, B 4, T 5, float64, no dropout."""
    layout, sizes = Layout(), LayerSpec(4, 4, dtype=DOUBLE)
    supernet = Supernet(layout, sizes, LocalSoftmax(layout, sizes, generator()), generator())
    model = LanguageModel(supernet, 11)
    fill_like_the_reference(supernet, first=1)
    with torch.no_grad():
        model.embedding.copy_(wave((11, 4), 0))
        model.decoder_bias.copy_(wave((11,), 10))
        supernet.relaxation.alphas[CELL].copy_(wave((36, 5), scale=0.1, step=0.37))

    def loss(step: int, offset: int) -> torch.Tensor:
        words = step * torch.arange(20) % 11
        return F.cross_entropy(model(words.view(5, 4)).logits.flatten(0, 1), (words + offset) % 11)

    trained = loss(3, 1)
    assert trained.item() == pytest.approx(2.635554080724, rel=1e-8)
    assert loss(5, 2).item() == pytest.approx(2.816377487658, rel=1e-8)
    weights = [weight for name, weight in model.named_parameters() if "relaxation" not in name]
    squares = [gradient.square().sum() for gradient in torch.autograd.grad(trained, weights)]
    assert torch.stack(squares).sum().sqrt().item() == pytest.approx(0.56739745753, rel=1e-8)


def test_locked_dropout_has_one_mask_for_all_steps() -> None:
    torch.manual_seed(0)
    values = torch.rand(7, 50, 40) + 1.0
    dropped = locked_dropout(values, 0.25, training=True)
    factors = dropped / values  # (T, B, H)
    torch.testing.assert_close(factors, factors[:1].expand_as(factors))
    assert {round(value, 5) for value in factors.unique().tolist()} == {0.0, round(4 / 3, 5)}
    assert not torch.equal(factors[0, 0], factors[0, 1])
    share = (factors[0] == 0).float().mean().item()
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / 2000) ** 0.5
    assert locked_dropout(values, 0.25, training=False) is values


def test_embedding_dropout_drops_whole_words_wherever_they_occur() -> None:
    torch.manual_seed(0)
    weight = torch.ones(1000, 4)
    tokens = torch.cat([torch.arange(1000), torch.arange(1000)]).view(20, 100)
    factors = embed(tokens, weight, 0.4, training=True)  # (T, B, E)
    assert torch.equal(factors[:10].reshape(1000, 4), factors[10:].reshape(1000, 4))
    assert torch.equal(factors.amin(dim=2), factors.amax(dim=2))
    dropped = factors[:10, :, 0] == 0
    torch.testing.assert_close(factors[:10][~dropped], torch.full((int((~dropped).sum()), 4), 1 / 0.6))
    assert abs(dropped.float().mean().item() - 0.4) < 4 * (0.4 * 0.6 / 1000) ** 0.5
    assert torch.equal(embed(tokens, weight, 0.4, training=False), weight[tokens])


@pytest.mark.parametrize("name", ["dropout", "dropout_e", "dropout_i", "dropout_x", "dropout_h"])
def test_each_dropout_works_in_training_alone(name: str) -> None:
    model, plain = small_model(**{name: 0.5}), small_model()
    tokens = random_words(10, 11).view(5, 2)
    torch.manual_seed(0)
    first = model(tokens)
    assert not torch.equal(first.logits, model(tokens).logits)
    assert torch.equal(plain(tokens).logits, plain(tokens).logits)
    model.eval()
    assert torch.equal(model(tokens).logits, plain(tokens).logits)
    before_the_cell = name != "dropout"
    assert torch.equal(first.raw, first.dropped) == before_the_cell
    assert torch.equal(first.raw, plain(tokens).raw) != before_the_cell
