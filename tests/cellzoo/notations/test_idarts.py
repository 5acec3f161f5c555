"""I-DARTS genotypes: several edges a node, one matrix a node."""

from __future__ import annotations

import json
import random

import pytest
import torch
from cell_strategies import disguise
from step_weights import lay, random_input

import cellzoo
from cellzoo.errors import CellError, NotationError
from cellzoo.notations import darts, idarts, parse, write
from cellzoo.notations.idarts import read_genotype

E, H, T, B = 3, 4, 5, 2
FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda u: u}
# Two edges from one predecessor, three edges, one edge, an edge of every operation.
EDGES = (
    "IDARTS(recurrent=[[('tanh', 0), ('relu', 0)], [('identity', 0), ('tanh', 1), ('sigmoid', 1)], "
    "[('relu', 2)], [('tanh', 0), ('relu', 3)]], concat=range(1, 5), combine='mean')"
)


def run(genotype, matrices, inputs):
    """Eq. 4 of the paper over the kept edges, with the gate of the authors' code or without it."""
    h = torch.zeros(inputs.size(1), H, dtype=torch.float64)
    outputs = []
    for x in inputs:
        c, u = (torch.cat([x, h], 1) @ matrices[0]).chunk(2, 1)
        states = [h + torch.sigmoid(c) * (torch.tanh(u) - h) if genotype.highway else torch.tanh(u)]
        for edges, matrix in zip(genotype.recurrent, matrices[1:], strict=True):
            total = torch.zeros_like(h)
            for op, source in edges:
                s = states[source]
                c, u = (s @ matrix).chunk(2, 1)
                f = FUNCTIONS[op](u)
                total += s + torch.sigmoid(c) * (f - s) if genotype.highway else f
            states.append(total / len(edges) if genotype.combine == "mean" else total)
        h = torch.stack([states[node] for node in genotype.concat]).mean(0)
        outputs.append(h)
    return torch.stack(outputs)


@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize("highway", [True, False])
def test_outputs_equal_the_equations(combine, highway):
    text = EDGES.replace("'mean'", f"{combine!r}, highway={highway}")
    genotype = read_genotype(text)
    assert (genotype.combine, genotype.highway) == (combine, highway)
    rnn = cellzoo.CellRNN(parse(text, "idarts"), E, H, dtype=torch.float64)
    matrices = lay(rnn, len(genotype.recurrent))
    x = random_input(T, B, E)
    torch.testing.assert_close(rnn(x)[0], run(genotype, matrices, x), rtol=1e-12, atol=1e-12)


