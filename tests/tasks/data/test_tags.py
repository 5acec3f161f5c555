"""Tag schemes against seqeval, and to spans and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import IOB2, IOBES, Entities

from tasks.data.tags import detect_scheme, read_spans, respell, strict_spans, write_iob2

KINDS = ("person", "creative-work", "x")


@st.composite
def span_lists(draw):
    end, spans = 0, []
    for gap, size, kind in draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from(KINDS)), max_size=6)
    ):
        start, end = end + gap, end + gap + size
        spans.append((start, end, kind))
    return end + draw(st.integers(0, 2)), spans


def written(length, spans, scheme):
    """An independent writer of each scheme."""
    tags = ["O"] * length
    for start, end, kind in spans:
        inner = ["I"] * (end - start)
        if scheme == "IOB1":
            follows = start and tags[start - 1][2:] == kind and tags[start - 1] != "O"
            inner[0] = "B" if follows else "I"
        elif scheme == "IOB2":
            inner[0] = "B"
        else:
            last, single = {"BIOES": "ES", "BILOU": "LU", "BMES": "ES"}[scheme]
            inner = ["M" if scheme == "BMES" else "I"] * (end - start)
            inner[0], inner[-1] = "B", last
            if len(inner) == 1:
                inner[0] = single
        tags[start:end] = [f"{letter}-{kind}" for letter in inner]
    return tags


@given(span_lists())
def test_iob2_is_written_and_read_back_as_seqeval_reads_it(case):
    length, spans = case
    tags = write_iob2(length, spans)
    assert read_spans(tags, "IOB2") == (spans, [])
    assert [(start, end + 1, kind) for kind, start, end in get_entities(list(tags))] == spans


@pytest.mark.parametrize("scheme", ["IOB1", "IOB2", "BIOES", "BILOU", "BMES"])
@given(case=span_lists())
def test_every_scheme_gives_the_spans_that_were_written(scheme, case):
    length, spans = case
    tags = written(length, spans, scheme)
    assert read_spans(tags, "BIOES" if scheme == "BMES" else scheme) == (spans, [])


@given(
    st.lists(st.sampled_from(("O", *(f"{letter}-{kind}" for kind in "xy" for letter in "BIES"))), max_size=8)
)
def test_any_sequence_is_read_as_conlleval_reads_it(tags):
    """seqeval without a scheme follows conlleval.pl."""
    spans, repairs = read_spans(tags, "BIOES")
    assert [(start, end + 1, kind) for kind, start, end in get_entities(list(tags))] == spans
    legal = read_spans(write_iob2(len(tags), spans), "IOB2")
    assert legal == (spans, [])
    assert all(tags[repair.position] == repair.tag for repair in repairs)


@pytest.mark.parametrize(("scheme", "reference", "letters"), [("IOB2", IOB2, "BI"), ("BIOES", IOBES, "BIES")])
@given(data=st.data())
def test_any_sequence_is_read_strictly_as_seqeval_reads_it(scheme, reference, letters, data):
    known = ("O", *(f"{letter}-{kind}" for kind in "xy" for letter in letters))
    tags = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=8))
    entities = [entity.to_tuple() for entity in Entities([tags], reference).entities[0]]
    assert strict_spans(tags, scheme) == [(start, end, kind) for _, kind, start, end in entities]


@given(st.lists(st.sampled_from(("O", "B-x", "I-x", "B-y", "I-y")), max_size=8))
def test_repairs_are_exactly_what_iob2_forbids(tags):
    _, repairs = read_spans(tags, "IOB2")
    forbidden = [
        position
        for position, (before, tag) in enumerate(zip(["O", *tags], tags, strict=False))
        if tag.startswith("I-") and before not in (f"B-{tag[2:]}", tag)
    ]
    assert [repair.position for repair in repairs] == forbidden


@pytest.mark.parametrize(
    ("sentences", "scheme"),
    [
        ([["B-x", "I-x", "O"]], "IOB2"),
        ([["O", "O"]], "IOB2"),
        ([["I-x", "I-x", "O"], ["I-y", "B-y"]], "IOB1"),
        ([["B-x", "I-x"], ["B-y"], ["I-x"]], "IOB2"),
        ([["B-x", "E-x", "S-y"]], "BIOES"),
        ([["B-x", "M-x", "E-x"]], "BIOES"),
        ([["B-x", "L-x", "U-y"]], "BILOU"),
        ([["O", "O", "PER", "PER"], ["O", "LOC", "O"]], "IO"),
        ([["DT", "NN", "VB"]], "tokens"),
        ([["NOUN", "O"], ["VERB", "NOUN"]], "tokens"),
    ],
)
def test_schemes_are_recognised(sentences, scheme):
    assert detect_scheme(sentences) == scheme


def test_io_and_tokens():
    assert read_spans(["O", "PER", "PER", "LOC"], "IO")[0] == [(1, 3, "PER"), (3, 4, "LOC")]
    assert read_spans(["DT", "NN"], "tokens")[0] == [(0, 1, "DT"), (1, 2, "NN")]


@pytest.mark.parametrize(
    "spans",
    [[(0, 0, "x")], [(2, 1, "x")], [(-1, 1, "x")], [(2, 4, "x")], [(0, 1, "")], [(0, 2, "x"), (1, 3, "y")]],
)
def test_spans_that_cannot_be_written(spans):
    with pytest.raises(ValueError, match="span"):
        write_iob2(3, spans)


SPELLINGS = {
    "B_x": lambda letter, kind: f"{letter}_{kind}",
    "B:x": lambda letter, kind: f"{letter}:{kind}",
    "x-B": lambda letter, kind: f"{kind}-{letter}",
    "x_B": lambda letter, kind: f"{kind}_{letter}",
    "b-x": lambda letter, kind: f"{letter.lower()}-{kind}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("scheme", ["IOB2", "BIOES", "BILOU"])
@given(span_lists())
def test_tags_that_are_spelt_otherwise_are_spans_all_the_same(scheme, spelling, case):
    length, spans = case
    spans = [(0, 1, "x"), *((start + 2, end + 2, kind) for start, end, kind in spans)]
    tags = written(length + 2, spans, "IOB2" if scheme == "IOB2" else scheme)
    odd = [tag if tag == "O" else SPELLINGS[spelling](tag[0], tag[2:]) for tag in tags]
    spelt = respell(set(odd))
    begins = any(tag.startswith("B") for tag in tags)
    if begins:
        assert [spelt[tag] for tag in odd] == tags
    else:
        assert spelt in ({}, dict(zip(odd, tags, strict=True)))


@pytest.mark.parametrize(
    ("tags", "types"),
    [
        ("B I O B", ["B-span", "I-span", "O", "B-span"]),
        ("B O", ["B-span", "O"]),
        ("O I I", ["O", "I-span", "I-span"]),
        ("B M E S", ["B-span", "M-span", "E-span", "S-span"]),
    ],
)
def test_tags_without_types_have_one_type(tags, types):
    spelt = respell(set(tags.split()))
    assert [spelt[tag] for tag in tags.split()] == types


@pytest.mark.parametrize(
    "tags",
    [
        "B-x I-x O",
        "M L O",
        "NN VB IN O",
        "N V A",
        "S V",
        "PER LOC O",
        "NN_B VB_X O",
        "O",
        "B",
        "B-x person O",
        "JJ-S NN-S",
    ],
)
def test_other_tags_keep_their_spelling(tags):
    assert respell(set(tags.split())) == {}
