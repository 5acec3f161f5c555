"""Texts that are read in a stream and kept on disk: the same numbers as in memory, with little of it."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest
import torch
from language_models import SMALL, equal, problem_on, train_on, weights, write_text
from supernets import generator

from cellzoo.errors import DataError, OutputError
from tasks.data import long_texts
from tasks.data.locate import find
from tasks.data.parts import Part
from tasks.data.read import content_digest, read_texts
from tasks.language_modeling.settings import LanguageModelingSettings
from tasks.language_modeling.streams import StoredStreams, training_streams
from tasks.language_modeling.text import Text


@pytest.fixture
def words(tmp_path):
    path = write_text(tmp_path / "words.txt")
    lines = path.read_text().splitlines()
    lines[5], lines[110] = "", "caf\u00e9 \u2028 <unk>"
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def long(monkeypatch):
    def switch(on=True):
        monkeypatch.setattr(long_texts, "LONG", 1 if on else 2**40)

    return switch


def test_a_cache_that_cannot_be_made_is_one_message(words, long):
    long()
    folder = words / "cache"
    with pytest.raises(OutputError, match=r"words\.txt/cache: cannot be written: Not a directory"):
        Text.read(find(ONE, words.parent), LanguageModelingSettings(corpus=ONE), folder)


ONE, TWO, THREE = (f"text:{','.join(count * ['words.txt'])}" for count in (1, 2, 3))


@pytest.mark.parametrize("names", [ONE, TWO, THREE])
@pytest.mark.parametrize("ending", ["", " </s>"])
def test_a_long_text_has_the_numbers_of_a_short_one(words, long, names, ending):
    words.write_text("\n".join(line + ending for line in words.read_text().split("\n")[:-1]))
    settings = LanguageModelingSettings(corpus=names, min_count=2, dev_words=50)
    texts, digests = [], []
    for is_long in (False, True):
        long(is_long)
        found = find(names, words.parent)
        texts.append(Text.read(found, settings, words.parent / "cache"))
        digests.append(content_digest(found))
    short, stored = texts
    assert stored.words["train"].dtype == torch.int32
    for split in ("train", "dev", "test"):
        for column in ("words", "lengths", "characters"):
            assert getattr(stored, column)[split].tolist() == getattr(short, column)[split].tolist()
    assert (stored.vocabulary, stored.notes, stored.facts) == (short.vocabulary, short.notes, short.facts)
    assert digests[0] == digests[1]
    assert list((words.parent / "cache").iterdir()) == []


def test_streams_of_a_stored_text_are_those_of_its_copy():
    words = torch.arange(10, 33)
    copied, stored = training_streams(words, 1, 4), StoredStreams(words.int(), 1, 4, torch.device("cpu"))
    assert copied.length == stored.length == 5
    for start, stop in ((0, 5), (0, 2), (2, 5), (4, 5)):
        for one, other in zip(copied.rows(start, stop), stored.rows(start, stop), strict=True):
            assert torch.equal(one, other)
            assert other.dtype == torch.long


def test_a_training_is_the_same(words, long, tmp_path):
    found = []
    for is_long in (False, True):
        long(is_long)
        problem = problem_on(words, **{**SMALL, "jitter": "gaussian"})
        batches = list(problem.train_batches(generator()))
        assert sum(batch.tokens for batch in batches) == problem.facts["train words"] // 4 * 4
        found.append(weights(train_on(problem, tmp_path / str(is_long), epochs=2).model))
    assert equal(*found)


def test_little_memory_is_taken(tmp_path, long):
    path, few = write_text(tmp_path / "words.txt", 30_000), write_text(tmp_path / "few.txt", 50)
    settings = LanguageModelingSettings(corpus=f"text:{path.name},{few.name},{few.name}")
    peaks = []
    for is_long in (False, True):
        long(is_long)
        found = find(settings.corpus, tmp_path)
        tracemalloc.start()
        Text.read(found, settings)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] / 4


def test_lines_of_a_stream_are_those_of_a_whole(tmp_path):
    mark = "\ufeff"
    content = f"{mark}a b\r\n\n{mark}joined\u0085x\n{mark} not joined\nlast".encode()
    for name in ("plain.txt", "packed.txt.gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
        assert list(Part(path).each_line()) == Part(path).lines()
    (tmp_path / "old.txt").write_bytes(b"a b\rc d\r")
    assert list(Part(tmp_path / "old.txt").each_line()) == ["a b", "c d"]
    (tmp_path / "latin.txt").write_bytes("a\ncaf\u00e9\n".encode("latin-1"))
    assert list(Part(tmp_path / "latin.txt").each_line("latin-1")) == ["a", "caf\u00e9"]
    with pytest.raises(DataError, match=r"latin\.txt:2: is not UTF-8 text"):
        list(Part(tmp_path / "latin.txt").each_line())


def test_a_stretch_of_a_long_text_is_a_long_text(words, long):
    long()
    lines = read_texts(find("text:words.txt", words.parent))
    whole = [line.split() for line in words.read_text().split("\n")[:-1]]
    parts = (list(lines["train"]), list(lines["dev"]), list(lines["test"]))
    assert parts == (whole[:96], whole[96:108], whole[108:])
    assert list(lines["test"][2:4]) == whole[110:112]
