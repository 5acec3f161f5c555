"""Samplers: schedules against the tables of their papers, and better proposals than random draws."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pytest

from cellzoo.errors import CellzooError
from search.features.improvement import expected_improvement
from search.features.vectors import GraphVectors
from search.features.words import graph_words
from search.registry import find_method
from search.samplers.settings import SamplerSettings
from search.spaces.darts import DartsSpace
from search.spaces.nas_bench_nlp import NasBenchNlpSpace
from search.testing import check_sampler
from tasks.settings import configure

SPACE = DartsSpace(4)


def cost(genotype):
    """A cost from 0 to 8; chains of tanh are best."""
    return sum(
        (op != "tanh") + (predecessor != node) for node, (op, predecessor) in enumerate(genotype.recurrent)
    )


def drive(name, seed, score=cost, **settings):
    kind = find_method(name)
    sampler = kind.build(kind.settings(nodes=4, **settings), SPACE, random.Random(seed))
    proposals = []
    while (proposal := sampler.ask()) is not None:
        proposals.append(proposal)
        sampler.tell(proposal, score(proposal.genotype))
    return proposals


LEARNERS = {
    "evolution": ({"population": 10, "sample": 5}, None, 3),
    "local-search": ({"neighbours": 20}, None, 3),
    "bananas": ({"refit": 10, "models": 2, "candidates": 10}, "sklearn", 1),
    "bayes": ({"refit": 10, "pool": 100, "initial": 15}, "sklearn", 1),
    "boosting": ({"refit": 5, "pool": 150, "models": 5, "initial": 15}, "lightgbm", 3),
    "smac": ({"refit": 5, "pool": 100, "initial": 15}, "smac", 2),
    "tpe": ({"pool": 100, "initial": 15}, "optuna", 2),
}


@pytest.mark.parametrize("name", LEARNERS)
def test_those_that_learn_propose_better_cells_than_random_draws(name):
    """The mean cost of the last 20 of 50 trials against that of random draws."""
    settings, package, seeds = LEARNERS[name]
    if package:
        pytest.importorskip(package)
    late, early = [], []
    for seed in range(seeds):
        proposals = drive(name, seed, trials=50, **settings)
        late += [cost(proposal.genotype) for proposal in proposals[-20:]]
        draws = random.Random(100 + seed)
        early += [cost(SPACE.sample(draws)) for _ in range(200)]
    error = float(np.std(late) ** 2 / len(late) + np.std(early) ** 2 / len(early)) ** 0.5
    assert np.mean(early) - np.mean(late) > 2.5 * error


def test_hyperband_has_the_brackets_of_its_paper():
    """R = 81, eta = 3: table 1 of Li et al. 2018, without the rounding of the paper's own table."""
    brackets = [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]
    trials = sum(count for bracket in brackets for count, _ in bracket)
    proposals = drive("hyperband", 1, trials=trials, epochs=81)
    expected = [epochs for bracket in brackets for count, epochs in bracket for _ in range(count)]
    assert [proposal.epochs for proposal in proposals] == expected
    # What goes on are the best of the rung, each with the genotype that it had.
    first, second = proposals[:81], proposals[81:108]
    costs = sorted(cost(proposal.genotype) for proposal in first)
    assert sorted(cost(proposal.genotype) for proposal in second) == costs[:27]
    assert all(any(proposal.genotype == earlier.genotype for earlier in first) for proposal in second)


def test_a_rung_of_failures_ends_its_bracket():
    proposals = drive("hyperband", 1, lambda genotype: None, trials=30, epochs=9)
    assert [proposal.epochs for proposal in proposals] == [1] * 9 + [3] * 5 + [9] * 3 + [1] * 9 + [3] * 4


def test_asha_lets_the_best_third_of_each_rung_go_on_at_once():
    proposals = drive("asha", 2, trials=200, epochs=27)
    by_rung = defaultdict(list)
    for proposal in proposals:
        by_rung[proposal.epochs].append(proposal)
    sizes = [len(by_rung[epochs]) for epochs in (1, 3, 9, 27)]
    assert sum(sizes) == 200
    for below, above in pairwise(sizes):
        # It can promote more than a third, as late results push earlier promotions out of the best third.
        assert below // 3 <= above + 1 <= below
    # Without a doubt: at the third result a cell goes on, the best of the three.
    assert [proposal.epochs for proposal in proposals[:5]] == [1, 1, 1, 3, 1]
    assert cost(proposals[3].genotype) == min(cost(proposal.genotype) for proposal in proposals[:3])
    pairs = Counter((proposal.genotype, proposal.epochs) for proposal in proposals if proposal.epochs > 1)
    assert max(pairs.values()) <= max(Counter(p.genotype for p in by_rung[1]).values())


