"""Real trainings of recipes at a tiny size: resumed, compared with logs, in both modes of weight drop."""

from __future__ import annotations

import json
import math

import pytest
from nas_bench_nlp_logs import RECIPES, log, write_logs
from one_command import invoke
from scipy.stats import kendalltau

from search.benchmark.build import build_table
from search.benchmark.table import Table
from search.benchmark.train import FIXED, FROZEN, RealTraining, Request, check_lines, compare_modes

SIZES = {
    "embedding_size": 6,
    "hidden_size": 8,
    "batch_size": 2,
    "bptt": 8,
    "learning_rate": 0.01,
    "evaluation_streams": 2,
}


@pytest.fixture
def made(tmp_path):
    """Files of a table and of a text."""
    logs = [log(1_000_010 + place, recipe) for place, recipe in enumerate(RECIPES)]
    build_table(None, [write_logs(tmp_path / "logs.zip", logs)]).write(tmp_path / "table.npz")
    words = [
        "the",
        "cat",
        "sat",
        "on",
        "the",
        "mat",
        "and",
        "a",
        "dog",
        "ran",
        "to",
        "an",
        "old",
        "red",
        "barn",
    ]
    lines = [" ".join(words[(start * 5 + step * 3) % len(words)] for step in range(9)) for start in range(120)]
    (tmp_path / "text.txt").write_text("\n".join(lines) + "\n")
    return tmp_path


def train(monkeypatch, made, *arguments):
    settings = [part for pair in SIZES.items() for part in ("--set", "=".join(map(str, pair)))]
    corpus = ["--data", made, "--set", "corpus=text:text.txt"]
    given = ["table", "train", "--table", made / "table.npz", "--out", made / "out", *corpus, *settings]
    return invoke(monkeypatch, *given, *arguments)


def results(made):
    return json.loads((made / "out" / "trained.json").read_text())


def test_a_longer_training_goes_on_from_a_shorter_one(made, monkeypatch, capsys):
    assert train(monkeypatch, made, "1000010", "--epochs", "1") == 0
    short = results(made)["trainings"][0]["valid"]
    assert train(monkeypatch, made, "1000010", "--epochs", "3") == 0
    long = results(made)["trainings"][0]
    assert long["valid"][:1] == short
    assert len(long["valid"]) == 3
    fresh = made / "fresh"
    settings = [part for pair in SIZES.items() for part in ("--set", "=".join(map(str, pair)))]
    corpus = ["--data", made, "--set", "corpus=text:text.txt"]
    given = ["table", "train", "1000010", "--table", made / "table.npz", "--out", fresh, "--epochs", "3"]
    assert invoke(monkeypatch, *given, *corpus, *settings) == 0
    assert json.loads((fresh / "trained.json").read_text())["trainings"][0]["valid"] == long["valid"]
    assert "not the benchmark's protocol" in capsys.readouterr().out


def test_modes_are_trained_apart_and_compared(made, monkeypatch, capsys):
    given = ["1000010", "1000011", "1000012", "--epochs", "1", "--modes", "reference_frozen,fixed"]
    assert train(monkeypatch, made, *given) == 0
    assert "Kendall's tau" in capsys.readouterr().out
    trainings = results(made)["trainings"]
    assert [(one["number"], one["mode"]) for one in trainings] == [
        (number, mode) for mode in (FROZEN, FIXED) for number in (1000010, 1000011, 1000012)
    ]
    assert trainings[0]["valid"] != trainings[3]["valid"]
    assert results(made)["is the benchmark's protocol"] is False


def test_a_recipe_that_diverges_is_named_and_the_others_are_kept(made, monkeypatch, capsys):
    """1000013 adds up its state and its input, without bound."""
    assert train(monkeypatch, made, "1000013", "1000010", "--epochs", "1") == 1
    assert "failed: reference_frozen: wikitext-2-awd recipe-1000013" in capsys.readouterr().out
    assert [one["number"] for one in results(made)["trainings"]] == [1000010]
    assert len(results(made)["failed"]) == 1


def test_ours_stands_beside_the_log_epoch_by_epoch(made):
    table = Table.read(made / "table.npz")
    found = table.find(1000010)
    one = RealTraining(1000010, FROZEN, 0, (7.0, 6.5, 6.0, 5.5, 5.0, 4.5), 4.6, 9.0, "")
    lines = check_lines(table, Request((found,)), [one])
    logged = log(1000010)["val_losses"]
    for line, ours, theirs in zip(lines[1:], one.valid, logged, strict=False):
        assert f"ours {ours:.4f}, logged {theirs:.4f} (mean of 1), {ours - theirs:+.4f}" in line
    assert lines[-1] == "  epoch 6: ours 4.5000, beyond the log"


def test_modes_are_compared_by_their_best_epochs_and_mean_seeds():
    losses = {1: (3.0, 2.9), 2: (2.0, 2.5), 3: (1.0, 2.6), 4: (4.0, 3.5)}
    trained = [
        RealTraining(number, mode, seed, (loss + 9, loss + seed, loss + 5), math.nan, 1.0, "")
        for number, pair in losses.items()
        for mode, loss in zip((FROZEN, FIXED), pair, strict=True)
        for seed in (0, 1)
    ]
    found = compare_modes(trained)
    assert found.count == 4
    assert found.tau == pytest.approx(kendalltau(*zip(*losses.values(), strict=True)).statistic)
    assert compare_modes(trained[:4]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["1000010", "--modes", "thawed"], "unknown mode of weight drop"),
        (["1000010", "--size", "huge"], "unknown size"),
        (["1000010", "--epochs", "0"], "expected a whole number"),
        (["1000010", "--seeds", "20000000"], "20000000 seeds: expected at least 1 and at most 10000"),
        (["77"], "does not have the number 77"),
        ([], "name recipes"),
    ],
)
def test_wrong_arguments_are_named(made, monkeypatch, capsys, arguments, message):
    assert train(monkeypatch, made, *arguments) == 2
    assert message in capsys.readouterr().err
