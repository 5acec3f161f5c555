"""The space of NAS-Bench-NLP: an independent check of its rules, exact probabilities, determinism."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from fractions import Fraction
from itertools import combinations, permutations

import pytest
from scipy.stats import chisquare

from cellzoo.errors import CellzooError
from cellzoo.notations import nas_bench_nlp
from search.spaces.nas_bench_nlp import NasBenchNlpSpace, is_valid, read_recipe, to_recipe


def faults(recipe, states):
    """The violations of the rules of the paper's section 3 and of its generator in a recipe."""
    before = [f"h_prev_{k}" for k in range(states)]
    after = [f"h_new_{k}" for k in range(states)]
    arity = {"linear": (2, 3), "blend": (3,), "elementwise_prod": (2,), "elementwise_sum": (2,)}
    activations = {"activation_tanh", "activation_sigm", "activation_leaky_relu"}
    found = [] if 2 <= len(recipe) <= 24 and 1 <= states <= 3 else ["size"]
    found += [] if set(after) <= set(recipe) else ["next states"]
    for name, node in recipe.items():
        op, inputs = node["op"], node["input"]
        ops = {recipe[source]["op"] for source in inputs if source in recipe}
        if op not in arity and op not in activations:
            found.append(f"{name}: operation")
        if len(inputs) not in arity.get(op, (1,)) or len(set(inputs)) < len(inputs):
            found.append(f"{name}: arity")
        if op == "linear" and not (ops <= activations and all(s in {"x", *before, *recipe} for s in inputs)):
            found.append(f"{name}: linear reads {inputs}")
        if op in activations and ops != {"linear"}:
            found.append(f"{name}: an activation follows a linear")
        if op != "linear" and "x" in inputs:
            found.append(f"{name}: reads x")
        if name in after and set(inputs) & set(before):
            found.append(f"{name}: reads a state directly")
    # From the new states down everything is reached, and nothing else is left; no path returns.
    reached, layer = set(after), list(after)
    for _ in range(len(recipe) + 1):
        layer = [source for name in layer if name in recipe for source in recipe[name]["input"]]
        reached.update(layer)
    if layer:
        found.append("cycle")
    if reached != {"x", *before, *recipe}:
        found.append(f"not reached: {sorted({'x', *before, *recipe} ^ reached)}")
    return found


@pytest.mark.parametrize("size", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_draws_keep_the_papers_rules(size):
    space, generator = NasBenchNlpSpace(), random.Random(1)
    drawn = [space.sample(generator) for _ in range(size)]
    for genotype in drawn:
        assert faults(to_recipe(genotype), len(genotype.after)) == []
    counts = Counter(len(genotype.after) for genotype in drawn)
    # Every number of states is as likely, but that small recipes have no three: those sizes are drawn again.
    assert counts[1] > counts[3] > 0.2 * size
    assert counts[2] > 0.28 * size
    assert max(len(genotype.nodes) for genotype in drawn) > 14


def exact_shares():
    """Recipes of one state and a budget of three nodes, each with its probability given that it is accepted.

    The first operation can only be a linear of x and h, followed by one of three activations. The third node
    is a linear (weight 3) of 2 (4/5) or 3 (1/5) of x, h and the activation, with an activation of its own; a
    product or a sum (weight 1 each) of two of h, linear, activation; or a blend (1) of all three, in any order.
    One node is the next state.
    """
    shares = Counter()

    def count(nodes, share):
        for new in nodes:
            if "h" in nodes[new][1]:
                continue
            live, todo = set(), [new]
            while todo:
                value = todo.pop()
                live.add(value)
                todo += nodes.get(value, ("", ()))[1]
            if {"x", "h"} <= live:
                ops = Counter(nodes[name][0] for name in live if name in nodes)
                shares[tuple(sorted(ops.items()))] += share / len(nodes)

    base = {"l": ("linear", ("x", "h")), "a": ("activation", ("l",))}
    for size, weight in ((2, Fraction(4, 5)), (3, Fraction(1, 5))):
        sets = list(combinations(("x", "h", "a"), size))
        for inputs in sets:
            second = {"m": ("linear", inputs), "b": ("activation", ("m",))}
            count(base | second, Fraction(3, 6) * weight / len(sets))
    for op in ("elementwise_prod", "elementwise_sum"):
        for inputs in combinations(("h", "l", "a"), 2):
            count(base | {"m": (op, inputs)}, Fraction(1, 6) / 3)
    for inputs in permutations(("h", "l", "a")):
        count(base | {"m": ("blend", inputs)}, Fraction(1, 6) / 6)
    total = sum(shares.values())
    return {key: float(share / total) for key, share in shares.items()}, float(total)


def test_shares_equal_a_closed_form():
    shares, accepted = exact_shares()
    generator, counts, tries = random.Random(2), Counter(), 0
    while counts.total() < 10_000:
        tries += 1
        recipe = nas_bench_nlp.draw(generator, 1, 2)
        if recipe is not None:
            ops = (node["op"].replace("activation_", "activation ").split()[0] for node in recipe.values())
            counts[tuple(sorted(Counter(ops).items()))] += 1
    assert set(counts) == set(shares)
    keys = sorted(shares)
    assert chisquare([counts[k] for k in keys], [10_000 * shares[k] for k in keys]).pvalue > 1e-3
    assert abs(10_000 / tries - accepted) < 4 * (accepted * (1 - accepted) / tries) ** 0.5


def test_mutants_keep_the_rules_and_change_one_thing():
    space, generator = NasBenchNlpSpace(), random.Random(3)
    for _ in range(60):
        genotype = space.sample(generator)
        for _ in range(8):
            mutant = space.mutate(genotype, generator)
            assert faults(to_recipe(mutant), len(mutant.after)) == []
            assert is_valid(mutant)
            code, other = space.encode(genotype), space.encode(mutant)
            assert sum(a != b for a, b in zip(code, other, strict=True)) == 1
            genotype = mutant


def test_a_seed_means_the_same_recipes_and_mutants_in_every_process():
    program = (
        "import random; from search.spaces.nas_bench_nlp import NasBenchNlpSpace as S\n"
        "g, s = random.Random(7), S()\n"
        "drawn = [s.sample(g) for _ in range(20)]\n"
        "print(drawn, [s.mutate(one, g) for one in drawn])"
    )
    texts = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(texts) == 1


def test_a_recipe_is_read_as_the_cell_that_it_is():
    generator = random.Random(5)
    for states in (1, 2, 3):
        text = nas_bench_nlp.sample(generator, hidden_states=states, intermediate_nodes=12)
        genotype = read_recipe(text)
        assert NasBenchNlpSpace().to_cell(genotype).hash == nas_bench_nlp.parse(json.loads(text)).hash


class Largest(random.Random):
    """Draws the largest sizes alone: 3 states of 3 nodes, of which there is no recipe."""

    def randint(self, low, high):
        return high


def test_a_space_without_recipes_says_so():
    with pytest.raises(CellzooError, match="no recipe of at most 3 nodes and 3 states was accepted"):
        NasBenchNlpSpace(3, 3).sample(Largest(1))
    with pytest.raises(CellzooError, match="nodes is 25"):
        NasBenchNlpSpace(25)
    with pytest.raises(CellzooError, match="states is 4"):
        NasBenchNlpSpace(24, 4)
