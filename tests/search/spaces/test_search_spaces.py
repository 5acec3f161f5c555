"""Spaces: draws are uniform and deterministic, mutations make one change, codes are unique."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest

from cellzoo.errors import CellzooError
from cellzoo.notations import write
from search.spaces.darts import DartsSpace
from search.spaces.egs import EgsSpace
from search.spaces.enas import EnasSpace
from search.spaces.ess import EssSpace
from search.spaces.fenas import FenasSpace
from search.spaces.idarts import IDartsSpace

SPACES = {
    "darts": DartsSpace(4),
    "darts-plain": DartsSpace(3, ("tanh", "selu"), highway=False),
    "idarts": IDartsSpace(3, edges=2),
    "egs": EgsSpace(3, samples=2),
    "ess": EssSpace(DartsSpace(3), delay=2, inter_weights="lowrank:3"),
    "enas": EnasSpace(4, "enas_lm_tpu"),
}
# The number that says the predecessor of node 1, which has no other.
FIXED = {"darts": {1}, "darts-plain": {1}, "ess": {1}, "enas": {0}}


@pytest.mark.parametrize("name", SPACES)
def test_genotypes_are_cells_of_their_notation_and_codes_tell_them_apart(name):
    space, generator = SPACES[name], random.Random(1)
    drawn = [space.sample(generator) for _ in range(60)]
    for genotype in drawn[:10]:
        cell = space.to_cell(genotype, "found")
        assert cell.name == "found"
        assert write(cell, name.partition("-")[0])
    codes = [space.encode(genotype) for genotype in drawn]
    assert len({len(code) for code in codes}) == 1
    assert len(set(codes)) == len(set(drawn)) > 20


@pytest.mark.parametrize("name", SPACES)
def test_a_mutation_changes_one_thing_and_reaches_everything(name):
    space, generator = SPACES[name], random.Random(2)
    genotype = space.sample(generator)
    changed = Counter()
    for _ in range(300):
        mutant = space.mutate(genotype, generator)
        before, after = space.encode(genotype), space.encode(mutant)
        places = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
        assert 1 <= len(places) <= (2 if name == "idarts" else 1)
        changed.update(places)
        space.to_cell(mutant)
        genotype = mutant
    assert set(changed) == set(range(len(space.encode(genotype)))) - FIXED.get(name, set())


@pytest.mark.parametrize("name", SPACES)
def test_a_seed_decides_all(name):
    space = SPACES[name]
    first, again = random.Random(3), random.Random(3)
    a, b = space.sample(first), space.sample(again)
    assert a == b
    assert space.mutate(a, first) == space.mutate(b, again)


def test_draws_are_uniform():
    space, generator = DartsSpace(2, ("tanh", "relu")), random.Random(4)
    draws = Counter(space.encode(space.sample(generator)) for _ in range(8000))
    expected = list(product(range(2), range(1), range(2), range(2)))
    assert set(draws) == set(expected)
    # 8000 draws on 8 outcomes: standard error 30.
    assert all(abs(count - 1000) < 4 * 30 for count in draws.values())


def test_an_edge_of_a_code_has_what_uniform_draws_hit():
    space, generator = EgsSpace(1, samples=3), random.Random(5)
    drawn = [space.sample(generator).recurrent[0] for _ in range(6000)]
    hit = sum(("tanh", 0) in edges for edges in drawn) / len(drawn)
    # Draws that hit nothing but `none` are no cell: conditioned on the others.
    expected = (1 - (4 / 5) ** 3) / (1 - (1 / 5) ** 3)
    assert abs(hit - expected) < 4 * (expected * (1 - expected) / len(drawn)) ** 0.5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: DartsSpace(0), "nodes is 0"),
        (lambda: DartsSpace(2, ("none",)), "unknown operation 'none'"),
        (lambda: DartsSpace(2, ()), "name at least one"),
        (lambda: IDartsSpace(edges=5), "n is 5 edges a node; .* n is 1 to 4"),
        (lambda: IDartsSpace(edges=0), "n is 0 edges a node"),
        (lambda: IDartsSpace(combine="max"), "unknown way to combine edges 'max'"),
        (lambda: EgsSpace(samples=0), "M is 0 samples an edge"),
        (lambda: FenasSpace(nodes=1), "states is 'any' with 1 node; cells with h and c have at least 2"),
        (lambda: FenasSpace(nodes=1, states="h+c"), "with 1 node; cells with h and c"),
        (lambda: EssSpace(delay=9), "delay is 9; the gates read the last 1 to 8 steps"),
        (lambda: EssSpace(inter_weights="full"), "inter_weights is 'full'"),
        (lambda: EnasSpace(table="melodyguan"), "also has an operation for node 0"),
        (lambda: EnasSpace(table="enas"), "unknown table 'enas'"),
        (lambda: DartsSpace(1, ("tanh",)).mutate(None, random.Random(0)), "the space has only one cell"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(CellzooError, match=message):
        build()
