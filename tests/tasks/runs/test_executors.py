"""Doing runs: skipping, resuming, failing, and the same records from every executor."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace

import pytest

from cellzoo.errors import CellzooError, OutputError, RecordError, RunError
from tasks.runs import run_suite
from tasks.runs.events import Silent
from tasks.runs.executors import processes
from tasks.runs.executors.pool import Pool
from tasks.runs.record_file import read_record
from tasks.runs.run import request_plan
from tasks.suites.suite import parse_suite

FAKE = "fake_task:Fake"
BOTH = parse_suite(
    '[[task]]\nname = "fake_task:Fake"\n[[task]]\nname = "fake_task:FakeAfter"\n', name="both", source="both"
)
EXECUTORS = pytest.mark.parametrize("executor", ["serial", "processes"])


class Diary(Silent):
    """Notes what it hears."""

    def __init__(self):
        self.heard = []

    def begin(self, jobs, present, workers):
        self.heard.append(("begin", len(jobs), present, workers))

    def added(self, jobs):
        self.heard += [("added", job.label) for job in jobs]

    def started(self, job):
        self.heard.append(("started", job.label))

    def finished(self, job, record):
        self.heard.append(("finished", job.label))

    def failed(self, failure):
        self.heard.append(("failed", failure.job.label))

    def end(self, stopped):
        self.heard.append(("end", stopped))


def go(out, suite=FAKE, cells=("lstm", "gru"), seeds=1, executor="serial", listener=None, **settings):
    return run_suite(
        suite,
        cells,
        seeds,
        out=out,
        executor=executor,
        workers=2,
        device="cpu",
        settings=settings,
        listener=listener,
    )


def without_code(record):
    """All of a record but times and the code's revision, which a commit during the tests changes."""
    content = record.comparable()
    del content["code"]
    return content


def names(report):
    return [(record.task.name, record.cell.name, record.seed) for record in report.records]


@EXECUTORS
def test_all_runs_are_made_once_and_then_found(tmp_path, executor):
    diary = Diary()
    report = go(tmp_path, seeds=2, executor=executor, listener=diary)
    assert names(report) == [("fake", cell, seed) for seed in (0, 1) for cell in ("lstm", "gru")]
    assert (report.made, report.failures, report.notes) == (4, (), ())
    assert diary.heard[0] == ("begin", 4, 0, 1 if executor == "serial" else 2)
    assert diary.heard[-1] == ("end", False)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()}
    assert len(files) == 8
    again = go(tmp_path, seeds=2, executor=executor)
    assert again.records == report.records
    assert again.made == 0
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "records").iterdir()} == files
    more = go(tmp_path, seeds=3, executor=executor)
    assert (more.made, len(more.records)) == (2, 6)


def test_executors_make_identical_records_but_for_times(tmp_path):
    reports = [
        go(tmp_path / executor, BOTH, seeds=2, executor=executor) for executor in ("serial", "processes")
    ]
    first, second = ([without_code(record) for record in report.records] for report in reports)
    assert first == second
    assert len(first) == 10
    for folder in ("serial", "processes"):
        assert not list((tmp_path / folder / "work").iterdir())
    items = [sorted((tmp_path / name / "records").glob("*.items.jsonl")) for name in ("serial", "processes")]
    assert [path.read_bytes() for path in items[0]] == [path.read_bytes() for path in items[1]]


def test_a_record_says_what_was_run(tmp_path):
    report = go(tmp_path, cells=["darts-v2"], epochs=3)
    record = report.records[0]
    path = tmp_path / "records" / f"fake--darts-v2--seed0--{record.key[:12]}.json"
    assert read_record(path) == record
    assert (record.cell.kind, record.cell.origin, record.cell.notation) == ("cell", "zoo", "darts")
    assert record.configuration["epochs"] == 3
    assert record.metrics["score"].value + record.metrics["loss"].value == pytest.approx(1)
    assert record.primary == "score"
    assert record.parameters.total == 30
    assert record.timing.tokens_per_second == 200.0
    assert [epoch["epoch"] for epoch in record.history] == [1, 2, 3]
    assert record.history[0]["rates"] == [None, 0.5], "JSON has no infinity"
    assert record.environment.device == "cpu"
    assert record.environment.packages["torch"]
    items = (tmp_path / "records" / record.items.file).read_text().splitlines()
    values = [json.loads(line)["value"] for line in items]
    assert sum(values) / len(values) == record.metrics["score"].value


@EXECUTORS
def test_a_baseline_is_run_once_a_seed(tmp_path, executor):
    report = go(tmp_path, BOTH, seeds=2, executor=executor)
    baselines = [record for record in report.records if record.cell.kind == "baseline"]
    assert [(record.cell.name, record.cell.hash, record.seed) for record in baselines] == [
        ("nothing", None, 0),
        ("nothing", None, 1),
    ]


