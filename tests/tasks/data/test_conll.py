"""Reading column files: what is recognised, what is repaired, and every fault."""

from __future__ import annotations

import pytest
from real_data import data_folder

from cellzoo.errors import DataError
from tasks.data.conll import Reading, TaggedSentence, read_conll
from tasks.data.parts import Part

GOOD = b"Ann\tB-person\nLee\tI-person\nsang\tO\n\t\nin\tO\nRome\tB-location\n"
STRICT = Reading(tags="strict")


def write(folder, content):
    path = folder / "corpus.conll"
    path.write_bytes(content)
    return Part(path)


def sentences(part, reading=None):
    return read_conll(part, reading or Reading()).sentences


def test_reads_tokens_tags_and_sentences(tmp_path):
    assert sentences(write(tmp_path, GOOD)) == [
        TaggedSentence(("Ann", "Lee", "sang"), ("B-person", "I-person", "O")),
        TaggedSentence(("in", "Rome"), ("O", "B-location")),
    ]


@pytest.mark.parametrize(
    "content",
    [
        GOOD.rstrip(b"\n"),
        b"\xef\xbb\xbf" + GOOD,
        GOOD.replace(b"\n", b"\r\n"),
        GOOD.replace(b"\n", b"\r"),
        GOOD.replace(b"Ann", b"Ann "),
        b"# corpus = made up\n" + GOOD,
        b"-DOCSTART-\tO\n\n" + GOOD,
    ],
    ids=["no last end", "byte order mark", "crlf", "cr", "blank after a token", "comment", "document"],
)
def test_forms_in_which_people_have_a_file_read_alike(tmp_path, content):
    (tmp_path / "other").mkdir()
    assert sentences(write(tmp_path, content)) == sentences(write(tmp_path / "other", GOOD))


@pytest.mark.parametrize("blank", [b"", b"\t", b" ", b"\t\t", b" \t ", b"\n\t\n"])
def test_any_blank_line_ends_a_sentence(tmp_path, blank):
    content = b"\n" + b"a\tO\n" + blank + b"\nb\tO\n" + blank + b"\n" + blank
    assert [s.tokens for s in sentences(write(tmp_path, content))] == [("a",), ("b",)]


@pytest.mark.parametrize("letter", ["\u200b", "\ufeff", "\u0085", "\u2028", "\u00a0", "\x1c", "\x0b", "\u3000"])
def test_odd_characters_stay_in_tokens(tmp_path, letter):
    content = f"a\tO\n{letter}\tO\nx{letter}y\tB-x\n"
    (sentence,) = sentences(write(tmp_path, content.encode()))
    assert sentence.tokens == ("a", letter, f"x{letter}y")


@pytest.mark.parametrize("token", ["#", "#tag", "-DOCSTART"])
def test_tokens_that_look_like_comments_stay(tmp_path, token):
    (sentence,) = sentences(write(tmp_path, f"{token}\tO\nb\tB-x\n".encode()))
    assert sentence.tokens == (token, "b")


def test_a_comment_with_as_many_columns_as_a_token_line_is_left_out(tmp_path):
    read = read_conll(write(tmp_path, b"# doc\nAnn\tB-person\n\n# doc\n# O\nran\tO\n"))
    assert [sentence.tokens for sentence in read.sentences] == [("Ann",), ("#", "ran")]
    assert any("2 comment line(s) left out" in note for note in read.notes)


def test_a_tag_that_starts_with_the_mark_of_comments_is_a_tag_if_it_occurs_within_sentences(tmp_path):
    # So in CoNLL-2000, where the pound sign of the Wall Street Journal is `#` with the part of speech `#`.
    (first, second) = sentences(write(tmp_path, b"owes CC\n# #\n5 CD\n\n# #\n6 CD\n"))
    assert (first.tokens, second.tokens) == (("owes", "#", "5"), ("#", "6"))


@pytest.mark.parametrize("comments", ["detect", "all", "none"])
def test_what_is_a_comment_can_be_said(tmp_path, comments):
    part = write(tmp_path, b"# odd\nx\tO\n\n# O\n\n#\tO\n")
    read = sentences(part, Reading(comments=comments))
    assert [one.tokens for one in read] == {
        "detect": [("x",), ("#",), ("#",)],
        "all": [("x",)],
        "none": [("#", "x"), ("#",), ("#",)],
    }[comments]


