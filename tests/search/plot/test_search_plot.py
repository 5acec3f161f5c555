"""The course of a search as a chart and an HTML page."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from fake_search import folder_of, search, toy

import cellzoo
from cellzoo.draw import svg
from cellzoo.errors import DataError
from search.plot.chart import LEFT, RIGHT, draw_course
from search.plot.course import Course, Curve, DerivedCell, read_course
from search.plot.page import render_page
from search.plot.write import search_folders, write_plot
from tasks.training.events import read_events


def chart(course):
    return draw_course(course).to_svg()


SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("search")
    search(toy(place, epochs=6, walk=0.05), place / "out")
    return folder_of(place / "out")


def parsed(text):
    return ElementTree.fromstring(text)  # noqa: S314 - written here


def cell_of(genotype, first, last):
    return DerivedCell(first, last, cellzoo.parse(genotype, "darts").hash, "darts", genotype)


A = "Genotype(recurrent=[('tanh', 0), ('relu', 1)], concat=range(1, 3))"
B = "Genotype(recurrent=[('sigmoid', 0), ('relu', 0)], concat=range(1, 3))"


def course(cells, found=None, curves=None, epochs=4):
    curves = curves or (Curve("dev perplexity", (400.0, None, 100.0, 50.0), in_ratios=True),)
    return Course("darts <on> ptb, seed 0", epochs, curves, tuple(cells), found, 61.0)


def test_the_course_is_what_the_events_say(folder):
    read = read_course(folder)
    events = [event for event in read_events(folder / "events.jsonl") if event["event"] == "epoch"]
    curves = {curve.title: curve.values for curve in read.curves}
    assert curves["dev error"] == tuple(event["dev"]["error"] for event in events)
    assert curves["mean absolute deviation from uniform"] == tuple(event["deviation"] for event in events)
    assert curves["reward"] == tuple(event["reward"] for event in events)
    assert read.seconds == pytest.approx(sum(event["seconds"] + event["seconds_dev"] for event in events))
    end = read_events(folder / "events.jsonl")[-1]
    assert read.flops == sum(event["flops"] for event in events) + end["flops"] == 10**9 * end["step"]
    assert f", {end['step']} GFLOPs of the supernet" in render_page(read)
    assert read.title == read_events(folder / "events.jsonl")[0]["label"]
    named = [cell.hash for cell in read.cells for _ in range(cell.first, cell.last + 1)]
    assert named == [event["cell"]["hash"] for event in events]
    assert all(one.hash != other.hash for one, other in zip(read.cells, read.cells[1:], strict=False))
    assert read.found is not None
    assert read.found.hash == cellzoo.load(folder / "found.toml").hash


def test_a_search_that_still_runs_can_be_drawn(folder, tmp_path):
    lines = (folder / "events.jsonl").read_text().splitlines(keepends=True)
    third = next(n for n, line in enumerate(lines) if '"event": "epoch", "epoch": 3' in line)
    (tmp_path / "events.jsonl").write_text("".join(lines[: third + 1]) + lines[third + 1][:20])
    read = read_course(tmp_path)
    assert (len(read.curves[0].values), read.epochs, read.found) == (3, 3, None)
    assert all(path.exists() for path in write_plot(tmp_path))
    (tmp_path / "events.jsonl").write_text("".join(lines[:3]))
    with pytest.raises(DataError, match="no epoch is over yet"):
        write_plot(tmp_path)
    (tmp_path / "events.jsonl").write_text("".join(lines[:2]) + "nonsense\n")
    with pytest.raises(DataError, match=r"events\.jsonl:3: is not JSON"):
        write_plot(tmp_path)
    broken = json.loads(lines[third])
    del broken["cell"]
    whole = json.loads(lines[third])
    odds = [{"dev": [1.0]}, {"epoch": 0}, {"seconds": -1.0}, {"cell": whole["cell"] | {"hash": "x"}}]
    uncounted = {name: value for name, value in whole.items() if name != "flops"}
    for odd in (broken, uncounted, *(whole | odd for odd in odds)):
        (tmp_path / "events.jsonl").write_text(json.dumps(odd) + "\n")
        with pytest.raises(DataError, match="an event lacks what a search writes"):
            write_plot(tmp_path)


def test_the_picture_is_xml_and_says_itself_in_words(folder):
    text = chart(read_course(folder))
    root = parsed(text)
    words = root.find(f"{SVG}desc").text
    for curve in read_course(folder).curves:
        assert curve.title in words
        assert curve.title in [element.text for element in root.iter(f"{SVG}text")]
    assert chart(read_course(folder)) == text


def test_curves_are_where_their_values_are():
    root = parsed(chart(course([cell_of(A, 1, 4)])))
    dots = [(float(dot.get("cx")), float(dot.get("cy"))) for dot in root.iter(f"{SVG}circle")]
    width = (RIGHT - LEFT) / 4
    assert [x for x, _ in dots] == pytest.approx([LEFT + width * (n + 0.5) for n in (0, 2, 3)], abs=0.1)
    # Logarithmic: from 400 to 100 is twice as far as from 100 to 50.
    assert dots[1][1] - dots[0][1] == pytest.approx(2 * (dots[2][1] - dots[1][1]), abs=0.2)


def test_the_strip_shows_which_cell_was_derived_when():
    root = parsed(chart(course([cell_of(A, 1, 2), cell_of(B, 3, 3), cell_of(A, 4, 4)])))
    boxes = [box for box in root.iter(f"{SVG}rect") if (box.get("class") or "").startswith("tint")]
    width = (RIGHT - LEFT) / 4
    assert [float(box.get("width")) for box in boxes] == pytest.approx([2 * width, width, width], abs=0.1)
    classes = [box.get("class") for box in boxes]
    assert classes[0] == classes[2] != classes[1]
    assert [box.find(f"{SVG}title").text.partition(":")[0] for box in boxes] == [
        "epochs 1 to 2",
        "epoch 3",
        "epoch 4",
    ]


def test_the_page_draws_each_cell_once_and_escapes():
    page = render_page(course([cell_of(A, 1, 2), cell_of(B, 3, 3), cell_of(A, 4, 4)], found=cell_of(B, 4, 4)))
    for genotype in (A, B):
        assert page.count(svg(cellzoo.parse(genotype, "darts"), is_part=True).strip()) == 1
    assert "darts &lt;on&gt; ptb, seed 0" in page
    assert "<on>" not in page
    assert page.index("Epochs 1 to 2") < page.index("Epoch 3") < page.index("Epoch 4")
    assert "Found, by a selection after the last epoch" in page
    assert '<a href="#cell-1">epochs 1 to 2</a>' in page
    assert '<a href="#cell-2">epoch 3</a>' in page
    assert "http" not in page.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")


def test_one_epoch_and_level_curves_can_be_drawn():
    single = course([cell_of(A, 1, 1)], curves=(Curve("deviation", (0.0,)), Curve("loss", (5.0,))), epochs=1)
    parsed(chart(single))


def test_a_sampler_is_drawn_by_trials(tmp_path):
    search(toy(tmp_path, "random"), tmp_path / "out")
    read = read_course(folder_of(tmp_path / "out"))
    assert (read.unit, read.epochs, len(read.curves)) == ("trial", 3, 2)
    scores, best = (curve.values for curve in read.curves)
    assert best == (scores[0], min(scores[:2]), min(scores))
    assert read.cells[-1].hash == cellzoo.load(tmp_path / "out" / "found.toml").hash
    page = write_plot(folder_of(tmp_path / "out"))[0].read_text()
    assert "3 trials" in page
    assert "trial 1" in page


def test_the_folders_of_searches(tmp_path):
    search(toy(tmp_path), tmp_path / "out", seeds=(0, 1))
    found = search_folders(tmp_path / "out")
    assert len(found) == 2
    assert search_folders(found[0]) == [found[0]]
    with pytest.raises(DataError, match="holds no search"):
        search_folders(tmp_path)
