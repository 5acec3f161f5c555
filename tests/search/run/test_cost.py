"""The cost of searches: trainings, operations and seconds, and that of random search for comparison."""

from __future__ import annotations

import json

import pytest
from fake_search import search, toy

import cellzoo
from leaderboards.build import build_board
from leaderboards.collect import collect
from leaderboards.render.notes import remarks
from search.run.chain import Retrain
from search.run.history import Told, read_history
from tasks.runs.record_file import read_record


def records(out, task):
    found = [read_record(path) for path in sorted((out / "records").glob("*.json"))]
    return [record for record in found if record.task.name == task]


def test_a_sampler_pays_for_each_graph_once(tmp_path):
    out = tmp_path / "out"
    search(toy(tmp_path, "random"), out, retrain=Retrain(test_seeds=(0,)))
    (worth,) = records(out, "search-sums")
    (events,) = (out / "searches").glob("*/events.jsonl")
    keys = {line.record for line in read_history(events)[0] if isinstance(line, Told)}
    candidates = [record for record in records(out, "sums") if record.key in keys]
    assert worth.metrics["trainings_search"].value == len(candidates) > 1
    # A backward pass takes twice as much as the forward pass.
    expected = sum(3 * record.flops_per_token * record.tokens for record in candidates)
    assert worth.metrics["gigaflops_search"].value == pytest.approx(expected / 1e9)
    (table,) = [table for table in build_board(collect([out]), "x").tables if table.task == "search-sums"]
    assert {"trainings_search", "gigaflops_search", "seconds_search"} <= set(table.rows[0].metrics)
    assert not any("No random search" in remark for remark in remarks(table))


def test_a_supernet_is_one_training_and_asks_for_a_random_search(tmp_path):
    out = tmp_path / "out"
    report = search(toy(tmp_path), out, retrain=Retrain(test_seeds=(0,)))
    (worth,) = records(out, "search-sums")
    assert worth.metrics["trainings_search"].value == 1
    (found,) = records(out, "search")
    # The method says a thousand million a step.
    assert worth.metrics["gigaflops_search"] == found.metrics["gigaflops_search"]
    assert worth.metrics["gigaflops_search"].value == found.facts["search steps"] == 3 * 4
    assert json.loads(cellzoo.entry(report.path).notes)["search_gigaflops"] == 3 * 4
    (table,) = [table for table in build_board(collect([out]), "x").tables if table.task == "search-sums"]
    assert any("No random search" in remark for remark in remarks(table))


def test_a_search_with_a_supernet_by_hand(tmp_path):
    out = tmp_path / "out"
    search(toy(tmp_path, "darts"), out)
    (found,) = records(out, "search")
    # Three nodes of eight units have six edges; x is one number and needs no gradient.
    of_x, of_rest = 2 * 1 * 16, 2 * 8 * 16 * (1 + 6)
    # The architecture learns from dev, then the weights from as much of train, and dev is evaluated.
    step = (of_x + 2 * of_rest) + (2 * of_x + 3 * of_rest)
    epoch = 64 * 6 * (step + of_x + of_rest)
    assert [line["flops"] for line in found.history] == [epoch] * 3
    assert found.metrics["gigaflops_search"].value == pytest.approx(3 * epoch / 1e9)
