"""Every entry of the zoo: where it comes from, and that its file is what it says."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

import cellzoo
from cellzoo import catalog, notations
from cellzoo.cells.cell import Cell
from cellzoo.notations.darts import read_genotype

NAMES = cellzoo.list_cells()
ENTRIES = {name: cellzoo.entry(name) for name in NAMES}
DARTS = [name for name, found in ENTRIES.items() if found.notation in ("darts", "enas")]
# Cells that people designed, written in the notations of searches.
DESIGNED = {"fenas-gru", "fenas-lstm", "nbnlp-gru", "nbnlp-lstm-tanh-gate"}
# What results are measured in (perplexity for language models); every published row has at least one.
MEASURE = re.compile(r"valid|test|f1|accuracy")
REFERENCE = re.compile(r"\b(19|20)\d\d\b|\bgithub\.com/[\w.-]+/[\w.-]+")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_is_short_and_named_as_the_cell(name):
    path = catalog.ZOO / f"{name}.toml"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) - ENTRIES[name].genotype.count("\n") <= 15
    assert lines[0] == f'name = "{name}"'


@pytest.mark.parametrize("name", NAMES)
def test_an_entry_says_where_it_is_from(name):
    found = ENTRIES[name]
    assert found.origin == "zoo"
    assert REFERENCE.search(found.source), "a paper with its year, or a repository"
    assert found.confidence
    by_hand = name in DESIGNED or (found.notation == "equations" and name != "nascell")
    assert bool(found.searched_on) != by_hand, "a searched cell says what it was searched on"
    if "github.com" in found.source and not by_hand:
        assert "read" in found.confidence or "transcription" in found.confidence
    assert found.init_source or not found.init
    assert not found.init_source or REFERENCE.search(found.init_source) or "torch.nn" in found.init_source
    assert found.licence or found.notation == "equations" or "github.com" not in found.source


@pytest.mark.parametrize("name", NAMES)
def test_published_rows_have_data_a_number_and_a_source(name):
    found = ENTRIES[name]
    for row in found.published:
        assert row["data"]
        assert row["by"]
        assert any(MEASURE.fullmatch(key) and isinstance(value, float) for key, value in row.items())
    assert not re.search(r"memory|unverified|todo|\?", f"{found.confidence} {found.notes}".lower())


@pytest.mark.parametrize("name", NAMES)
def test_the_genotype_reads_again_as_the_same_cell(name):
    found = ENTRIES[name]
    again = cellzoo.parse(found.genotype, found.notation, name)
    assert again == found.cell
    assert again.name == name
    assert Cell.from_json(again.to_json()).hash == found.cell.hash


@pytest.mark.parametrize("name", NAMES)
def test_the_cell_written_in_its_notation_reads_as_the_same_graph(name):
    found = ENTRIES[name]
    text = notations.write(found.cell, found.notation)
    assert cellzoo.parse(text, found.notation).hash == found.cell.hash
    if found.notation == "darts":
        assert read_genotype(text) == read_genotype(found.genotype)


@pytest.mark.parametrize("name", DARTS)
def test_parameters_of_a_language_model_by_the_formula_of_the_papers(name):
    """Tied embeddings and a decoder bias, then (2 H)^2 for s0 and 2 H^2 a node; no node is without effect.

    The papers count the half of a node's matrix that makes u also where the node is `none`, which drops u.
    """
    vocabulary, hidden = 10_000, 850
    in_cell = ENTRIES[name].cell.num_parameters(input_size=hidden, hidden_size=hidden)
    edges = read_genotype(notations.write(ENTRIES[name].cell, "darts")).recurrent
    dropped = sum(op == "none" for op, _ in edges) * hidden**2
    total = vocabulary * hidden + vocabulary + in_cell + dropped
    assert total == {4: 17_180_000, 8: 22_960_000, 11: 27_295_000, 12: 28_740_000}[len(edges)]


@pytest.mark.parametrize(
    ("arc", "name"),
    [
        ("melodyguan: 0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1", "enas"),
        ("nao: 0 1 0 1 1 1 3 0 4 1 4 1 5 1 1 1 7 1 1 1 1 2", "nao"),
    ],
)
def test_arcs_as_their_scripts_have_them_are_the_genotypes(arc, name):
    assert ENTRIES[name].notation == "darts"
    assert cellzoo.parse(arc, "enas").hash == ENTRIES[name].cell.hash


def test_one_graph_under_several_names_is_marked():
    groups = catalog.isomorphic()
    for group in [
        ("darts-v2", "evalnas-darts-second-order-seed3"),
        ("enas", "enas-fig6", "enas-melodyguan"),
        ("nasabn-darts-run1-4", "nasabn-darts-run1-5", "renqianluo-arch7"),
        ("nasabn-darts-run3-3", "nasabn-darts-run3-4", "nasabn-darts-run3-5"),
    ]:
        assert group in groups
        assert all(catalog.same_graph(ENTRIES[name].cell) == group for name in group)
    for group in groups:
        unmarked = [
            name
            for name in group
            if name in DARTS
            if not any(f"The graph of {other}" in ENTRIES[name].notes for other in group if other != name)
        ]
        assert len(unmarked) <= 1, f"{unmarked} are one graph; all but one must say 'The graph of ...' in notes"


def test_cells_alone_in_their_graph_have_hashes_of_their_own():
    hashes = {found.cell.hash for found in ENTRIES.values()}
    doubles = sum(len(group) - 1 for group in catalog.isomorphic())
    assert len(hashes) == len(NAMES) - doubles


def test_aliases_load_and_collide_with_nothing():
    for name, found in ENTRIES.items():
        for alias in found.aliases:
            assert cellzoo.load(alias).name == name
            assert alias not in NAMES
    for alias, name in {
        "darts": "darts-v2",
        "idarts": "idarts-v1",
        "mogrifier": "mogrifier-lstm",
        "penn-pgd": "sdarts-adv",
    }.items():
        assert cellzoo.load(alias).name == name


def test_listing_imports_no_torch():
    code = "import sys, cellzoo; sys.exit(len(cellzoo.list_cells()) < 120 or 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