def test_a_scheme_can_be_said(tmp_path):
    part = write(tmp_path, b"Ann\tI-person\nLee\tB-person\n\nran\tO\n")
    assert read_conll(part, Reading(scheme="IOB1")).sentences[0].spans == [(0, 1, "person"), (1, 2, "person")]
    with pytest.raises(DataError, match=r":2: tag 'B-person' .* is one of spans, and scheme = tokens"):
        read_conll(part, Reading(scheme="tokens"))
    other = write(tmp_path, b"Ann\tB-person\nLee\tE-person\n")
    with pytest.raises(DataError, match=r":2: tag 'E-person' .* is not a tag of IOB2, which scheme = IOB2"):
        read_conll(other, Reading(scheme="IOB2"))
    assert read_conll(other, Reading(scheme="BIOES")).sentences[0].spans == [(0, 2, "person")]


def test_chooses_columns(tmp_path):
    part = write(tmp_path, b"Rome NNP B-NP B-LOC\nfell  VBD B-VP O\n")
    (chunks,) = sentences(part, Reading(tag_column=2))
    assert chunks.tags == ("B-NP", "B-VP")
    (parts,) = sentences(part, Reading(text_column=-3, tag_column=-1))
    assert parts == TaggedSentence(("NNP", "VBD"), ("B-LOC", "O"))


def test_conllu_is_read_as_parts_of_speech(tmp_path):
    line = "{}\t{}\tlemma\t{}\t_\t_\t0\troot\t_\t_\n"
    content = "# sent_id = 1\n# text = vámonos al mar\n" + "".join(
        line.format(*row)
        for row in (
            ("1-2", "vámonos", "_"),
            ("1", "vamos", "VERB"),
            ("2", "nos", "PRON"),
            ("2.1", "x", "X"),
            ("3", "al", "ADP"),
        )
    )
    text = read_conll(write(tmp_path, content.encode()))
    assert text.scheme == "tokens"
    assert text.sentences == [TaggedSentence(("vamos", "nos", "al"), ("VERB", "PRON", "ADP"))]
    assert any("CoNLL-U" in note for note in text.notes)


def test_parts_of_speech_are_tags_of_tokens(tmp_path):
    text = read_conll(write(tmp_path, b"the\tDT\ncat\tNN\n\nsat\tVBD\n"))
    assert text.scheme == "tokens"
    assert text.sentences[0].tags == ("DT", "NN")


SCHEMES = {
    "BIOES": b"Ann\tB-P\nvan\tI-P\nLee\tE-P\nin\tO\nRome\tS-L\n",
    "BMES": b"Ann\tB-P\nvan\tM-P\nLee\tE-P\nin\tO\nRome\tS-L\n",
    "BILOU": b"Ann\tB-P\nvan\tI-P\nLee\tL-P\nin\tO\nRome\tU-L\n",
    "IOB1": b"Ann\tI-P\nvan\tI-P\nLee\tI-P\nin\tO\nRome\tI-L\n",
}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_other_schemes_become_iob2_and_are_named(tmp_path, scheme):
    text = read_conll(write(tmp_path, SCHEMES[scheme]))
    assert text.sentences[0].tags == ("B-P", "I-P", "I-P", "O", "B-L")
    assert any(text.scheme in note for note in text.notes)
    if scheme != "IOB1":
        with pytest.raises(DataError, match=f"written in {text.scheme}; tags = strict"):
            read_conll(write(tmp_path, SCHEMES[scheme]), STRICT)


def test_stray_tags_are_repaired_counted_and_the_first_is_named(tmp_path):
    part = write(tmp_path, GOOD + b"\nin\tO\nAccra\tI-location\n\nGhana\tI-location\n")
    text = read_conll(part)
    assert text.sentences[2].tags == ("O", "B-location")
    assert text.sentences[3].tags == ("B-location",)
    (note,) = text.notes
    assert note.startswith("2 tag(s) read as conlleval reads them; the first: ")
    assert f"{part}:9: tag 'I-location' of token 'Accra' stands after 'O'" in note
    with pytest.raises(DataError, match=r"corpus\.conll:9: tag 'I-location'"):
        read_conll(part, STRICT)


