"""NER corpora: WNUT 2017 against its published counts, the small corpus against what it promises."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import pytest
from real_data import data_folder
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from tasks.data.locate import find
from tasks.data.read import read_tagged
from tasks.data.tags import write_iob2

if TYPE_CHECKING:
    from tasks.data.conll import TaggedSentence

KINDS = ("person", "location", "organisation", "product")
PUBLISHED = {"train": (3394, 62730, 1975), "dev": (1009, 15733, 836), "test": (1287, 23394, 1079)}
BY_TYPE = {
    "person": (660, 470, 429),
    "location": (548, 74, 150),
    "group": (264, 39, 165),
    "corporation": (221, 34, 66),
    "product": (142, 114, 127),
    "creative-work": (140, 105, 142),
}


def test_wnut17_has_its_published_counts() -> None:
    splits = read_tagged(find("wnut17", data_folder("wnut17"))).splits
    assert list(splits) == ["train", "dev", "test"]
    for place, (split, sentences) in enumerate(splits.items()):
        begun = Counter(tag[2:] for s in sentences for tag in s.tags if tag.startswith("B-"))
        assert (len(sentences), sum(len(s.tokens) for s in sentences), begun.total()) == PUBLISHED[split]
        assert dict(begun) == {kind: numbers[place] for kind, numbers in BY_TYPE.items()}


def test_wnut17_keeps_invisible_characters() -> None:
    tokens = {t for s in read_tagged(find("wnut17", data_folder("wnut17"))).splits["dev"] for t in s.tokens}
    assert any("\u200b" in token for token in tokens)
    assert any("\ufeff" in token for token in tokens)


@pytest.fixture(scope="module")
def small() -> dict[str, list[TaggedSentence]]:
    return dict(read_tagged(find("small-ner")).splits)


def entities(sentences: list[TaggedSentence]) -> list[tuple[str, str]]:
    return [(" ".join(s.tokens[start:end]).lower(), kind) for s in sentences for start, end, kind in s.spans]


def test_small_ner_has_no_sentence_twice(small: dict[str, list[TaggedSentence]]) -> None:
    sentences = [s.tokens for split in small.values() for s in split]
    assert len(set(sentences)) == len(sentences) == 1050


def test_small_ner_has_names_in_test_that_train_lacks(small: dict[str, list[TaggedSentence]]) -> None:
    known = {name for name, _ in entities(small["train"])}
    seen: defaultdict[str, list[bool]] = defaultdict(list)
    for name, kind in entities(small["test"]):
        seen[kind].append(name in known)
    assert set(seen) == set(KINDS)
    for hits in seen.values():
        assert 0.10 < sum(hits) / len(hits) < 0.60
    words = {word.lower() for s in small["train"] for word in s.tokens}
    new_word = [any(word not in words for word in name.split()) for name, _ in entities(small["test"])]
    assert 0.40 < sum(new_word) / len(new_word) < 0.75


def test_small_ner_names_do_not_tell_their_kind(small: dict[str, list[TaggedSentence]]) -> None:
    kinds: defaultdict[str, set[str]] = defaultdict(set)
    for name, kind in entities(small["train"]):
        kinds[name].add(kind)
    ambiguous = sum(len(kinds[name]) > 1 for name, _ in entities(small["train"]))
    assert ambiguous > 0.35 * len(entities(small["train"]))


def looked_up(sentence: TaggedSentence, known: dict[str, str]) -> list[str]:
    """Tag the longest known names from the left."""
    words = [token.lower() for token in sentence.tokens]
    found, start = [], 0
    while start < len(words):
        for end in range(min(len(words), start + 5), start, -1):
            if kind := known.get(" ".join(words[start:end])):
                found.append((start, end, kind))
                break
        else:
            end = start + 1
        start = end
    return list(write_iob2(len(words), found))


def capitalised(sentence: TaggedSentence) -> list[str]:
    """Tag every run of capitalised words, but for the first word, as a person."""
    big = [position > 0 and token[0].isupper() for position, token in enumerate(sentence.tokens)]
    return [
        "O" if not now else "I-person" if before else "B-person"
        for before, now in zip([False, *big], big, strict=False)
    ]


def test_small_ner_is_not_solved_without_the_sentence(small: dict[str, list[TaggedSentence]]) -> None:
    votes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for name, kind in entities(small["train"]):
        votes[name][kind] += 1
    known = {name: vote.most_common(1)[0][0] for name, vote in votes.items()}
    gold = [list(s.tags) for s in small["test"]]
    by_name = [looked_up(s, known) for s in small["test"]]
    assert 0.02 < f1_score(gold, by_name, mode="strict", scheme=IOB2) < 0.30
    untyped = [[re.sub("-.*", "-person", tag) for tag in tags] for tags in gold]
    by_case = [capitalised(s) for s in small["test"]]
    assert 0.30 < f1_score(untyped, by_case, mode="strict", scheme=IOB2) < 0.75


def test_small_ner_writes_some_sentences_in_lower_case(small: dict[str, list[TaggedSentence]]) -> None:
    for sentences in small.values():
        lower = sum(" ".join(s.tokens).islower() for s in sentences) / len(sentences)
        assert 0.08 < lower < 0.22
