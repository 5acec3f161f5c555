"""Does a search find a cell that is known to be the best, and does it beat random search with the same compute?

The task is that of `hidden_cell.py`. Compute is counted in products of a vector with an H x H matrix, forwards
and backwards; products cost most of the time at the sizes that searches have.
"""

from __future__ import annotations

import itertools
import random
import statistics

import pytest
import torch
from hidden_cell import BATCHES, HIDDEN, INPUT, HiddenCell
from small_problems import drive

from cellzoo.cells.ops import LINEAR
from cellzoo.layer import CellRNN
from search.registry import find_method
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.ess import EssSpace
from search.spaces.idarts import IDartsSpace
from search.supernets.layout import Layout

NODES, DELAY, SEEDS, EPOCHS, EPOCHS_EACH = 4, 3, 10, 20, 4
SPACES = {
    "darts": DartsSpace(NODES),
    "idarts": IDartsSpace(NODES),
    "egs": EgsSpace(NODES),
    "ess": EssSpace(DartsSpace(NODES), DELAY),
}
ADAM = {"optimizer": "adam", "learning_rate": 0.05}
PLAIN = {"nodes": NODES, "normalisation": "none", "weight_decay": 0.0, "clip": 5.0}
FAST = {"architecture_learning_rate": 0.1, "architecture_weight_decay": 0.0}
METHODS = {
    "darts": ADAM,
    "darts second order": {"optimizer": "sgd", "learning_rate": 1.0, "order": 2},
    "idarts one edge": ADAM | {"edges": 1},
    "idarts": ADAM | {"edges": 2},
    "egs": ADAM | {"samples": 4},
    "ess": ADAM | {"delay": DELAY, "inter_learning_rate": 0.1},
}


# What ten seeds do not show. The cells of idarts with two edges and of egs join many operations, and the hidden
# one is little better than most; second order costs 8/3 of first order, which buys random search as many more
# draws, and here finds cells no better than first order's.
NOT_SHOWN = {"idarts", "egs", "darts second order"}
CASES = [
    pytest.param(
        name,
        marks=pytest.mark.xfail(
            name in NOT_SHOWN,
            reason="not better than random search at p < 0.05",
            raises=AssertionError,
            strict=True,
        ),
    )
    for name in METHODS
]


def products_of(cell):
    return sum(len(node.inputs) for node in cell.live_nodes if node.op == LINEAR)


def compute_of(layout, order):
    """Products of a whole search: both halves of W_0 and W_i count, and a pass back costs what one on does."""
    once = 4 + 2 * layout.num_edges + 2 * layout.delay
    # The matrices are held, so that only the architecture's pass goes back: first order on, back, and on for
    # the decoder; second order has two more passes on and back, and one on.
    return once * EPOCHS * BATCHES * (3 if order == 1 else 8)


def best_at_random(space, problem, budget, seed):
    """The cell that random search finds within a budget of products, and how many it tried."""
    settings = find_method("random").settings(
        **ADAM | {"learning_rate": 0.1, "weight_decay": 0.0, "clip": 5.0},
        space=space,
        nodes=NODES,
        epochs_each=EPOCHS_EACH,
    )
    method = find_method("random").build(settings, problem, torch.Generator().manual_seed(seed))
    spent = cells = 0
    while spent < budget:
        for epoch in range(EPOCHS_EACH):
            drive(method, problem, first=epoch, epochs=epoch + 1)
        spent += products_of(method.rnn.cell) * (EPOCHS_EACH + 1) * BATCHES
        cells += 1
    return method.derive(), cells


def compare(name, seed):
    """Test losses, above the entropy of the labels, of the hidden cell, the found one, the best at random."""
    kind = find_method(name.partition(" ")[0])
    space_name = "darts" if name == "idarts one edge" else kind.name
    space = SPACES[space_name]
    hidden = space.to_cell(space.sample(random.Random(1000 + seed)))
    layout = Layout(nodes=NODES, delay=DELAY if kind.name == "ess" else 0)
    problem = HiddenCell(CellRNN(hidden, INPUT, HIDDEN), layout, seed)
    settings = kind.settings(**PLAIN | FAST | METHODS[name])
    method = kind.build(settings, problem, torch.Generator().manual_seed(seed))
    drive(method, problem, epochs=EPOCHS)
    budget = compute_of(layout, settings.order)
    at_random, cells = best_at_random(space_name, problem, budget, seed)
    losses = [problem.quality(CellRNN(cell, INPUT, HIDDEN)) for cell in (hidden, method.derive(), at_random)]
    print(name, seed, *(f"{loss:.4f}" for loss in losses), f"{cells} cells at random", flush=True)  # noqa: T201
    return losses


def p_value(differences):
    """Exact one-sided sign-flip test of a mean below 0."""
    observed = sum(differences)
    flips = [
        sum(sign * abs(difference) for sign, difference in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return sum(total <= observed + 1e-12 for total in flips) / len(flips)


def test_the_sign_flip_test_is_exact():
    assert p_value([-1.0, -2.0, -3.0]) == 1 / 8
    assert p_value([1.0, 2.0, 3.0]) == 1.0
    assert p_value([1.0, -2.0, -3.0]) == 2 / 8


@pytest.mark.parametrize("name", ["darts", "egs", "ess"])
def test_no_cell_of_the_space_is_better_than_the_hidden_one(name):
    space = SPACES[name]
    chance = random.Random(3)
    hidden = space.to_cell(space.sample(chance))
    layout = Layout(nodes=NODES, delay=DELAY if name == "ess" else 0)
    problem = HiddenCell(CellRNN(hidden, INPUT, HIDDEN), layout, seed=3)
    best = problem.quality(CellRNN(hidden, INPUT, HIDDEN))
    others = [problem.quality(CellRNN(space.to_cell(space.sample(chance)), INPUT, HIDDEN)) for _ in range(15)]
    # What is left to the hidden cell is that its decoder is learned from samples.
    assert abs(best) < 0.03
    assert best < min(others)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", CASES)
def test_a_gradient_method_beats_random_search_with_the_same_compute(name):
    pairs = [compare(name, seed) for seed in range(SEEDS)]
    differences = [found - at_random for _, found, at_random in pairs]
    hidden, found, at_random = (statistics.mean(column) for column in zip(*pairs, strict=True))
    p = p_value(differences)
    print(  # noqa: T201
        f"{name}: hidden {hidden:.4f}, found {found:.4f}, random {at_random:.4f}, "
        f"better in {sum(difference < 0 for difference in differences)} of {SEEDS}, p = {p:.4f}"
    )
    assert p < 0.05
