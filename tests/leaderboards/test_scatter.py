from __future__ import annotations

import xml.etree.ElementTree as ET

from board_records import record
from hypothesis import given
from hypothesis import strategies as st

from leaderboards.build import build_board
from leaderboards.collect import Collection
from leaderboards.render.scatter import pareto, scatter_pictures
from tasks.runs.record import RunRecord

POINTS = st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=8)


@given(POINTS, st.booleans())
def test_the_front_is_what_nothing_dominates(points, higher):
    def dominates(a, b):
        better = a[1] >= b[1] if higher else a[1] <= b[1]
        return a != b and a[0] <= b[0] and better

    front = {points[index] for index in pareto(points, higher_is_better=higher)}
    assert front == {p for p in points if not any(dominates(other, p) for other in points)}


def test_a_picture_for_each_cost_in_which_entries_differ():
    records = [
        record("lstm", metrics={"f1": 50.0}, parameters=(1000, 2, 3), seconds={"train": 5.0}),
        record("gru", metrics={"f1": 60.0}, parameters=(800, 2, 3), seconds={"train": 9.0}),
        record("skip-gram", metrics={"f1": 40.0}, baseline=True),
    ]
    (table,) = build_board(Collection(tuple(map(RunRecord.model_validate, records)), (), 0), "x").tables
    parameters, seconds = (ET.fromstring(svg) for svg in scatter_pictures(table, "s"))  # noqa: S314 - our own
    space = "{http://www.w3.org/2000/svg}"
    assert parameters.find(f"{space}desc").text == "On the Pareto front, by rising cost: gru"
    tips = {e.text for e in parameters.iter(f"{space}title")}
    assert {"lstm: 50.00, 1,000", "gru: 60.00, 800"} <= tips
    assert seconds.find(f"{space}desc").text.endswith("skip-gram, lstm, gru")
    circles = {e.find(f"{space}title").text: e for e in parameters.iter(f"{space}circle")}
    lstm, gru = circles["lstm: 50.00, 1,000"], circles["gru: 60.00, 800"]
    assert float(gru.get("cy")) < float(lstm.get("cy"))
    assert float(gru.get("cx")) < float(lstm.get("cx"))
