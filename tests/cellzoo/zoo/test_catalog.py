"""Loading by name, families, cell files, and how faults are named."""

from __future__ import annotations

import subprocess
import sys

import pytest

import cellzoo
from cellzoo import catalog
from cellzoo.errors import CellError, NotationError, UnknownNameError
from cellzoo.notations.darts import read_genotype

FILE = """
name = "mine"
notation = "equations"
genotype = "h' = tanh(linear(x, h))"
"""


def test_listing_globs_and_sorts():
    assert cellzoo.list_cells("darts-*") == ["darts-v1", "darts-v2"]
    names = cellzoo.list_cells()
    assert names == sorted(names)
    assert {"rnn", "lstm", "gru", "enas", "idarts-v1", "gdas", "nao"} < set(names)
    assert cellzoo.list_cells("nothing*") == []


def test_listing_and_loading_import_no_torch():
    code = (
        "import sys, cellzoo; cellzoo.list_cells(); cell = cellzoo.load('darts-v2'); cell.hash;"
        "cell.flops(input_size=1, hidden_size=1); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_family_member_is_the_same_in_another_process():
    code = "import cellzoo; print(cellzoo.load('random-darts-12').hash)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout.strip()
        for seed in ("1", "2")
    ]
    assert runs == [cellzoo.load("random-darts-12").hash] * 2


