"""ENAS arcs in the tables of the code bases that they were published with."""

from __future__ import annotations

import random

import pytest
from cell_strategies import disguise

import cellzoo
from cellzoo.errors import NotationError, UnknownNameError
from cellzoo.notations import enas, parse, write
from cellzoo.notations.steps.graph import Steps, to_cell

MELODYGUAN = "melodyguan: 0 0 0 1 1 2 1 2 0 2 0 5 1 1 0 6 1 8 1 8 1 8 1"
LM_ARC = "0 2 1 0 2 1 2 2 4 0 5 0 3 2 6 2"


def genotype(row, concat):
    """Read `relu0 tanh1 ...` as a genotype."""
    edges = [
        [word.rstrip("0123456789"), int(word.lstrip("abcdefghijklmnopqrstuvwxyz"))] for word in row.split()
    ]
    return parse({"recurrent": edges, "concat": list(concat)}, "darts")


# Each published arc beside the genotype that its code base makes of it.
PUBLISHED = {
    "nao: 0 1 0 1 1 1 3 0 4 1 4 1 5 1 1 1 7 1 1 1 1 2": (
        "relu0 relu0 relu1 tanh3 relu4 relu4 relu5 relu1 relu7 relu1 identity1",
        range(1, 12),
    ),
    "nao-ws: 0 1 1 1 2 2 1 2 4 1 4 1 4 1 7 1 8 2 1 0 4 1": (
        "relu0 relu1 sigmoid2 sigmoid1 relu4 relu4 relu4 relu7 sigmoid8 tanh1 relu4",
        range(1, 12),
    ),
    f"enas_lm: {LM_ARC}": (
        "sigmoid0 tanh1 relu2 sigmoid2 tanh4 tanh5 sigmoid3 sigmoid6",
        range(1, 9),
    ),
    f"enas_lm_tpu: {LM_ARC}": ("sigmoid0 tanh1 relu2 sigmoid2 tanh4 tanh5 sigmoid3 sigmoid6", (7, 8)),
    MELODYGUAN: (
        "tanh0 relu1 relu2 tanh2 tanh2 relu5 tanh1 relu6 relu8 relu8 relu8",
        (3, 4, 7, 9, 10, 11),
    ),
}


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_arcs_are_their_genotypes(text):
    assert parse(text, "enas").hash == genotype(*PUBLISHED[text]).hash


def test_the_three_forms_of_the_enas_cell_are_one():
    """The genotype in the DARTS code, figure 6 of the paper, and the arc in the script of the authors' code."""
    in_darts = genotype(
        "tanh0 tanh1 relu1 tanh3 tanh3 relu3 relu4 relu7 relu8 relu8 relu8", (2, 5, 6, 9, 10, 11)
    )
    figure_6 = genotype(
        "tanh0 relu1 tanh1 relu2 tanh2 tanh2 relu6 relu7 relu8 relu8 relu8", (3, 4, 5, 9, 10, 11)
    )
    of_eval_nas = genotype(
        "tanh0 tanh1 relu2 tanh3 tanh3 relu3 relu4 relu7 relu8 relu8 relu8 tanh2", (5, 6, 9, 10, 11, 12)
    )
    assert in_darts.hash == figure_6.hash == parse(MELODYGUAN, "enas").hash == cellzoo.load("enas").hash
    assert of_eval_nas.hash != in_darts.hash
    assert parse(f"enas_lm: {LM_ARC}", "enas").hash != in_darts.hash


def test_one_arc_means_another_cell_in_each_table():
    """Two tables that differ in the operations, and the loose ends apart; two pairs of tables say the same."""
    arc = "0 2 1 3 1 0"
    found = {
        table: parse(f"{table}: {'3 ' if table == 'melodyguan' else ''}{arc}", "enas").hash
        for table in enas.TABLES
    }
    assert found["nao-ws"] == found["enas_lm"]
    assert len(set(found.values())) == 4


def test_the_first_number_of_melodyguan_is_the_operation_of_node_0():
    relu = to_cell(Steps(((("tanh", 0),), (("identity", 0),)), (1, 2), start="relu"))
    assert parse("melodyguan: 1 0 0 0 2", "enas").hash == relu.hash
    assert write(relu, "enas") == "melodyguan: 1 0 0 0 2"