def test_a_task_starts_after_the_one_it_needs_is_done(tmp_path):
    diary = Diary()
    go(tmp_path, BOTH, seeds=2, executor="processes", listener=diary, seconds=0.1)
    place = {event: position for position, event in enumerate(diary.heard)}
    for seed in (0, 1):
        for cell in ("lstm", "gru"):
            done = place["finished", f"fake {cell} seed {seed}"]
            assert done < place["started", f"fake-after {cell} seed {seed}"]


def test_a_task_does_not_wait_for_a_run_that_is_there(tmp_path):
    assert go(tmp_path).made == 2
    diary = Diary()
    assert go(tmp_path, BOTH, listener=diary).made == 3
    assert diary.heard[:2] == [("begin", 3, 2, 1), ("started", "fake-after lstm seed 0")]


@EXECUTORS
@pytest.mark.parametrize(
    ("fault", "words", "has_log"),
    [
        ("input", "corpus.txt: line 3: wrong", False),
        ("package", "needs the package 'not_installed_here': pip install 'cellzoo[nlp]'", False),
        ("module", "ModuleNotFoundError: No module named 'fake_task.deeper'", True),
        ("defect", "ZeroDivisionError: oh", True),
        ("exit", "SystemExit: bye", True),
        ("inf", "score is inf, not a finite number: the training diverged", False),
    ],
)
def test_a_run_that_fails_does_not_stop_the_others(tmp_path, executor, fault, words, has_log):
    diary = Diary()
    settings = {"fault": fault, "victim": "lstm-0"} if fault != "inf" else {"fault": fault}
    report = go(tmp_path, seeds=2, executor=executor, listener=diary, **settings)
    (failed,) = [failure for failure in report.failures if failure.job.label == "fake lstm seed 0"]
    assert words in failed.message
    assert "\n" not in failed.message
    if fault != "inf":
        assert names(report) == [("fake", "gru", 0), ("fake", "lstm", 1), ("fake", "gru", 1)]
        assert ("failed", "fake lstm seed 0") in diary.heard
    assert (failed.log is not None) is has_log
    if failed.log:
        assert failed.log.parent == tmp_path / failed.job.work
        assert "Traceback" in failed.log.read_text()
    with pytest.raises(RunError, match=r"\d of 4 runs failed:\n(.*\n)*  fake lstm seed 0: ") as caught:
        report.raise_for_failures()
    assert caught.value.exit_code == 1


@EXECUTORS
def test_what_needs_a_failed_run_is_not_started(tmp_path, executor):
    diary = Diary()
    report = go(
        tmp_path, BOTH, executor=executor, listener=diary, **{"fake.fault": "input", "fake.victim": "lstm-0"}
    )
    assert [(failure.job.label, failure.message) for failure in report.failures] == [
        ("fake lstm seed 0", "corpus.txt: line 3: wrong"),
        ("fake-after lstm seed 0", "not started: it needs what fake lstm seed 0 leaves behind"),
    ]
    assert ("started", "fake-after lstm seed 0") not in diary.heard
    assert len(report.records) == 3


def test_a_worker_that_dies_fails_its_run_alone_and_the_run_resumes(tmp_path):
    first = go(tmp_path, seeds=2, executor="processes", fault="die-once", victim="gru-0")
    assert [failure.job.label for failure in first.failures] == ["fake gru seed 0"]
    assert (
        "its worker process died (SIGKILL: killed from outside, or memory ran out)" in first.failures[0].message
    )
    assert len(first.records) == 3
    second = go(tmp_path, seeds=2, executor="processes", fault="die-once", victim="gru-0")
    assert (second.made, second.failures) == (1, ())
    assert next((tmp_path / "artifacts").glob("fake--gru--seed0--*")).read_text() == "1", (
        "it began where it died"
    )
    whole = go(tmp_path / "whole", seeds=2)
    assert [record.metrics for record in second.records] == [record.metrics for record in whole.records]


def test_a_worker_that_dies_while_nobody_listens_is_not_forgotten(tmp_path, monkeypatch):
    assign_jobs = Pool._assign_jobs

    def assign_late(pool):
        time.sleep(0.5)
        return assign_jobs(pool)

    monkeypatch.setattr(Pool, "_assign_jobs", assign_late)
    report = go(tmp_path, seeds=1, executor="processes", fault="die-once", victim="gru-0")
    assert [failure.job.label for failure in report.failures] == ["fake gru seed 0"]


def test_a_worker_that_is_killed_before_any_has_begun_fails_its_run_alone(tmp_path, monkeypatch):
    start, begun = processes._Worker.__init__, []

    def start_and_kill_the_first(worker, setup):
        start(worker, setup)
        begun.append(worker)
        if len(begun) == 1:
            worker._process.kill()

    monkeypatch.setattr(processes._Worker, "__init__", start_and_kill_the_first)
    report = go(tmp_path, seeds=1, executor="processes")
    assert [failure.job.label for failure in report.failures] == ["fake lstm seed 0"]
    assert names(report) == [("fake", "gru", 0)]


