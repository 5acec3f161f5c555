"""DARTS genotypes: both meanings of none, the equation without gates, and writing."""

from __future__ import annotations

import json
import random

import pytest
import torch
from cell_strategies import disguise
from step_weights import lay, random_input

import cellzoo
from cellzoo.errors import NotationError
from cellzoo.families import draw_random_darts
from cellzoo.notations import darts, parse, write
from cellzoo.notations.darts import Genotype, read_genotype

E, H, T, B = 3, 4, 5, 2
FUNCTIONS = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda u: u,
    "none": lambda u: 0 * u,
}
NONE = "Genotype(recurrent=[('none', 0), ('relu', 1), ('none', 1), ('tanh', 3)], concat=[2, 4, 3], none='zero')"
MIXED = "Genotype(recurrent=[('identity', 0), ('relu', 1), ('identity', 0), ('sigmoid', 2)], concat=[3, 2, 4])"


def run(genotype, matrices, inputs):
    """The reference code of DARTS, without dropout."""
    h = torch.zeros(inputs.size(1), H, dtype=torch.float64)
    outputs = []
    for x in inputs:
        c, u = (torch.cat([x, h], 1) @ matrices[0]).chunk(2, 1)
        states = [h + torch.sigmoid(c) * (torch.tanh(u) - h) if genotype.highway else torch.tanh(u)]
        for (op, source), matrix in zip(genotype.recurrent, matrices[1:], strict=True):
            s = states[source]
            c, u = (s @ matrix).chunk(2, 1)
            f = FUNCTIONS[op](u)
            states.append(s + torch.sigmoid(c) * (f - s) if genotype.highway else f)
        h = torch.stack([states[node] for node in genotype.concat]).mean(0)
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize(
    "text", [NONE, MIXED, MIXED.replace("])", "], highway=False)"), cellzoo.entry("darts-v2").genotype]
)
def test_outputs_equal_the_equations(text):
    genotype = read_genotype(text)
    rnn = cellzoo.CellRNN(parse(text, "darts"), E, H, dtype=torch.float64)
    matrices = lay(rnn, len(genotype.recurrent))
    x = random_input(T, B, E)
    torch.testing.assert_close(rnn(x)[0], run(genotype, matrices, x), rtol=1e-12, atol=1e-12)


def test_none_as_zero_keeps_the_gate_and_drops_what_has_no_effect():
    """Four gates (H, H) and two candidates (H, H) on top of W_0."""
    count = parse(NONE, "darts").num_parameters(input_size=E, hidden_size=H)
    assert count == (E + H) * 2 * H + (4 + 2) * H * H


def test_without_gates_a_node_has_one_matrix():
    text = MIXED.replace("])", "], highway=False)")
    assert parse(text, "darts").num_parameters(input_size=E, hidden_size=H) == (E + H) * H + 4 * H * H


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (NONE.replace(", none='zero'", ""), "node 1: 'none' is an operation of the search only.*none='zero'"),
        (NONE.replace("'zero'", "'refuse'"), "node 1: 'none' is an operation of the search only"),
        (NONE.replace("'zero'", "'drop'"), "none is 'drop'; expected 'refuse' or 'zero'"),
        (NONE.replace("'zero'", "0"), "none is 0; expected 'refuse' or 'zero'"),
        (NONE.replace("'zero'", "'zero', highway=False"), "node 1: 'none' with highway=False is 0"),
        (MIXED.replace("])", "], highway=1)"), "highway is 1; expected True or False"),
        (MIXED.replace("])", "], higway=True)"), "unknown part 'higway'. Did you mean 'highway'"),
        (MIXED.replace("])", "], **{})"), r"unknown part '\*\*'"),
        (MIXED.replace("('relu', 1)", f"('relu', {'9' * 5000})"), "Exceeds the limit|out of 0 to 1000"),
        (MIXED.replace("('relu', 1)", f"('relu', 0x{'f' * 9000})"), "out of 0 to 1000"),
        (MIXED.replace("('relu', 1)", f"('relu', -0x{'f' * 9000})"), "out of 0 to 1000"),
        (MIXED.replace("('relu', 1)", "(relu, 1)"), "'relu' at column .* is not part"),
        (MIXED.replace("('relu', 1)", "('relu', 1.0)"), "node 2: predecessor 1.0 does not exist"),
        (MIXED.replace("('relu', 1)", "('re\udc80lu', 1)"), "not readable|unknown operation"),
    ],
)
def test_faults_of_the_parts_are_named(text, message):
    with pytest.raises(NotationError, match=message) as caught:
        parse(text, "darts")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_names_as_bytes_are_names():
    # What numpy, HDF5 and old pickles hold.
    assert parse(MIXED.replace("('relu', 1)", "(b'relu', 1)"), "darts").hash == parse(MIXED, "darts").hash
    with pytest.raises(NotationError, match="node 2: unknown operation"):
        parse(MIXED.replace("('relu', 1)", "(b'rel\\xff', 1)"), "darts")


