"""DARTS-EGS: the distribution of its codes, their gradients by hand, and the derivation of cells."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from small_problems import drive, periodic_text
from supernets import DOUBLE, generator, layer
from torch.testing import assert_close

from cellzoo.errors import CellzooError
from cellzoo.notations import write
from cellzoo.notations.egs import read_code
from search.methods import egs
from search.methods.shared_weights import SharedWeights
from search.spaces.egs import EgsSpace
from search.supernets.ensemble import divided, ensemble, mixed
from search.supernets.layout import CELL, Layout
from search.supernets.shares import cell_shares
from tasks.problem import LayerSpec
from tasks.settings import configure

DRAWS = 100_000


def test_a_code_has_each_operation_with_the_probability_of_the_paper():
    # 1 - (1 - p)^M, for 20 random p, within 3 standard errors over 100,000 draws.
    rng = generator(1)
    deviations = []
    for case in range(20):
        samples = 1 + case % 5
        p = torch.randn(5, dtype=DOUBLE, generator=rng).mul(1.5).softmax(dim=0)
        codes = ensemble(p.log().expand(DRAWS, 5), samples, 2.0, rng)
        assert torch.equal(codes, codes.square())
        expected = 1 - (1 - p) ** samples
        error = (expected * (1 - expected) / DRAWS).sqrt()
        deviations.append((codes.mean(0) - expected) / error)
    # One operation of each p, all five in turn; then all 100 together, of which the largest may be further off.
    assert max(abs(row[case % 5].item()) for case, row in enumerate(deviations)) < 3.0
    together = torch.cat(deviations)
    assert together.abs().max() < 4.0
    assert 0.7 < together.std() < 1.3


def test_two_draws_of_two_operations_follow_the_worked_example():
    # p = (1/2, 1/2), M = 2: both with probability 1/2, each alone with 1/4.
    codes = ensemble(torch.full((DRAWS, 2), math.log(0.5), dtype=DOUBLE), 2, 1.0, generator(2))
    both = (codes.sum(1) == 2).double().mean().item()
    first = ((codes[:, 0] == 1) & (codes[:, 1] == 0)).double().mean().item()
    assert both == pytest.approx(0.5, abs=3 * (0.25 / DRAWS) ** 0.5)
    assert first == pytest.approx(0.25, abs=3 * (0.1875 / DRAWS) ** 0.5)


@pytest.mark.parametrize("temperature", [0.5, 5.0])
def test_gradients_are_those_of_the_straight_through_estimator(temperature):
    samples, seed = 3, 4
    alpha = torch.tensor([[0.3, -0.2, 0.5], [1.0, 0.1, -0.4]], dtype=DOUBLE, requires_grad=True)
    upstream = torch.tensor([[1.0, -2.0, 0.7], [0.3, 0.9, -1.1]], dtype=DOUBLE)
    code = ensemble(alpha.log_softmax(dim=-1), samples, temperature, generator(seed))
    (code * upstream).sum().backward()

    # By hand: the same uniform numbers, one Gumbel sample at a time.
    uniform = 1.0 - torch.rand(samples, 2, 3, generator=generator(seed), dtype=DOUBLE)
    expected = torch.zeros(2, 3, dtype=DOUBLE)
    for edge in range(2):
        p = [math.exp(value) for value in alpha[edge].tolist()]
        p = [value / sum(p) for value in p]
        hits, soft = [], []
        for sample in range(samples):
            gumbel = [-math.log(-math.log(u)) for u in uniform[sample, edge].tolist()]
            scores = [math.log(p[k]) + gumbel[k] for k in range(3)]
            hits.append(scores.index(max(scores)))
            weights = [math.exp(score / temperature) for score in scores]
            soft.append([weight / sum(weights) for weight in weights])
        assert code[edge].tolist() == [float(k in hits) for k in range(3)]
        for k in range(3):
            # A maximum of 1 belongs to the samples that hit k, one of 0 to all of them, in equal parts.
            owners = [sample for sample in range(samples) if hits[sample] == k] or list(range(samples))
            for sample, j in itertools.product(owners, range(3)):
                # d soft_k / d log p_j, then d log p_j / d alpha_i.
                by_log_p = soft[sample][k] * ((j == k) - soft[sample][j]) / temperature
                for i in range(3):
                    by_alpha = by_log_p * ((i == j) - p[i])
                    expected[edge, i] += upstream[edge, k] / len(owners) * by_alpha
    assert_close(alpha.grad, expected, rtol=1e-10, atol=1e-12)


def test_shares_are_divided_by_the_number_of_active_operations():
    layout = Layout(nodes=2, operations=("none", "tanh", "relu"))
    rows = [[1.0, 1, 1], [1, 0, 1], [0, 1, 1]]
    for divide, counts in (("node", (2, 3, 3)), ("edge", (2, 1, 2)), ("none", (1, 1, 1))):
        code = torch.tensor(rows, dtype=DOUBLE, requires_grad=True)
        shares = divided(layout, code, divide)
        expected = [[value / count for value in row] for row, count in zip(rows, counts, strict=True)]
        assert_close(shares, torch.tensor(expected, dtype=DOUBLE))
        several = divided(layout, torch.stack([code, 1 - code]), divide)
        assert_close(several[0], shares)
    nothing = torch.tensor([[1.0, 0, 0], [0, 1, 0], [1, 0, 0]], dtype=DOUBLE)
    assert_close(divided(layout, nothing, "node"), nothing)
    assert_close(divided(layout, nothing, "edge"), nothing)


def test_the_number_that_divides_has_a_gradient_where_something_is_active():
    layout = Layout(nodes=2, operations=("none", "tanh", "relu"))
    code = torch.tensor([[1.0, 1, 1], [1, 0, 1], [0, 1, 1]], dtype=DOUBLE, requires_grad=True)
    divided(layout, code, "node").sum().backward()
    # The sum of node 1 is 3 / 2, of which `none` is not in the number below; that of node 2 is 4 / 3.
    first, second = [1 / 2, 1 / 2 - 3 / 4, 1 / 2 - 3 / 4], [1 / 3, 1 / 3 - 4 / 9, 1 / 3 - 4 / 9]
    assert_close(code.grad, torch.tensor([first, second, second], dtype=DOUBLE))
    nothing = torch.tensor([[1.0, 0, 0], [0, 0, 0], [1, 0, 0]], dtype=DOUBLE, requires_grad=True)
    divided(layout, nothing, "node").sum().backward()
    assert_close(nothing.grad, torch.ones(3, 3, dtype=DOUBLE))


SMALL = Layout(nodes=2, operations=("none", "tanh", "relu", "sigmoid"))


def loss_of_a_small_cell(seed):
    """Shares (..., 3, 4) -> loss (...): two nodes that add what their edges give, without normalisation."""
    rng = generator(seed)
    start, *weights = (torch.randn(5, *more, dtype=DOUBLE, generator=rng) for more in ((), (5,), (5,)))
    target = torch.randn(5, dtype=DOUBLE, generator=rng)

    def loss(shares):
        states = [start.expand(*shares.shape[:-2], 5)]
        for node, weight in enumerate(weights, start=1):
            total = 0.0
            for predecessor, row in enumerate(SMALL.rows(node)):
                u = states[predecessor] @ weight / 5**0.5
                values = torch.stack([u.tanh(), u.relu(), u.sigmoid()], dim=-2)  # (..., 3, 5)
                total = total + (shares[..., row, 1:, None] * values).sum(dim=-2)
            states.append(total)
        return ((states[1] + states[2]) / 2) @ target

    return loss


def true_gradient(alpha, samples, loss):
    """Of the expected loss: the probability of every outcome of every edge, and the loss of every code."""
    p = alpha.softmax(dim=-1)
    draws = torch.tensor(list(itertools.product(range(4), repeat=samples)))  # (outcomes, M)
    codes = torch.nn.functional.one_hot(draws, 4).amax(dim=1).to(DOUBLE)  # (outcomes, K)
    probabilities = [p[edge][draws].prod(dim=1) for edge in range(3)]
    places = torch.cartesian_prod(*[torch.arange(len(draws))] * 3)  # (all, 3)
    probability = math.prod(probabilities[edge][places[:, edge]] for edge in range(3))
    losses = loss(divided(SMALL, codes[places], "node"))
    return torch.autograd.grad((probability * losses).sum(), alpha)[0]


@pytest.mark.parametrize("temperature", [1.0, 5.0])
@pytest.mark.parametrize("seed", range(4))
def test_the_mean_gradient_is_nearly_that_of_the_expected_loss(seed, temperature):
    """Where a search begins, with probabilities that are nearly equal. A constant number points elsewhere."""
    loss = loss_of_a_small_cell(seed)
    alpha = (0.1 * torch.randn(3, 4, dtype=DOUBLE, generator=generator(seed + 10))).requires_grad_()
    expected = true_gradient(alpha, 3, loss)

    def cosine(shares):
        (found,) = torch.autograd.grad(loss(shares).mean(), alpha, retain_graph=True)
        return torch.cosine_similarity(found.flatten(), expected.flatten(), dim=0).item()

    log_p = alpha.log_softmax(dim=-1).expand(50_000, 3, 4)
    code = ensemble(log_p, 3, temperature, generator(seed + 20))
    shares = divided(SMALL, code, "node")
    assert cosine(shares) > 0.98
    constant = torch.where(code > 0, shares.detach(), divided(SMALL, torch.ones_like(code), "node").detach())
    assert cosine(code * constant) < 0.96


@pytest.mark.parametrize("samples", [1, 2, 3, 4])
def test_the_most_probable_set_is_that_of_all_outcomes(samples):
    rng = generator(3)
    for _ in range(20):
        p = torch.randn(4, dtype=DOUBLE, generator=rng).softmax(dim=0).tolist()
        sets = {}
        for draws in itertools.product(range(4), repeat=samples):
            hit = tuple(sorted(set(draws)))
            sets[hit] = sets.get(hit, 0.0) + math.prod(p[k] for k in draws)
        assert sum(sets.values()) == pytest.approx(1.0)
        assert egs.most_probable_set(p, samples) == max(sets, key=sets.get)


def test_a_derived_code_keeps_no_none_and_is_always_a_cell():
    layout, space = Layout(nodes=2), EgsSpace(2, samples=2)
    probabilities = torch.tensor(
        [[0.5, 0.4, 0.1, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0, 0.0], [0.0, 0.1, 0.45, 0.45, 0.0]]
    )
    assert str(egs.derive(layout, space, probabilities)) == (
        "EGS(recurrent=[[(['tanh'], 0)], [(['relu', 'sigmoid'], 1)]], concat=range(1, 3))"
    )
    only_none = torch.tensor([[0.95, 0.01, 0.02, 0.01, 0.01]]).expand(3, 5)
    code = egs.derive(layout, space, only_none)
    assert code.recurrent == ((("relu", 0),), (("relu", 0),))
    assert write(space.to_cell(code), "egs")


def test_expected_active_operations_count_all_but_none():
    layout = Layout(nodes=1, operations=("none", "tanh", "relu"))
    p = torch.tensor([[0.5, 0.3, 0.2]], dtype=DOUBLE)
    expected = (1 - 0.7**4) + (1 - 0.8**4)
    assert egs.expected_active(layout, p, 4).item() == pytest.approx(expected)


def test_the_temperature_falls_linearly():
    settings = egs.EgsSettings()
    assert [settings.temperature(epoch, 5) for epoch in range(5)] == [5.0, 4.0, 3.0, 2.0, 1.0]
    assert settings.temperature(0, 1) == 1.0


def test_a_resource_term_makes_codes_sparser():
    active = {}
    for resource in (0.0, 5.0):
        problem = periodic_text(layer=LayerSpec(6, 6))
        settings = egs.EgsSettings(
            nodes=2, samples=3, resource=resource, learning_rate=0.5, architecture_learning_rate=0.1
        )
        method = egs.build(settings, problem, generator(1))
        drive(method, problem, epochs=6)
        p = method.rnn.relaxation.probabilities(CELL).detach()
        active[resource] = egs.expected_active(settings.layout(), p, 3).item()
    assert active[5.0] < active[0.0] - 0.3


def test_costs_are_mixed_into_the_probabilities_as_equation_5_says():
    layout = Layout(nodes=1, operations=("none", "tanh", "relu"))
    p = torch.tensor([[0.5, 0.3, 0.2]], dtype=DOUBLE)
    assert_close(mixed(layout, p, 0.5), torch.tensor([[0.25, 0.4, 0.35]], dtype=DOUBLE))
    assert mixed(layout, p, 0.0) is p
    settings = egs.EgsSettings(nodes=2, samples=2, resource_mixing=0.5)
    relaxation = egs.build(settings, periodic_text(layer=layer(6, 6)), generator(1)).rnn.relaxation
    assert_close(relaxation.probabilities(CELL).sum(-1), torch.ones(3, dtype=DOUBLE))
    # Almost equal at first, so half of .2 for `none`, and half of .25 more for each of the others.
    expected = torch.tensor([0.1, 0.225, 0.225, 0.225, 0.225], dtype=DOUBLE)
    assert_close(relaxation.probabilities(CELL)[0], expected, rtol=0, atol=2e-3)


def test_edges_are_divided_in_the_search_alone():
    settings = egs.EgsSettings(nodes=2, samples=3, divide="edge", architecture_momentum=0.5)
    method = egs.build(settings, periodic_text(layer=layer(6, 6)), generator(1))
    assert method.updates.optimizer.defaults["betas"] == (0.5, 0.999)
    method.rnn.train()
    rows = method.rnn.relaxation()[CELL][:, 1:].sum(1)
    assert set(rows.round(decimals=12).tolist()) <= {0.0, 1.0}
    method.rnn.eval()
    assert set(method.rnn.relaxation()[CELL].unique().tolist()) == {0.0, 1.0}
    assert "normalize=False" in write(method.derive(), "egs")


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"divide": "both"}, "is 'both'; it must be 'node', 'edge' or 'none'"),
        ({"resource_mixing": 1.0}, "'resource_mixing' .* is 1.0; it must be below 1"),
        ({"architecture_momentum": 1.0}, "'architecture_momentum' .* is 1.0; it must be below 1"),
    ],
)
def test_settings_out_of_range_are_named(setting, message):
    with pytest.raises(CellzooError, match=message):
        configure(egs.EgsSettings, setting, "egs")


def test_evaluation_uses_the_derived_code_and_no_chance():
    problem = periodic_text(layer=layer(6, 6))
    method = egs.build(egs.EgsSettings(nodes=2, samples=2), problem, generator(1))
    before = method.rnn.relaxation.generator.get_state()
    first = problem.evaluate(method.model, "dev")
    assert problem.evaluate(method.model, "dev") == first
    assert torch.equal(method.rnn.relaxation.generator.get_state(), before)
    x = torch.randn(3, 2, 6, dtype=DOUBLE, generator=generator(2))
    method.model.eval()
    output = method.rnn(x)[0]
    with method.rnn.holding(method.rnn.relaxation()):
        assert_close(method.rnn(x)[0], output, rtol=0, atol=0)


def test_candidates_whose_loss_is_no_number_are_passed_over(monkeypatch):
    problem = periodic_text(layer=layer(6, 6))
    settings = egs.EgsSettings(nodes=3, samples=2, derivation="sampled", candidates=3)
    losses: list[float] = []
    evaluated = []

    def evaluate(self, shares, batches):
        evaluated.append(shares[CELL])
        return losses[len(evaluated) - 1]

    monkeypatch.setattr(SharedWeights, "evaluate_cell", evaluate)
    method = egs.build(settings, problem, generator(1))
    losses[:] = [math.nan, 2.0, math.inf]
    found = method.conclude(iter(()), progress=lambda done, of: None)
    code = read_code(write(found, "egs"))
    assert torch.equal(cell_shares(settings.layout(), code.recurrent, mean=True)[CELL], evaluated[1])
    evaluated.clear()
    losses[:] = [math.nan, math.nan, math.inf]
    assert method.conclude(iter(()), progress=lambda done, of: None).hash == method.derive().hash
