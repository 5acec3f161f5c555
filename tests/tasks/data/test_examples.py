"""Labelled texts in GLUE's layout: what is read, what is left out, and every fault."""

from __future__ import annotations

import csv
import re

import pytest
from real_data import data_folder

from cellzoo.errors import DataError
from tasks.data.catalog import Table, find_set, parse_set, set_names
from tasks.data.check import check
from tasks.data.examples import Example, read_examples
from tasks.data.locate import find
from tasks.data.parts import Part
from tasks.data.read import read_examples as read_set

PAIRS = Table(first="a", second="b", label="y", labels=("no", "yes"), metrics=("accuracy",))
SCORES = Table(first=1, label=0, header=False, metrics=("pearson",))
TO_FIVE = SCORES.model_copy(update={"scores": (0.0, 5.0)})


def read(folder, content, table=PAIRS):
    (folder / "x.tsv").write_bytes(content)
    return read_examples(Part(folder / "x.tsv"), table)


def test_columns_by_name_whatever_stands_around_them(tmp_path):
    found = read(tmp_path, b'\xef\xbb\xbfid\ty\tb\ta\n7\tyes\tsecond\tfirst\n8\tno\t"q\tsaid "x" \n')
    assert found.rows == [Example("first", "second", 1.0), Example('said "x"', '"q', 0.0)]
    assert not found.notes


def test_columns_by_number_and_scores(tmp_path):
    assert read(tmp_path, b"3.5\tone\n-1\ttwo", SCORES).rows == [
        Example("one", "", 3.5),
        Example("two", "", -1.0),
    ]


def test_files_without_labels_have_a_header():
    table = Table(
        first=3, label=1, header=False, first_unlabelled="sentence", metrics=("mcc",)
    ).without_labels()
    assert (table.first, table.label, table.header) == ("sentence", None, True)


def test_few_malformed_rows_are_left_out_and_named_and_many_refused(tmp_path):
    good = "".join(f"first {i}\tsecond {i}\tyes\n" for i in range(300))
    found = read(tmp_path, f"a\tb\ty\n{good}alone\n".encode())
    assert len(found.rows) == 300
    assert found.notes == (
        f"1 malformed row(s) left out; the first: {tmp_path / 'x.tsv'}:302: 1 column(s) in 'alone'",
    )
    with pytest.raises(
        DataError, match=r"x\.tsv:2: 1 column\(s\) in 'alone'; expected text in the column\(s\) a, b"
    ):
        read(tmp_path, b"a\tb\ty\nalone\nfirst\tsecond\tyes\n")


@pytest.mark.parametrize(
    ("content", "table", "words"),
    [
        (b"", PAIRS, "is empty"),
        (b"a\tb\ty\n", PAIRS, "holds no example"),
        (b"a\tc\ty\n1\t2\tyes\n", PAIRS, r"x\.tsv:1: has no column 'b'; its first line says 'a', 'c', 'y'"),
        (b"a\tb\ty\n1\t2\tmaybe\n", PAIRS, r"x\.tsv:2: label 'maybe' is not known; expected no, yes"),
        (b"high\tone\n", SCORES, r"x\.tsv:1: score 'high' is not a finite number"),
        (b"nan\tone\n", SCORES, "score 'nan'"),
        (b"5\tone\n9.7\ttwo\n", TO_FIVE, r"x\.tsv:2: score '9\.7' is out of range; expected 0 to 5"),
        (b"-0.1\tone\n", TO_FIVE, r"x\.tsv:1: score '-0\.1' is out of range; expected 0 to 5"),
    ],
)
def test_each_fault_names_its_place(tmp_path, content, table, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, content, table)


GLUE = ["cola", "sst-2", "mrpc", "sts-b", "rte", "wnli"]
FOLDERS = {"cola": "CoLA", "sst-2": "SST-2", "mrpc": "MRPC", "sts-b": "STS-B", "rte": "RTE", "wnli": "WNLI"}


@pytest.mark.parametrize("name", [*GLUE, "mnli-sample", "qnli-sample", "qqp-sample"])
def test_published_counts_and_content(name):
    found = find(name, data_folder("glue_data"))
    check(found)
    assert found.sha256 == find_set(name).sha256
    assert not found.notes


@pytest.mark.parametrize("name", GLUE)
def test_rows_equal_those_of_the_csv_module_without_quoting(name):
    found = find(name, data_folder("glue_data"))
    table = found.data_set.table
    path = found.files["train"]
    with path.open(encoding="utf-8-sig", newline="\n") as stream:
        rows = [row for row in csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE) if row]
    place = {name: index for index, name in enumerate(rows[0])} if table.header else {}
    rows = rows[table.header :]
    train = read_set(found)["train"].rows
    assert len(train) == len(rows)
    column = place.get(table.first, table.first)
    assert [row[column].strip() for row in rows] == [example.first for example in train]
    label = place.get(table.label, table.label)
    expected = [float(table.labels.index(row[label]) if table.labels else row[label]) for row in rows]
    assert expected == [example.label for example in train]


def test_labels_of_cola_are_as_many_as_published():
    labels = [row.label for row in read_set(find("cola", data_folder("glue_data")))["train"].rows]
    assert (labels.count(0.0), labels.count(1.0)) == (2528, 6023)


def test_every_set_of_examples_says_what_it_is_measured_in():
    sets = [find_set(name) for name in set_names()]
    assert sum(one.table is not None for one in sets) == 12
    assert all((one.format == "examples") == (one.table is not None) for one in sets)


DESCRIBED = """
name = "own"
title = "Own"
format = "examples"
files = {{ train = "x.tsv", dev = "x.tsv" }}
{table}
"""


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("", "key 'table' is missing; it says which columns hold the texts and the labels"),
        (
            "table = { first = -9, label = 1, metrics = ['accuracy'] }",
            "'table.first' is -9; it must be at least 0",
        ),
        (
            "table = { first = 1.5, label = 1, metrics = ['accuracy'] }",
            "is 1.5; it must be text or a whole number",
        ),
    ],
)
def test_a_data_set_file_without_usable_columns_is_refused(table, words):
    with pytest.raises(DataError, match=re.escape(words)):
        parse_set(DESCRIBED.format(table=table), "own.toml")
