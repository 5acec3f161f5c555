"""Losses by how often words occur: from records of two cells, against sums over the words by hand."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from language_models import SMALL, write_text

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError
from leaderboards.rare_words import WordLoss, by_frequency, differences, word_losses
from tasks.runs.run import run_suite


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rare")
    path = write_text(folder / "words.txt")
    lines = path.read_text().splitlines()
    lines[0], lines[100] = f"{lines[0]} seldom seldom", f"{lines[100]} seldom never"  # of train and of dev
    path.write_text("\n".join(lines) + "\n")
    settings = {**SMALL, "corpus": "text:words.txt", "epochs": 1}
    place = {"out": folder / "out", "data": folder, "executor": "serial", "device": "cpu"}
    report = run_suite("text-lm", ["gru", "rnn"], 2, settings=settings, **place)
    report.raise_for_failures()
    return folder, report.records


def files(results, cell):
    folder, records = results
    return [folder / "out" / "records" / record.items.file for record in records if record.cell.name == cell]


def test_words_of_a_record_add_up_to_its_perplexity(results):
    folder, records = results
    words = word_losses(files(results, "gru"), "test")
    text = (folder / "words.txt").read_text().splitlines()
    here = Counter(word for line in text[108:] for word in [*line.split(), "<eos>"])
    training = Counter(word for line in text[:96] for word in [*line.split(), "<eos>"])
    assert {word: (entry.tokens, entry.count) for word, entry in words.items()} == {
        word: (count, training[word]) for word, count in here.items()
    }
    runs = [record for record in records if record.cell.name == "gru"]
    for place, record in enumerate(runs):
        nll = sum(entry.losses[place] * entry.tokens for entry in words.values())
        assert math.exp(nll / here.total()) == pytest.approx(record.metrics["perplexity"].value, rel=1e-9)


def test_rare_and_unknown_words_have_rows_of_their_own(results):
    words = word_losses(files(results, "gru"), "dev")
    bins = by_frequency(words)
    assert bins["0 to 9"] == words["seldom"]
    assert (words["seldom"].count, words["seldom"].tokens) == (2, 1)
    assert (bins["<unk>"].count, bins["<unk>"].tokens) == (0, 1)
    total = sum(entry.tokens for label, entry in bins.items() if label != "all")
    assert bins["all"].tokens == total == sum(entry.tokens for entry in words.values())


def test_bins_and_differences_by_hand():
    one = {"a": WordLoss(5, 2, (1.0, 3.0)), "b": WordLoss(9, 6, (5.0, 1.0)), "c": WordLoss(10, 1, (2.0, 2.0))}
    other = {"a": WordLoss(5, 2, (1.0,)), "b": WordLoss(9, 6, (4.0,)), "c": WordLoss(10, 1, (2.5,))}
    assert by_frequency(one)["0 to 9"] == WordLoss(5, 8, ((2 + 30) / 8, (6 + 6) / 8))
    assert by_frequency(one)["10 to 99"] == one["c"]
    assert [(change, word) for change, word, _ in differences(one, other)] == [
        (-2.0, "a"),
        (0.5, "c"),
        (6.0, "b"),
    ]


def test_the_command_compares_cells(results, capsys):
    folder, _ = results
    assert main(["rare-words", str(folder / "out"), "--cells", "gru,rnn", "--words", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["in", "training", "words", "gru", "rnn"]
    assert [line[:16].strip() for line in lines[1:5]] == ["0 to 9", "10 to 99", "<unk>", "all"]
    assert "over runs: gru 2, rnn 2" in lines[5]
    assert lines[7] == "rnn is better than gru by most on"


def test_what_cannot_be_compared_is_said(results, tmp_path, capsys):
    folder, _ = results
    assert main(["rare-words", str(folder / "out"), "--cells", "gru,lstm"]) == 2
    assert "no run of 'lstm' on a language model; there are gru, rnn" in capsys.readouterr().err
    older = tmp_path / "a.items.jsonl"
    older.write_text(json.dumps({"split": "dev", "index": 0, "nll": 1.0, "tokens": 1}) + "\n")
    with pytest.raises(CellzooError, match="has no losses of words"):
        word_losses([older], "dev")
