"""Scored word pairs: the published sets, and every fault."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import pytest
from real_data import data_folder

from cellzoo.errors import DataError
from tasks.data.locate import find
from tasks.data.parts import Part
from tasks.data.read import read_pairs as read_set
from tasks.data.word_pairs import WordPair, read_pairs

if TYPE_CHECKING:
    from pathlib import Path

# file -> pairs, lowest and highest score, pairs that occur again
PUBLISHED = {
    "EN-MC-30": (30, 0.08, 3.92, 0),
    "EN-MEN-TR-3k": (3000, 0.0, 50.0, 0),
    "EN-MTurk-287": (287, 1.4, 4.714285714, 1),
    "EN-MTurk-771": (771, 1.0, 4.96, 0),
    "EN-RG-65": (65, 0.02, 3.94, 0),
    "EN-SIMLEX-999": (999, 0.23, 9.8, 1),
    "EN-WS-353-ALL": (353, 0.23, 10.0, 2),
    "EN-WS-353-REL": (252, 0.23, 8.81, 1),
    "EN-WS-353-SIM": (203, 0.23, 10.0, 0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_sets_in_original_files(name: str) -> None:
    path = data_folder("word-sim") / "word-sim" / f"{name}.txt"
    pairs = read_pairs(Part(path))
    scores = [pair.score for pair in pairs]
    number, low, high, repeats = PUBLISHED[name]
    assert (len(pairs), min(scores), max(scores)) == (number, low, high)
    assert len(pairs) - len({frozenset({pair.word1, pair.word2}) for pair in pairs}) == repeats
    assert not any("\r" in pair.word1 + pair.word2 for pair in pairs)


@pytest.mark.parametrize(("name", "number"), [("wordsim-353", 353), ("simlex-999", 999)])
def test_sets_that_gensim_ships(name: str, number: int) -> None:
    path = find(name).files["pairs"]
    with path.open(newline="") as stream:
        rows = [row for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if row[0][0] != "#"]
    assert len(rows) == number
    assert read_pairs(Part(path)) == [WordPair(a, b, float(score)) for a, b, score in rows]


def test_line_ends_comments_and_repeats(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_bytes(
        b"\xef\xbb\xbf# head\n\nIsrael\tJerusalem\t8.46\r\n"
        b"cat\tdog\t-1\ncat\tdog\t2e0\r\n\xc3\xa9t\xc3\xa9\tx\t0"
    )
    assert read_pairs(Part(path)) == [
        WordPair("Israel", "Jerusalem", 8.46),
        WordPair("cat", "dog", -1.0),
        WordPair("cat", "dog", 2.0),
        WordPair("été", "x", 0.0),
    ]


def test_spaces_stand_between_words_where_there_is_no_tab(tmp_path: Path) -> None:
    path = tmp_path / "pairs.txt"
    path.write_text("cat dog 1.5\n  cat   mouse  2 \nice cream\tcone\t3\n")
    assert read_pairs(Part(path)) == [
        WordPair("cat", "dog", 1.5),
        WordPair("cat", "mouse", 2.0),
        WordPair("ice cream", "cone", 3.0),
    ]


FAULTS = {
    "empty": (b"", ": is empty (0 bytes)"),
    "no pair": (b"# only a comment\n", ": holds no pair"),
    "latin-1": (b"a\tb\t1\n\xe9t\xe9\tb\t1\n", ":2: is not UTF-8"),
    "no column": (b"a_b\n", ":1: 1 column(s) in 'a_b'; expected word1<tab>word2<tab>score"),
    "spaces, one too many": (b"a b 1\nice cream b 1\n", ":2: 4 column(s) in 'ice cream b 1'"),
    "no score": (b"a\tb\t1\na\tb\n", ":2: 2 column(s)"),
    "column too many": (b"a\tb\t1\t2\n", ":1: 4 column(s)"),
    "no word": (b"a\tb\t1\n\tb\t1\n", ":2: '' is not a word"),
    "space after a word": (b"a\tb \t1\n", ":1: 'b ' is not a word"),
    "score is a word": (b"a\tb\thigh\n", ":1: score 'high' of 'a' and 'b' is not a finite number"),
    "decimal comma": (b"a\tb\t7,35\n", ":1: score '7,35'"),
    "nan": (b"a\tb\tnan\n", ":1: score 'nan'"),
    "infinity": (b"a\tb\t-inf\n", ":1: score '-inf'"),
    "too large": (b"a\tb\t1e999\n", ":1: score '1e999'"),
    "underscore": (b"a\tb\t1_0\n", ":1: score '1_0'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_one_message_with_its_place(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    path = tmp_path / "pairs.tsv"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_pairs(Part(path))
    assert f"{path}{message}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_encoding_that_a_data_set_states_is_used(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes(b"caf\xe9\tth\xe9\t3\n")
    described = tmp_path / "own.toml"
    described.write_text(
        'name = "own"\ntitle = "Own"\nformat = "pairs"\nencoding = "latin-1"\nfiles = { pairs = "pairs.txt" }\n'
    )
    assert read_set(find(str(described))) == [WordPair("caf\u00e9", "th\u00e9", 3.0)]
