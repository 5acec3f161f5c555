"""The news corpus, its words, its splits, and vocabularies."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.locate import find
from tasks.data.news import read_news, split_news, words_of
from tasks.data.vocabulary import Vocabulary


@pytest.fixture(scope="module")
def documents() -> list[list[str]]:
    return read_news(find("news").parts["text"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Sydney's west.", ["sydney", "'s", "west"]),
        ("I don't, they've", ["i", "don", "'t", "they", "'ve"]),
        ("the players' 'own' goal", ["the", "players", "own", "goal"]),
        ("at 4:00pm 170,000 of the 21st, 1.5 per cent", ["at", "N", "N", "of", "the", "N", "N", "per", "cent"]),
        ("a 28-year-old [R] <eos> N 2-0", ["a", "N", "year", "old", "r", "eos", "n", "N", "N"]),
        (" \t...\n", []),
    ],
)
def test_rule_for_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@given(st.text(st.characters(exclude_categories=["Nd", "Nl", "No"])))
def test_no_letter_is_lost(text: str) -> None:
    assert re.findall("[a-z]", " ".join(words_of(text))) == re.findall("[a-z]", text.lower())


def test_corpus_agrees_with_its_file(documents: list[list[str]]) -> None:
    lines = find("news").files["text"].read_text(encoding="ascii").split("\n")
    assert len(lines) == 300
    assert len(documents) == len(set(lines)) == 293
    assert documents[0][:9] == ["hundreds", "of", "people", "have", "been", "forced", "to", "vacate", "their"]
    letters = Counter(letter for line in set(lines) for letter in re.sub(r"\d\w*([.,:]\w+)*", "", line).lower())
    read = Counter(letter for words in documents for word in words if word != "N" for letter in word)
    assert {a: read[a] for a in "abcdefghijklmnopqrstuvwxyz"} == {
        a: letters[a] for a in "abcdefghijklmnopqrstuvwxyz"
    }


def test_splits_are_disjoint_and_whole(documents: list[list[str]]) -> None:
    splits = split_news(documents)
    assert {name: len(part) for name, part in splits.items()} == {"train": 235, "dev": 29, "test": 29}
    assert {name: sum(map(len, part)) for name, part in splits.items()} == {
        "train": 48503,
        "dev": 5723,
        "test": 5584,
    }
    assert sorted(words for part in splits.values() for words in part) == sorted(documents)
    assert splits["dev"][1] == documents[13]
    assert splits["test"][1] == documents[14]


def test_no_near_copy_of_a_held_out_item_is_in_another_split(documents: list[list[str]]) -> None:
    splits = split_news(documents)
    sets = [(name, frozenset(words)) for name, part in splits.items() for words in part]
    for place, (name, words) in enumerate(sets):
        for other_name, other in sets[:place]:
            if name != other_name:
                assert len(words & other) < 0.4 * len(words | other)


def test_vocabulary_by_hand() -> None:
    vocabulary = Vocabulary.build([["b", "a", "c"], ["a", "b", "<unk>", "d"], []], min_count=2)
    assert vocabulary.words == ("<unk>", "<eos>", "a", "b")
    assert len(vocabulary) == 4
    assert vocabulary.encode(["b", "zebra", "a"]) == [3, 0, 2]
    assert vocabulary.stream([["a"], [], ["d", "b"]]) == [2, 1, 1, 0, 3, 1]
    assert Vocabulary.build([["x", "z", "y", "z"]]).words == ("<unk>", "<eos>", "z", "x", "y")


def test_vocabulary_of_the_corpus(documents: list[list[str]]) -> None:
    splits = split_news(documents)
    counts = Counter(word for words in splits["train"] for word in words)
    for least in (1, 2, 5):
        vocabulary = Vocabulary.build(splits["train"], least)
        assert set(vocabulary.words[2:]) == {word for word, count in counts.items() if count >= least}
        stream = vocabulary.stream(splits["train"])
        assert len(stream) == 48503 + 235
        assert stream.count(1) == 235
        assert stream.count(0) == sum(count for count in counts.values() if count < least)
        assert stream[0] == vocabulary.index["hundreds"] if counts["hundreds"] >= least else stream[0] == 0
