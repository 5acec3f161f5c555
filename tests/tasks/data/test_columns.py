"""Guesses about the columns of a file: right ones are taken, wrong ones refused with the column to name."""

from __future__ import annotations

import pytest
from real_data import data_folder

from cellzoo.errors import DataError
from tasks.data.conll import Reading, parse_conll, read_conll
from tasks.data.parts import Part

WORDS = (
    ("Lena", "NE", "B-PER"),
    ("Maas", "NE", "I-PER"),
    ("kauft", "V", "O"),
    ("zwei", "CARD", "O"),
    ("Boote", "N", "O"),
)
OTHER = (("Bremen", "NE", "B-LOC"), ("schläft", "V", "O"), ("heute", "ADV", "O"))


def lines(row, blocks=(WORDS, OTHER), separator="\t"):
    """Lines of sentences; `row(sentence, position, word, part of speech, tag)` gives the columns of one."""
    written = []
    for number, sentence in enumerate(blocks):
        written += [separator.join(row(number, place, *word)) for place, word in enumerate(sentence)]
        written.append("")
    return written


def tokens(text):
    return [sentence.tokens for sentence in text.sentences]


RIGHT = [("Lena", "Maas", "kauft", "zwei", "Boote"), ("Bremen", "schläft", "heute")]

NO_WORDS = {
    "zeros before the number": (lambda s, i, w, p, t: (f"{i + 1:02}", w, t), 1),
    "a letter before the number": (lambda s, i, w, p, t: (f"w{i}", w, t), 1),
    "a full stop after the number": (lambda s, i, w, p, t: (f"{i}.", p, w, t), 2),
    "sentence and token": (lambda s, i, w, p, t: (f"{s}-{i}", w, p, t), 1),
    "document, sentence and token": (lambda s, i, w, p, t: (f"d7.s{s}.w{i}", w, t), 1),
    "offsets": (lambda s, i, w, p, t: (str(100 * s + 7 * i), w, t), 1),
    "ranges": (lambda s, i, w, p, t: (f"{9 * i}:{9 * i + 4}", w, t), 1),
    "a name for each sentence": (lambda s, i, w, p, t: (f"text-{'ab'[s]}", w, t), 1),
    "one name of a document": (lambda s, i, w, p, t: ("nw/wsj/00", "0", w, p, t), 2),
    "the name in the first line of a sentence": (lambda s, i, w, p, t: (f"Satz {s}" if not i else "", w, t), 1),
    "letters by position": (lambda s, i, w, p, t: ("abcde"[i], w, t), 1),
    "tags of spans": (lambda s, i, w, p, t: (t, w), 1),
    "tags, parts of speech": (lambda s, i, w, p, t: (t, p, w), 2),
    "parts of speech": (lambda s, i, w, p, t: (p, w, t), 1),
    "parts of speech before words alone": (lambda s, i, w, p, t: (p, w), 1),
}


@pytest.mark.parametrize("kind", NO_WORDS)
def test_a_first_column_without_words_is_refused_and_the_column_of_words_named(kind):
    row, column = NO_WORDS[kind]
    with pytest.raises(DataError, match=rf"^f:1: the first column .* --set text_column={column}; "):
        parse_conll(lines(row), "f")


@pytest.mark.parametrize("kind", NO_WORDS)
def test_a_column_that_is_named_is_taken(kind):
    row, column = NO_WORDS[kind]
    tag = 0 if kind.startswith(("tags", "parts of speech before")) else -1
    read = parse_conll(lines(row), "f", Reading(text_column=column, tag_column=tag))
    assert tokens(read) == RIGHT


NO_TAGS = {
    "numbers": (lambda s, i, w, p, t: (w, t, str(i + 1)), 1),
    "shares": (lambda s, i, w, p, t: (w, p, t, f".9{i}"), 2),
    "underscores beside tags": (lambda s, i, w, p, t: (w, t, p, "_"), 1),
    "underscores": (lambda s, i, w, p, t: (w, p, "_"), 1),
    "parts of speech": (lambda s, i, w, p, t: (w, t, p), 1),
    "numbers, no tags of spans": (lambda s, i, w, p, t: (w, p, f"{s}_{i}"), 1),
}


@pytest.mark.parametrize("kind", NO_TAGS)
def test_a_last_column_without_tags_is_refused_and_another_named(kind):
    row, column = NO_TAGS[kind]
    with pytest.raises(DataError, match=rf"^f:1: the last column .* --set tag_column={column}$"):
        parse_conll(lines(row), "f")
    assert tokens(parse_conll(lines(row), "f", Reading(tag_column=column))) == RIGHT


