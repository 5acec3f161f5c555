"""NER corpora: WNUT 2017 against its published counts, the small corpus against what it promises."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from real_data import data_folder
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from cellzoo.errors import DataError, UnknownNameError
from tasks.data.conll import TaggedSentence, read_conll, spans, tags_of
from tasks.data.found import FoundData
from tasks.data.known import KNOWN
from tasks.data.locate import find
from tasks.data.ner import read_ner
from tasks.data.small_ner.generate import corpus, texts
from tasks.data.small_ner.grammar import GRAMMAR, KINDS, START
from tasks.data.small_ner.names import FORMS, NAMES

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
    splits = read_ner(find("wnut17", data_folder("wnut17")))
    assert list(splits) == ["train", "dev", "test"]
    for place, (split, sentences) in enumerate(splits.items()):
        begun = Counter(tag[2:] for s in sentences for tag in s.tags if tag.startswith("B-"))
        assert (len(sentences), sum(len(s.tokens) for s in sentences), begun.total()) == PUBLISHED[split]
        assert dict(begun) == {kind: numbers[place] for kind, numbers in BY_TYPE.items()}


def test_wnut17_keeps_invisible_characters() -> None:
    tokens = {t for s in read_ner(find("wnut17", data_folder("wnut17")))["dev"] for t in s.tokens}
    assert any("\u200b" in token for token in tokens)
    assert any("\ufeff" in token for token in tokens)


def test_a_file_with_other_counts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.conll"
    path.write_text("a\tB-person\n")
    roles = ("train", "dev", "test")
    found = FoundData("wnut17", "--data", dict.fromkeys(roles, path), dict.fromkeys(roles, ""))
    with pytest.raises(
        DataError, match=r"has 1 sentences, 1 tokens, 1 entities .* expected 3,394 sentences, 62,730"
    ):
        read_ner(found)
    with pytest.raises(UnknownNameError):
        read_ner(dataclasses.replace(found, name="news"))


@pytest.fixture(scope="module")
def small() -> dict[str, list[TaggedSentence]]:
    return corpus()


def entities(sentences: list[TaggedSentence]) -> list[tuple[str, str]]:
    return [
        (" ".join(s.tokens[start:end]).lower(), kind) for s in sentences for start, end, kind in spans(s.tags)
    ]


def test_small_ner_is_the_same_in_every_process() -> None:
    code = (
        "import hashlib, tasks.data.small_ner.generate as g\n"
        "for text in g.texts().values(): print(hashlib.sha256(text.encode()).hexdigest())"
    )
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": hash_seed},
            cwd=Path(__file__).resolve().parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == list(KNOWN["small-ner"].sha256.values())


def test_small_ner_files_read_back(tmp_path: Path, small: dict[str, list[TaggedSentence]]) -> None:
    assert read_ner(find("small-ner")) == small
    for split, text in texts().items():
        path = tmp_path / f"{split}.conll"
        path.write_bytes(text.encode())
        assert hashlib.sha256(path.read_bytes()).hexdigest() == find("small-ner").sha256[split]
        assert read_conll(path, types=frozenset(KINDS)) == small[split]


def test_small_ner_another_seed_gives_another_corpus(small: dict[str, list[TaggedSentence]]) -> None:
    other = corpus(seed=1)
    assert {k: len(v) for k, v in other.items()} == {k: len(v) for k, v in small.items()}
    assert not {s.tokens for s in small["test"]} & {s.tokens for s in other["test"] if "B-person" in s.tags}


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
    return list(tags_of(len(words), found))


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


def test_small_ner_grammar_is_whole_and_ends() -> None:
    """Every symbol is defined and reached, and none leads back to itself, so every expansion ends."""
    item = re.compile(r"([$%])([a-z_]+)\??")
    heights: dict[str, int] = {}

    def height(symbol: str, above: tuple[str, ...]) -> int:
        assert symbol not in above, f"{symbol} leads back to itself"
        if symbol not in heights:
            below = [m for alternative in GRAMMAR[symbol] for m in item.findall(alternative)]
            assert all(name in KINDS for sign, name in below if sign == "%")
            heights[symbol] = 1 + max(
                (height(name, (*above, symbol)) for s, name in below if s == "$"), default=0
            )
        return heights[symbol]

    assert height(START, ()) < 10
    assert set(heights) == set(GRAMMAR)
    for alternatives in GRAMMAR.values():
        for word in " ".join(alternatives).split():
            assert item.fullmatch(word) or not set(word) & set("$%?@")


def test_small_ner_names_are_well_formed() -> None:
    for names in NAMES.values():
        assert len(set(names)) == len(names)
        assert all(
            re.fullmatch("[A-Z][a-z]+", name) and not re.search(r"(.)\1\1", name.lower()) for name in names
        )
    assert set(FORMS) == set(KINDS)
    for forms in FORMS.values():
        assert all(word[1:] in NAMES for form in forms for word in form.split() if word.startswith("@"))
