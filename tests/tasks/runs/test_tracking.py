"""The course of runs in trackers: TensorBoard by its own reader, the others offline or by a fake."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from types import SimpleNamespace

import pytest
import run_command

from cellzoo.errors import MissingDependencyError, UnknownNameError
from tasks.runs import run_suite
from tasks.runs.events import Silent
from tasks.runs.run import request_plan
from tasks.runs.trackers import find_tracker
from tasks.runs.tracking import EVENTS, TrackedListener, scalars

FAKE = "fake_task:Fake"
KNOWN = ["epoch", "result/loss", "result/score", "score", "seconds"]


class Page:
    """Remembers what it is told."""

    pages: dict[str, Page] = {}  # noqa: RUF012 - of one test

    def __init__(self, job, out):
        self.said, self.closed = [], 0
        self.pages[job.label] = self

    def log(self, step, values):
        self.said.append((step, dict(values)))

    def close(self):
        self.closed += 1


def go(out, make, cells=("lstm",), seeds=1, **settings):
    listener = TrackedListener(Silent(), make, out)
    report = run_suite(
        FAKE, cells, seeds, out=out, executor="serial", device="cpu", settings=settings, listener=listener
    )
    return report, listener


def test_every_epoch_once_and_the_results(tmp_path, monkeypatch):
    monkeypatch.setattr(Page, "pages", {})
    report, listener = go(tmp_path, Page, ("lstm", "gru"), epochs=3)
    assert listener.notes == []
    assert list(Page.pages) == ["fake lstm seed 0", "fake gru seed 0"]
    for record in report.records:
        page = Page.pages[f"fake {record.cell.name} seed 0"]
        assert page.closed == 1
        assert [step for step, _ in page.said] == [1, 2, 3, 4]
        shown = [values["score"] for _, values in page.said[:3]]
        assert shown == [epoch["score"] for epoch in record.history]
        assert page.said[3][1] == {"result/score": record.value("score"), "result/loss": record.value("loss")}


def test_epochs_are_shown_while_a_run_goes_on(tmp_path, monkeypatch):
    """Those in the event stream at once; of the record's history the others."""
    monkeypatch.setattr(Page, "pages", {})
    (job,) = request_plan(FAKE, ["lstm"], 1, data=None, settings={}).jobs
    listener = TrackedListener(Silent(), Page, tmp_path)
    listener.started(job)
    listener.progressed(job, 0.0, "no events yet")
    (page,) = Page.pages.values()
    assert page.said == []
    events = [
        {"event": "step", "epoch": 1, "step": 5, "train_loss": 2.5},
        {"event": "epoch", "epoch": 1, "step": 10, "train_loss": 2.0, "dev": {"f1": 30.0, "loss": None}},
    ]
    folder = tmp_path / job.work
    folder.mkdir(parents=True)
    (folder / EVENTS).write_text("".join(json.dumps(event) + "\n" for event in events) + '{"event": "ep')
    monkeypatch.setattr("tasks.runs.tracking._PAUSE", 0.0)
    for _ in range(2):
        listener.progressed(job, 0.5, "epoch 2")
    assert page.said == [(10, {"epoch": 1.0, "train_loss": 2.0, "dev/f1": 30.0})]
    listener.end(stopped=True)
    assert page.closed == 1


def test_scalars():
    event = {"event": "epoch", "epoch": 3, "step": 9, "a": 1, "b": {"c": 0.5, "epoch": 7}, "d": "x", "e": [1.0]}
    assert dict(scalars(event)) == {"a": 1.0, "b/c": 0.5, "b/epoch": 7.0}
    assert dict(scalars({"a": float("nan"), "b": None, "c": float("inf")})) == {}


@pytest.mark.parametrize("fault", ["__init__", "log", "close"])
def test_a_tracker_that_fails_stops_no_run(fault, tmp_path):
    class Broken(Page):
        pass

    def fail(*arguments):
        raise OSError("no\nspace")

    setattr(Broken, fault, fail)
    report, listener = go(tmp_path, Broken)
    assert len(report.records) == 1
    assert listener.notes == ["fake lstm seed 0 is not tracked to its end (OSError: no space)"]


def test_runs_that_fail_are_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(Page, "pages", {})
    report, _ = go(tmp_path, Page, fault="input")
    assert report.failures
    assert Page.pages["fake lstm seed 0"].closed == 1


def test_names_and_packages(monkeypatch):
    with pytest.raises(UnknownNameError, match=r"unknown tracker 'mlflow'.*tensorboard, trackio, wandb"):
        find_tracker("mlflow")
    monkeypatch.setattr("cellzoo.system.extras.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'cellzoo\[wandb\]'"):
        find_tracker("wandb")
    with pytest.raises(MissingDependencyError, match=r"'cellzoo\[trackio\]', in an environment without"):
        find_tracker("trackio")


def test_tensorboard_by_its_own_reader(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    report, listener = go(tmp_path, find_tracker("tensorboard"))
    assert listener.notes == []
    (folder,) = (tmp_path / "logs" / "tensorboard").iterdir()
    found = reader.EventAccumulator(str(folder))
    found.Reload()
    assert sorted(found.Tags()["scalars"]) == KNOWN
    scores = [(event.step, event.value) for event in found.Scalars("score")]
    (record,) = report.records
    assert scores == [(n, pytest.approx(epoch["score"])) for n, epoch in enumerate(record.history, 1)]
    assert found.Scalars("result/score")[0].value == pytest.approx(record.value("score"))


@pytest.mark.slow
@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_offline(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    _, listener = go(tmp_path, find_tracker("wandb"), ("lstm", "gru"))
    assert listener.notes == []
    files = list((tmp_path / "logs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 2
    assert all(path.stat().st_size > 500 for path in files)


@pytest.mark.parametrize("name", ["trackio", "wandb"])
def test_what_is_asked_of_the_others(name, tmp_path, monkeypatch):
    said = []
    page = SimpleNamespace(
        log=lambda values, step: said.append((step, sorted(values))), finish=lambda: said.append("finished")
    )
    asked = {}
    module = SimpleNamespace(init=lambda **options: asked.update(options) or page, __spec__=object())
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    _, listener = go(tmp_path, find_tracker(name), epochs=1)
    assert listener.notes == []
    assert asked["project"] == "cellzoo"
    config = asked["config"]
    assert (config["task"], config["cell"], config["seed"], config["epochs"]) == ("fake", "lstm", 0, 1)
    assert asked.get("mode") == {"wandb": "offline", "trackio": None}[name]
    assert said == [(1, ["epoch", "score", "seconds"]), (2, ["result/loss", "result/score"]), "finished"]


def test_the_option(tmp_path, monkeypatch, capsys):
    """The command makes the pages, and says so where one ends early."""
    monkeypatch.setattr(Page, "pages", {})
    monkeypatch.setattr("tasks.runs.trackers.find_tracker", lambda name: {"mine": Page}[name])
    arguments = [FAKE, "--cells", "lstm", "--out", str(tmp_path), "--executor", "serial", "--device", "cpu"]
    assert run_command.main([*arguments, "--log", "mine"]) == 0
    assert Page.pages["fake lstm seed 0"].closed == 1
    monkeypatch.setattr(Page, "log", lambda self, step, values: 1 / 0)
    assert run_command.main([*arguments, "--seeds", "5,", "--log", "mine"]) == 0
    assert "note: fake lstm seed 5 is not tracked to its end (ZeroDivisionError" in capsys.readouterr().err
