"""Tables on equal terms: told apart, named, with the width that each cell got."""

from __future__ import annotations

import json

from board_records import record

from leaderboards.build import build_board
from leaderboards.collect import Collection
from leaderboards.exports.plain import render_json
from leaderboards.render.grid import task_grid
from leaderboards.render.html import render_html
from leaderboards.render.notes import remarks
from tasks.runs.record import RunRecord

WIDTHS = {"lstm": (8, 1010.0), "gru": (9, 970.0)}


def equal(cell, seed, quantity):
    width, reached = WIDTHS[cell]
    held = {"quantity": quantity, "target": 1000.0, "reached": reached, "hidden_size": width}
    configuration = {"epochs": 4, f"cell_{quantity}": 1000}
    return record(cell, seed, held=held, configuration=configuration, metrics={"f1": 50.0 + width + seed})


def board():
    records = [
        *(record(cell, seed, metrics={"f1": 40.0 + seed}) for cell in WIDTHS for seed in range(3)),
        *(equal(cell, seed, q) for q in ("parameters", "flops") for cell in WIDTHS for seed in range(3)),
    ]
    return build_board(Collection(tuple(map(RunRecord.model_validate, records)), (), 0), "x")


def test_what_is_held_equal_tells_tables_apart():
    tables = {table.protocol: table for table in board().tables}
    assert set(tables) == {"task's own widths", "equal parameters", "equal FLOPs"}
    (remark,) = [one for one in remarks(tables["equal parameters"]) if one.startswith("Equal parameters")]
    assert "closest to 1,000 parameters (off by at most 3.0 %)" in remark
    assert not any("as wide as" in one for one in remarks(tables["task's own widths"]))


def test_each_cell_shows_its_width_and_its_distance():
    tables = {table.protocol: task_grid(table) for table in board().tables}
    assert "Width" not in [column.title for column in tables["task's own widths"].columns]
    grid = tables["equal FLOPs"]
    place = [column.title for column in grid.columns].index("Width")
    shown = {row.cells[0].text: (row.cells[place].text, row.cells[place].note) for row in grid.rows}
    assert shown == {"lstm": ("8", "+1.0 %"), "gru": ("9", "-3.0 %")}


def test_the_page_filters_by_protocol_and_the_data_name_it():
    page = render_html(board())
    assert page.count('data-protocol="equal parameters"') == 1
    assert "<option>equal FLOPs</option>" in page
    tables = json.loads(render_json(board()))["tables"]
    by_protocol = {table["protocol"]: table["rows"] for table in tables}
    assert {row["held"]["hidden_size"] for row in by_protocol["equal parameters"]} == {8, 9}
    assert {row["held"] for row in by_protocol["task's own widths"]} == {None}