def test_family_members_cover_the_space():
    drawn = [read_genotype(cellzoo.entry(f"random-darts-{seed}").genotype) for seed in range(300)]
    assert len(set(drawn)) == 300
    for step in range(8):
        edges = [genotype.recurrent[step] for genotype in drawn]
        assert {op for op, _ in edges} == {"tanh", "relu", "sigmoid", "identity"}
        assert {predecessor for _, predecessor in edges} == set(range(step + 1))
        # Uniform over 4 operations: 75 expected of 300, standard deviation 7.5.
        assert all(40 < sum(op == wanted for op, _ in edges) < 110 for wanted in ("tanh", "relu"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("darts-v3", "unknown cell 'darts-v3'. Did you mean 'darts-v"),
        ("LSTM", "Did you mean 'lstm'"),
        ("random-darts-", "Random cells are called random-darts-<seed>"),
        ("random-darts-99999999999", "Random cells"),
        ("random-darts-01", "Random cells"),
        ("../zoo/lstm", "no such cell file"),
        ("", "unknown cell"),
        ("no\0file.toml", "no such cell file: embedded null"),
        ("no\ud800file.toml", "no such cell file: .* codec can't encode"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(UnknownNameError, match=message):
        cellzoo.load(name)


@pytest.mark.parametrize("name", [None, 5, b"lstm"])
def test_what_is_neither_text_nor_a_path_is_refused(name):
    with pytest.raises(TypeError, match="must be a name such as 'lstm'"):
        cellzoo.rnn(name, 3, 4)


def test_a_cell_file_by_path(tmp_path):
    path = tmp_path / "found.toml"
    path.write_text(FILE, encoding="utf-8")
    for name in (path, str(path)):
        assert cellzoo.load(name).hash == cellzoo.load("rnn").hash
        assert cellzoo.entry(name).origin == "found.toml"


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (FILE.replace("notation", "notatoin"), CellError, "unknown field 'notatoin'. Did you mean 'notation'"),
        (FILE.replace('name = "mine"\n', ""), CellError, "lacks the field 'name'"),
        (FILE.replace("equations", "equation"), CellError, "Did you mean 'equations'"),
        (FILE.replace('"mine"', '"../../etc/passwd"'), CellError, "expected a-z"),
        (FILE.replace('"mine"', "3"), CellError, "name is 3; expected text"),
        (FILE.replace("tanh", "tnh"), NotationError, "mine: equations: line 1: column 6"),
        (FILE + "published = 3", CellError, "expected an array"),
        (FILE + 'aliases = "other"', CellError, "aliases is 'other'; expected an array of text"),
        (FILE + 'aliases = ["Other"]', CellError, "alias 'Other': expected a-z"),
        ("not toml", CellError, "is not TOML"),
        (FILE + "published = " + "9" * 5000, CellError, "is not TOML: Exceeds the limit"),
        (FILE + "# " + "long" * 50_000, CellError, "bytes; at most 200,000 are read"),
        ("\xff\xfe", CellError, "is not TOML|lacks"),
    ],
)
def test_faults_of_a_cell_file_name_the_file(tmp_path, text, error, message):
    path = tmp_path / "found.toml"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(error, match=message) as caught:
        cellzoo.load(path)
    assert "found.toml" in str(caught.value)


@pytest.mark.parametrize("prefix", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_byte_order_mark_and_line_ends_do_not_matter(tmp_path, prefix, end):
    text = 'name = "mine"\nnotation = "equations"\ngenotype = """\na = linear(x, h)\nh\' = tanh(a)\n"""\n'
    path = tmp_path / "found.toml"
    path.write_bytes(prefix + text.encode().replace(b"\n", end))
    assert cellzoo.load(path).hash == cellzoo.load("rnn").hash


def test_a_file_without_end_is_not_read_to_its_end():
    with pytest.raises(CellError, match="/dev/zero: cannot be read: is not a regular file"):
        cellzoo.load("/dev/zero")


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(UnknownNameError, match="no such cell file"):
        cellzoo.load(tmp_path / "absent.toml")
    with pytest.raises(CellError, match="cannot be read"):
        cellzoo.load(tmp_path)
    with pytest.raises(CellError, match="cannot be read: File name too long"):
        cellzoo.load("a" * 300 + ".toml")


@pytest.fixture
def extra_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "plugins", lambda group: [("extra", tmp_path, "other")])
    catalog._files.cache_clear()
    yield tmp_path
    catalog._files.cache_clear()


def test_an_installed_package_adds_cells(extra_folder):
    (extra_folder / "mine.toml").write_text(FILE, encoding="utf-8")
    assert "mine" in cellzoo.list_cells()
    assert cellzoo.entry("mine").origin == "package other"


def test_an_alias_loads_the_cell_under_its_own_name(extra_folder):
    (extra_folder / "mine.toml").write_text(FILE + 'aliases = ["meine", "mia"]', encoding="utf-8")
    assert cellzoo.entry("meine").name == cellzoo.load("mia").name == "mine"
    assert cellzoo.entry("mia").aliases == ("meine", "mia")
    assert not {"meine", "mia"} & set(cellzoo.list_cells())
    with pytest.raises(UnknownNameError, match="Did you mean 'meine'"):
        cellzoo.load("meinee")


@pytest.mark.parametrize(
    ("alias", "message"),
    [
        ("lstm", "mine.toml: the alias is the name of another cell"),
        ("random-darts-3", "mine.toml: the alias is the name of another cell"),
        ("darts", "mine.toml: 'darts-v2' has this alias already"),
    ],
)
def test_an_alias_that_is_taken_is_left_out_alone(extra_folder, caplog, alias, message):
    """One package's mistake keeps no other alias from loading."""
    text = FILE.replace("mine", "a-mine") + f'aliases = ["{alias}", "meine", "meine"]'
    (extra_folder / "a-mine.toml").write_text(text, encoding="utf-8")
    assert cellzoo.load("meine").name == "a-mine"
    assert cellzoo.load("darts").name == "darts-v2"
    assert cellzoo.load("lstm").name == "lstm"
    assert f"{alias!r} of the package 'other' is left out: " in caplog.text
    assert message in caplog.text
    assert "'meine'" not in caplog.text


def test_no_alias_of_the_zoo_is_taken(caplog):
    with pytest.raises(UnknownNameError):
        cellzoo.load("no-such-name")
    assert caplog.text == ""


def test_the_message_about_an_unknown_name_counts_cells_as_the_list_does():
    with pytest.raises(UnknownNameError, match=f"{len(cellzoo.list_cells())} are known"):
        cellzoo.load("0")


def test_a_broken_file_takes_no_alias_of_others_away(extra_folder):
    (extra_folder / "broken.toml").write_text("not toml", encoding="utf-8")
    assert cellzoo.load("darts").name == "darts-v2"


def test_one_graph_under_several_names_is_found(extra_folder):
    other = FILE.replace('"h\' = tanh(linear(x, h))"', '"o = tanh(linear(h, x))\\nh\' = o"')
    (extra_folder / "mine.toml").write_text(other, encoding="utf-8")
    assert ("mine", "rnn") in catalog.isomorphic()
    assert catalog.same_graph(cellzoo.load("rnn")) == ("mine", "rnn")
    assert catalog.same_graph(cellzoo.load("random-darts-0")) == ()


def test_a_package_cannot_replace_a_zoo_cell(extra_folder, caplog):
    (extra_folder / "lstm.toml").write_text(FILE.replace("mine", "lstm"), encoding="utf-8")
    assert cellzoo.entry("lstm").origin == "zoo"
    assert "'lstm' of the package 'other' is left out: zoo has a cell of that name" in caplog.text


def test_a_broken_file_does_not_keep_others_from_being_compared(extra_folder):
    (extra_folder / "broken.toml").write_text("not toml", encoding="utf-8")
    assert catalog.same_graph(cellzoo.load("rnn")) == ("rnn",)
