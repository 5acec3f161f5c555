"""The controller of ENAS against an enumeration of all arcs, and against its equations."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import pytest
import torch
from small_problems import drive, periodic_text
from supernets import generator
from torch.testing import assert_close

from search.methods import enas
from search.methods.controller import Controller
from tasks.problem import LayerSpec


def controller(nodes=3, operations=2, scale=60.0):
    """A controller whose weights are large enough for distributions that are far from uniform."""
    made = Controller(nodes, operations, generator(1)).double()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.mul_(scale)
    return made


def all_arcs(nodes=3, operations=2):
    ranges = [part for node in range(1, nodes + 1) for part in (range(node), range(operations))]
    return list(itertools.product(*ranges))


def test_probabilities_sum_to_one_and_entropy_is_that_of_the_enumeration():
    made = controller()
    with torch.no_grad():
        walks = [made.follow(arc) for arc in all_arcs()]
    logs = torch.stack([walk.log_probability for walk in walks])
    p = logs.exp()
    assert p.sum().item() == pytest.approx(1.0, rel=1e-12)
    assert p.max() > 3 * p.min()
    expected = torch.stack([walk.entropy for walk in walks])
    assert (p * expected).sum().item() == pytest.approx(-(p * logs).sum().item(), rel=1e-12)


def test_draws_follow_the_probabilities_of_the_enumeration():
    made, rng, draws = controller(2, 2), generator(2), 1500
    with torch.no_grad():
        counts = Counter(made.sample(rng).arc for _ in range(draws))
        p = {arc: made.follow(arc).log_probability.exp().item() for arc in all_arcs(2, 2)}
    assert set(counts) <= set(p)
    for arc, probability in p.items():
        error = math.sqrt(draws * probability * (1 - probability))
        assert abs(counts[arc] - draws * probability) < 4 * error


def test_a_sampled_arc_says_its_own_probability():
    made = controller().requires_grad_(False)
    walk = made.sample(generator(3))
    again = made.follow(walk.arc)
    assert_close(walk.log_probability, again.log_probability)
    taken = [row[number] for row, number in zip(walk.distributions, walk.arc, strict=True)]
    assert walk.log_probability.item() == pytest.approx(sum(math.log(p) for p in taken))
    assert walk.sampled_entropy.item() == pytest.approx(sum(-p * math.log(p) for p in taken))
    assert made.greedy().arc == tuple(int(row.argmax()) for row in made.follow(made.greedy().arc).distributions)


def test_logits_are_those_of_the_equations():
    made = controller(2, 3)
    arc = (0, 2, 1, 0)
    rows = made.follow(arc).distributions
    zeros = torch.zeros(1, 64, dtype=torch.float64)
    with torch.no_grad():
        a1, c = made.lstm(made.start, (zeros, zeros))
        s, c = made.lstm(zeros / 1.1, (a1, c))
        op = 2.25 * ((made.operations @ s[0]) / 5).tanh()
        assert_close(rows[1], op.softmax(0))
        a2, c = made.lstm(made.operations[2:3], (s, c))
        scores = [
            made.attention @ (made.on_anchor.T @ anchor[0] + made.on_query.T @ a2[0]).tanh()
            for anchor in (zeros, a1)
        ]
        logits = torch.stack([2.25 * (scores[0] / 5).tanh() - 4 / 6, 2.25 * (scores[1] / 5).tanh() - 1 / 6])
        assert_close(rows[2], logits.softmax(0))
        s, c = made.lstm(a1 / 1.1, (a2, c))
        assert_close(rows[3], (2.25 * ((made.operations @ s[0]) / 5).tanh()).softmax(0))


def test_a_new_controller_is_nearly_uniform_over_operations():
    rows = Controller(3, 4, generator(1)).greedy().distributions
    for row in rows[1::2]:
        assert_close(row, torch.full((4,), 0.25), rtol=1e-3, atol=0)


def test_the_controller_learns_which_arcs_are_rewarded(monkeypatch):
    problem = periodic_text(layer=LayerSpec(6, 6))
    settings = enas.EnasSettings(
        nodes=2, controller_learning_rate=1e-2, controller_steps=20, baseline_decay=0.9, learning_rate=0.1
    )
    method = enas.Enas(settings, problem, generator(1))
    relu = settings.space().operations.index("relu")

    def evaluate(shares, batches):
        rows = shares["cell"]
        return 4.0 - rows[:, relu].sum().item()

    monkeypatch.setattr(method.shared, "evaluate_cell", evaluate)
    events = drive(method, problem, epochs=5)
    assert method.controller.greedy().arc[1::2] == (relu, relu)
    best = 80.0 * math.exp(-2.0)
    assert events[4]["reward"] < 0.8 * best < 0.9 * best < events[-1]["reward"]
    assert "relu" in method.derive().to_json()


def test_the_reward_is_the_scale_over_perplexity_plus_entropy():
    problem = periodic_text(layer=LayerSpec(6, 6))
    for kind, part in (("exact", "entropy"), ("sampled", "sampled_entropy")):
        settings = enas.EnasSettings(nodes=2, entropy=kind, entropy_weight=0.5)
        method = enas.Enas(settings, problem, generator(1))
        walk = method.controller.greedy()
        expected = 80.0 / 40.0 + 0.5 * getattr(walk, part).item()
        assert method.reward(math.log(40.0), walk) == pytest.approx(expected)
        assert method.reward(math.inf, walk) == pytest.approx(0.5 * getattr(walk, part).item())
