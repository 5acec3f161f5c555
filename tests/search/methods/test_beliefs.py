"""Entropy and deviation against values by hand, and the warning about degenerate cells."""

from __future__ import annotations

import math

import pytest
import torch

import cellzoo
from search.methods.beliefs import beliefs, deviation, entropy
from search.methods.derived import describe_cell


def test_measures_of_beliefs():
    uniform, sure = torch.full((5,), 0.2), torch.tensor([1.0, 0, 0, 0, 0])
    assert math.isclose(entropy([uniform]), math.log(5), rel_tol=1e-6)
    assert entropy([sure]) == 0.0
    assert deviation([uniform]) == pytest.approx(0.0, abs=1e-7)
    assert deviation([sure]) == pytest.approx((0.8 + 4 * 0.2) / 5)
    both = beliefs({"cell": [uniform], "past": [sure, torch.tensor([0.5, 0.5])]})
    assert both["deviation"] == pytest.approx((0.0 + 1.6 + 0.0) / 12)
    assert both["entropy_by_group"] == {
        "cell": pytest.approx(math.log(5)),
        "past": pytest.approx(math.log(2) / 2),
    }
    assert beliefs({}) == {}


@pytest.mark.parametrize(
    ("notation", "genotype", "ignores"),
    [
        ("darts", "Genotype(recurrent=[('tanh', 0), ('relu', 0)], concat=range(1, 3))", True),
        ("darts", "Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=range(1, 3))", False),
        ("darts", "Genotype(recurrent=[('tanh', 0)], concat=range(1, 2))", False),
        ("enas", "enas_lm: 0 1 0 2 0 3", True),
        ("enas", "enas_lm: 0 1 1 2 0 3", False),
        (
            "idarts",
            "IDARTS(recurrent=[[('tanh', 0), ('relu', 0)], [('relu', 0), ('tanh', 0)]], "
            "concat=range(1, 3), combine='mean')",
            True,
        ),
        ("egs", "EGS(recurrent=[[(['tanh'], 0)], [(['relu'], 0), (['tanh'], 1)]], concat=range(1, 3))", False),
        ("egs", "EGS(recurrent=[[(['tanh'], 0)], [(['relu'], 0)]], concat=range(1, 3))", True),
    ],
)
def test_a_cell_that_ignores_its_nodes_is_noted(notation, genotype, ignores):
    note = describe_cell(cellzoo.parse(genotype, notation), notation)
    assert (note.warning is not None) == ignores
    assert cellzoo.parse(note.genotype, note.notation).hash == note.hash