def test_gradients_of_shared_matrices_pass_gradcheck():
    rnn = cellzoo.CellRNN(parse(EDGES, "idarts"), 2, 2, dtype=torch.float64)
    lay(rnn, 4)
    names, values = zip(*rnn.named_parameters(), strict=True)
    x = random_input(2, 1, 2)

    def outputs(*weights):
        return torch.func.functional_call(rnn, dict(zip(names, weights, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(outputs, values, atol=1e-6, rtol=1e-6)


def test_one_edge_a_node_is_the_darts_cell():
    for seed in range(60):
        genotype = darts.read_genotype(darts.sample(random.Random(seed)))
        nodes = [[edge] for edge in genotype.recurrent]
        found = parse({"recurrent": nodes, "concat": genotype.concat}, "idarts")
        assert found == parse(genotype, "darts")
    assert found.hash == parse(genotype, "darts").hash
    assert "combine" not in write(found, "idarts")


@pytest.mark.parametrize("edges", [1, 2, 3, 4])
def test_the_number_of_edges_does_not_change_the_number_of_parameters(edges):
    cell = parse(idarts.sample(random.Random(edges), edges=edges), "idarts")
    assert cell.num_parameters(input_size=850, hidden_size=850) == (2 * 850) ** 2 + 8 * 850 * 2 * 850


def test_neither_the_order_of_edges_nor_the_numbers_of_nodes_matter():
    """Nodes 1 and 2 change places, and the edges of node 3 theirs."""
    first = (
        "IDARTS(recurrent=[[('relu', 0)], [('tanh', 0)], [('relu', 1), ('tanh', 1), ('tanh', 2)]], concat=[3])"
    )
    other = (
        "IDARTS(recurrent=[[('tanh', 0)], [('relu', 0)], [('tanh', 1), ('tanh', 2), ('relu', 2)]], concat=[3])"
    )
    for combine in ("mean", "sum"):
        texts = [text.replace("[3])", f"[3], combine={combine!r})") for text in (first, other)]
        assert parse(texts[0], "idarts").hash == parse(texts[1], "idarts").hash
    assert parse(first, "idarts").hash != parse(first.replace("[3])", "[3], combine='sum')"), "idarts").hash


@pytest.mark.parametrize("edges", [1, 2, 3, 4])
@pytest.mark.parametrize("combine", ["mean", "sum"])
@pytest.mark.parametrize("members", [25, pytest.param(125, marks=pytest.mark.slow)])
def test_random_members_are_written_as_they_were_read(edges, combine, members):
    for seed in range(members):
        text = idarts.sample(random.Random(seed), edges=edges, combine=combine)
        cell = parse(text, "idarts")
        assert write(cell, "idarts") == text
        if seed < 5:
            written = write(disguise(cell, random.Random(seed)), "idarts")
            assert parse(written, "idarts").hash == cell.hash


@pytest.mark.parametrize("options", ["combine='mean'", "combine='sum'", "combine='sum', highway=False"])
def test_every_part_is_written(options):
    text = EDGES.replace("combine='mean'", options)
    cell = parse(text, "idarts")
    assert write(cell, "idarts") == text
    for seed in range(10):
        assert parse(write(disguise(cell, random.Random(seed)), "idarts"), "idarts").hash == cell.hash


def test_text_json_and_data_are_one():
    content = {"recurrent": [[["tanh", 0], ["relu", 0]]], "concat": [1], "combine": "sum", "highway": False}
    text = "IDARTS(recurrent=[[('tanh', 0), ('relu', 0)]], concat=range(1, 2), combine='sum', highway=False)"
    assert read_genotype(json.dumps(content)) == read_genotype(content) == read_genotype(text)
    assert str(read_genotype(content)) == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[('relu', 2)]", "[]", r"node 3: \[\] is not a list of at least one \(op, predecessor\)"),
        ("[('relu', 2)]", "'relu'", "node 3: 'relu' is not a list"),
        ("[('relu', 2)]", "('relu', 2)", r"node 3: 'relu' is not a pair \(op, predecessor\)"),
        ("[('relu', 2)]", "[('relu', 2, 1)]", "node 3: .* is no"),
        ("[('relu', 2)]", "[('relu', 3)]", "node 3: predecessor 3 does not exist yet; 0 to 2 exist"),
        ("[('relu', 2)]", "[('relu', 2), ('relu', 2)]", r"node 3: the edge \('relu', 2\) is repeated"),
        ("[('relu', 2)]", "[('none', 2)]", "node 3: 'none' is an operation of the search only"),
        ("[('relu', 2)]", "[(['relu'], 2)]", "node 3: unknown operation"),
        ("('relu', 2)", "('rleu', 2)", "node 3: unknown operation 'rleu'. Did you mean 'relu'"),
        ("'mean'", "'max'", "combine is 'max'; expected 'mean' or 'sum'"),
        ("'mean'", "['mean']", "combine is .* expected 'mean' or 'sum'"),
        ("range(1, 5)", "range(1, 6)", "concat names state 5; the states are 0 to 4"),
        ("concat", "combine", "'combine' is repeated"),
        (", concat=range(1, 5)", "", "lacks 'concat'"),
    ],
)
def test_faults_are_named(old, new, message):
    with pytest.raises(NotationError, match=f"I-DARTS genotype: .*{message}") as caught:
        parse(EDGES.replace(old, new), "idarts")
    assert "\n" not in str(caught.value)


def test_the_class_may_have_any_name_where_the_notation_is_given():
    assert parse(EDGES.replace("IDARTS", "Genotype"), "idarts").hash == parse(EDGES, "idarts").hash


def test_a_graph_beyond_the_limit_of_nodes_is_the_cells_error():
    nodes = [[[op, k] for k in range(step) for op in FUNCTIONS] for step in range(1, 21)]
    with pytest.raises(CellError, match="at most 1000"):
        parse({"recurrent": nodes, "concat": [20]}, "idarts")


S0 = "s0 = blend(sigmoid(linear(x, h; bias=no)), tanh(linear(x, h; bias=no)), h)\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            S0.replace("tanh", "relu") + "h' = mean(blend(sigmoid(linear(s0)), linear(s0), s0))",
            "state 0 applies",
        ),
        (S0 + "h' = mean(blend(sigmoid(linear(s0; bias=no)), 0, s0))", "node 1 has an edge of 0"),
        (S0 + "h' = mean(0, s0)", "node 1 has no edge"),
        (
            # Each edge has a matrix of its own.
            S0 + "a = blend(sigmoid(linear(s0; bias=no)), tanh(linear(s0; bias=no)), s0)\n"
            "b = blend(sigmoid(linear(s0; bias=no)), relu(linear(s0; bias=no)), s0)\nh' = mean(a + b)",
            "a cell with these steps has another graph",
        ),
    ],
)
def test_cells_that_are_nearly_genotypes_cannot_be_said(text, why):
    with pytest.raises(NotationError, match=f"cannot be written in this notation: .*{why}"):
        write(parse(text, "equations"), "idarts")
