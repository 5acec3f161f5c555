"""Finding data sets and checking their digests."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from real_data import data_folder

from cellzoo.errors import DataError, DataNotFoundError, UnknownNameError
from tasks.data import locate
from tasks.data.known import KNOWN, Generated, InFolder
from tasks.data.locate import find

if TYPE_CHECKING:
    from pathlib import Path

TEXT = {"train": b"a\tO\n", "test": b"b\tO\n"}


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLZOO_DATA", raising=False)


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> str:
    """A data set of two small files."""
    data_set = dataclasses.replace(
        KNOWN["wnut17"],
        name="toy",
        source=InFolder({"train": "toy/a.conll", "test": "toy/b.conll"}, "nowhere"),
        sha256={role: hashlib.sha256(text).hexdigest() for role, text in TEXT.items()},
    )
    monkeypatch.setattr(locate, "KNOWN", {"toy": data_set})
    return "toy"


def lay(folder: Path) -> Path:
    (folder / "toy").mkdir(parents=True)
    (folder / "toy/a.conll").write_bytes(TEXT["train"])
    (folder / "toy/b.conll").write_bytes(TEXT["test"])
    return folder


def test_the_option_comes_before_the_variable(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = lay(tmp_path / "first"), lay(tmp_path / "second")
    monkeypatch.setenv("CELLZOO_DATA", str(second))
    found = find(toy, first)
    assert (found.origin, found.files["train"]) == ("--data", first / "toy/a.conll")
    assert found.sha256["test"] == hashlib.sha256(b"b\tO\n").hexdigest()
    found = find(toy)
    assert (found.origin, found.files["train"]) == ("CELLZOO_DATA", second / "toy/a.conll")
    (first / "toy/b.conll").unlink()
    assert find(toy, first).origin == "CELLZOO_DATA"


def test_a_changed_file_is_refused(toy: str, tmp_path: Path) -> None:
    path = lay(tmp_path) / "toy/b.conll"
    path.write_bytes(b"b\tO\r\n")
    with pytest.raises(DataError) as caught:
        find(toy, tmp_path)
    assert not isinstance(caught.value, DataNotFoundError)
    for part in (str(path), hashlib.sha256(b"b\tO\r\n").hexdigest(), hashlib.sha256(b"b\tO\n").hexdigest()):
        assert part in str(caught.value)


def test_nothing_found_lists_every_place_and_every_file(
    toy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = lay(tmp_path / "here")
    (folder / "toy/b.conll").unlink()
    monkeypatch.setenv("CELLZOO_DATA", str(tmp_path / "gone"))
    with pytest.raises(DataNotFoundError) as caught:
        find(toy, folder)
    message = str(caught.value)
    assert f"--data: {folder} has no toy/b.conll" in message
    assert f"CELLZOO_DATA: {tmp_path / 'gone'} is no folder" in message
    assert "toy/a.conll (sha256 " in message
    assert "toy/b.conll (sha256 " in message
    assert caught.value.exit_code == 3


def test_says_when_the_folder_is_one_too_deep(toy: str, tmp_path: Path) -> None:
    folder = lay(tmp_path) / "toy"
    with pytest.raises(DataNotFoundError, match="has the files themselves; name the folder that holds toy/a"):
        find(toy, folder)


def test_the_option_must_name_a_folder(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(DataError, match="is not a folder"):
        find("small-ner", file)
    with pytest.raises(DataError, match="does not exist"):
        find("news", tmp_path / "absent")


def test_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'wnut17'"):
        find("wnut-17")


@pytest.mark.parametrize("name", ["news", "wordsim-353", "simlex-999"])
def test_files_that_gensim_ships(name: str) -> None:
    found = find(name)
    assert found.origin.startswith("gensim ")
    for role, path in found.files.items():
        assert hashlib.sha256(path.read_bytes()).hexdigest() == found.sha256[role] == KNOWN[name].sha256[role]


def test_gensim_is_found_without_being_imported() -> None:
    code = (
        "import sys, tasks.commands.data\n"
        "from tasks.data.locate import find\n"
        "find('news'), find('small-ner')\n"
        "print(sorted({'gensim', 'torch', 'flair', 'numpy', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_gensim_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataNotFoundError) as caught:
        find("simlex-999")
    assert "package gensim: not installed; pip install 'cellzoo[nlp]'" in str(caught.value)


def test_gensim_comes_without_its_test_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(DataNotFoundError, match=r"has no test/test_data/simlex999\.txt"):
        find("simlex-999")


def test_generated_text_is_pinned(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find("small-ner")
    assert (found.origin, found.files) == ("generated", {})
    assert found.sha256 == KNOWN["small-ner"].sha256
    other = dataclasses.replace(KNOWN["small-ner"], source=Generated(lambda: {"train": "else"}))
    monkeypatch.setattr(locate, "KNOWN", {"small-ner": other})
    with pytest.raises(DataError, match="the generator of small-ner wrote another train text"):
        find("small-ner")


def test_pinned_digests_are_those_published_beside_the_files() -> None:
    sums = data_folder("SHA256SUMS") / "SHA256SUMS"
    published = {path: digest for digest, path in (line.split() for line in sums.read_text().splitlines())}
    for data_set in KNOWN.values():
        if isinstance(data_set.source, InFolder):
            for role, path in data_set.source.files.items():
                assert data_set.sha256[role] == published[path]


TAGGED = "Ada\tB-person\nlives\tO\n\n"


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (TAGGED + "alone\n", "wnut17train.conll:4: "),
        (TAGGED + "Paris\tB-city\n", "wnut17train.conll:4: tag 'B-city' of token 'Paris'"),
        ("\ufeff" + TAGGED, "wnut17train.conll:1: begins with a byte order mark"),
        (TAGGED.replace("\n", "\r\n"), "wnut17train.conll:1: holds a carriage return"),
        ("", "wnut17train.conll: "),
        (TAGGED, "expected 3,394 sentences"),
    ],
)
def test_a_file_that_is_not_the_known_one_is_told_its_first_fault(tmp_path, content, fault):
    folder = tmp_path / "wnut17"
    folder.mkdir()
    for name in ("wnut17train.conll", "emerging.dev.conll", "emerging.test.annotated"):
        (folder / name).write_bytes(content.encode())
    with pytest.raises(DataError, match="is not the known train file") as caught:
        find("wnut17", tmp_path)
    assert f"Its first fault: {folder}" in str(caught.value)
    assert fault in str(caught.value)


def test_a_truncated_archive_is_named(tmp_path):
    (tmp_path / "glove").mkdir()
    path = tmp_path / "glove" / "glove.6B.50d.subset.w2v.txt.gz"
    path.write_bytes(gzip.compress(b"83341 50\n")[:12])
    with pytest.raises(DataError, match=r"Its first fault: .*is no gzip file of UTF-8 text"):
        find("glove-6b-50d", tmp_path)