def test_expected_improvement_equals_an_average_of_draws():
    draws = np.random.default_rng(1).normal(0.3, 0.7, 400_000)
    found = expected_improvement(np.array([0.3]), np.array([0.7]), 0.1)[0]
    assert found == pytest.approx(np.maximum(0.1 - draws, 0).mean(), rel=0.02)


def test_words_are_those_of_the_graph_and_not_of_its_names():
    space, generator = NasBenchNlpSpace(), random.Random(3)
    cells = [space.to_cell(space.sample(generator)) for _ in range(60)]
    from cellzoo.notations import parse, write

    words = {}
    for cell in cells:
        again = parse(write(cell, "equations"), "equations")
        assert sorted(graph_words(again)) == sorted(graph_words(cell))
        words.setdefault(tuple(sorted(graph_words(cell))), set()).add(cell.hash)
    # Refinement tells all of these graphs apart.
    assert all(len(hashes) == 1 for hashes in words.values())


def test_vectors_are_the_same_in_every_process_and_tell_near_from_far():
    pytest.importorskip("gensim")
    space, generator = NasBenchNlpSpace(), random.Random(4)
    genotypes = [space.sample(generator) for _ in range(150)]
    vectors = GraphVectors([space.to_cell(one) for one in genotypes], 10, seed=2)
    near, far = [], []
    for one in genotypes[:40]:
        mutant, other = space.mutate(one, generator), space.sample(generator)
        a, b, c = vectors.of([space.to_cell(each) for each in (one, mutant, other)])
        near.append(cosine(a, b))
        far.append(cosine(a, c))
    assert np.mean(near) > np.mean(far) + 0.1


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_a_pool_that_is_used_up_ends_with_a_reason():
    pytest.importorskip("sklearn")
    with pytest.raises(CellzooError, match="all 12 cells of the pool were proposed"):
        drive("bayes", 1, trials=20, pool=12, refit=20)


def test_start_needs_a_space_with_known_cells():
    with pytest.raises(CellzooError, match="only the space fenas has known cells"):
        drive("evolution", 1, start=("lstm",))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"space": "darts", "states": "h+c"}, r"states is 'h\+c', which the space darts does not have"),
        ({"space": "egs", "changes_inputs": True}, "changes_inputs is True, .* it is a setting of fenas"),
        ({"space": "enas", "operations": ["tanh"]}, "it is a setting of darts, idarts, egs, ess"),
    ],
)
def test_a_setting_that_the_space_does_not_read_is_refused(values, words):
    with pytest.raises(CellzooError, match=words):
        configure(SamplerSettings, values, "method 'random'")


def test_fenas_starts_from_the_cells_that_it_is_told():
    kind = find_method("fenas")
    settings = kind.settings(population=5, sample=2, start=("lstm", "gru"), trials=30)
    sampler = kind.build(settings, settings.cells(), random.Random(1))
    asked = [sampler.ask() for _ in range(5)]
    assert [proposal.genotype for proposal in asked[:2]] == [
        settings.cells().member(n) for n in ("lstm", "gru")
    ]
    check_sampler(kind, {"population": 5, "start": ("lstm", "gru"), "trials": 30})


def test_more_known_cells_than_the_population_leave_no_room_for_a_warm_start():
    kind = find_method("fenas")
    settings = kind.settings(
        population=1, sample=1, start=("lstm", "gru"), warm_start="parameters", warm_pool=6, trials=5
    )
    sampler = kind.build(settings, settings.cells(), random.Random(0))
    known = [settings.cells().member(name) for name in ("lstm", "gru")]
    assert [sampler.ask().genotype for _ in range(2)] == known
    assert sampler.ask() is None


@pytest.mark.parametrize(("name", "package"), [("bayes", "sklearn"), ("zero-cost", "torch")])
def test_a_space_smaller_than_the_pool_is_not_blamed_on_the_pool(name, package):
    pytest.importorskip(package)
    kind = find_method(name)
    settings = kind.settings(nodes=1, operations=("tanh", "relu"), trials=5, pool=10)
    sampler = kind.build(settings, settings.cells(), random.Random(1))
    for _ in range(2):
        sampler.tell(sampler.ask(), None)
    with pytest.raises(CellzooError, match="all 2 cells of the pool were proposed; no others were found"):
        sampler.ask()


def test_one_operation_is_enough_for_every_space_that_takes_operations():
    for space in ("darts", "idarts", "egs", "ess"):
        cells = SamplerSettings(space=space, nodes=3, operations=("tanh",)).cells()
        assert cells.to_cell(cells.sample(random.Random(0))).nodes
