"""Searches with samplers: results out of order, resumption, equal graphs, failures, tables."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter, deque

import pytest
from fake_search import folder_of, search, toy
from run_search import start

from cellzoo.errors import DataError, RunError
from search.run.history import Asked, Told, read_history
from search.run.sampling import Sampling, Score, conclude
from search.spaces.darts import DartsSpace
from tasks.runs.events import Failure
from tasks.runs.record_file import read_record
from tasks.runs.run import ExecutorSettings


def history(out):
    lines, _ = read_history(folder_of(out) / "events.jsonl")
    return [line.model_dump(exclude={"seconds"}) for line in lines]


def trained(out):
    return [read_record(path) for path in (out / "records").glob("sums--*.json")]


class Stop:
    """Interrupts when so many runs have begun."""

    def __init__(self, count):
        self.count = count

    def __getattr__(self, name):
        return lambda *arguments: None

    def started(self, job):
        self.count -= 1
        if self.count == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("method", ["random", "evolution"])
def test_stopped_anywhere_it_has_the_same_history(tmp_path, method):
    """With one worker, a search that is interrupted after every run ends like one that never was."""
    whole = search(toy(tmp_path, method), tmp_path / "whole")
    runs = len(trained(tmp_path / "whole")) + 1
    for _ in range(runs):
        with pytest.raises(KeyboardInterrupt):
            # Two begin, the first of them was begun before; so one more is done each time.
            search(toy(tmp_path, method), tmp_path / "parts", listener=Stop(2))
        if len(trained(tmp_path / "parts")) == runs - 1:
            break
    parts = search(toy(tmp_path, method), tmp_path / "parts")
    assert history(tmp_path / "parts") == history(tmp_path / "whole")
    assert parts.best.cell == whole.best.cell
    assert {r.key for r in trained(tmp_path / "parts")} == {r.key for r in trained(tmp_path / "whole")}


def test_the_best_of_the_history_is_found_and_the_record_counts(tmp_path):
    report = search(toy(tmp_path, "evolution"), tmp_path / "out")
    lines, _ = read_history(folder_of(tmp_path / "out") / "events.jsonl")
    told = [line for line in lines if isinstance(line, Told)]
    cells = {line.number: line.cell for line in lines if isinstance(line, Asked)}
    best = min(told, key=lambda line: line.score)
    assert report.best.cell == cells[best.number]
    record = report.best.record
    assert record.metrics["dev_error"].value == best.score
    assert record.facts["search trials"] == len(told) == 10
    assert (
        record.facts["search trained"]
        == len(trained(tmp_path / "out"))
        == len({c.hash for c in cells.values()})
    )
    assert record.facts["search trained"] + record.facts["search shared"] == 10
    assert all(record.configuration["epochs"] == 2 for record in trained(tmp_path / "out"))


def test_killed_with_two_workers_nothing_is_lost_or_trained_twice(tmp_path):
    plan = toy(tmp_path, "evolution", trials=14)
    task = ("--on", tmp_path / "sums.toml", "--preset", tmp_path / "tiny.toml", "--set", "trials=14")
    process = start(
        "evolution", *task, "--workers", "2", "--device", "cpu", "--out", tmp_path / "out", hash_seed="3"
    )
    for _ in range(10_000):
        if (tmp_path / "out" / "records").is_dir() and len(trained(tmp_path / "out")) >= 4:
            break
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)
    time.sleep(1.0)
    before = history(tmp_path / "out")
    kept = {record.key: record.created for record in trained(tmp_path / "out")}
    report = search(plan, tmp_path / "out", execution=ExecutorSettings("serial", device="cpu"))
    after = history(tmp_path / "out")
    assert after[: len(before)] == before
    assert {record.key: record.created for record in trained(tmp_path / "out")}.items() >= kept.items()
    numbers = [line["number"] for line in after if line["event"] == "ask"]
    assert numbers == list(range(14))
    assert sorted(line["number"] for line in after if line["event"] == "tell") == numbers
    assert report.best.record.facts["search trained"] == len(trained(tmp_path / "out"))


def test_a_candidate_that_diverges_is_told_as_failed(tmp_path):
    plan = toy(tmp_path, "random", learning_rate=1e30, trials=3)
    with pytest.raises(
        RunError, match=r"none of 3 candidates has a score; the first one: .*try a smaller learning"
    ):
        search(plan, tmp_path / "out")
    assert [line["score"] for line in history(tmp_path / "out") if line["event"] == "tell"] == [None] * 3


class Job:
    """The attributes of a job that are used."""

    def __init__(self, key):
        self.key, self.identity, self.label = key, key, f"job {key}"


class Table:
    """An evaluator: some cells are in the table, some are trained, some are neither."""

    def __init__(self, kinds):
        self.kinds, self.asked = kinds, []

    def kind(self, cell):
        return self.kinds[int(cell.hash[:8], 16) % len(self.kinds)]

    def look_up(self, cell, epochs):
        self.asked.append((cell.hash, epochs))
        return Score(int(cell.hash[:4], 16) / 65536) if self.kind(cell) == "known" else None

    def job(self, cell, epochs, repetition=0):
        return Job(f"{cell.hash}/{epochs}") if self.kind(cell) == "trained" else None

    def score(self, record):
        return Score(record, seconds=1.0, record="r")


def fails(key):
    """Whether the training of a graph fails, also when it is retried."""
    return int(key[:4], 16) / 65536 > 0.9


def drive(sampling, order):
    """Run jobs in a pseudorandom order; returns the concluding job."""
    jobs = deque(sampling.start())
    done = []
    while jobs:
        job = jobs[order.randrange(len(jobs))]
        jobs.remove(job)
        done.append(job.key)
        if job is sampling.end:
            assert not jobs
            break
        result = Failure(job, "made to fail") if fails(job.key) else int(job.key[:4], 16) / 65536
        jobs += sampling.result(job, result)
    sampling.close()
    return done


def sampling(plan, table, folder, workers):
    return Sampling(plan.config, 3, table, Job("e" * 64), folder, workers)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("kinds", [["known"], ["trained"], ["known", "trained", "neither"]])
def test_results_come_in_any_order_from_tables_and_training(tmp_path, workers, kinds):
    plan = toy(tmp_path, "evolution", trials=60, nodes=2, population=6, sample=3)
    table = Table(kinds)
    done = drive(sampling(plan, table, tmp_path / "out", workers), random.Random(4))
    assert done[-1] == "e" * 64
    lines, _ = read_history(tmp_path / "out" / "events.jsonl")
    told = [line for line in lines if isinstance(line, Told)]
    assert sorted(line.number for line in told) == list(range(60))
    # Each graph is looked up once, whatever it is proposed for again.
    assert len(set(table.asked)) == len(table.asked) < 60
    # Each is trained once, and once more where that failed.
    trained = [h for h, _ in table.asked if table.kind(type("C", (), {"hash": h})) == "trained"]
    assert Counter(key.partition("/")[0] for key in done[:-1]) == {h: 1 + fails(h) for h in trained}
    cells = {line.number: line.cell.hash for line in lines if isinstance(line, Asked)}
    scores = {}
    for line in told:
        assert scores.setdefault(cells[line.number], line.score) == line.score
    outcome, cell = conclude(plan.config, tmp_path / "out")
    assert cell.hash == min((h for h in scores if scores[h] is not None), key=scores.get)
    assert outcome.facts["search failed"] == sum(line.score is None for line in told)
    # Gone through again to the end, it proposes nothing more.
    again = sampling(plan, table, tmp_path / "out", workers)
    assert [job.key for job in again.start()] == ["e" * 64]
    again.close()


def test_a_history_that_was_changed_is_refused(tmp_path):
    plan = toy(tmp_path, "random", trials=4)
    drive(sampling(plan, Table(["known"]), tmp_path / "out", 1), random.Random(4))
    path = tmp_path / "out" / "events.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    first = json.loads(lines[1])
    deep = b'{"event": ' + b"[" * 100_000 + b"\n"
    for number, line in (
        (2, json.dumps(first | {"number": -1}).encode()),
        (2, json.dumps(first | {"cell": first["cell"] | {"hash": "0" * 64}}).encode()),
        (2, json.dumps(first | {"more": 1}).encode()),
        (2, deep.strip()),
        (3, b'{"event": "tell", "number": 7, "score": 1.0}'),
        (3, b'{"event": "tell", "number": 0, "score": NaN}'),
        (3, b'{"event": "what"}'),
        (3, lines[0].strip()),
    ):
        changed = [*lines]
        changed[number - 1] = line + b"\n"
        path.write_bytes(b"".join(changed))
        with pytest.raises(DataError, match=rf"events\.jsonl:{number}: "):
            sampling(plan, Table(["known"]), tmp_path / "out", 1)
    path.write_bytes(lines[0].replace(b"e" * 64, b"f" * 64) + b"".join(lines[1:]))
    with pytest.raises(DataError, match="is the history of another search"):
        sampling(plan, Table(["known"]), tmp_path / "out", 1)
    # A last line that a kill cut off is done again.
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:20])
    drive(sampling(plan, Table(["known"]), tmp_path / "out", 1), random.Random(4))
    assert path.read_bytes().splitlines()[:-1] == [line.strip() for line in lines[:-1]]


def test_random_search_draws_what_the_space_draws(tmp_path):
    search(toy(tmp_path, "random"), tmp_path / "out", seeds=(8,))
    space, generator = DartsSpace(3), random.Random(8)
    expected = [space.to_cell(space.sample(generator)).hash for _ in range(3)]
    asked = [line["cell"]["hash"] for line in history(tmp_path / "out") if line["event"] == "ask"]
    assert asked == expected


def test_a_space_that_is_exhausted_ends_with_its_trials(tmp_path):
    plan = toy(tmp_path, "evolution", nodes=1, trials=20)
    report = search(plan, tmp_path / "out")
    assert report.best.record.facts == {
        "search trials": 20,
        "search trained": len(trained(tmp_path / "out")),
        "search shared": 20 - len(trained(tmp_path / "out")),
        "search failed": 0,
    }
    assert len(trained(tmp_path / "out")) <= 4
    one = search(toy(tmp_path, "evolution", nodes=1, operations=("tanh",)), tmp_path / "one")
    assert one.best.record.facts["search trials"] == 4
    assert any(
        note.startswith("the search ended after 4 trials: the space has only one cell")
        for note in one.best.record.notes
    )
    # Gone through again, it ends in the same way.
    again = search(toy(tmp_path, "evolution", nodes=1, operations=("tanh",)), tmp_path / "one")
    assert again.best.cell == one.best.cell
