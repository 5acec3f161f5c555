"""The families that lists and pages show, and the check of cells that the project's own searches found."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

import cellzoo
from cellzoo import catalog
from cellzoo.cli.main import main
from cellzoo.entry import CellEntry
from cellzoo.errors import CellError
from cellzoo.found import check_found
from cellzoo.gallery.markdown import render_pages
from cellzoo.shelves import SHELVES, shelf_of

GENOTYPE = "h' = tanh(linear(x, h))"
SHELF_OF = {name: shelf_of(cellzoo.entry(name)).name for name in cellzoo.list_cells()}


def test_each_cell_stands_where_a_reader_would_look_for_it():
    assert SHELF_OF["lstm"] == SHELF_OF["slstm"] == SHELF_OF["fenas-gru"] == "hand-designed"
    assert SHELF_OF["darts-v2"] == SHELF_OF["nascell"] == SHELF_OF["idarts-v1"] == "searched"
    assert SHELF_OF["nbnlp-7537"] == "benchmark"
    assert SHELF_OF["evalnas-pso"] == SHELF_OF["nasabn-v1"] == "archive"
    for name, shelf in SHELF_OF.items():
        if shelf == "searched":
            assert cellzoo.entry(name).searched_on
        if shelf == "archive":
            assert not cellzoo.entry(name).published


def test_the_list_is_a_line_or_two_for_each_family(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    assert main(["list", "cells"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) < 16
    assert all(len(line) <= 90 for line in lines)
    counts = Counter(SHELF_OF.values())
    for shelf in SHELVES:
        line = next(line for line in lines if line.startswith(shelf.name))
        assert int(re.match(rf"{shelf.name} +(\d+)", line).group(1)) == counts[shelf.name]
    assert any("--all" in line for line in lines)


def test_all_and_a_family_alone(capsys):
    assert main(["list", "cells", "--all"]) == 0
    assert f"{len(SHELF_OF)} cells." in capsys.readouterr().out
    assert main(["list", "cells", "--where", "family=benchmark", "--names"]) == 0
    wanted = [name for name, shelf in SHELF_OF.items() if shelf == "benchmark"]
    assert capsys.readouterr().out.split() == wanted


def found_cell(folder, record, text=None):
    folder.mkdir(exist_ok=True)
    path = folder / "found-mine.toml"
    named = "" if record is None else f"record = {json.dumps(record)}\n"
    path.write_text(f'name = "found-mine"\nnotation = "equations"\ngenotype = "{GENOTYPE}"\n{named}')
    if text is not None:
        (folder / "records").mkdir(exist_ok=True)
        (folder / "records" / "mine.json").write_text(text)
    check_found(catalog.read_cell_file(path, "test"), folder)


def test_a_found_cell_with_its_record(tmp_path):
    digest = cellzoo.parse(GENOTYPE, "equations").hash
    found_cell(tmp_path, "records/mine.json", json.dumps({"cell": {"hash": digest}}))


@pytest.mark.parametrize(
    ("record", "text", "message"),
    [
        (None, None, "found-mine: record is missing"),
        ("records/mine.json", None, "'records/mine.json' cannot be read: No such file"),
        ("records/mine.json", "{", "'records/mine.json' is not JSON"),
        ("records/mine.json", "[]", "is not a record; expected an object"),
        (
            "records/mine.json",
            '{"cell": null}',
            "the record of a cell with the hash None..., but this cell has",
        ),
        (
            "records/mine.json",
            '{"cell": {"hash": "00"}}',
            "the record of a cell with the hash 00..., but this cell has",
        ),
        ("../mine.json", "{}", "is not below the folder of the cell file"),
        ("/etc/passwd", "{}", "is not below the folder of the cell file"),
        ("records/\0.json", "{}", "is not a path: embedded null"),
        ("records", "{}", "'records' cannot be read: is a folder"),
        ("records/mine.json", "[" * 100_000, "is not JSON: nested deeper than"),
    ],
)
def test_a_found_cell_whose_record_is_not_one_of_it(tmp_path, record, text, message):
    with pytest.raises(CellError, match=re.escape(message)):
        found_cell(tmp_path / "zoo", record, text)


def test_a_found_cell_of_the_catalog_is_checked_when_it_is_loaded(tmp_path, monkeypatch):
    path = tmp_path / "found-mine.toml"
    path.write_text(f'name = "found-mine"\nnotation = "equations"\ngenotype = "{GENOTYPE}"\n')
    monkeypatch.setattr(catalog, "_files", lambda: {"found-mine": (path, "zoo")})
    with pytest.raises(CellError, match="record is missing"):
        cellzoo.load("found-mine")


def test_the_found_cells_of_the_zoo_have_sound_records():
    from tasks.runs.record_file import read_record

    for name in cellzoo.list_cells("found-*"):
        found = cellzoo.entry(name)
        assert read_record(catalog.ZOO / found.record).cell.hash == found.cell.hash


@pytest.fixture
def broken_cell(tmp_path, monkeypatch):
    """A catalog in which one file of an installed package cannot be read."""
    path = tmp_path / "broken.toml"
    path.write_text("not toml")
    files = {"broken": (path, "package other"), **catalog._files()}
    monkeypatch.setattr(catalog, "_files", lambda: files)


@pytest.mark.usefixtures("broken_cell")
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [(["list", "cells"], "hand-designed"), (["gallery", "br[co]*", "--out", "."], "index.html")],
)
def test_a_broken_cell_file_keeps_no_other_cell_from_being_shown(
    arguments, shown, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "warning: broken is left out: " in captured.err
    assert shown in captured.out


def test_a_date_among_published_numbers_is_text_in_json(tmp_path, monkeypatch, capsys):
    path = tmp_path / "mine.toml"
    row = '[{ data = "PTB", on = 2020-01-31 }]'
    path.write_text(f'name = "mine"\nnotation = "equations"\ngenotype = "{GENOTYPE}"\npublished = {row}\n')
    monkeypatch.setattr(catalog, "_files", lambda: {"mine": (path, "package other")})
    assert main(["list", "cells", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == [{"data": "PTB", "on": "2020-01-31"}]


@pytest.mark.usefixtures("broken_cell")
def test_a_gallery_of_broken_files_alone_is_refused(tmp_path, capsys):
    assert main(["gallery", "broken", "--out", str(tmp_path / "page")]) == 2
    assert "none of the cells that match 'broken' can be loaded" in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_text_of_a_cell_file_is_no_markup_in_markdown():
    hostile = "a & b &lt; `c` <b> $x$ ~~d~~ | [e](f) *g* \\ _h_"
    found = CellEntry("mine", "equations", GENOTYPE, "test", hostile, licence=hostile)
    pages = dict(render_pages([found]))
    escaped = "a & b \\&lt; \\`c\\` \\<b\\> \\$x\\$ \\~\\~d\\~\\~ \\| \\[e\\](f) \\*g\\* \\\\ \\_h\\_"
    assert f"Designed by hand. {escaped}.\n" in pages["mine.md"]
    assert f"Licence: {escaped}\n" in pages["mine.md"]
    assert "| a & b \\&lt |\n" in pages["README.md"]


def test_a_page_of_a_cell_without_a_source():
    page = dict(render_pages([CellEntry("mine", "equations", GENOTYPE, "test")]))["mine.md"]
    assert "\nDesigned by hand.\n" in page


def test_a_page_a_cell_in_markdown(tmp_path):
    assert main(["gallery", "slstm", "--markdown", "--out", str(tmp_path)]) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["README.md", "slstm.md", "slstm.svg"]
    page = (tmp_path / "slstm.md").read_text(encoding="utf-8")
    for part in (
        cellzoo.draw.equations(cellzoo.load("slstm")),
        cellzoo.draw.latex(cellzoo.load("slstm")),
        "![Picture of slstm](slstm.svg)",
        "| `f_3_b` | `power(5, -7, 0.3)` |",
        "4EH + H² + 4H = 328,704 at E = H = 256",
        "Beck et al. 2024",
        cellzoo.load("slstm").hash,
    ):
        assert part in page
    assert "[slstm](slstm.md)" in (tmp_path / "README.md").read_text(encoding="utf-8")
