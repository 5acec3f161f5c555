"""Candidates: longer trainings continue shorter ones, equal graphs are averaged, kills lose nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from fake_search import folder_of, search, toy
from run_search import start
from troubled_sums import Clock, troubled_task

from cellzoo.errors import CellzooError, OutputError
from search.registry import find_method
from search.run.chain import TaskEvaluator
from search.run.history import Asked, Told, read_history
from search.run.sampling import Sampling
from search.run.settings import method_settings
from search.samplers.kind import SamplerKind
from search.samplers.sampler import Proposal
from search.samplers.settings import SamplerSettings
from tasks.runs.events import Failure, Silent
from tasks.runs.executors import processes
from tasks.runs.record_file import read_record
from tasks.runs.run import ExecutorSettings, run_jobs


class Rungs:
    """Proposes each of three cells for 1, 2 and 5 epochs, as a sampler with several fidelities does."""

    def __init__(self, settings, space, generator):
        self.cells = [space.sample(generator) for _ in range(3)]
        self.asked = self.told = 0

    def ask(self):
        if self.asked == 9 or self.asked // 3 > self.told // 3:
            return None
        self.asked += 1
        number = self.asked - 1
        return Proposal(number, self.cells[number % 3], (1, 2, 5)[number // 3])

    def tell(self, proposal, score):
        self.told += 1


class Twice:
    """Proposes one cell repeatedly, and another one."""

    def __init__(self, settings, space, generator):
        self.cells = [space.sample(generator) for _ in range(2)]
        self.settings, self.asked, self.heard = settings, 0, []

    def ask(self):
        if self.asked == 6:
            return None
        self.asked += 1
        return Proposal(self.asked - 1, self.cells[self.asked % 3 == 0], self.settings.epochs)

    def tell(self, proposal, score):
        self.heard.append(score)


class Pairs(Rungs):
    """Proposes one cell twice for 1 epoch and once for 5."""

    def ask(self):
        if self.asked == 3 or self.asked // 2 > self.told // 2:
            return None
        self.asked += 1
        return Proposal(self.asked - 1, self.cells[0], (1, 1, 5)[self.asked - 1])


class Same(Twice):
    """Proposes the same two cells whatever the seed."""

    def __init__(self, settings, space, generator):
        super().__init__(settings, space, random.Random(7))


SAME = SamplerKind("same", "for tests", SamplerSettings, Same)
PAIRS = SamplerKind("pairs", "for tests", SamplerSettings, Pairs)
RUNGS = SamplerKind("rungs", "for tests", SamplerSettings, Rungs)
TWICE = SamplerKind("twice", "for tests", SamplerSettings, Twice)
HERE = "test_candidates"
SLOW = ("--set", "sequences=3000", "--set", "batch_size=8", "--set", "trials=24")


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.setitem(sys.modules, HERE, sys.modules[__name__])
    find_method.cache_clear()
    yield
    find_method.cache_clear()


def own(tmp_path, name, **changes):
    methods = "".join(f"[methods.{own}]\n" for own in ("pairs", "rungs", "same", "twice"))
    (tmp_path / "tiny.toml").write_text(f"{methods}[then.sequence-sums.brief]\nepochs = 2\n")
    return toy(tmp_path, f"{HERE}:{name}", nodes=3, **changes)


def records(out):
    found = [read_record(path) for path in (out / "records").glob("sums--*.json")]
    return {(record.cell.hash, record.configuration["epochs"], record.seed): record for record in found}


def without_times(history):
    return [{key: value for key, value in epoch.items() if not key.startswith("seconds")} for epoch in history]


def test_a_longer_training_goes_on_where_the_shorter_one_ended_and_equals_one_in_one_go(tmp_path):
    plan = own(tmp_path, "RUNGS", **{"method.epochs": 5})
    report = search(plan, tmp_path / "parts")
    parts = records(tmp_path / "parts")
    assert Counter(epochs for _, epochs, _ in parts) == {1: 3, 2: 3, 5: 3}
    for (cell, epochs, seed), record in parts.items():
        # Alone, in a folder of its own, trained from scratch for as long.
        alone = own(tmp_path, "RUNGS", **{"method.epochs": 5})
        evaluator_job = next(
            job
            for job in jobs_of(alone, seed)
            if job.subject.cell.hash == cell and job.settings["epochs"] == epochs
        )
        whole = run_alone(evaluator_job, tmp_path / f"alone-{cell[:8]}-{epochs}")
        assert whole.key == record.key
        assert {name: m.value for name, m in whole.metrics.items()} == {
            name: m.value for name, m in record.metrics.items()
        }
        assert without_times(whole.history) == without_times(record.history)
        assert whole.tokens == record.tokens
    # It really went on: the longer record holds the very seconds that the shorter one took.
    for (cell, epochs, seed), record in parts.items():
        if epochs == 5:
            short = parts[cell, 2, seed]
            assert [e["seconds"] for e in record.history[:2]] == [e["seconds"] for e in short.history]
    # Nothing is left behind, and the best is one of those that were trained the longest.
    assert not list((tmp_path / "parts" / "work").glob("*"))
    best = min(parts[key].metrics["dev_error"].value for key in parts if key[1] == 5)
    assert report.best.record.metrics["dev_error"].value == best


def jobs_of(plan, seed):
    space, generator = plan_space(plan), random.Random(seed)
    evaluator = TaskEvaluator(plan, seed)
    cells = [space.to_cell(space.sample(generator)) for _ in range(3)]
    return [evaluator.job(cell, epochs) for cell in cells for epochs in (1, 2, 5)]


def plan_space(plan):
    return method_settings(plan.config).cells()


def run_alone(job, out):
    ledger = run_jobs([job], out, ExecutorSettings("serial", device="cpu"))
    return ledger.records[job.key]


def test_equal_graphs_share_a_score_or_are_averaged(tmp_path):
    shared = search(own(tmp_path, "TWICE"), tmp_path / "shared")
    assert shared.best.record.facts["search trained"] == 2
    assert shared.best.record.facts["search shared"] == 4
    search(own(tmp_path, "TWICE", retrain=True), tmp_path / "averaged")
    lines, _ = read_history(folder_of(tmp_path / "averaged") / "events.jsonl")
    asked = {line.number: line.cell.hash for line in lines if isinstance(line, Asked)}
    told = [line for line in lines if isinstance(line, Told)]
    assert len(records(tmp_path / "averaged")) == 6
    assert {seed for _, _, seed in records(tmp_path / "averaged")} == {0, 1000, 2000, 3000}
    heard = {}
    for line in told:
        heard.setdefault(asked[line.number], []).append(line.own)
        values = heard[asked[line.number]]
        assert line.score == pytest.approx(sum(values) / len(values), rel=1e-12)
        assert not line.shared
    assert sorted(len(set(values)) for values in heard.values()) == [2, 4]
    report = search(own(tmp_path, "TWICE", retrain=True), tmp_path / "averaged")
    means = {cell: sum(values) / len(values) for cell, values in heard.items()}
    assert report.best.cell.hash == min(means, key=means.get)
    assert report.best.record.metrics["dev_error"].value == pytest.approx(min(means.values()), rel=1e-12)


def told_of(out):
    return told_of_folder(folder_of(out))


def told_of_folder(folder):
    lines, _ = read_history(folder / "events.jsonl")
    return [line.model_dump(exclude={"seconds"}) for line in lines]


def test_a_candidate_that_failed_is_done_again_once(tmp_path):
    plan = own(tmp_path, "RUNGS", **{"method.epochs": 5})
    sampling = Sampling(plan.config, 0, TaskEvaluator(plan, 0), plan.job(0), tmp_path / "out", 3)
    jobs = sampling.start()
    assert len(jobs) == 3
    failed = [Failure(job, message) for job, message in zip(jobs, ("died", "hung", "is nan"), strict=True)]
    for job, failure in zip(jobs, failed, strict=True):
        assert sampling.result(job, failure) == [job]
        assert sampling.takes(job)
    assert sampling.result(jobs[1], failed[1]) == []
    assert not sampling.takes(jobs[1])
    assert sampling.result(jobs[2], failed[2]) == []
    sampling.close()
    failures = [line["failure"] for line in told_of_folder(tmp_path / "out") if line["event"] == "tell"]
    assert failures == ["hung", "is nan"]


class Heard(Silent):
    """Notes the messages of failures."""

    def __init__(self):
        self.messages = []

    def failed(self, failure):
        self.messages.append(failure.message)


def test_a_search_goes_on_past_workers_that_hang_die_or_give_no_number(tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "time", Clock(tmp_path))
    plan = toy(tmp_path, "random", troubled_task(tmp_path, "hang", "", "die", "nan"), trials=3)
    execution = ExecutorSettings("processes", 1, device="cpu")
    heard = Heard()
    report = search(plan, tmp_path / "out", execution=execution, listener=heard)
    assert [message.partition(":")[0] for message in heard.messages[:2]] == [
        "its worker process hung",
        "its worker process died (SIGKILL",
    ]
    assert "it said nothing for 3600 s" in heard.messages[0]
    told = [line for line in told_of(tmp_path / "out") if line["event"] == "tell"]
    assert [line["score"] is None for line in told] == [False, True, False]
    assert "the training loss is nan" in told[1]["failure"]
    assert [failure.message for failure in report.failures] == [told[1]["failure"]] == heard.messages[2:]
    assert report.best.record.facts["search trials"] == 3


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_after_twenty_kills_at_random_moments_the_history_is_that_of_a_search_never_killed(tmp_path):
    toy(tmp_path, "evolution")
    task = ("evolution", "--on", tmp_path / "sums.toml", "--preset", tmp_path / "tiny.toml", *SLOW)
    task += ("--device", "cpu", "--executor", "serial", "--out")
    began = time.monotonic()
    process = start(*task, tmp_path / "whole")
    process.communicate(timeout=600)
    assert process.returncode == 0
    took = time.monotonic() - began
    moments, kills, lengths = random.Random(20), 0, []
    while True:
        process = start(*task, tmp_path / "parts", hash_seed=str(kills))
        try:
            # Spread so that twenty kills fall on all of the search, and on its beginning again and again.
            process.communicate(timeout=moments.uniform(0.2, 0.6) * took if kills < 20 else 600)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=30)
            kills += 1
            lengths.append(
                len(told_of(tmp_path / "parts")) if (tmp_path / "parts" / "searches").is_dir() else 0
            )
            continue
        assert process.returncode == 0
        if kills >= 20:
            break
        # It ended before the twentieth kill: the others hit another search from its beginning.
        assert told_of(tmp_path / "parts") == told_of(tmp_path / "whole")
        shutil.rmtree(tmp_path / "parts")
    print("lines of the history at each kill", lengths)  # noqa: T201
    assert told_of(tmp_path / "parts") == told_of(tmp_path / "whole")
    created = [
        record.created for record in map(read_record, (tmp_path / "parts" / "records").glob("sums--*.json"))
    ]
    whole = records(tmp_path / "whole")
    parts = records(tmp_path / "parts")
    assert parts.keys() == whole.keys()
    assert len(created) == len(parts)
    assert all(parts[key].metrics == whole[key].metrics for key in whole)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_search_goes_on_when_a_worker_is_killed(tmp_path):
    toy(tmp_path, "evolution")
    task = ("evolution", "--on", tmp_path / "sums.toml", "--preset", tmp_path / "tiny.toml", *SLOW)
    process = start(*task, "--device", "cpu", "--workers", "2", "--out", tmp_path / "out")
    killed = 0
    while process.poll() is None and killed < 2:
        busy = list((tmp_path / "out" / "work").glob("*/key")) if (tmp_path / "out").is_dir() else []
        found = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=False)
        for child in map(int, found.stdout.split()):
            if busy and b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(child, signal.SIGKILL)
                killed += 1
                time.sleep(3)
                break
        time.sleep(0.05)
    output, errors = process.communicate(timeout=1500)
    assert process.returncode == 0, output + errors
    assert killed == 2
    told = [line for line in told_of(tmp_path / "out") if line["event"] == "tell"]
    assert sorted(line["number"] for line in told) == list(range(24))
    assert all(line["score"] is not None for line in told)


def test_the_checkpoints_of_repeated_trainings_are_removed_as_well(tmp_path):
    report = search(own(tmp_path, "PAIRS", retrain=True, **{"method.epochs": 5}), tmp_path / "out")
    assert {(epochs, seed) for _, epochs, seed in records(tmp_path / "out")} == {(1, 0), (1, 1000), (5, 0)}
    assert report.best.record.facts["search trained"] == 3
    assert not list((tmp_path / "out" / "work").glob("*"))


def test_a_file_in_place_of_the_folder_of_a_search_is_one_message(tmp_path):
    plan = own(tmp_path, "TWICE")
    (tmp_path / "out").write_text("not a folder")
    with pytest.raises(OutputError, match="out"):
        Sampling(plan.config, 0, TaskEvaluator(plan, 0), plan.job(0), tmp_path / "out" / "searches", 1)


def test_seeds_whose_repeated_trainings_would_coincide_are_refused(tmp_path):
    plan = own(tmp_path, "SAME", retrain=True)
    with pytest.raises(CellzooError, match="seeds 0 and 1000"):
        search(plan, tmp_path / "out", seeds=(0, 3, 1000))
    assert len(search(plan, tmp_path / "out", seeds=(0, 3)).found) == 2
    assert len(search(own(tmp_path, "SAME"), tmp_path / "shared", seeds=(0, 1000)).found) == 2
