"""The user's own files as data sets, and corpora in IOB1."""

from __future__ import annotations

import hashlib

import pytest
from real_data import data_folder

from cellzoo.errors import DataError, DataNotFoundError
from tasks.data.check import check
from tasks.data.line_text import read_line_text
from tasks.data.locate import find
from tasks.data.own import split_items
from tasks.data.tagged_text import iob2_text, read_tagged


def test_files_by_name_with_their_digests(tmp_path):
    (tmp_path / "a.txt").write_text("one\n")
    found = find("text:a.txt", tmp_path)
    assert found.files == {"all": tmp_path / "a.txt"}
    assert found.sha256 == {"all": hashlib.sha256(b"one\n").hexdigest()}
    (tmp_path / "b.txt").write_text("two\n")
    assert set(find("text:a.txt,b.txt", tmp_path).files) == {"train", "test"}
    assert set(find("text:a.txt,b.txt,a.txt", tmp_path).files) == {"train", "dev", "test"}


@pytest.mark.parametrize("files", ["", "a,", "a,b,c,d", "/etc/passwd", "../a", "a/../../b"])
def test_names_that_are_refused(tmp_path, files):
    with pytest.raises(DataError, match=r"expected one to three files|must lie below the folder"):
        find(f"text:{files}", tmp_path)


def test_files_that_are_not_there(tmp_path):
    with pytest.raises(DataNotFoundError, match=r"absent\.txt: no such file"):
        find("text:absent.txt", tmp_path)
    with pytest.raises(DataNotFoundError, match="by --data DIR"):
        find("text:absent.txt")


def test_one_file_is_cut_eight_to_one_to_one():
    splits = split_items({"all": list(range(57))})
    assert [list(splits[split]) for split in ("train", "dev", "test")] == [
        list(range(47)),
        list(range(47, 52)),
        list(range(52, 57)),
    ]
    splits = split_items({"train": list(range(20)), "test": [99]})
    assert (list(splits["train"]), list(splits["dev"]), splits["test"]) == (list(range(18)), [18, 19], [99])


def test_lines_become_words_and_empty_lines_count(tmp_path):
    (tmp_path / "a.txt").write_text(" one  two \n\nthree\n")
    (tmp_path / "b.txt").write_text("four")
    splits = read_line_text(find("text:a.txt,b.txt,b.txt", tmp_path))
    assert splits == {"train": [["one", "two"], [], ["three"]], "dev": [["four"]], "test": [["four"]]}


@pytest.mark.parametrize("name", ["ptb", "wikitext-2", "conll2000"])
def test_published_counts(name):
    assert len(check(find(name, data_folder(name)))) == (2 if name == "conll2000" else 3)


IOB1 = """\
-DOCSTART- -X- O O

EU NNP I-NP I-ORG
rejects VBZ I-VP O
German JJ I-NP I-MISC
call NN I-NP O

Peter NNP I-NP I-PER
Blackburn NNP I-NP I-PER
Paris NNP B-NP I-LOC
Texas NNP I-NP B-LOC
"""


def test_iob1_becomes_iob2():
    lines = iob2_text(IOB1).split("\n")
    assert len(lines) == len(IOB1.split("\n"))
    assert lines[0] == ""
    tags = [line.split()[-1] for line in lines if line]
    assert tags == ["B-ORG", "O", "B-MISC", "O", "B-PER", "I-PER", "B-LOC", "B-LOC"]
    assert next(line.split()[:3] for line in lines if line) == ["EU", "NNP", "I-NP"]


def test_iob2_is_left_as_it_is_and_checked(tmp_path):
    text = "Ada B-PER\nByron I-PER\nin O\nParis B-LOC\n\nRome B-LOC\n"
    assert iob2_text(text) == text
    wrong = text + "Bonn I-LOC\nsees O\nKai I-PER\n"
    assert iob2_text(wrong) == wrong
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(wrong)
    with pytest.raises(DataError, match=r"a:9: tag 'I-PER'"):
        read_tagged(find("conll:a,b,c", tmp_path))