GOOD = {
    "two columns": lambda s, i, w, p, t: (w, t),
    "CoNLL-2003": lambda s, i, w, p, t: (w, p, "O" if p == "V" else "B-NP", t),
    "lemmas": lambda s, i, w, p, t: (w, w.lower().rstrip("e"), p, t),
    "numbers of heads": lambda s, i, w, p, t: (w, str(i - 1), p, t),
    "no entity": lambda s, i, w, p, t: (w, "B-NP", "O"),
}


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("separator", ["\t", " ", "   ", "\t\t"])
def test_usual_columns_are_taken(kind, separator):
    assert tokens(parse_conll(lines(GOOD[kind], separator=separator), "f")) == RIGHT


def test_a_second_column_of_tags_is_named():
    read = parse_conll(lines(GOOD["CoNLL-2003"]), "f")
    assert any("tags of spans are also in column 2: --set tag_column=2" in note for note in read.notes)
    read = parse_conll(lines(GOOD["CoNLL-2003"]), "f", Reading(tag_column=3))
    assert read.notes == ()


def test_columns_of_germeval_are_recognised():
    """As the corpus has them: source lines with #, then number, word, outer and inner entity."""
    content = [
        "#\thttp://de.wikipedia.org/wiki/Manfred_Korfmann [2009-10-17]",
        "1\tAufgrund\tO\tO",
        "2\tseiner\tO\tO",
        "3\tTübinger\tB-LOCderiv\tO",
        "4\tArbeit\tO\tO",
        "",
        "#\thttp://de.wikipedia.org/wiki/Saarbrücken [2009-08-13]",
        "1\tUniversität\tB-ORG\tO",
        "2\tdes\tI-ORG\tO",
        "3\tSaarlandes\tI-ORG\tB-LOC",
    ]
    read = parse_conll(content, "f")
    assert tokens(read) == [("Aufgrund", "seiner", "Tübinger", "Arbeit"), ("Universität", "des", "Saarlandes")]
    assert read.sentences[1].spans == [(0, 3, "ORG")]
    assert "columns of GermEval" in read.notes[0]
    inner = parse_conll(content, "f", Reading(text_column=1, tag_column=3))
    assert inner.sentences[1].spans == [(2, 3, "LOC")]


CONLLU = "{}\t{}\tlemma\t{}\t{}\t_\t0\troot\t_\t_"


def test_words_of_conllu_may_have_spaces():
    content = [
        CONLLU.format(1, "Những năm", "NOUN", "N"),
        CONLLU.format(2, "ấy", "DET", "P"),
        "",
        CONLLU.format(1, "20 000", "NUM", "M"),
    ]
    assert tokens(parse_conll(content, "f")) == [("Những năm", "ấy"), ("20 000",)]


def test_conllu_without_universal_parts_of_speech():
    own = parse_conll([CONLLU.format(1, "a", "_", "DT"), CONLLU.format(2, "b", "_", "NN")], "f")
    assert own.sentences[0].tags == ("DT", "NN")
    with pytest.raises(DataError, match="without parts of speech"):
        parse_conll([CONLLU.format(1, "a", "_", "_"), CONLLU.format(2, "b", "_", "_")], "f")


def test_columns_aligned_by_several_tabs():
    content = ["Lena\t\t\tNE\tB-PER", "schwimmt\tV\tO", "gern\t\tADV\t\tO"]
    assert tokens(parse_conll(content, "f")) == [("Lena", "schwimmt", "gern")]


def test_tabs_at_the_end_of_lines_are_no_columns():
    content = ["Lena\tB-PER\t", "schwimmt\tO", "gern\tO\t\t", "", "Bonn\tB-LOC", "ruht\tO"]
    assert tokens(parse_conll(content, "f")) == [("Lena", "schwimmt", "gern"), ("Bonn", "ruht")]


def test_a_few_words_with_a_space_are_counted_and_named():
    content = ["New York\tB-LOC", *["ist\tO"] * 30]
    read = parse_conll(content, "f")
    assert read.sentences[0].tokens[0] == "New York"
    assert read.notes == ("1 token(s) have a space in them; the first: f:1: the token is 'New York', "
                          "with a space in it (line 'New York\\tB-LOC')",)  # fmt: skip
    with pytest.raises(
        DataError, match=r"f:1: the token is 'New York', with a space in it .* 31 of 31 have one"
    ):
        parse_conll(["New York\tB-LOC"] * 31, "f")


@pytest.mark.parametrize("blank", ["\u00a0", "\x0c", "\r", "\u3000 \t", "\x85"])
def test_a_line_of_any_white_space_ends_a_sentence(blank):
    assert tokens(parse_conll(["a\tO", blank, "b\tB-x"], "f")) == [("a",), ("b",)]


@pytest.mark.parametrize(
    ("path", "sentences", "spans"),
    [("wnut17/wnut17train.conll", 3394, 1975), ("wnut17/emerging.dev.conll", 1009, 836)],
)
def test_real_corpora_pass_without_a_note(path, sentences, spans):
    read = read_conll(Part(data_folder("wnut17") / path))
    assert (len(read.sentences), sum(len(one.spans) for one in read.sentences)) == (sentences, spans)
    assert read.notes == ()
