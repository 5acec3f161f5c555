"""Shown, not said: a corpus and its task as two data files, a problem as one; runs that share a checkpoint."""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import replace

import pytest
import run_command

import cellzoo
from cellzoo.errors import DataError
from tasks.registry import find_source, find_task
from tasks.runs import run_suite
from tasks.runs.events import Silent
from tasks.runs.record_file import read_record
from tasks.runs.run import ExecutorSettings, request_plan, run_jobs
from tasks.settings import configure
from tasks.training.checkpoint import CheckpointFile
from tasks.training.loop import CHECKPOINT

SUMS = """\
name = "sums"
title = "Sums of sequences"
revision = 1
problem = "sequence_sums:KIND"

[training]
epochs = 3
optimizer = "adam"
learning_rate = 0.02
"""
CORPUS = """\
name = "colours"
title = "Colours and animals"
format = "tags"

[files]
train = ["train.conll"]
dev = ["dev.conll"]
test = ["test.conll"]
"""
TASK = """\
name = "colour-ner"
title = "NER, colours and animals"
revision = 1
problem = "tagging"

[settings]
corpus = "colours.toml"
hidden_size = 8
word_size = 8
word_min_count = 1
character_hidden = 0
crf = false
tag_format = "BIO"
reproject = false

[training]
epochs = 8
optimizer = "adam"
learning_rate = 0.05
"""


@pytest.fixture
def sums(tmp_path):
    path = tmp_path / "sums.toml"
    path.write_text(SUMS)
    return str(path)


def write_corpus(folder, entities=True):
    source = random.Random(4)
    colours, animals = ["red", "green", "blue"], ["cat", "dog", "newt"]
    for split, count in (("train", 40), ("dev", 15), ("test", 15)):
        lines = []
        for _ in range(count):
            words = ["the", source.choice(colours), source.choice(animals), "sleeps"]
            tags = ["O", "B-COL", "B-ANI", "O"] if entities else ["O"] * 4
            lines += [f"{word} {tag}" for word, tag in zip(words, tags, strict=True)] + [""]
        (folder / f"{split}.conll").write_text("\n".join(lines) + "\n")


def go(task, out, cells=("gru",), **options):
    report = run_suite(task, cells, 1, out=out, executor="serial", device="cpu", **options)
    report.raise_for_failures()
    return report.records


def same(one, other):
    contents = [{**record.comparable(), "code": None} for record in (one, other)]
    return contents[0] == contents[1]


