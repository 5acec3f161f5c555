"""Mermaid flowcharts: every box and edge is there, and text cannot end a label."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from cell_strategies import cells
from drawn import read_picture
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.draw import mermaid, svg
from cellzoo.errors import UnknownNameError

_BOX = re.compile(r'  (n\d+)(\(\["|\(\("|\[\["|\[")([^"]*)("\]\)|"\)\)|"\]\]|"\])')
_EDGE = re.compile(r'  (n\d+) (-->|==>|-\.-)(\|"[^"|]*"\|)? (n\d+)')
_CLOSING = {'(["': '"])', '(("': '"))', '[["': '"]]', '["': '"]'}


def read_flowchart(text):
    """Return box -> label, and edges as (box, arrow, box); every line must be of a known form."""
    lines = text.splitlines()
    assert lines[0] == lines[2] == "---"
    assert lines[1].startswith('title: "')
    assert lines[3] == "flowchart LR"
    boxes, edges, styled = {}, [], []
    for line in lines[4:]:
        if match := _BOX.fullmatch(line):
            assert _CLOSING[match.group(2)] == match.group(4)
            assert match.group(1) not in boxes
            boxes[match.group(1)] = match.group(3)
        elif match := _EDGE.fullmatch(line):
            edges.append((match.group(1), match.group(2), match.group(4)))
        elif match := re.fullmatch(r"  class ([n\d,]+) ([a-z0-9_-]+)", line):
            assert f"  classDef {match.group(2)} " in text
            styled += match.group(1).split(",")
        else:
            assert re.fullmatch(r"  classDef [a-z0-9_-]+ fill:#\w+,stroke:#\w+,color:#\w+", line)
    assert sorted(styled) == sorted(boxes)
    assert {end for start, _, stop in edges for end in (start, stop)} <= set(boxes)
    return boxes, edges


@given(cells(max_nodes=12), st.sampled_from(["overview", "full"]))
@settings(max_examples=60, deadline=None)
def test_a_flowchart_has_what_the_picture_has(cell, level):
    boxes, edges = read_flowchart(mermaid(cell, level))
    drawn = read_picture(svg(cell, level))
    assert len(boxes) == len(drawn.boxes)
    arrows = Counter(arrow for _, arrow, _ in edges)
    kinds = Counter(edge.kind for edge in drawn.edges)
    assert arrows["-->"] == kinds["value"]
    assert arrows["==>"] == kinds["weight"] + kinds["highway"]
    assert arrows["-.-"] == len(cell.states)


def test_the_flowchart_of_a_gru():
    boxes, edges = read_flowchart(mermaid(cellzoo.load("gru")))
    names = {label.split("<br>")[-1]: box for box, label in boxes.items()}
    assert (names["x"], "==>", names["h"]) not in edges
    blend = names["blend"]
    assert sorted(arrow for _, arrow, end in edges if end == blend) == ["-->"] * 3
    assert (names["h"], "-.-", names["h'"]) in edges
    assert '-->|"×(1−z)"|' in mermaid(cellzoo.load("gru"))


@pytest.mark.parametrize("name", ['"] end', "a\nb", "<b>x</b>", "`code` *star* #35;", "---", "\x1b[31m"])
def test_names_cannot_leave_their_place(name):
    nodes = (linear("end_", "x", "h"), Node("class", "tanh", ("end_",)), Node("y", "relu", ("class",)))
    boxes, _ = read_flowchart(mermaid(Cell((State("h", "y"),), nodes, "y", name=name), "full"))
    assert {"end#95;<br>linear +b", "class<br>tanh"} <= set(boxes.values())


def test_an_unknown_level_is_named():
    with pytest.raises(UnknownNameError, match="Known: full, overview"):
        mermaid(cellzoo.load("rnn"), "everything at once")


def test_a_state_called_output_is_not_the_output():
    first = Cell((State("output", "y"),), (linear("y", "x", "output"),), "y")
    boxes, edges = read_flowchart(mermaid(first))
    assert len(boxes) == 4
    assert sum(arrow == "-->" for _, arrow, _ in edges) == 1
    nodes = (linear("y", "x", "h", "output"), linear("z", "x"))
    boxes, edges = read_flowchart(mermaid(Cell((State("h", "y"), State("output", "y")), nodes, "z")))
    assert sum("output" in label for label in boxes.values()) == 3
    assert len({end for _, arrow, end in edges if arrow == "-->"}) == 3
