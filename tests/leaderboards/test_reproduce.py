from __future__ import annotations

import argparse

import pytest
from board_records import record, write

from cellzoo.cli.main import main
from cellzoo.errors import CellzooError, RecordError
from leaderboards.collect import collect
from leaderboards.reproduce import COMMAND, find_record, run_arguments, siblings, verdict
from tasks.runs.record import RunRecord


def run(*arguments):
    parser = argparse.ArgumentParser()
    COMMAND.configure(parser)
    return COMMAND.execute(parser.parse_args([str(argument) for argument in arguments]))


def test_finds_a_record_by_its_first_digits_and_its_siblings(tmp_path):
    write(tmp_path, *(record("lstm", seed) for seed in (0, 1, 4)), record("gru", 0))
    write(tmp_path, record("lstm", 2, configuration={"epochs": 9}))
    collection = collect([tmp_path])
    key = record("lstm", 1)["key"]
    found = find_record(collection, key[:10])
    assert (found.cell.name, found.seed) == ("lstm", 1)
    assert [r.seed for r in siblings(collection, found)] == [0, 1, 4]
    for wrong in ("zzzz", key[:2], ""):
        with pytest.raises(RecordError, match="at least 4 digits"):
            find_record(collection, wrong)


def test_the_verdict():
    def one(seed, value, **options):
        return RunRecord.model_validate(record("lstm", seed, metrics={"f1": value}, **options))

    runs = [one(0, 50.0), one(1, 51.0), one(2, 52.0)]
    # 51 ± 4.3027 · 1 · sqrt(4 / 3) = 46.03 to 55.97
    assert "lies in the prediction interval 46.03 to 55.97 of 3 seeds" in verdict(runs, one(3, 55.9))
    assert "lies OUTSIDE" in verdict(runs, one(3, 56.0))
    assert "no spread" in verdict(runs[:1], one(3, 56.0))
    assert "no run with another seed" in verdict([], one(0, 56.0))
    assert "other data" in verdict(runs, one(3, 51.0, revision=2))


def test_what_would_be_run(tmp_path, capsys):
    write(tmp_path, record("lstm", 0, configuration={"epochs": 4, "name": "a b"}))
    key = record("lstm", 0, configuration={"epochs": 4, "name": "a b"})["key"]
    assert run(key, tmp_path, "--dry-run", "--out", tmp_path / "new") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("cellzoo run small-ner --cells ")
    assert "--seeds 1, " in printed
    assert "--set epochs=4 --set 'name=a b'" in printed
    assert not (tmp_path / "new").exists()


def test_a_baseline_is_not_run_alone(tmp_path):
    write(tmp_path, record("skip-gram", 0, baseline=True))
    with pytest.raises(CellzooError, match="a baseline of small-ner"):
        run(record("skip-gram", 0, baseline=True)["key"], tmp_path)


@pytest.mark.slow
def test_a_real_run_is_reproduced(tmp_path, capsys):
    few = ["--set", "epochs=1", "--set", "hidden_size=8"]
    assert (
        main(["run", "small-ner", "--cells", "lstm", "--seeds", "2", "--out", str(tmp_path / "r"), *few]) == 0
    )
    key = collect([tmp_path / "r"]).records[0].key
    assert main(["reproduce", key[:12], str(tmp_path / "r"), "--out", str(tmp_path / "new")]) == 0
    assert "the prediction interval" in capsys.readouterr().out
    (made,) = collect([tmp_path / "new"]).records
    assert (made.seed, run_arguments(made, 2, tmp_path, tmp_path, None)[1]) == (2, "small-ner")
