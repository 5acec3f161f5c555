"""The FENAS space: uniform draws against a count of all lists, mutations, known cells."""

from __future__ import annotations

import random
from collections import Counter
from itertools import product

import pytest
from scipy.stats import chisquare

import cellzoo
from cellzoo.errors import CellzooError
from cellzoo.notations.fenas_list import FUNCTIONS
from search.spaces.fenas import FenasSpace


def all_lists(nodes, memory):
    """Every node list that is a cell, by brute force; values are written as text."""
    found = []
    start = ["x", "h", *(["c"] if memory else []), "0"]
    choices = [
        list(product(FUNCTIONS, *2 * [[*start, *(f"n{k}" for k in range(1, n))]])) for n in range(1, nodes + 1)
    ]
    for genes in product(*choices):
        if any(a == b == "0" or (f == "*" and "0" in (a, b)) for f, a, b in genes):
            continue
        for after in [f"n{k}" for k in range(1, nodes + 1)] if memory else [None]:
            edges = {f"n{n}": {a, b} for n, (_, a, b) in enumerate(genes, start=1)} | {"c": {after}}
            seen, size = {f"n{nodes}"}, 0
            while len(seen) > size:
                size = len(seen)
                seen |= {source for value in seen for source in edges.get(value, ())}
            if {"x", "h"} <= seen and (not memory or "c" in seen):
                found.append((genes, after))
    return found


def as_tuple(genotype):
    return tuple((g.function, g.first, g.second) for g in genotype.genes), genotype.memory


@pytest.mark.parametrize(("nodes", "states"), [(1, "h"), (2, "h+c")])
def test_draws_are_uniform_among_all_valid_lists(nodes, states):
    known = all_lists(nodes, states == "h+c")
    # One node without c: 14 functions of (x, h) or (h, x). With c and 2 nodes there are thousands.
    assert nodes > 1 or len(known) == 2 * 14
    space, generator = FenasSpace(nodes, states), random.Random(1)
    drawn = [as_tuple(space.sample(generator)) for _ in range(10_000)]
    assert set(drawn) <= set(known)
    # Lists are put into 28 classes of known sizes.
    group = {item: number % 28 for number, item in enumerate(known)}
    sizes = Counter(group.values())
    counts = Counter(group[item] for item in drawn)
    expected = [10_000 * sizes[n] / len(known) for n in range(28)]
    assert chisquare([counts[n] for n in range(28)], expected).pvalue > 1e-3
    ends = Counter(item[0][-1][0] for item in known)
    seen = Counter(item[0][-1][0] for item in drawn)
    shares = [10_000 * ends[f] / len(known) for f in FUNCTIONS]
    assert chisquare([seen[f] for f in FUNCTIONS], shares).pvalue > 1e-3


def test_the_papers_mutation_changes_one_function_and_the_option_also_inputs():
    generator = random.Random(2)
    for changes_inputs in (False, True):
        space = FenasSpace(9, "h+c", changes_inputs)
        genotype, places = space.sample(generator), Counter()
        for _ in range(1500):
            mutant = space.mutate(genotype, generator)
            code, other = space.encode(genotype), space.encode(mutant)
            changed = [place for place, (a, b) in enumerate(zip(code, other, strict=True)) if a != b]
            assert len(changed) == 1
            places.update(changed)
            genotype = mutant
        functions = set(range(1, 28, 3))
        assert set(places) == (set(range(28)) if changes_inputs else functions)


@pytest.mark.parametrize("mutable", [False, True])
def test_mutants_are_members(mutable):
    """A mutant of two nodes is in the list of all."""
    known = set(all_lists(2, False))
    space, generator = FenasSpace(2, "h", mutable), random.Random(3)
    genotype, seen = space.sample(generator), set()
    for _ in range(3000):
        genotype = space.mutate(genotype, generator)
        seen.add(as_tuple(genotype))
    assert seen <= known
    # Without a change of inputs only functions vary: 14 x 14 with four real inputs, fewer with a zero.
    assert len(seen) > 150


@pytest.mark.parametrize("nodes", [9, 12])
@pytest.mark.parametrize(("name", "zoo"), [("lstm", "fenas-lstm"), ("gru", "fenas-gru")])
def test_the_lstm_and_the_gru_are_members(nodes, name, zoo):
    """The zoo's cells equal torch's LSTM, and a GRU written by hand, to 1e-12 (tests of the notation)."""
    space = FenasSpace(nodes)
    genotype = space.member(name)
    assert len(genotype.genes) == nodes
    assert space.to_cell(genotype).hash == cellzoo.load(zoo).hash
    assert space.mutate(genotype, random.Random(1)) != genotype


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FenasSpace(0), "nodes is 0"),
        (lambda: FenasSpace(9, "c"), "unknown choice of states 'c'"),
        (lambda: FenasSpace(8).member("lstm"), "lstm has 9 nodes; the space has cells of 8"),
        (lambda: FenasSpace(9, "h").member("lstm"), "lstm is not in the space of cells with the states h$"),
        (lambda: FenasSpace(9).member("rnn"), "unknown cell of the space 'rnn'"),
    ],
)
def test_bad_settings_are_refused(build, message):
    with pytest.raises(CellzooError, match=message):
        build()