def test_a_corpus_and_its_task_are_two_data_files(tmp_path):
    write_corpus(tmp_path)
    (tmp_path / "colours.toml").write_text(CORPUS)
    (tmp_path / "colour-ner.toml").write_text(TASK)
    (record,) = go(str(tmp_path / "colour-ner.toml"), tmp_path / "out", data=tmp_path)
    assert record.metrics["f1"].value == 100.0, "each word has one tag"
    assert (record.task.name, record.facts["train sentences"], record.facts["types"]) == ("colour-ner", 40, 2)
    assert list(record.data) == ["colours.toml"]
    done = run_command.run("colour-ner.toml", "--cells", "gru", "--data", ".", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0
    assert "1 record in out/records: 0 made now, 1 there before" in done.stdout


def test_degenerate_data_of_the_users_own_is_told_once_before_anything_starts(tmp_path):
    write_corpus(tmp_path, entities=False)
    (tmp_path / "colours.toml").write_text(CORPUS)
    (tmp_path / "colour-ner.toml").write_text(TASK)
    request = ("colour-ner.toml", "--cells", "gru,lstm", "--seeds", "2", "--data", ".", "--out", "out")
    for extra in (("--dry-run",), ()):
        done = run_command.run(*request, *extra, cwd=tmp_path)
        assert done.returncode == 3
        assert done.stderr.count("hold no entity") == 1
        assert done.stderr.count("\n") == 1
    assert not list((tmp_path / "out").glob("records/*"))


def test_a_problem_is_one_file_that_runs_like_any_other(sums, tmp_path):
    (record,) = go(sums, tmp_path / "out")
    assert list(record.metrics) == ["error", "dev_error"]
    assert record.metrics["error"].title == "test mean squared error"
    assert record.configuration["epochs"] == 3
    assert record.configuration["spread"] == 1.0
    cell = cellzoo.load("gru")
    assert record.parameters.cell == cell.num_parameters(input_size=1, hidden_size=8)
    assert record.parameters.total == record.parameters.cell + 8
    assert record.flops_per_token == cell.flops(input_size=1, hidden_size=8)
    assert record.tokens == 3 * 64 * 6
    assert [epoch["epoch"] for epoch in record.history] == [1, 2, 3]
    assert {"prepare", "train", "dev", "evaluate"} == set(record.timing.seconds)
    assert not list((tmp_path / "out" / "work").iterdir())


def jobs_of(sums, *epochs, keep=True):
    """The same run with different budgets."""
    return [
        replace(request_plan(sums, ["gru"], 1, data=None, settings={"epochs": n}).jobs[0], keep_work=keep)
        for n in epochs
    ]


def test_a_run_with_a_larger_budget_goes_on_from_the_smaller_ones_checkpoint(sums, tmp_path):
    short, longer = jobs_of(sums, 2, 5)
    out = tmp_path / "out"
    ledger = run_jobs([short, longer], out, ExecutorSettings("serial", device="cpu"))
    events = (out / longer.work / "events.jsonl").read_text()
    assert events.count('"start"') == 1
    assert events.count('"event": "epoch"') == 5
    (whole,) = go(sums, tmp_path / "whole", settings={"epochs": 5})
    (first,) = go(sums, tmp_path / "first", settings={"epochs": 2})
    assert same(ledger.records[longer.key], whole)
    assert same(ledger.records[short.key], first)


def test_a_run_with_a_smaller_budget_does_not_take_a_longer_ones_state(sums, tmp_path):
    longer, short = jobs_of(sums, 5, 2)
    out = tmp_path / "out"
    ledger = run_jobs([longer, replace(short, keep_work=False)], out, ExecutorSettings("serial", device="cpu"))
    (whole,) = go(sums, tmp_path / "whole", settings={"epochs": 2})
    assert same(ledger.records[short.key], whole)
    kept = CheckpointFile(out / longer.work / CHECKPOINT, longer.identity).read()
    assert kept.standing.epoch == 5, "hours of training may be in it"


def test_candidates_are_queued_as_results_come_and_a_stopped_search_replays(sums, tmp_path):
    """Successive halving in ten lines: the better half of four cells goes on for longer."""
    cells = ["gru", "lstm", "rnn", "darts-v2"]
    task, source = find_task(sums), find_source(sums)
    starts = request_plan(sums, cells, 1, data=None, settings={"epochs": 1}).jobs
    longer = {
        job.subject.name: request_plan(sums, [job.subject.name], 1, data=None, settings={"epochs": 3}).jobs[0]
        for job in starts
    }
    assert configure(task.settings, longer["gru"].settings, "t").epochs == 3
    assert source.file.name == "sums"

    def search(limit=None):
        scores, made = {}, []

        class Count(Silent):
            def finished(self, job, record):
                made.append(job.subject.name)
                if len(made) == limit:
                    raise KeyboardInterrupt

        def grow(job, record):
            if job.settings["epochs"] > 1:
                return []
            scores[job.subject.name] = record.metrics["dev_error"].value
            best = sorted(scores, key=scores.get)[:2] if len(scores) == len(cells) else []
            return [replace(longer[name], keep_work=True) for name in best]

        first = [replace(job, keep_work=True) for job in starts]
        ledger = run_jobs(first, tmp_path / "out", ExecutorSettings("serial", device="cpu"), Count(), grow=grow)
        return made, ledger

    with pytest.raises(KeyboardInterrupt):
        search(limit=2)
    made, ledger = search()
    assert len(made) == 4, "two of the four first ones and the two longer ones"
    assert len(ledger.records) == 6
    assert search()[0] == []


def test_a_probe_reads_what_its_run_left_and_a_lost_artifact_is_made_again(tmp_path):
    out = tmp_path / "out"
    both = go("fake_task:FakeAfter", out)
    artifact = next((out / "artifacts").iterdir())
    before = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    artifact.unlink()
    report = run_suite(
        "fake_task:FakeAfter", ["gru"], 2, out=out, executor="serial", device="cpu", settings={"seconds": 0.0}
    )
    assert report.notes == (), "nothing that is to do reads it"
    for path in (out / "records").glob("fake-after--gru--seed0*"):
        path.unlink()
    report = run_suite("fake_task:FakeAfter", ["gru"], 1, out=out, executor="serial", device="cpu")
    (note,) = report.notes
    assert note.startswith(
        "fake gru seed 0 is run again: its record is there, but not what fake-after gru seed 0"
    )
    assert artifact.exists()
    assert report.made == 1
    after = {path.name: path.read_bytes() for path in (out / "records").iterdir()}
    assert {name: after[name] for name in before if "fake-after--gru" not in name} == {
        name: content for name, content in before.items() if "fake-after--gru" not in name
    }
    assert [same(one, other) for one, other in zip(both, report.records, strict=True)] == [True, True, True]


def test_killed_and_run_again_a_trained_task_gives_the_same_record(sums, tmp_path):
    request = (sums, "--cells", "gru", "--executor", "serial", "--device", "cpu", "--set", "epochs=60")
    assert run_command.run(*request, "--out", tmp_path / "whole").returncode == 0
    process = run_command.start(*request, "--out", tmp_path / "killed")
    run_command.wait_for(process, "started")
    for _ in range(2000):  # 20 s
        if list((tmp_path / "killed" / "work").glob(f"*/{CHECKPOINT}")) or process.poll() is not None:
            break
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list((tmp_path / "killed" / "records").glob("*.json"))
    assert run_command.run(*request, "--out", tmp_path / "killed").returncode == 0
    records = [
        read_record(next((tmp_path / name / "records").glob("*[0-9a-f].json"))) for name in ("whole", "killed")
    ]
    assert same(*records)


def test_memory_that_runs_out_is_one_message(sums, tmp_path):
    report = run_suite(
        sums,
        ["gru"],
        1,
        out=tmp_path / "out",
        executor="serial",
        device="cpu",
        settings={"hidden_size": 2**28},
    )
    (failure,) = report.failures
    assert failure.message.startswith("memory ran out; everything written before is kept.")
    assert failure.log is None


def test_a_result_that_the_data_does_not_define_is_kept_as_such(tmp_path):
    (record,) = go("fake_task:Fake", tmp_path, settings={"fault": "nan"})
    assert record.score is None
    assert record.notes == ["score is undefined"]
    assert (
        "score undefined"
        in run_command.run("fake_task:Fake", "--cells", "lstm", "--set", "fault=nan", "--out", tmp_path).stdout
    )


def test_data_is_not_checked_where_nothing_is_to_do(sums, tmp_path, monkeypatch):
    go(sums, tmp_path / "out")

    def refuse(self, config, data):
        raise DataError("checked")

    monkeypatch.setattr("tasks.trained.TrainedTask.check", refuse)
    assert len(go(sums, tmp_path / "out")) == 1
    with pytest.raises(DataError, match="checked"):
        go(sums, tmp_path / "other")
