"""Losses by how often words occur: from records of two cells, against sums over the words by hand."""

from __future__ import annotations

import json
import math
from collections import Counter

import pytest
from board_records import record, write
from language_models import SMALL, write_text

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, RecordError
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
    for place, run in enumerate(runs):
        nll = sum(entry.losses[place] * entry.tokens for entry in words.values())
        assert math.exp(nll / here.total()) == pytest.approx(run.metrics["perplexity"].value, rel=1e-9)


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
    assert "number of runs: gru 2, rnn 2" in lines[5]
    assert lines[7] == "words on which rnn is better than gru by most"


def test_what_cannot_be_compared_is_said(results, tmp_path, capsys):
    folder, _ = results
    assert main(["rare-words", str(folder / "out"), "--cells", "gru,lstm"]) == 2
    assert (
        "no run of 'lstm' on a language-modelling task; there are runs of gru, rnn" in capsys.readouterr().err
    )
    older = tmp_path / "a.items.jsonl"
    older.write_text(json.dumps({"split": "dev", "index": 0, "nll": 1.0, "tokens": 1}) + "\n")
    with pytest.raises(CellzooError, match="has no losses of words"):
        word_losses([older], "dev")


def test_runs_on_other_words_are_refused(tmp_path):
    item = {"split": "dev words", "word": "a", "count": 3, "tokens": 2, "nll": 1.0}
    paths = [tmp_path / f"{number}.items.jsonl" for number in range(4)]
    contents = ([item], [{**item, "word": "b"}], [item, {**item, "word": "b"}], [{**item, "tokens": 0}])
    for path, items in zip(paths, contents, strict=True):
        path.write_text("".join(json.dumps(one) + "\n" for one in items))
    assert word_losses([paths[0], paths[0]], "dev") == {"a": WordLoss(3, 2, (0.5, 0.5))}
    for path in paths[1:]:
        with pytest.raises(RecordError, match=r"items\.jsonl: its words are not those of"):
            word_losses([paths[0], path], "dev")


def test_runs_of_tuning_and_of_other_data_are_not_mixed(tmp_path, capsys):
    files = [{"train": digit * 64} for digit in "ab"]
    runs = [record("gru", 0, task="text-lm", metrics={"perplexity": 9.0}, data=data) for data in files]
    write(tmp_path / "data", *runs)
    assert main(["rare-words", str(tmp_path / "data"), "--cells", "gru"]) == 2
    assert "different settings, data or cells" in capsys.readouterr().err
    write(tmp_path / "tuned", {**runs[0], "purpose": "tuning"})
    assert main(["rare-words", str(tmp_path / "tuned"), "--cells", "gru"]) == 2
    assert "there are runs of no cell" in capsys.readouterr().err