@EXECUTORS
def test_a_full_disk_stops_all_and_keeps_what_is_written(tmp_path, executor):
    go(tmp_path, cells=["rnn"], executor=executor)
    before = {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()}
    report = go(tmp_path, seeds=4, executor=executor, fault="full", seconds=0.3)
    assert len(report.failures) <= 2
    assert report.failures[0].stops_all
    with pytest.raises(OutputError, match="No space left on device"):
        report.raise_for_failures()
    assert {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()} == before


def test_a_damaged_planned_record_stops_before_anything_is_run(tmp_path):
    go(tmp_path)
    path = next((tmp_path / "records").glob("fake--gru*.json"))
    path.write_bytes(path.read_bytes()[:-9])
    before = {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()}
    diary = Diary()
    with pytest.raises(RecordError, match="fake--gru--seed0"):
        go(tmp_path, seeds=2, listener=diary)
    assert diary.heard == []
    assert {path.name: path.read_bytes() for path in (tmp_path / "records").iterdir()} == before


def test_foreign_files_are_named_in_the_report(tmp_path):
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "notes.json").write_text("[]")
    report = go(tmp_path)
    assert len(report.records) == 2
    assert len(report.notes) == 1
    assert "notes.json: is JSON but not a run record" in report.notes[0]
    assert (tmp_path / "records" / "notes.json").read_text() == "[]"


def test_what_a_kill_leaves_is_cleared_away(tmp_path):
    report = go(tmp_path)
    job = request_plan(FAKE, ["lstm"], 1, data=None, settings=None).jobs[0]
    (tmp_path / job.work).mkdir()
    (tmp_path / job.work / "key").write_text(report.records[0].key)
    half = tmp_path / "records" / (".cellzoo-" + "0" * 32 + ".tmp")
    half.write_text("x")
    go(tmp_path)
    assert not half.exists()
    assert not list((tmp_path / "work").iterdir())


def test_a_worker_prints_to_its_log_and_not_to_the_screen(tmp_path, capfd):
    report = go(tmp_path, executor="processes", fault="shout")
    assert capfd.readouterr() == ("", "")
    assert len(report.records) == 2


@EXECUTORS
def test_runs_get_the_threads_they_may_use(tmp_path, executor):
    settings = {"fault": "threads"}
    report = run_suite(
        FAKE, ["lstm"], out=tmp_path, executor=executor, device="cpu", threads=3, settings=settings
    )
    assert (tmp_path / "cache" / "threads.txt").read_text() == "3 3"
    assert "MKL_DYNAMIC" not in os.environ
    assert report.records[0].environment.threads == 3


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor": "cloud"}, "executor 'cloud': expected serial or processes or ray"),
        ({"workers": 0}, "workers = 0: expected at least 1"),
        ({"threads": 0}, "threads = 0: expected at least 1"),
        ({"longest_silence": 0.0}, "longest_silence = 0.0: expected seconds above 0"),
        ({"seeds": 0}, "0 seeds: expected at least 1"),
        ({"device": "gpu"}, "device 'gpu': expected auto, cpu, cuda, or cuda:N"),
        ({"device": "cuda:99"}, "device 'cuda:99': "),
        ({"data": "/no/such/folder"}, "unknown cell"),
    ],
)
def test_a_wrong_option_is_one_message_and_nothing_is_run(tmp_path, options, words):
    cells = ["lstn"] if "data" in options else ["lstm"]
    with pytest.raises(CellzooError) as caught:
        run_suite(FAKE, cells, **{"seeds": 1, **options}, out=tmp_path / "out")
    assert words in str(caught.value)
    assert not list(tmp_path.glob("out/records/*.json"))


def test_a_script_without_a_main_guard_is_told_so(tmp_path):
    from run_command import run_script

    script = tmp_path / "script.py"
    script.write_text(
        "from tasks.runs import run_suite\n"
        f"run_suite('fake_task:Fake', ['lstm'], out={str(tmp_path / 'out')!r}, device='cpu')\n"
    )
    done = run_script(script)
    assert done.returncode != 0
    assert 'call run_suite under: if __name__ == "__main__":' in done.stderr.replace("\n", " ")


@pytest.mark.parametrize(
    ("code", "words"),
    [(-40, "signal 40"), (-15, "SIGTERM"), (-9, "SIGKILL: killed from outside"), (3, "exit code 3")],
)
def test_the_end_of_a_worker_is_described_for_signals_without_a_name_too(code, words):
    worker = object.__new__(processes._Worker)
    worker._process = SimpleNamespace(exitcode=code)
    assert worker.describe_exit().startswith(words)
