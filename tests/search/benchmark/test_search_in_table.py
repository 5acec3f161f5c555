"""`cellzoo search` in a table: the numbers of the comparison, records, histories resumed after a kill."""

from __future__ import annotations

import json

import pytest
from nas_bench_nlp_logs import RECIPES, log, write_logs
from one_command import invoke

import cellzoo
from cellzoo.errors import DataError
from search.benchmark.build import build_table
from search.benchmark.regret import HOUR, Method, Protocol, run_trial
from search.benchmark.table import Table
from search.benchmark.task import _History
from search.run.history import Exhausted, Started
from tasks.runs.record_file import read_record


@pytest.fixture
def table(tmp_path):
    """Four recipes, two trainings each; an epoch takes 10 to 80 s."""
    logs = [
        log(1_000_010 + place, recipe, seed=seed, wall_times=[10.0 * (2 * place + seed + 1)] * 5)
        for place, recipe in enumerate(RECIPES)
        for seed in range(2)
    ]
    path = tmp_path / "table.npz"
    build_table(None, [write_logs(tmp_path / "logs.zip", logs)]).write(path)
    return path


@pytest.fixture
def search(table, monkeypatch, capsys):
    """Runs the command; returns its exit code and standard error."""

    def run(out, *options, method="evolution", on=table):
        found = ("search", method, "--on", on, "--out", out, "--executor", "serial", *options)
        return invoke(monkeypatch, *found), capsys.readouterr().err

    return run


def history(out):
    return {path.parent.name: path.read_text() for path in out.glob("searches/*/events.jsonl")}


@pytest.mark.parametrize(
    ("method", "workers", "settings"),
    [("random", 1, ()), ("evolution", 2, (("population", 3), ("sample", 2))), ("asha", 2, (("eta", 2),))],
)
def test_a_search_has_the_numbers_of_the_comparisons_trial(table, search, tmp_path, method, workers, settings):
    hours = 0.5
    own = [part for name, value in settings for part in ("--set", f"{name}={value}")]
    options = ("--set", f"hours={hours}", "--set", f"simulated_workers={workers}", "--set", "clock=retimed")
    code, errors = search(tmp_path / "out", *options, *own, "--seeds", "3", method=method)
    assert code == 0, errors
    records = sorted((read_record(path) for path in (tmp_path / "out" / "records").glob("*.json")), key=seed_of)
    assert [record.seed for record in records] == [0, 1, 2]
    protocol = Protocol(table, "retimed", hours, workers)
    for record in records:
        course, valid, test = run_trial(protocol, Method(method, method, settings), record.seed)
        last = course.points[-1]
        assert record.value("dev_loss") == last.valid
        assert record.value("loss") == last.test
        assert record.value("simple_regret") == last.valid - valid
        assert record.value("inference_regret") == last.test - test
        assert record.value("hours") == course.seconds / HOUR <= hours
        assert record.facts["search trainings"] == len(course.points)
    best = min(records, key=lambda record: record.value("dev_loss"))
    cell = cellzoo.load(tmp_path / "out" / "found.toml")
    graphs = {found.number: found.hash for found in Table.read(table).architectures}
    assert (
        cell.hash == graphs[run_trial(protocol, Method(method, method, settings), best.seed)[0].points[-1].best]
    )


def seed_of(record):
    return record.seed


def test_the_history_adds_up_and_goes_on_where_a_kill_cut_it_off(search, tmp_path):
    out = tmp_path / "out"
    options = ("--set", "hours=0.5", "--set", "simulated_workers=2", "--seeds", "2")
    assert search(out, *options)[0] == 0
    whole = history(out)
    for record in (read_record(path) for path in (out / "records").glob("*.json")):
        lines = [
            json.loads(line)
            for line in whole[f"evolution-nas-bench-nlp-s{record.seed}-{record.key[:6]}"].splitlines()
        ]
        told = [line for line in lines if line["event"] == "tell"]
        assert len(told) == record.facts["search trainings"]
        assert sum(line["seconds"] for line in told) <= 2 * 0.5 * HOUR
        asked = {line["number"] for line in lines if line["event"] == "ask"}
        assert len(asked) - len(told) == record.facts["search unfinished"]
    for number, path in enumerate(sorted(out.glob("searches/*/events.jsonl"))):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) * (number + 1) // 3])
    for path in (out / "records").iterdir():
        path.unlink()
    assert search(out, *options)[0] == 0
    assert history(out) == whole


def test_an_interrupt_while_a_history_is_repeated_is_not_taken_for_a_change(tmp_path):
    path, start = tmp_path / "events.jsonl", Started(identity="a" * 64, label="a search")
    lines = [start, Exhausted(reason="one"), Exhausted(reason="two")]
    path.write_text("".join(f"{line.model_dump_json()}\n" for line in lines))
    interrupted = _History(path, start)
    interrupted.add(lines[1])
    interrupted.close()
    assert path.read_text().count("\n") == 3
    shorter = _History(path, start)
    shorter.add(lines[1])
    with pytest.raises(DataError, match=r"events.jsonl:3: is not what this search does"):
        shorter.check()
    shorter.close()


def test_another_history_or_table_is_refused_and_wrong_requests_are_one_message(search, tmp_path):
    out = tmp_path / "out"
    assert search(out, "--set", "hours=0.2")[0] == 0
    (path,) = out.glob("searches/*/events.jsonl")
    path.write_text(path.read_text().replace('"epochs": 50', '"epochs": 49', 1))
    for record in (out / "records").iterdir():
        record.unlink()
    code, errors = search(out, "--set", "hours=0.2")
    assert code == 1
    assert "events.jsonl:2: is not what this search does" in errors
    for options, method, words in (
        (("--set", "nodes=3"), "random", "unknown setting 'nodes'"),
        (("--set", "hours=0"), "random", "hours"),
        (("--set", "clock=sundial"), "random", "sundial"),
        ((), "darts", "only be searched by a sampler"),
        ((), "fenas", "only the space fenas has known cells"),
        (("--then",), "random", "--then is about trainings"),
        (("--set", "hours=0.001"), "random", "no training has ended well within 0.001 simulated hours"),
    ):
        code, errors = search(tmp_path / "wrong", *options, method=method)
        assert code in (1, 2), errors
        assert words in errors
    code, errors = search(tmp_path / "wrong", on=tmp_path / "none.npz")
    assert code == 3
    assert "cellzoo table build" in errors