def test_data_is_read_as_text_is():
    data = {"table": "enas_lm", "arc": [int(number) for number in LM_ARC.split()]}
    assert parse(data, "enas") == parse(f"enas_lm: {LM_ARC}", "enas")
    assert parse(f" enas_lm :\n {LM_ARC.replace(' ', ', ')} ", "enas") == parse(data, "enas")


@pytest.mark.parametrize("members", [40, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("table", enas.TABLES)
def test_random_members_are_written_as_they_were_read(table, members):
    for seed in range(members):
        text = enas.sample(random.Random(seed), table=table, steps=(8, 8, 1, 12)[seed % 4])
        cell = parse(text, "enas")
        assert enas.write(cell, table) == text
        assert parse(write(cell, "enas"), "enas") == cell
        if seed < 10:
            written = write(disguise(cell, random.Random(seed)), "enas")
            assert parse(written, "enas").hash == cell.hash


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_arcs_are_written(text):
    table = text.partition(":")[0]
    for seed in range(5):
        cell = disguise(parse(text, "enas"), random.Random(seed))
        assert parse(enas.write(cell, table), "enas").hash == cell.hash
    assert enas.write(parse(text, "enas"), table) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "found ''; expected TABLE: .*one of enas_lm, enas_lm_tpu"),
        ("0 1 0 1", "found '0 1 0 1'; expected TABLE"),
        ("enas_ml: 0 1", "unknown table 'enas_ml'. Did you mean 'enas_lm'"),
        ("nao:", "number 1 is ''; expected a number"),
        ("nao: 0 1 x 1", "number 3 is 'x'; expected a number"),
        ("nao: 0 1 -1 1", "number 3 is '-1'; expected a number"),
        ("nao: 0 1 ٣ 1", "number 3 is '٣'; expected a number"),
        ("nao: 0 " + "9" * 5000, "number 2 is '99999"),
        ("nao: 0 1 1", r"3 numbers; expected a pair \(predecessor, operation\) for each of 1 to 100 nodes"),
        ("nao: " + "0 1 " * 101, "202 numbers; expected a pair"),
        ("melodyguan: 0 1", "2 numbers; expected the operation of node 0, then a pair"),
        ("melodyguan: 7 0 1", "number 1: operation 7; melodyguan has 0 tanh, 1 relu, 2 identity, 3 sigmoid"),
        ("nao: 1 1", "number 1, node 1: predecessor 1 does not exist yet; only 0 exists"),
        ("nao: 0 1 0 1 5 1", "number 5, node 3: predecessor 5 does not exist yet; 0 to 2 exist"),
        ("nao-ws: 0 4", "number 2: operation 4; nao-ws has 0 tanh, 1 relu, 2 sigmoid, 3 identity"),
        ("nao: " + "0 1 " * 6000, "24005 characters; at most 20000"),
        ({"table": "nao"}, "lacks 'arc'"),
        ({"table": ["nao"], "arc": [0, 1]}, "unknown table"),
        ({"table": "nao", "arc": "0 x"}, "number 2 is 'x'; expected a number"),
        ({"table": "nao", "arc": [0, True]}, "number 2: operation True"),
    ],
)
def test_faults_are_named(text, message):
    with pytest.raises(NotationError, match=f"ENAS arc: .*{message}") as caught:
        parse(text, "enas")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("cell", "table", "why"),
    [
        (cellzoo.load("lstm"), None, "it has 2 states"),
        (genotype("relu0 tanh1", (1, 2)), "enas_lm_tpu", "do not fit the table 'enas_lm_tpu'"),
        (genotype("relu0 tanh1 relu1", (1,)), None, "do not fit any table"),
        (genotype("selu0", (1,)), None, "do not fit any table"),
        (to_cell(Steps(((("tanh", 0),), (("tanh", 1),)), (1, 2), start="relu")), None, "start 'relu'"),
        (to_cell(Steps(((("tanh", 0), ("relu", 0)),), (1,))), None, "node 1 has 2 edges"),
        (to_cell(Steps(((("tanh", 0),),), (1,), highway=False)), None, "these steps has another graph"),
    ],
)
def test_other_cells_cannot_be_written(cell, table, why):
    with pytest.raises(NotationError, match=f"cannot be written in this notation: .*{why}"):
        enas.write(cell, table)


def test_an_unknown_table_to_write_in():
    with pytest.raises(UnknownNameError, match="Did you mean 'nao-ws'"):
        enas.write(cellzoo.load("nao"), "nao_ws")
