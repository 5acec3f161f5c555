"""The commands show, list and gallery, as they are typed."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import stat
import sys
from html.parser import HTMLParser

import pytest

import cellzoo
from cellzoo import draw
from cellzoo.cli.main import main
from cellzoo.entry import CellEntry
from cellzoo.gallery import render_gallery
from cellzoo.notations import NOTATIONS

FILE = """
name = "mine"
notation = "equations"
genotype = "h' = tanh(linear(x, h))"
source = "Found by hand; nowhere else"
published = [{ data = "PTB", test = 99.5 }, { valid = 1 }]
"""


@pytest.fixture
def run(capsys, monkeypatch):
    """Run a command line in a terminal of a width; return exit code, output and errors."""

    def execute(*arguments, width=80):
        monkeypatch.setenv("COLUMNS", str(width))
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return code, captured.out, captured.err

    return execute


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(FILE, encoding="utf-8")
    return path


def test_show_says_where_a_cell_is_from_what_it_computes_and_how_large_it_is(run):
    code, out, err = run("show", "darts-v2", "--input-size", 850, "--hidden-size", 850)
    assert (code, err) == (0, "")
    assert "Liu et al. 2019" in out
    assert "published    PTB: valid 58.1, test 55.7, params 23M (DARTS paper)\n" in out
    # facts of the cell: 2EH + 18H² with E = H = 850
    assert f"{20 * 850 * 850:,} = 2EH + 18H² at E = 850 inputs and H = 850 units" in re.sub(r"\s+", " ", out)
    assert "  s1 = gate1 * sigmoid(W_s1 s0) + (1 - gate1) * s0\n" in out
    assert cellzoo.load("darts-v2").hash in out
    assert cellzoo.entry("darts-v2").genotype in out


def test_show_and_the_page_say_where_the_default_start_is_the_published_one(run, tmp_path):
    _, out, _ = run("show", "lem", width=300)
    source = cellzoo.entry("lem").init_source
    assert re.search(rf"^starts as +uniform in ±1 / sqrt\(H\); {re.escape(source)}$", out, flags=re.MULTILINE)
    assert run("gallery", "lem", "--markdown", "--out", tmp_path)[0] == 0
    assert "as published: github.com/tk-rusch/LEM" in (tmp_path / "lem.md").read_text(encoding="utf-8")


def test_show_names_the_cells_that_are_the_same_graph(run):
    _, out, _ = run("show", "enas", width=300)
    same = re.search(r"^same graph +(.*)$", out, flags=re.MULTILINE).group(1).split(", ")
    assert {"enas-fig6", "enas-melodyguan"} <= set(same)
    assert "enas" not in same


@pytest.mark.parametrize("width", [80, 120])
def test_show_keeps_to_the_terminal_but_for_what_cannot_be_broken(run, width):
    _, out, _ = run("show", "gdas", width=width)
    head = out.split("equations")[0]
    assert max(len(line) for line in head.splitlines()) <= width


def test_show_works_for_files_and_families(run, mine):
    code, out, _ = run("show", mine)
    assert code == 0
    assert "mine  (mine.toml, equations)" in out
    assert "PTB: test 99.5 (no source given)" in out
    assert "valid 1 (no source given)" in out
    assert f"picture: cellzoo show {mine} --svg mine.svg" in out
    assert run("show", "random-darts-3")[0] == 0


@pytest.mark.parametrize(
    ("option", "wanted"),
    [
        ("--equations", draw.equations),
        ("--latex", draw.latex),
        ("--mermaid", draw.mermaid),
        ("--json", lambda cell: cell.to_json() + "\n"),
    ],
)
def test_show_prints_one_form_alone(run, option, wanted):
    assert run("show", "lstm", option) == (0, wanted(cellzoo.load("lstm")), "")


def test_show_draws_each_level(run, tmp_path):
    cell = cellzoo.load("darts-v2")
    for level in draw.LEVELS:
        path = tmp_path / f"{level}.svg"
        assert run("show", "darts-v2", "--svg", path, "--level", level) == (0, f"{path}\n", "")
        assert path.read_text(encoding="utf-8") == draw.svg(cell, level)
        assert run("show", "darts-v2", "--mermaid", "--level", level)[1] == draw.mermaid(cell, level)
    assert run("show", "darts-v2", "--svg", "-")[1] == draw.svg(cell)


def test_show_replaces_a_picture_whole(run, tmp_path):
    path = tmp_path / "cell.svg"
    path.write_text("old")
    run("show", "rnn", "--svg", path)
    assert path.read_text(encoding="utf-8") == draw.svg(cellzoo.load("rnn"))
    assert [item.name for item in tmp_path.iterdir()] == ["cell.svg"]
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["show", "darts-v22"], 2, "unknown cell 'darts-v22'. Did you mean 'darts-v2'"),
        (["show", "../../absent/lstm"], 2, "no such cell file"),
        (["show", "absent.toml"], 2, "absent.toml: no such cell file"),
        (["show", "x" * 500], 2, "unknown cell"),
        (["show", "lstm", "--level", "ful"], 2, "invalid choice: 'ful'"),
        (["show", "lstm", "--json", "--latex"], 2, "not allowed with"),
        (["show", "lstm", "--hidden-size", "0"], 2, "'0' is not a size; expected 1 to 1000000"),
        (["list", "cels"], 2, "unknown kind of list 'cels'. Did you mean 'cells'"),
        (["list", "cells", "darts_*"], 2, "unknown name or pattern among the cells 'darts_*'"),
        (
            ["list", "cells", "--where", "notatoin=darts"],
            2,
            "unknown field 'notatoin'. Did you mean 'notation'",
        ),
        (["list", "cells", "--where", "states"], 2, "'states' is not FIELD=TEXT"),
        (["list", "cells", "--where", "states=31"], 2, "has states=31"),
        (["list", "cells", "--where", "searched_on=Mars", "gru*"], 2, "match 'gru*' has searched_on=Mars"),
        (["show", "lstm", "--svg", ""], 2, "--svg '': is empty; expected a path"),
        (["gallery", "lstm", "--out", ""], 2, "--out '': is empty; expected a path"),
        (["gallery", "lstm", "--out", "~nosuch/x"], 2, "'~nosuch' is not the home folder of a known user"),
        (["gallery", "nothing*", "--out", "unused"], 2, "unknown cell or pattern 'nothing*'"),
        (["gallery"], 2, "required: --out"),
        (["galery"], 2, "unknown command 'galery'. Did you mean 'gallery'"),
    ],
)
def test_bad_input_is_named_in_one_message(run, arguments, code, message):
    found, out, err = run(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert len(err.strip().splitlines()) == 1 or err.startswith("usage:")


@pytest.mark.parametrize("target", ["file.txt/cell.svg", "absent/cell.svg", "folder"])
def test_a_picture_that_cannot_be_written(run, tmp_path, target):
    (tmp_path / "file.txt").write_text("kept")
    (tmp_path / "folder").mkdir()
    code, out, err = run("show", "rnn", "--svg", tmp_path / target)
    assert (code, out) == (5, "")
    assert f"{tmp_path / target}: cannot be written" in err
    assert (tmp_path / "file.txt").read_text() == "kept"
    assert sorted(item.name for item in tmp_path.rglob("*")) == ["file.txt", "folder"]


def test_a_gallery_that_cannot_be_written(run, tmp_path):
    (tmp_path / "file.txt").write_text("kept")
    code, out, err = run("gallery", "rnn", "--out", tmp_path / "file.txt" / "gallery")
    assert (code, out) == (5, "")
    assert "file.txt/gallery: cannot be written" in err


@pytest.mark.parametrize("width", [60, 80, 120])
def test_cells_are_one_line_each_within_the_width(run, width):
    code, out, _ = run("list", "cells", "--all", width=width)
    assert code == 0
    table = out.split("\n\n")[0].splitlines()
    names = cellzoo.list_cells()
    shown = [line.split()[0] for line in table[1:] if not line.startswith(" ")]
    assert shown == names
    assert all(len(line) <= width for line in table if " " in line.strip())
    assert f"{len(names)} cells." in out
    assert run("list", "data", width=width)[1].rstrip().endswith(" data sets.")
    assert "random-darts-<seed>" in out
    lstm = next(line for line in table if line.startswith("lstm "))
    assert re.match(r"lstm +525K +2  ", lstm)
    assert ("hand-designed" in lstm) == (width >= 80)
    assert "Hochreiter" in lstm
    assert "torch.nn" not in next(line for line in table if line.startswith("nao "))


@pytest.mark.parametrize("arguments", [["--all"], []])
def test_what_a_pipe_gets_is_not_cut(arguments, monkeypatch, capsys):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert main(["list", "cells", *arguments]) == 0
    out = capsys.readouterr().out
    assert "..." not in out
    assert set(cellzoo.list_cells()) <= set(re.split(r"[\s,]+", out))
    if arguments:
        lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
        assert lines["lstm"].endswith(cellzoo.entry("lstm").paper)
        assert lines["darts-v2"].endswith(cellzoo.entry("darts-v2").paper)


def test_cells_with_filters(run):
    entries = [cellzoo.entry(name) for name in cellzoo.list_cells()]

    def names(*arguments):
        return run("list", "cells", "--names", *arguments)[1].split()

    assert names() == cellzoo.list_cells()
    assert names("darts-*") == ["darts-v1", "darts-v2"]
    for notation in {found.notation for found in entries}:
        wanted = [found.name for found in entries if notation in found.notation]
        assert names("--where", f"notation={notation}") == wanted
    assert names("--where", "searched_on=second ORDER", "darts*") == ["darts-v2"]
    hand_designed = [found.name for found in entries if not found.searched_on]
    assert names("--where", "searched_on=Hand-designed") == hand_designed
    assert names("--where", "states=2", "*lstm", "--where", "notation=equations") == [
        found.name for found in entries
        if len(found.cell.states) == 2 and found.name.endswith("lstm") and found.notation == "equations"
    ]  # fmt: skip
    assert set(names("--where", "notation=darts")) < set(names())
    assert "darts" in NOTATIONS


def test_cells_as_json(run):
    rows = [json.loads(line) for line in run("list", "cells", "lstm", "--json")[1].splitlines()]
    assert len(rows) == 1
    assert rows[0]["name"] == "lstm"
    assert rows[0]["parameters"] == 4 * (256 * 256 * 2 + 256)
    assert rows[0]["hash"] == cellzoo.load("lstm").hash
    assert rows[0]["states"] == 2


class _Page(HTMLParser):
    """Collects what the tests look at, and checks that tags close."""

    _VOID = frozenset({"meta", "input", "br", "link", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.sources: dict[str, str] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self._VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] in ("style", "script"):
            self.sources[self.open[-1]] = data


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gallery")
    assert main(["gallery", "--out", str(folder / "new" / "zoo")]) == 0
    assert [item.name for item in (folder / "new" / "zoo").iterdir()] == ["index.html"]
    return (folder / "new" / "zoo" / "index.html").read_text(encoding="utf-8")


def test_the_gallery_has_a_card_for_each_cell(gallery):
    page = _Page(gallery)
    cards = {attributes["id"]: attributes for tag, attributes in page.tags if tag == "article"}
    assert sorted(cards) == sorted(f"cell-{name}" for name in cellzoo.list_cells())
    pictures = [attributes for tag, attributes in page.tags if tag == "svg"]
    assert len(pictures) == len(cards)
    assert "PTB: valid 58.1, test 55.7, params 23M (DARTS paper)" in page.text
    assert "i = sigmoid(W_i x + U_i h + b_i)" in page.text
    assert "uniform in ±1/√H; github.com/tk-rusch/LEM" in page.text
    assert "i_1_b = -1; as in a port of Laurent & von Brecht 2017" in page.text
    assert {"lstm", "sigmoid", "hochreiter", "hand"} <= set(cards["cell-lstm"]["data-words"].split())
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))


def test_the_gallery_loads_nothing_and_allows_its_own_style_and_script_alone(gallery):
    page = _Page(gallery)
    links = [
        value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")
    ]
    identities = {attributes.get("id") for _, attributes in page.tags}
    assert all(link.startswith("#") and link[1:] in identities for link in links)
    assert [tag for tag, _ in page.tags].count("script") == 1
    assert [tag for tag, _ in page.tags].count("style") == 1
    assert not any(key.startswith("on") or key == "style" for _, attributes in page.tags for key in attributes)
    policy = next(attributes["content"] for tag, attributes in page.tags if "http-equiv" in attributes)
    for kind, source in page.sources.items():
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "prefers-color-scheme: dark" in page.sources["style"]
    assert "url(" not in page.sources["style"]
    assert "@import" not in page.sources["style"]


def test_the_gallery_is_the_same_when_made_again(run, tmp_path):
    for folder in ("a", "b"):
        assert run("gallery", "darts*", "--out", tmp_path / folder)[0] == 0
    assert (tmp_path / "a/index.html").read_bytes() == (tmp_path / "b/index.html").read_bytes()


def test_text_from_cell_files_stays_text():
    hostile = "</article><script>alert(1)</script><img src=x onerror=alert(1)>\"'&"
    found = CellEntry(
        "mine", "equations", f"h' = tanh(linear(x, h))  # {hostile}", hostile, hostile, hostile,
        ({"data": hostile, "by": hostile, hostile: hostile},), hostile, hostile, hostile + "\x1b[31m",
        (hostile,),
    )  # fmt: skip
    text = render_gallery([found])
    page = _Page(text)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == tags.count("article") == 1
    assert "img" not in tags
    assert hostile in page.text
    assert "\x1b" not in text


def test_help_names_the_commands_without_loading_what_they_need(run):
    code, out, _ = run("--help")
    assert code == 0
    assert {"list", "show", "gallery"} <= set(out.split())
    assert sys.modules.get("cellzoo.cli.gallery") is not None
