"""DARTS-EGS codes: several operations an edge."""

from __future__ import annotations

import json
import random

import pytest
import torch
from cell_strategies import disguise
from step_weights import lay, random_input

import cellzoo
from cellzoo.errors import CellError, NotationError
from cellzoo.notations import egs, parse, write
from cellzoo.notations.egs import read_code

E, H, T, B = 3, 4, 5, 2
OPERATIONS = ("none", "tanh", "relu", "sigmoid", "identity")
FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda u: u}
CODE = (
    "EGS(recurrent=[[(['tanh', 'relu'], 0)], [(['identity'], 0), (['tanh', 'sigmoid', 'identity'], 1)], "
    "[], [(['relu'], 1), (['tanh'], 2), (['relu', 'sigmoid'], 3)]], concat=range(1, 5))"
)


def run(nodes, concat, matrices, inputs, *, normalize):
    """Each node sums every bit times its operation over all edges, as the search does with hard samples."""
    h = torch.zeros(inputs.size(1), H, dtype=torch.float64)
    outputs = []
    for x in inputs:
        c, u = (torch.cat([x, h], 1) @ matrices[0]).chunk(2, 1)
        states = [h + torch.sigmoid(c) * (torch.tanh(u) - h)]
        for codes, matrix in zip(nodes, matrices[1:], strict=True):
            total, active = torch.zeros_like(h), 0
            for source, code in codes.items():
                s = states[source]
                c, u = (s @ matrix).chunk(2, 1)
                for op, bit in zip(OPERATIONS, code, strict=True):
                    if op != "none":
                        total = total + bit * (s + torch.sigmoid(c) * (FUNCTIONS[op](u) - s))
                        active += bit
            states.append(total / max(active, 1) if normalize else total)
        h = torch.stack([states[node] for node in concat]).mean(0)
        outputs.append(h)
    return torch.stack(outputs)


# The codes of CODE as bits over OPERATIONS; `none` is active on two edges.
BITS = [
    {0: (0, 1, 1, 0, 0)},
    {0: (0, 0, 0, 0, 1), 1: (1, 1, 0, 1, 1)},
    {0: (1, 0, 0, 0, 0), 1: (0, 0, 0, 0, 0), 2: (0, 0, 0, 0, 0)},
    {0: (0, 0, 0, 0, 0), 1: (0, 0, 1, 0, 0), 2: (0, 1, 0, 0, 0), 3: (0, 0, 1, 1, 0)},
]


def said(nodes):
    """Bits as a code: active operations for each edge, `none` and edges without any included."""
    return [
        [
            ([op for op, bit in zip(OPERATIONS, code, strict=True) if bit], source)
            for source, code in codes.items()
        ]
        for codes in nodes
    ]


@pytest.mark.parametrize("normalize", [True, False])
def test_outputs_equal_the_search_with_these_bits(normalize):
    cell = parse({"recurrent": said(BITS), "concat": [1, 2, 3, 4], "normalize": normalize}, "egs")
    rnn = cellzoo.CellRNN(cell, E, H, dtype=torch.float64)
    matrices = lay(rnn, 4)
    x = random_input(T, B, E)
    expected = run(BITS, [1, 2, 3, 4], matrices, x, normalize=normalize)
    torch.testing.assert_close(rnn(x)[0], expected, rtol=1e-12, atol=1e-12)


def test_random_codes_equal_the_search_with_their_bits():
    generator = random.Random(3)
    for _ in range(10):
        nodes = [{k: [generator.randrange(2) for _ in OPERATIONS] for k in range(step)} for step in (1, 2, 3)]
        nodes[0][0][1] = 1
        cell = parse({"recurrent": said(nodes), "concat": [1, 2, 3]}, "egs")
        rnn = cellzoo.CellRNN(cell, E, H, dtype=torch.float64)
        matrices = lay(rnn, 3)
        x = random_input(T, B, E)
        expected = run(nodes, [1, 2, 3], matrices, x, normalize=True)
        torch.testing.assert_close(rnn(x)[0], expected, rtol=1e-12, atol=1e-12)


def test_what_is_not_active_is_not_written():
    cell = parse({"recurrent": said(BITS), "concat": [1, 2, 3, 4]}, "egs")
    assert write(cell, "egs") == CODE
    literal = parse({"recurrent": said(BITS), "concat": [1, 2, 3, 4], "normalize": False}, "egs")
    assert write(literal, "egs") == CODE.replace("5))", "5), normalize=False)")
    for seed in range(10):
        assert parse(write(disguise(literal, random.Random(seed)), "egs"), "egs").hash == literal.hash


