"""Hashes of symmetric graphs, where colours alone do not tell values apart."""

from __future__ import annotations

import itertools
import random

import pytest
from cell_strategies import disguise

import cellzoo
from cellzoo.cells.canonical import canonical_form
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.errors import CellError


def graph(size, edges):
    """A cell whose nodes a_i are alike and whose products a_i * a_j are the edges of a graph."""
    nodes = [linear(f"a{i}", "x", "h") for i in range(size)]
    nodes += [Node(f"p{i}_{j}", "multiply", (f"a{i}", f"a{j}")) for i, j in edges]
    nodes.append(Node("y", "mean", tuple(f"p{i}_{j}" for i, j in edges)))
    return Cell((State("h", "y"),), tuple(nodes), "y")


PAIRS = list(itertools.combinations(range(5), 2))
CELLS_4_BY_4 = list(itertools.combinations(range(16), 2))
SHRIKHANDE = {(0, 1), (0, 3), (1, 0), (3, 0), (1, 1), (3, 3)}
GRAPHS = {
    "hexagon": graph(6, [(i, (i + 1) % 6) for i in range(6)]),
    "two triangles": graph(6, [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]),
    "hexagon and two triangles": graph(
        12, [(i, (i + 1) % 6) for i in range(6)] + [(6, 7), (7, 8), (8, 6), (9, 10), (10, 11), (11, 9)]
    ),
    "two hexagons": graph(12, [(i + k, (i + 1) % 6 + k) for k in (0, 6) for i in range(6)]),
    "Petersen": graph(
        10, [(i, j) for i, j in itertools.combinations(range(10), 2) if not set(PAIRS[i]) & set(PAIRS[j])]
    ),
    "rook's": graph(16, [(i, j) for i, j in CELLS_4_BY_4 if (i // 4 == j // 4) != (i % 4 == j % 4)]),
    "Shrikhande": graph(
        16, [(i, j) for i, j in CELLS_4_BY_4 if ((i // 4 - j // 4) % 4, (i % 4 - j % 4) % 4) in SHRIKHANDE]
    ),
    "complete": graph(12, list(itertools.combinations(range(12), 2))),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_one_graph_in_any_disguise_has_one_hash(name):
    found = GRAPHS[name]
    for seed in range(3):
        other = disguise(found, random.Random(seed))
        assert other.hash == found.hash
        assert canonical_form(other) == canonical_form(found)


def test_graphs_that_look_alike_from_every_value_have_different_hashes():
    """The hexagon and two triangles, and the rook's and the Shrikhande graph, are no isomorphic pairs."""
    assert len({found.hash for found in GRAPHS.values()}) == len(GRAPHS)


def genotype(*edges):
    return {"recurrent": [["relu", source] for source in edges], "concat": list(range(1, len(edges) + 1))}


SYMMETRIC = {
    "100 equal nodes": genotype(*[0] * 100),
    "10 nodes with 9 each": genotype(*[0] * 10, *[1 + k % 10 for k in range(90)]),
    "33 nodes with 2 each": genotype(*[0] * 33, *[1 + k // 2 for k in range(66)]),
    "50 pairs": genotype(*[0] * 50, *range(1, 51)),
    "a binary tree": genotype(*[(k - 1) // 2 for k in range(1, 63)]),
}


@pytest.mark.parametrize("name", SYMMETRIC)
def test_symmetric_genotypes_are_hashed_within_the_limit(name):
    found = cellzoo.parse(SYMMETRIC[name], "darts")
    assert disguise(found, random.Random(1)).hash == found.hash


def test_a_graph_beyond_the_limit_is_one_clear_error(monkeypatch):
    monkeypatch.setattr("cellzoo.cells.canonical.MAX_COLOURINGS", 1000)
    with pytest.raises(CellError, match="too symmetric to hash within 1000 colourings"):
        disguise(GRAPHS["complete"], random.Random(2)).hash  # noqa: B018


def test_ties_that_depend_on_each_other_without_end_are_refused():
    """Each rung of the ladder is two nodes alike, and a choice on one says nothing about the next."""
    nodes, rung = [linear("u", "x", "h")], ("u", "h")
    for step in range(400):
        nodes += [Node(f"{side}{step}", "add", rung) for side in "ab"]
        rung = (f"a{step}", f"b{step}")
    cell = Cell((State("h", "y"),), (*nodes, Node("y", "add", rung)), "y")
    with pytest.raises(CellError, match="too symmetric to hash"):
        _ = cell.hash
