"""How long runs will take: from records, from a few batches, or unknown."""

from __future__ import annotations

import statistics

import pytest
from language_models import NO_DROPOUT, SMALL, problem_on, write_text
from supernets import generator

from cellzoo.system.text import duration
from tasks.runs import forecast as forecast_module
from tasks.runs import run_suite
from tasks.runs.forecast import forecast, from_records
from tasks.runs.run import request_plan


def plan_of(suite, seeds=4, **settings):
    return request_plan(suite, ("lstm",), seeds, data=None, settings=settings)


@pytest.fixture
def results(tmp_path):
    report = run_suite("fake_task:Fake", ("lstm", "gru"), 2, out=tmp_path, executor="serial", device="cpu")
    return tmp_path, report


def test_records_of_other_seeds_say_how_long_a_run_takes(results):
    out, report = results
    took = [record.timing.total_seconds for record in report.records if record.cell.name == "lstm"]
    plan = plan_of("fake_task:Fake")
    found = from_records(plan.jobs[-1], out / "records")
    assert found.seconds == pytest.approx(statistics.fmean(took))
    assert str(found).endswith("a run (2 runs here took so long)")
    assert from_records(plan_of("fake_task:Fake", rate=0.25).jobs[0], out / "records") is None


def test_another_number_of_epochs_is_scaled(results):
    out, report = results
    (job, *_) = plan_of("fake_task:Fake", epochs=6).jobs
    # 0.5 of the seconds of a run are of training, over 2 epochs.
    total = statistics.fmean(r.timing.total_seconds for r in report.records if r.cell.name == "lstm")
    assert from_records(job, out / "records").seconds == pytest.approx(total + 0.5 * (6 / 2 - 1))


def test_what_cannot_be_measured_is_not_known(tmp_path):
    plan = plan_of("fake_task:Fake", seeds=3)
    (line,) = forecast(plan, plan.jobs, tmp_path / "records", 2, measures=True)
    assert line == "time  fake lstm: not known (nothing to measure before it runs)"
    (line,) = forecast(plan, plan.jobs, tmp_path / "records", 2)
    assert line == "time  fake lstm: not known (--measure trains a few batches to find out)"


def test_a_time_budget_bounds_what_is_not_known(tmp_path):
    plan = plan_of("small-ner", seeds=3, max_seconds=90.0)
    jobs = [job for job in plan.jobs if job.subject.cell]
    assert list(forecast(plan, jobs, tmp_path / "records", 1)) == [
        f"time  small-ner lstm: at most {duration(90)} a run (by its time budget, training alone)",
        f"in all at most {duration(270)}",
    ]


def test_what_cannot_fit_into_memory_is_said_and_not_tried(tmp_path):
    """An LSTM of 400,000 units has 8 x 400,000^2 weights: 10 TB with their gradients."""
    write_text(tmp_path / "words.txt")
    settings = {**SMALL, **NO_DROPOUT, "corpus": "text:words.txt", "hidden_size": 400_000, "optimizer": "sgd"}
    plan = request_plan("text-lm", ("lstm",), 1, data=tmp_path, settings=settings)
    lines = list(forecast(plan, plan.jobs, tmp_path / "records", 2, measures=True))
    assert "its weights alone do not fit into the memory that is free" in lines[0]
    assert float(lines[1].split()[2]) == pytest.approx(8 * 400_000**2 * 8 / 2**30, rel=0.01)
    assert lines[2].startswith("note: 1 run at a time will not fit into the ")


def test_a_few_batches_are_measured(tmp_path, monkeypatch):
    """A clock that moves by a second a batch."""
    words = write_text(tmp_path / "words.txt")
    settings = {**SMALL, **NO_DROPOUT, "corpus": "text:words.txt", "jitter": "none", "epochs": 5}
    plan = request_plan("text-lm", ("lstm",), 4, data=tmp_path, settings=settings)
    batches = len(list(problem_on(words, jitter="none").train_batches(generator())))
    ticks = iter(range(1000))
    monkeypatch.setattr(forecast_module.time, "process_time", lambda: float(next(ticks)))
    monkeypatch.setattr(forecast_module, "_free_memory", lambda: 1 << 20)
    lines = list(forecast(plan, plan.jobs, tmp_path / "records", 2, measures=True))
    seconds = 5 * batches
    expected = f"at most {duration(seconds)} a run (by a few batches, training alone)"
    assert lines[0] == f"time  text-lm lstm: {expected}"
    assert lines[1] == f"in all at most {duration(2 * seconds)}, 2 at a time"
    assert lines[2].startswith("memory about ")
    assert "2 runs at a time will not fit into the 0.0 GiB that are free" in lines[3]