@pytest.mark.parametrize("first", [0, 1])
def test_a_first_column_that_counts_is_refused_until_the_words_are_named(tmp_path, first):
    content = "".join(f"{first} Ann{i} NNP B-PER\n{first + 1} ran VBD O\n\n" for i in range(3)).encode()
    with pytest.raises(DataError, match=r"corpus\.conll:1: the first column counts .* --set text_column=1"):
        read_conll(write(tmp_path, content))
    assert sentences(write(tmp_path, content), Reading(text_column=1))[0].tokens == ("Ann0", "ran")


def test_a_first_column_that_counts_through_the_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"corpus\.conll:1: the first column counts .* --set text_column=1"):
        read_conll(write(tmp_path, b"7 Ann B-PER\n8 runs O\n\n9 Oslo B-LOC\n10 sleeps O\n"))


def test_a_first_column_of_sentence_numbers_is_refused(tmp_path):
    content = b"7 Ann B-PER\n7 runs O\n\n8 Oslo B-LOC\n8 sleeps O\n"
    with pytest.raises(DataError, match=r"corpus\.conll:1: the first column is the same number .* --set text"):
        read_conll(write(tmp_path, content))
    assert sentences(write(tmp_path, content), Reading(text_column=1))[1].tokens == ("Oslo", "sleeps")


def test_numbers_as_words_are_words(tmp_path):
    assert sentences(write(tmp_path, b"1 O\n2 O\n\n7 O\nup B-x\n"))[0].tokens == ("1", "2")


def test_another_encoding_is_named(tmp_path):
    part = write(tmp_path, b"caf\xe9\tB-x\n")
    with pytest.raises(DataError, match=r"corpus\.conll:1: is not UTF-8 text .* --set encoding=latin-1"):
        read_conll(part)
    assert sentences(part, Reading(encoding="latin-1"))[0].tokens == ("café",)
    with pytest.raises(DataError, match="encoding 'klingon' is not known"):
        read_conll(part, Reading(encoding="klingon"))


FAULTS = {
    "empty": (b"", "is empty (0 bytes)"),
    "white space": (b"\n\t\n \n", "is empty (only white space)"),
    "utf-16": (GOOD.decode().encode("utf-16"), ":1: is not UTF-8 text (bytes FF FE"),
    "one column": (b"a\tO\nb\n", "column"),
    "only one column": (b"a\nb\n", ":1: 1 column in 'a'; token and tag are both taken from column 0"),
    "tab without tag": (b"a\tO\nb\t\n", ":2: the tag of token 'b' is empty"),
    "tab without token": (b"a\tO\n\tO\n", ":2: the token is empty (line '\\tO')"),
    "a byte of zeros": (b"a\tO\n" * 9 + b"b\0c\tO\n", ":10: NUL stands in 'b\\x00c\\tO'"),
    "column too many": (b"a\tO\nc\tO\nb\tNN\tO\n", ":3: 3 columns in 'b\\tNN\\tO', but most lines have 2"),
    "space in a token": (b"New York\tB-location\n", ":1: the token is 'New York', with a space in it"),
    "a tag without prefix": (
        b"a\tB-x\nb\tO\nc\tperson\n",
        ":3: tag 'person' of token 'c' is not a tag of spans",
    ),
    "no type": (b"a\tB-x\nb\tB-\n", ":2: tag 'B-' of token 'b' is not a tag of spans"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_one_message_with_its_place(tmp_path, fault):
    content, message = FAULTS[fault]
    part = write(tmp_path, content)
    with pytest.raises(DataError) as caught:
        read_conll(part)
    assert str(caught.value).startswith(str(part))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("column", "value"), [("text_column", 2), ("tag_column", -3)])
def test_a_column_that_is_not_there(tmp_path, column, value):
    with pytest.raises(DataError, match=f"{column} is {value}"):
        read_conll(write(tmp_path, GOOD), Reading(**{column: value}))


def test_a_path_that_is_not_a_file(tmp_path):
    with pytest.raises(DataError, match="is not a regular file"):
        read_conll(Part(tmp_path))
    with pytest.raises(DataError, match="absent: cannot be read: No such file"):
        read_conll(Part(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("file", "counts"), [("train.txt", (8936, 211727, 106978)), ("test.txt", (2012, 47377, 23852))]
)
def test_chunking_corpus_has_its_published_size(file, counts):
    read = sentences(Part(data_folder("conll2000") / "conll2000" / file), STRICT)
    assert (len(read), sum(len(s.tokens) for s in read), sum(len(s.spans) for s in read)) == counts