def test_a_normalised_code_is_the_mean_of_its_edges_and_one_operation_a_node_the_darts_cell():
    edges = (
        "IDARTS(recurrent=[[('tanh', 0), ('relu', 0)], [('relu', 0), ('tanh', 1)]], concat=[2], combine='%s')"
    )
    code = "EGS(recurrent=[[(['relu', 'tanh'], 0)], [(['relu'], 0), (['tanh'], 1)]], concat=[2], normalize=%s)"
    assert parse(code % "True", "egs").hash == parse(edges % "mean", "idarts").hash
    assert parse(code % "False", "egs").hash == parse(edges % "sum", "idarts").hash
    single = "EGS(recurrent=[[(['relu'], 0)], [(['tanh'], 1)]], concat=[1, 2], normalize=%s)"
    genotype = "Genotype(recurrent=[('relu', 0), ('tanh', 1)], concat=[1, 2])"
    assert parse(single % "True", "egs").hash == parse(single % "False", "egs").hash
    assert parse(single % "True", "egs").hash == parse(genotype, "darts").hash


def test_the_code_does_not_change_the_number_of_parameters():
    """The paper's 23M cells: parameters do not depend on M."""
    for samples in (1, 4, 7):
        cell = parse(egs.sample(random.Random(0), samples=samples), "egs")
        assert cell.num_parameters(input_size=850, hidden_size=850) == (2 * 850) ** 2 + 8 * 850 * 2 * 850


@pytest.mark.parametrize("members", [25, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("normalize", [True, False])
def test_random_members_are_written_as_they_were_read(normalize, members):
    for seed in range(members):
        samples = (4, 1, 2, 7)[seed % 4]
        text = egs.sample(random.Random(seed), samples=samples, normalize=normalize)
        cell = parse(text, "egs")
        assert write(cell, "egs") == text
        if seed < 5:
            written = write(disguise(cell, random.Random(seed)), "egs")
            assert parse(written, "egs").hash == cell.hash


def test_an_edge_has_an_operation_as_often_as_draws_hit_it():
    """P(active) = 1 - (1 - 1/5)^M; 8 * 9 / 2 edges of 4 operations, 100 codes, 4 standard errors."""
    trials = 100 * 36 * 4
    active = sum(
        len(edges) for seed in range(100) for edges in read_code(egs.sample(random.Random(seed))).recurrent
    )
    expected = 1 - 0.8**4
    # Operations of one edge compete, so their sum varies less than independent draws would.
    assert abs(active / trials - expected) < 4 * (expected * (1 - expected) / trials) ** 0.5


def test_text_json_and_data_are_one():
    content = {"recurrent": [[[["relu", "tanh"], 0]]], "concat": [1], "normalize": False}
    text = "EGS(recurrent=[[(['tanh', 'relu'], 0)]], concat=range(1, 2), normalize=False)"
    assert read_code(json.dumps(content)) == read_code(content) == read_code(text)
    assert str(read_code(content)) == text


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("(['identity'], 0)", "('identity', 0)", r"node 2: .* is not a pair \(operations, predecessor\)"),
        ("(['identity'], 0)", "(['identity'], 2)", "node 2: predecessor 2 does not exist yet; 0 to 1 exist"),
        ("(['identity'], 0)", "(['identity'], 1)", "node 2: predecessor 1 is repeated"),
        (
            "(['identity'], 0)",
            "(['identty'], 0)",
            "node 2: unknown operation 'identty'. Did you mean 'identity'",
        ),
        ("['tanh', 'relu']", "['tanh', 'tanh']", "node 1: predecessor 0: operation 'tanh' is repeated"),
        ("['tanh', 'relu']", "'01100'", "node 1: .* is no"),
        ("[(['tanh', 'relu'], 0)]", "3", "node 1: 3 is not a list"),
        ("range(1, 5)", "range(1, 5), normalize=1", "normalize is 1; expected True or False"),
        ("range(1, 5)", "[9]", "concat names state 9"),
    ],
)
def test_faults_are_named(old, new, message):
    with pytest.raises(NotationError, match=f"DARTS-EGS code: .*{message}") as caught:
        parse(CODE.replace(old, new), "egs")
    assert "\n" not in str(caught.value)


def test_the_class_may_have_any_name_where_the_notation_is_given():
    assert parse(CODE.replace("EGS", "Code"), "egs").hash == parse(CODE, "egs").hash


def test_a_code_without_anything_active_is_no_cell():
    with pytest.raises(CellError, match="depends on the input x"):
        parse("EGS(recurrent=[[(['none'], 0)]], concat=[1])", "egs")


def test_zero_with_a_highway_is_no_code():
    with pytest.raises(NotationError, match="node 1 has an edge of 0 with a highway"):
        write(parse("Genotype(recurrent=[('none', 0)], concat=[1], none='zero')", "darts"), "egs")
    with pytest.raises(NotationError, match="it has 2 states"):
        write(cellzoo.load("lstm"), "egs")