def test_json_says_true_and_false():
    content = {"recurrent": [["none", 0], ["relu", 1]], "concat": [1, 2], "none": "zero", "highway": True}
    text = "Genotype(recurrent=[('none', 0), ('relu', 1)], concat=range(1, 3), none='zero')"
    assert read_genotype(json.dumps(content)) == read_genotype(content) == read_genotype(text)
    assert str(read_genotype(content)) == text


@pytest.mark.parametrize("steps", [1, 3, 8, 12])
def test_random_members_are_written_as_they_were_read(steps):
    for seed in range(250):
        text = darts.sample(random.Random(seed), steps)
        cell = parse(text, "darts")
        assert write(cell, "darts") == text
        if seed < 15:
            written = write(disguise(cell, random.Random(seed)), "darts")
            assert parse(written, "darts").hash == cell.hash


def test_the_family_draws_from_this_space():
    assert draw_random_darts(7) == darts.sample(random.Random(7))


@pytest.mark.parametrize("text", [NONE, MIXED, MIXED.replace("])", "], highway=False)")])
def test_every_part_is_written(text):
    cell = parse(text, "darts")
    assert write(cell, "darts") == text
    for seed in range(10):
        assert parse(write(disguise(cell, random.Random(seed)), "darts"), "darts").hash == cell.hash


@pytest.mark.parametrize("name", [n for n in cellzoo.list_cells() if cellzoo.entry(n).notation == "darts"])
def test_every_genotype_of_the_zoo_is_written_as_itself(name):
    entry = cellzoo.entry(name)
    assert write(entry.cell, "darts") == str(read_genotype(entry.genotype))


def test_nodes_without_effect_are_written_where_they_are_steps():
    text = "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=range(1, 2))"
    assert write(parse(text, "darts"), "darts") == text
    equations = """
    s0 = blend(sigmoid(linear(x, h; bias=no)), tanh(linear(x, h; bias=no)), h)
    unused = relu(linear(s0))
    h' = mean(blend(sigmoid(linear(s0; bias=no)), linear(s0; bias=no), s0))
    """
    assert write(parse(equations, "equations"), "darts") == str(Genotype((("identity", 0),), (1,)))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("lstm", r"it has 2 states \(h, c\)"),
        ("gru", "its output is not a mean of states"),
        ("rnn", "its output is not a mean of states"),
    ],
)
def test_other_cells_cannot_be_said(name, why):
    with pytest.raises(
        NotationError, match=f"DARTS genotype: the cell cannot be written in this notation: {why}"
    ):
        write(cellzoo.load(name), "darts")


S0 = "s0 = blend(sigmoid(linear(x, h; bias=no)), tanh(linear(x, h; bias=no)), h)\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (S0 + "h' = mean(s0)", "no step"),
        (S0 + "h' = mean(s0, tanh(linear(s0; bias=no)))", "no step"),
        (
            S0
            + "s = blend(sigmoid(linear(s0; bias=no)), relu(linear(s0; bias=no)), s0)\nh' = mean(s, tanh(s))",
            "output reads .*not a step",
        ),
        (
            S0 + "h' = mean(blend(sigmoid(linear(s0)), relu(linear(s0; bias=no)), s0))",
            "a cell with these steps has another graph",
        ),
        (
            S0 + "h' = mean(blend(sigmoid(linear[W](s0; bias=no)), relu(linear[W](s0; bias=no)), s0))",
            "a cell with these steps has another graph",
        ),
        (
            S0.replace("tanh", "relu")
            + "h' = mean(blend(sigmoid(linear(s0; bias=no)), linear(s0; bias=no), s0))",
            "state 0 applies 'relu'; expected 'tanh'",
        ),
        ("h' = mean(tanh(linear(x, h; bias=no)))\noutput = tanh(h')", "not a mean"),
        ("h' = tanh(linear(x, h; bias=no))\noutput = mean(h')", "its next state is not its output"),
        ("h' = mean(tanh(linear(x)), linear(h))", "no node computes state 0"),
    ],
)
def test_cells_that_are_nearly_genotypes_cannot_be_said(text, why):
    with pytest.raises(NotationError, match=f"cannot be written in this notation: .*{why}"):
        write(parse(text, "equations"), "darts")
