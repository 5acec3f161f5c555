"""Reading column files, and entities to tags and back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from real_data import data_folder
from seqeval.metrics.sequence_labeling import get_entities

from cellzoo.errors import DataError
from tasks.data.conll import TaggedSentence, read_conll, spans, tags_of

if TYPE_CHECKING:
    from pathlib import Path

KINDS = ("person", "creative-work", "x")
GOOD = b"Ann\tB-person\nLee\tI-person\nsang\tO\n\t\nin\tO\nRome\tB-location\n"


def write(folder: Path, content: bytes) -> Path:
    path = folder / "corpus.conll"
    path.write_bytes(content)
    return path


def test_reads_tokens_tags_and_sentences(tmp_path: Path) -> None:
    assert read_conll(write(tmp_path, GOOD)) == [
        TaggedSentence(("Ann", "Lee", "sang"), ("B-person", "I-person", "O")),
        TaggedSentence(("in", "Rome"), ("O", "B-location")),
    ]


@pytest.mark.parametrize("blank", [b"", b"\t", b" ", b"\t\t", b" \t ", b"\n\t\n"])
def test_any_blank_line_ends_a_sentence(tmp_path: Path, blank: bytes) -> None:
    content = b"\n" + b"a\tO\n" + blank + b"\nb\tO\n" + blank + b"\n" + blank
    assert [s.tokens for s in read_conll(write(tmp_path, content))] == [("a",), ("b",)]


def test_last_line_may_lack_its_end(tmp_path: Path) -> None:
    assert read_conll(write(tmp_path, GOOD.rstrip(b"\n"))) == read_conll(write(tmp_path, GOOD))


@pytest.mark.parametrize("letter", ["\u200b", "\ufeff", "\u0085", "\u2028", "\u00a0", "\x1c", "\x0b", "\u3000"])
def test_odd_characters_stay_in_tokens(tmp_path: Path, letter: str) -> None:
    content = f"a\tO\n{letter}\tO\nx{letter}y\tB-x\n"
    (sentence,) = read_conll(write(tmp_path, content.encode()))
    assert sentence.tokens == ("a", letter, f"x{letter}y")


def test_chooses_columns(tmp_path: Path) -> None:
    path = write(tmp_path, b"Rome NNP B-NP B-LOC\nfell  VBD B-VP O\n")
    (chunks,) = read_conll(path, tag_column=2)
    assert chunks.tags == ("B-NP", "B-VP")
    (parts,) = read_conll(path, text_column=-3, tag_column=-1)
    assert parts == TaggedSentence(("NNP", "VBD"), ("B-LOC", "O"))


FAULTS = {
    "empty": (b"", "is empty (0 bytes)"),
    "white space": (b"\n\t\n \n", "is empty (only white space)"),
    "byte order mark": (b"\xef\xbb\xbf" + GOOD, ":1: begins with a byte order mark (U+FEFF)"),
    "utf-16": (GOOD.decode().encode("utf-16"), ":1: is not UTF-8 text (bytes FF FE"),
    "latin-1": (b"a\tO\n\ncaf\xe9\tO\n", ":3: is not UTF-8 text (bytes E9 09 4F 0A at offset 8)"),
    "crlf": (GOOD.replace(b"\n", b"\r\n"), ":1: holds a carriage return ('Ann\\tB-person\\r')"),
    "crlf once": (b"a\tO\nb\tO\r\n", ":2: holds a carriage return ('b\\tO\\r')"),
    "crlf in a blank line": (b"a\tO\n\r\nb\tO\n", ":2: holds a carriage return"),
    "one column": (b"a\tO\nb\n", ":2: 1 column in 'b', but line 1 has 2"),
    "only one column": (b"a\nb\n", ":1: 1 column in 'a'; a token line needs a token and a tag"),
    "tab without tag": (b"a\tO\nb\t\n", ":2: tag '' of token 'b': is no IOB2 tag"),
    "tab without token": (b"a\tO\n\tO\n", ":2: the token is empty (line '\\tO')"),
    "column too many": (b"a\tO\nb\tNN\tO\n", ":2: 3 columns in 'b\\tNN\\tO', but line 1 has 2"),
    "space in a token": (b"New York\tB-location\n", ":1: the token is 'New York', with a space in it"),
    "no tag at all": (b"a\tO\nb\tperson\n", ":2: tag 'person' of token 'b': is no IOB2 tag; allowed are O, B-"),
    "no type": (b"b\tB-\n", ":1: tag 'B-' of token 'b': is no IOB2 tag"),
    "lower case": (b"b\to\n", ":1: tag 'o' of token 'b': is no IOB2 tag"),
    "bioes": (b"b\tS-person\n", ":1: tag 'S-person' of token 'b': is no IOB2 tag"),
    "unknown type": (
        b"b\tB-planet\n",
        ":1: tag 'B-planet' of token 'b': unknown entity type 'planet'; known are lo",
    ),
    "inside at start": (
        b"a\tO\n\nb\tI-person\n",
        ":3: tag 'I-person' of token 'b': stands after 'O' or at a se",
    ),
    "inside after outside": (b"a\tO\nb\tI-person\n", "an entity begins with 'B-person' (IOB2)"),
    "inside another type": (
        b"a\tB-location\nb\tI-person\n",
        ":2: tag 'I-person' of token 'b': stands after 'B-lo",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_one_message_with_its_place(tmp_path: Path, fault: str) -> None:
    content, message = FAULTS[fault]
    path = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_conll(path, types=frozenset({"person", "location"}))
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(DataError, match=re.escape(f"{path}: cannot be read: ")):
            read_conll(path)


@st.composite
def entity_lists(draw: st.DrawFn) -> tuple[int, list[tuple[int, int, str]]]:
    end, entities = 0, []
    for gap, size, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(KINDS)), max_size=6)
    ):
        start, end = end + gap, end + gap + size
        entities.append((start, end, kind))
    return end + draw(st.integers(0, 2)), entities


@given(entity_lists())
def test_spans_and_tags_are_inverse_and_agree_with_seqeval(
    case: tuple[int, list[tuple[int, int, str]]],
) -> None:
    length, entities = case
    tags = tags_of(length, entities)
    assert spans(tags) == entities
    assert [(start, end + 1, kind) for kind, start, end in get_entities(list(tags))] == entities


TAGS = ("O", *(f"{prefix}-{kind}" for kind in KINDS for prefix in "BI"), "S-x", "", "B", "I-", "o")
LEGAL = re.compile(r"(O |B-(\S+) (I-\2 )*)*")


@given(st.lists(st.sampled_from(TAGS), min_size=1, max_size=6))
@example(["B-x", "I-x", "B-x", "I-person"])
def test_exactly_the_legal_sequences_are_read(
    tmp_path_factory: pytest.TempPathFactory, tags: list[str]
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "".join(f"w\t{tag}\n" for tag in tags).encode())
    if LEGAL.fullmatch("".join(f"{tag} " for tag in tags)):
        assert [sentence.tags for sentence in read_conll(path)] == [tuple(tags)]
        assert tags_of(len(tags), spans(tags)) == tuple(tags)
    else:
        with pytest.raises(DataError, match=r":\d+: tag "):
            read_conll(path)
        with pytest.raises(ValueError, match=r"^tag "):
            spans(tags)


@pytest.mark.parametrize(
    "entities",
    [[(0, 0, "x")], [(2, 1, "x")], [(-1, 1, "x")], [(2, 4, "x")], [(0, 1, "")], [(0, 2, "x"), (1, 3, "y")]],
)
def test_entities_that_cannot_be_tagged(entities: list[tuple[int, int, str]]) -> None:
    with pytest.raises(ValueError, match="entity"):
        tags_of(3, entities)


@pytest.mark.parametrize(
    ("file", "sentences", "tokens", "chunks"),
    [("train.txt", 8936, 211727, 106978), ("test.txt", 2012, 47377, 23852)],
)
def test_chunking_corpus_has_its_published_size(file: str, sentences: int, tokens: int, chunks: int) -> None:
    read = read_conll(data_folder("conll2000") / "conll2000" / file)
    assert (
        len(read),
        sum(len(sentence.tokens) for sentence in read),
        sum(len(spans(sentence.tags)) for sentence in read),
    ) == (sentences, tokens, chunks)
