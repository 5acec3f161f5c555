"""Pictures: everything that counts is there, nothing overlaps, and the same cell gives the same bytes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter

import pytest
from cell_strategies import cells
from drawn import boxes_crossed, overlaps, read_picture
from hypothesis import given, settings
from hypothesis import strategies as st

import cellzoo
from cellzoo.catalog import ZOO
from cellzoo.cells.cell import Cell
from cellzoo.cells.graph import Node, State, linear
from cellzoo.cells.ops import LINEAR
from cellzoo.draw import svg
from cellzoo.draw.figure import figure
from cellzoo.draw.style import style
from cellzoo.errors import UnknownNameError

LEVELS = ("overview", "full")
NAMES = cellzoo.list_cells()
ELMAN = Cell((State("h", "y"),), (linear("a", "x", "h"), Node("y", "tanh", ("a",))), "y", name="elman")


def wanted_edges(cell):
    """What the full level must show, from the cell alone."""
    edges = Counter(
        (source, node.name, "weight" if node.op == LINEAR else "value")
        for node in cell.live_nodes
        for source in node.inputs
    )
    edges.update((state.next, f"{state.name}'", "value") for state in cell.states)
    if cell.output not in {state.next for state in cell.states}:
        edges[cell.output, "output''", "value"] += 1
    return edges


def check_geometry(drawn):
    assert overlaps(drawn.boxes) == []
    for edge in drawn.edges:
        left, top, width, height = drawn.boxes[edge.source]
        assert edge.points[0] == pytest.approx((left + width, top + height / 2), abs=0.11)
        left, top, _, height = drawn.boxes[edge.target]
        end_x, end_y = edge.points[-1]
        assert left - 10 < end_x <= left
        assert top < end_y < top + height
        assert all(x0 <= x1 for (x0, _), (x1, _) in zip(edge.points, edge.points[1:], strict=False))
        assert boxes_crossed(edge, drawn.boxes) == []


def check_completeness(cell, drawn):
    """Each live node is in exactly one box, and each value that goes from box to box has an edge."""
    owner = {node: key for key, nodes in drawn.nodes.items() for node in nodes}
    assert sum(map(len, drawn.nodes.values())) == len(owner)
    assert set(owner) == {node.name for node in cell.live_nodes}
    ends = {f"{state.name}'" for state in cell.states} | {"x"} | {state.name for state in cell.states}
    assert set(drawn.boxes) - set(drawn.nodes.keys() & set(owner.values())) - {"output''"} == ends
    through = {
        (source, owner[target], kind)
        for source, target, kind in wanted_edges(cell)
        if target in owner and owner.get(source) != owner[target]
    }
    seen = {(edge.source, edge.target, edge.kind.replace("highway", "weight")) for edge in drawn.edges}
    past = {(edge.source, edge.target, "value") for edge in drawn.edges if edge.kind == "highway"}
    assert through <= seen | past
    assert {(source, target) for source, target, _ in seen} == {
        *((source, target) for source, target, _ in through),
        *((edge.source, edge.target) for edge in drawn.edges if edge.target.endswith("'")),
    }
    assert Counter(drawn.loops) == Counter(state.name for state in cell.states)


@pytest.mark.parametrize("name", NAMES)
def test_zoo_cells_in_overview(name):
    cell = cellzoo.load(name)
    drawn = read_picture(svg(cell))
    check_geometry(drawn)
    check_completeness(cell, drawn)


@pytest.mark.parametrize("name", [*NAMES[::12], "lstm", "darts-v2", "mogrifier-lstm", "random-darts-3"])
def test_zoo_cells_in_full(name):
    cell = cellzoo.load(name)
    drawn = read_picture(svg(cell, "full"))
    check_geometry(drawn)
    assert Counter((edge.source, edge.target, edge.kind) for edge in drawn.edges) == wanted_edges(cell)
    assert [nodes for nodes in drawn.nodes.values() if nodes] == [[node.name] for node in cell.live_nodes]


@given(cells(max_nodes=14), st.sampled_from(LEVELS))
@settings(max_examples=80, deadline=None)
def test_any_cell(cell, level):
    drawn = read_picture(svg(cell, level))
    check_geometry(drawn)
    check_completeness(cell, drawn)
    if level == "full":
        assert Counter((edge.source, edge.target, edge.kind) for edge in drawn.edges) == wanted_edges(cell)


@given(cells(max_nodes=8))
@settings(max_examples=30, deadline=None)
def test_everything_is_inside_the_picture(cell):
    drawn = read_picture(svg(cell))
    width, height = float(drawn.root.get("width")), float(drawn.root.get("height"))
    assert drawn.root.get("viewBox") == f"0 0 {width:g} {height:g}"
    group = next(element for element in drawn.root if element.get("transform"))
    across, down = map(float, re.findall(r"[-0-9.]+", group.get("transform")))
    assert all(
        across + left >= 0 and across + left + w <= width and down + top >= 58 and down + top + h <= height - 30
        for left, top, w, h in drawn.boxes.values()
    )


def test_inputs_stand_left_and_what_comes_out_right():
    drawn = read_picture(svg(cellzoo.load("lstm"), "full"))
    first = {drawn.boxes[key][0] + drawn.boxes[key][2] for key in ("x", "h", "c")}
    last = {drawn.boxes[key][0] for key in ("h'", "c'")}
    others = [box for key, box in drawn.boxes.items() if drawn.nodes[key]]
    assert max(first) < min(left for left, *_ in others)
    assert min(last) > max(left + width for left, _, width, _ in others)


def test_weights_are_thick():
    widths = {
        kind: float(re.search(rf"\.edge{kind} path {{[^}}]*stroke-width: ([0-9.]+)", style()).group(1))
        for kind in (r"\.weight", r"\.highway")
    }
    value = float(re.search(r"\.edge path, [^{]*{[^}]*stroke-width: ([0-9.]+)", style()).group(1))
    assert min(widths.values()) >= 2.5 * value


def test_darts_nodes_are_one_box_each_in_overview():
    drawn = read_picture(svg(cellzoo.load("darts-v2")))
    assert [key for key, nodes in drawn.nodes.items() if nodes] == [
        "s0", "s1", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "h_next",
    ]  # fmt: skip
    # The genotype: s1 reads s0; s2, s3, s4 read s1; s5 reads s2; s6 reads s5; s7 reads s3; s8 reads s5.
    tree = {(edge.source, edge.target) for edge in drawn.edges if edge.kind == "highway"}
    assert tree == {
        ("h", "s0"), ("s0", "s1"), ("s1", "s2"), ("s1", "s3"), ("s1", "s4"), ("s2", "s5"), ("s5", "s6"),
        ("s3", "s7"), ("s5", "s8"),
    }  # fmt: skip
    assert [edge.source for edge in drawn.edges if edge.kind == "weight"] == ["x"]
    assert {edge.source for edge in drawn.edges if edge.target == "h_next"} == {f"s{k}" for k in range(1, 9)}
    labels = ["tanh", "sigmoid", "relu", "relu", "identity", "tanh", "sigmoid", "tanh", "relu"]
    shown = [word for word in drawn.words if word in {"tanh", "sigmoid", "relu", "identity"}]
    assert Counter(shown) == Counter(labels) + Counter(set(labels))  # the legend has each once


@pytest.mark.parametrize("combine", ["mean", "sum"])
def test_a_node_that_joins_highways_is_one_box_with_their_operations(combine):
    text = "IDARTS(recurrent=[[('tanh', 0), ('relu', 0)], [('relu', 1), ('identity', 0)], [('sigmoid', 2)]], "
    cell = cellzoo.parse(f"{text}concat=[1, 2, 3], combine='{combine}')", "idarts")
    drawn = read_picture(svg(cell))
    check_geometry(drawn)
    check_completeness(cell, drawn)
    assert [key for key, nodes in drawn.nodes.items() if nodes] == ["s0", "s1", "s2", "s3", "h_next"]
    assert {(edge.source, edge.target) for edge in drawn.edges if edge.kind == "highway"} == {
        ("h", "s0"), ("s0", "s1"), ("s1", "s2"), ("s0", "s2"), ("s2", "s3"),
    }  # fmt: skip
    # The two edges into s2 share their weights.
    assert {"tanh, relu", "relu A", "identity A", combine} <= set(drawn.words)


def test_a_gate_that_is_read_elsewhere_stays_outside():
    genotype = "Genotype(recurrent=[('tanh', 0), ('relu', 1), ('tanh', 2)], concat=[1, 2, 3])"
    plain = cellzoo.parse(genotype, "darts")
    peek = Node("out", "multiply", ("h_next", "gate2"))
    drawn = read_picture(svg(Cell((State("h", "out"),), (*plain.nodes, peek), "out")))
    assert drawn.nodes["gate2"] == ["c2", "gate2"]
    assert drawn.nodes["s2"] == ["s2"]
    assert len(drawn.nodes["s1"]) == len(drawn.nodes["s3"]) == 5


def test_a_few_highways_are_shown_in_parts():
    text = "Genotype(recurrent=[('tanh', 0)], concat=[1])"
    drawn = read_picture(svg(cellzoo.parse(text, "darts")))
    assert not any(edge.kind == "highway" for edge in drawn.edges)
    assert drawn.nodes["s1"] == ["s1"]


@pytest.mark.parametrize(
    "change",
    [
        lambda step: Node(f"s{step}", "blend", (f"z{step}", f"s{step - 1}", f"f{step}")),
        lambda step: Node(f"s{step}", "blend", (f"f{step}", f"z{step}", f"s{step - 1}")),
        lambda step: Node(f"s{step}", "blend", (f"z{step}", f"f{step}", "h")),
    ],
)
def test_what_only_resembles_a_highway_is_shown_in_parts(change):
    nodes = [linear("s0", "x", "h")]
    for step in range(1, 5):
        nodes += [
            linear(f"c{step}", f"s{step - 1}"),
            linear(f"u{step}", f"s{step - 1}"),
            Node(f"z{step}", "sigmoid", (f"c{step}",)),
            Node(f"f{step}", "tanh", (f"u{step}",)),
            change(step),
        ]
    drawn = read_picture(svg(Cell((State("h", "s4"),), tuple(nodes), "s4")))
    assert not any(edge.kind == "highway" for edge in drawn.edges)


def test_shared_weights_bear_one_letter():
    cell = cellzoo.parse("a = tanh(linear[W](x))\nb = tanh(linear[V](h))\nc = sigmoid(linear[V](b))\n"
                         "h' = linear(a) * c + sigmoid(linear[W](x))", "equations")  # fmt: skip
    shared = Counter(word for word in read_picture(svg(cell)).words if re.fullmatch("[A-Z]", word))
    assert shared == {"A": 3, "B": 2}  # one A is the legend's
    assert not any(re.fullmatch("[A-Z]", word) for word in read_picture(svg(ELMAN)).words)


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", "a & b", "\"quoted'", "\x00\x07\x1b[31m", "]]>", "名前 😀", "\ud800"]
)
def test_names_are_escaped(name):
    drawn = read_picture(svg(Cell(ELMAN.states, ELMAN.nodes, ELMAN.output, name=name)))
    assert not list(drawn.root.iter("{http://www.w3.org/2000/svg}script"))
    clean = re.sub("[\x00-\x1f\ud800]", "\N{REPLACEMENT CHARACTER}", name)
    assert drawn.words[0] == clean
    svg(Cell(ELMAN.states, ELMAN.nodes, ELMAN.output, name=name)).encode()


def test_long_names_are_cut_and_still_said_in_full():
    long = "a_very_" + "long_" * 11 + "n"
    cell = Cell((State(f"h_{long[:50]}", long),), (linear(long, "x", f"h_{long[:50]}"),), long, name="n" * 500)
    text = svg(cell)
    drawn = read_picture(text)
    check_geometry(drawn)
    assert max(map(len, drawn.words)) < 100
    assert f"{long}" in drawn.nodes[long]
    assert max(width for _, _, width, _ in drawn.boxes.values()) < 250


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("h' = tanh(linear(x, h))", "1 state · 2 nodes in 1 box · EH + H² + H parameters (E inputs, H units)"),
        # 66H: 32H into the 32 units, 32H out of them, a bias, and p.
        (
            "h' = linear(linear(h; bias=no, width=32), x) + vector[p] + scalar[a]",
            "1 state · 6 nodes in 5 boxes · EH + 66H + 1 parameters (E inputs, H units)",
        ),
    ],
)
def test_the_title_says_how_large_a_cell_is(text, summary):
    cell = cellzoo.parse(text, "equations", "mine")
    words = read_picture(svg(cell)).words
    assert words[0] == "mine"
    assert words[1] == summary


@given(cells(), st.integers(1, 9), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_the_formula_gives_the_number_of_parameters(cell, inputs, units):
    from cellzoo.draw.counts import parameter_formula

    total = 0
    for term in parameter_formula(cell).split(" + "):
        factor, letters = re.fullmatch(r"(\d*)(.*)", term).groups()
        values = {"E²": inputs**2, "EH": inputs * units, "H²": units**2, "E": inputs, "H": units, "": 1}
        total += int(factor or 1) * values[letters]
    assert total == cell.num_parameters(input_size=inputs, hidden_size=units)


@pytest.mark.parametrize(("name", "level"), [("nascell", "overview"), ("darts-v2", "full")])
def test_another_process_draws_the_same_bytes(name, level):
    code = f"import sys, cellzoo; sys.stdout.write(cellzoo.draw.svg(cellzoo.load({name!r}), {level!r}))"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {svg(cellzoo.load(name), level).encode()}


def test_the_picture_in_the_zoo_is_the_one_that_show_writes():
    assert (ZOO / "darts-v2.svg").read_text(encoding="utf-8") == svg(cellzoo.load("darts-v2"))


def test_notebooks_show_the_overview():
    assert ELMAN._repr_svg_() == svg(ELMAN)


def test_part_of_a_page_has_neither_style_nor_title():
    drawn = read_picture(svg(ELMAN, is_part=True))
    assert drawn.root.find("{http://www.w3.org/2000/svg}style") is None
    assert "elman" not in drawn.words
    assert style() in svg(ELMAN)


def test_styles_are_scoped_and_know_dark_surroundings():
    light, dark = style().split("@media (prefers-color-scheme: dark)")
    rules = re.findall(r"^\s*([^{}@]+) {", light + dark, flags=re.MULTILINE)
    assert len(rules) > 40
    assert all(part.startswith(".cellzoo-cell") for rule in rules for part in rule.split(", "))
    for name in ("tanh", "sigmoid", "input", "state2"):
        fills = [re.search(rf"\.box\.{name}[ ,][^{{]*{{ fill: (#\w+)", half).group(1) for half in (light, dark)]
        assert fills[0] != fills[1]


def test_states_that_hold_an_earlier_input_say_so():
    cell = cellzoo.parse(
        "ESS(recurrent=[('relu', 0)], concat=[1], past_inputs=['drop', 'tanh'], past_states=['relu'])", "ess"
    )
    captions = {box.key: box.caption for box in figure(cell).boxes}
    assert {name for name, caption in captions.items() if caption == "delayed input"} == {"x1", "x2"}
    assert captions["past1_x"] == "state"
    assert "gate_x_s1 · E units" in read_picture(svg(cell)).words


def test_an_unknown_level_is_named():
    with pytest.raises(UnknownNameError, match=r"unknown level 'ful'\. Did you mean 'full'"):
        svg(ELMAN, "ful")


def test_a_hundred_nodes_can_be_drawn():
    genotype = "Genotype(recurrent=[" + ", ".join(f"('tanh', {k * 7 % (k + 1)})" for k in range(20))
    cell = cellzoo.parse(genotype + "], concat=range(1, 21))", "darts")
    assert len(cell.live_nodes) > 100
    assert svg(cell, "full").count('class="box') > 100


def test_drawing_imports_nothing_heavy():
    code = (
        "import sys, cellzoo; cellzoo.draw.svg(cellzoo.load('darts-v2'));"
        "sys.exit(bool({'torch', 'numpy', 'jinja2'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
