"""Word vectors in text files, against gensim's reader and against what was written."""

from __future__ import annotations

import gzip
import zipfile

import numpy as np
import pytest
from gensim.models import KeyedVectors
from real_data import data_folder

from cellzoo.errors import DataError
from tasks.data.parts import Part
from tasks.data.vectors import read_vectors

ROWS = b"the 1.5 -2\n. . . 2e-1 3\nat me@example.com 4 5\nthe 9 9\ncaf\xc3\xa9 6 7\n"
WORDS = ("the", ". . .", "at me@example.com", "caf\u00e9")
VALUES = [[1.5, -2.0], [0.2, 3.0], [4.0, 5.0], [6.0, 7.0]]


def written(folder, content, name="v.txt"):
    (folder / name).write_bytes(content)
    return Part(folder / name)


@pytest.mark.parametrize("header", [b"", b"5 2\n"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b" \n"])
def test_words_may_hold_spaces_and_the_first_of_two_rows_counts(tmp_path, header, packed, end):
    content = (header + ROWS).replace(b"\n", end)
    part = written(tmp_path, gzip.compress(content) if packed else content, "v.txt.gz" if packed else "v.txt")
    read = read_vectors(part)
    assert (read.words, read.rows, read.size) == (WORDS, 5, 2)
    np.testing.assert_array_equal(read.vectors.numpy(), np.array(VALUES, dtype=np.float32))


def test_a_member_of_an_archive_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "glove.zip", "w") as archive:
        archive.writestr("glove.txt", ROWS)
    assert read_vectors(Part(tmp_path / "glove.zip", "glove.txt")).words == WORDS


def test_only_wanted_words_are_kept_and_the_digest_is_of_them(tmp_path):
    plain = read_vectors(written(tmp_path, ROWS))
    some = read_vectors(written(tmp_path, b"2 2\nno 3 3\n" + b"the 1.5 -2\n", "other.txt"), {"the"})
    assert (some.words, some.rows) == (("the",), 2)
    assert some.digest() == read_vectors(written(tmp_path, ROWS), {"the", "missing"}).digest()
    assert some.digest() != plain.digest()
    changed = read_vectors(written(tmp_path, b"the 1.5 -2.5\n", "changed.txt"))
    assert changed.digest() != some.digest()
    none = read_vectors(written(tmp_path, ROWS), set())
    assert (none.words, tuple(none.vectors.shape), none.rows) == ((), (0, 2), 5)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "v.txt: is empty"),
        (b" \n\n", "v.txt: is empty"),
        (b"0 3\n", "v.txt: holds no vector"),
        (b"alone\nother\n", "v.txt:1: 'alone' is not a word with its vector"),
        (b"a 1 2\nb 1\nc 1 2\n", "v.txt:2: the word 'b' has 1 values; expected 2"),
        (b"a 1 2\nb 1 2 3\nc 1 2\n", "v.txt:2: the word 'b' has 3 values; expected 2"),
        (b"3 2\na 1 2\nb 1 x\nc 1 2\n", "v.txt:3: the word 'b' has the value 'x'; expected a number"),
        (b"a 1 2\n. . 1 nan\nc 1 2\n", "v.txt:2: the word '. .' has the value nan; expected a finite number"),
        (b"a 1 2\nb 1 -inf\n", "v.txt:2: the word 'b' has the value -inf; expected a finite number"),
        (b"a 1 2\nb 1 1e99\n", "v.txt:2: the word 'b' has the value 1e99; expected a finite number"),
        (b"3 2\na 1 2\n", "v.txt: holds 1 vectors; its first line says 3. Is it complete?"),
        (b"1 2\na 1 2\nb 1 2\n", "v.txt: holds 2 vectors; its first line says 1"),
        (b"a 1 2\nb\xff 1 2\n", "v.txt:2: is not UTF-8 text"),
        (b"a 1 2\n 1 2\n", "v.txt:2: the word '' has 2 values; expected 2"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path, content, words):
    with pytest.raises(DataError) as caught:
        read_vectors(written(tmp_path, content))
    assert words in str(caught.value)


@pytest.mark.parametrize("content", [b"\x1f\x8bnot gzip", gzip.compress(ROWS, mtime=0)[:-12]])
def test_a_damaged_archive_is_one_message(tmp_path, content):
    with pytest.raises(DataError, match=r"v\.txt\.gz: cannot be read"):
        read_vectors(written(tmp_path, content, "v.txt.gz"))


def test_values_of_words_that_nobody_wants_are_not_read(tmp_path):
    part = written(tmp_path, b"a 1 2\nb 1 nan\n")
    assert read_vectors(part, {"a"}).words == ("a",)
    with pytest.raises(DataError, match="'b'"):
        read_vectors(part, {"b"})


def test_real_vectors_are_those_that_gensim_reads():
    path = data_folder("glove") / "glove" / "glove.6B.50d.subset.w2v.txt.gz"
    expected = KeyedVectors.load_word2vec_format(str(path))
    read = read_vectors(Part(path))
    assert list(read.words) == expected.index_to_key
    np.testing.assert_array_equal(read.vectors.numpy(), expected.vectors)
