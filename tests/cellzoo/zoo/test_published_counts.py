"""Parameters of cells against published counts, and against the cells of another library."""

from __future__ import annotations

import csv
import re
from itertools import pairwise

import pytest
from real_data import data_folder

import cellzoo
from cellzoo.bench.others import COUNTERPARTS

E, H = 7, 5
PTB, WT2 = 10_000, 33_278
# Biases of ours less those that theirs adds to products with x; it has one more for each product with a state.
OTHER_BIASES = {
    "brc": -1,  # the paper's candidate has none
    "cfn": -1,  # the paper's candidate has none
    "nbrc": -1,  # the paper's candidate has none
    "lightru": -1,  # its candidate reads x alone, and has none in the paper
    "minimalrnn": 1,  # the gate and the projection of x have one each
    "multiplicative-lstm": -1,  # the paper's m has none
    "nascell": -8,  # none by default in the code that it is from
    "ran": 1,  # the content has one, as the gates
    "scrn": -1,  # the paper's context has none
    "sgu": 1,  # the product with a product has its own
}


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_counts_are_those_of_another_library_but_for_biases(name):
    library = pytest.importorskip("torchrecurrent")
    inputs = H if name == "intersection-rnn" else E
    theirs = getattr(library, f"{COUNTERPARTS[name]}Cell")(inputs, H)
    sizes = {key: value.numel() for key, value in theirs.named_parameters()}
    matrices = sum(size for key, size in sizes.items() if not key.startswith("bias"))
    matrices -= name == "janet"  # its beta, a number that is learned there, is 1 in the paper
    biases = sizes["bias_ih"] + OTHER_BIASES.get(name, 0) * H
    assert cellzoo.load(name).num_parameters(input_size=inputs, hidden_size=H) == matrices + biases


def language_model(cell, vocabulary, *sizes):
    """Tied embeddings, a decoder bias, and a layer from each size to the next."""
    inside = sum(cell.num_parameters(input_size=a, hidden_size=b) for a, b in pairwise(sizes))
    return vocabulary * (sizes[0] + 1) + inside


# The 24M and 33M of enas are no count of its 11 nodes at these widths, 27.3M and 36.1M.
SEARCHED = [
    (name, row["data"], row["params"])
    for name in cellzoo.list_cells()
    for row in cellzoo.entry(name).published
    if cellzoo.entry(name).notation == "darts" and "params" in row and name != "enas"
]


@pytest.mark.parametrize(("name", "data", "published"), SEARCHED)
def test_published_sizes_of_searched_language_models(name, data, published):
    """850 units on Penn Treebank, 700 on WikiText-2: Liu et al. 2019, DARTS."""
    vocabulary, units = {"PTB": (PTB, 850), "WT2": (WT2, 700)}[data]
    assert f"{language_model(cellzoo.load(name), vocabulary, units, units) / 1e6:.0f}M" == published


def test_published_size_of_awd_lstm():
    """24M on Penn Treebank, three layers of 1150 units: Merity et al. 2018."""
    assert round(language_model(cellzoo.load("lstm"), PTB, 400, 1150, 1150, 400) / 1e6) == 24


def test_published_size_of_a_recurrent_highway_network():
    """23M on Penn Treebank, depth 10, 830 units: Zilly et al. 2017, with tied weights."""

    def highway(depth):
        values = ["x, h", *(f"s{step}" for step in range(1, depth))]
        kept = ["h", *values[1:]]
        named = [*values[1:], "h'"]
        return cellzoo.parse(
            "\n".join(
                f"{new} = blend(sigmoid(linear({read})), tanh(linear({read})), {old})"
                for new, read, old in zip(named, values, kept, strict=True)
            ),
            "equations",
        )

    assert highway(5).hash == cellzoo.load("rhn-5").hash
    assert round(language_model(highway(10), PTB, 830, 830) / 1e6) == 23


def test_counts_of_recipes_trained_on_penn_treebank():
    path = data_folder("nas-bench-nlp-ptb") / "nas-bench-nlp-ptb" / "RNN_parameters.csv"
    counts: dict[int, int] = {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            number = re.search(r"model_(\d+)_", row["log name"])
            # The header stands in the file again, once at the end of a line.
            count = re.match(r"\d+", row["total paramters"] or "")
            if number and count:
                counts[int(number.group(1))] = int(count.group())
    compared = 0
    for name in cellzoo.list_cells("nbnlp-*"):
        found = cellzoo.entry(name)
        for run in {row["run"] for row in found.published} & counts.keys():
            assert counts[run] == language_model(found.cell, PTB, 400, 600, 600, 400)
            compared += 1
    assert compared >= 10
