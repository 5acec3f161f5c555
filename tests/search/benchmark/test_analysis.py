"""The analysis of the space, scores of cells that were never trained, and bounds of edit distances."""

from __future__ import annotations

import csv
import json
import math
import random
from types import SimpleNamespace

import numpy as np
import pytest
from nas_bench_nlp_logs import PTB, RECIPES, WIKITEXT2, log, real_logs, write_logs
from one_command import invoke
from real_data import data_folder
from scipy.stats import kendalltau

from cellzoo.errors import CellzooError, UnknownNameError
from cellzoo.notations import nas_bench_nlp
from search.benchmark import analysis as analysed
from search.benchmark.analysis_page import write_analysis
from search.benchmark.build import assemble, build_table
from search.benchmark.edit_distance import LabelledGraph, edit_cost, labelled_graph, lower_bound, upper_bound
from search.benchmark.logs import LoggedRun, Source, read_logs, recipe_number
from search.benchmark.outside import Outside, seed_noise
from search.benchmark.timing import make_clock
from search.benchmark.words import words


@pytest.fixture(scope="module")
def table():
    return build_table(data_folder(WIKITEXT2))


@pytest.fixture(scope="module")
def found(table):
    data_folder(PTB)
    pytest.importorskip("sklearn", reason="scikit-learn is not installed; pip install 'cellzoo[nlp]'")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("SAMPLES", 60), ("PAIRS", 60), ("_FOLDS", 3), ("_REPEATS", 2)):
            patch.setattr(analysed, name, value)
        return analysed.analyse(table)


def other(table, seed=3):
    """A cell that the table does not have."""
    draw = random.Random(seed)
    while True:
        cell = nas_bench_nlp.parse(nas_bench_nlp.sample(draw))
        if not table.of_graph(cell.hash):
            return cell


def test_the_two_data_sets_rank_recipes_alike(found):
    """Kendall's tau from the raw files; the data README has .842 over 273 recipes."""
    folder = data_folder(PTB)
    on_ptb = {}
    seen = set()
    with (folder / PTB).open(encoding="utf-8", newline="") as stream:
        for row in csv.reader(stream):
            if row and row[0].startswith("log_stats_model_") and row[0] not in seen:
                seen.add(row[0])
                if math.isfinite(float(row[1])):
                    on_ptb.setdefault(recipe_number(int(row[0].split("_")[3])), []).append(float(row[1]))
    smallest, numbers = {}, {}
    for one in real_logs(folder).values():
        finite = [loss for loss in one["test_losses"] if not math.isnan(loss)]
        if finite:
            smallest.setdefault(one["recepie"], []).append(min(finite))
            numbers.setdefault(one["recepie"], set()).add(recipe_number(one["recepie_id"]))
    both = [
        (np.mean([loss for one in sorted(numbers[recipe]) for loss in on_ptb.get(one, [])]), np.mean(losses))
        for recipe, losses in smallest.items()
        if any(number in on_ptb for number in numbers[recipe])
    ]
    assert found.transfer.count == len(both) == 273
    assert found.transfer.tau == pytest.approx(kendalltau(*zip(*both, strict=True)).statistic)
    assert found.transfer.tau == pytest.approx(0.842, abs=0.002)
    assert found.transfer.low < found.transfer.tau < found.transfer.high


def test_as_many_recipes_diverge_as_the_files_say(found):
    assert found.diverging == (748, 4114)


def test_early_ranks_come_closer_to_the_final_ones(table, found):
    taus = [found.early[epoch].tau for epoch in sorted(found.early)]
    assert taus == sorted(taus)
    raw = real_logs(data_folder(WIKITEXT2))
    groups = {}
    for one in raw.values():
        if one["status"] == "OK":
            groups.setdefault(one["recepie"], []).append((one["val_losses"][9], one["test_losses"][-1]))
    early, late = np.array([np.mean(group, axis=0) for group in groups.values()]).T
    assert found.early[10].tau == pytest.approx(kendalltau(early, late).statistic)


def test_held_out_models_are_better_than_chance_and_worse_than_perfect(found):
    classifier, ptb, words_of_graph = found.models
    assert 0.8 < classifier.scores["ROC AUC"][0] < 1.0
    assert classifier.count == 4114
    assert 0.1 < ptb.scores["Kendall's tau"][0] < 0.6
    assert 0.1 < words_of_graph.scores["Kendall's tau"][0] < 0.6


def test_labels_at_random_cannot_be_predicted(monkeypatch):
    monkeypatch.setattr(analysed, "_FOLDS", 3)
    monkeypatch.setattr(analysed, "_REPEATS", 2)
    draw = np.random.default_rng(0)
    model = analysed._classifier(draw.normal(size=(300, 5)), draw.random(300) < 0.3, 0)
    assert abs(model.scores["ROC AUC"][0] - 0.5) < 0.12


def test_a_cell_of_the_table_is_answered_by_the_table(table):
    clock, cell = make_clock(table), nas_bench_nlp.parse(table.find(7537).recipe)
    for rule in ("refuse", "nearest", "surrogate"):
        number = Outside(table, clock, rule).score(cell, split="test", epoch=20)
        assert number == table.score(7537, clock=clock, split="test", epoch=20)
        assert number.source == "table"


def test_other_cells_are_refused_or_get_the_nearest(table):
    clock, cell = make_clock(table), other(table)
    with pytest.raises(UnknownNameError, match="nearest or surrogate"):
        Outside(table, clock).score(cell)
    number = Outside(table, clock, "nearest").score(cell)
    near, distance = Outside(table, clock, "nearest").nearest(cell)
    assert number.value == table.score(near, clock=clock).value
    assert number.source == f"nearest: {near.number} at cosine distance {distance:.3f}"
    # By brute force with dense vectors.
    every = sorted(set(words(cell)).union(*(words(nas_bench_nlp.parse(one.recipe)) for one in table.pool())))

    def vector(one):
        counted = words(one)
        dense = np.array([counted[word] for word in every], dtype=float)
        return dense / np.linalg.norm(dense)

    apart = [1 - vector(cell) @ vector(nas_bench_nlp.parse(one.recipe)) for one in table.pool()]
    assert distance == pytest.approx(min(apart))
    with pytest.raises(CellzooError, match="unknown rule"):
        Outside(table, clock, "guess")


def test_the_surrogate_says_how_wrong_it_is(table):
    pytest.importorskip("sklearn", reason="scikit-learn is not installed; pip install 'cellzoo[nlp]'")
    outside = Outside(table, make_clock(table), "surrogate")
    number = outside.score(other(table), split="valid", epoch=50)
    assert number.source.startswith("surrogate: fitted on 289 recipes; on held-out graphs its error")
    surrogate = outside.surrogate
    losses = [
        np.mean([table.curve(run, "valid")[-1] for run in table.runs(one) if not table.diverged(run)])
        for one in table.pool()
        if any(not table.diverged(run) for run in table.runs(one))
    ]
    # Held out, it beats the mean of all, and cannot beat the noise of the seeds.
    assert seed_noise(table) < surrogate.error < np.std(losses)
    assert number.seconds > 0
    assert number.clock == "counted"
    with pytest.raises(CellzooError, match="valid and test losses"):
        outside.score(other(table), split="train")


def test_noise_is_the_pooled_deviation_of_runs_of_one_graph(table):
    groups = {}
    for one in table.pool():
        for run in table.runs(one):
            if not table.diverged(run):
                groups.setdefault(one.hash, []).append(table.curve(run, "valid")[-1])
    several = [np.array(values) for values in groups.values() if len(values) > 1]
    squares = sum(((values - values.mean()) ** 2).sum() for values in several)
    assert seed_noise(table) == pytest.approx(math.sqrt(squares / sum(len(values) - 1 for values in several)))


def test_bounds_hold_the_exact_distance_between_them():
    networkx = pytest.importorskip("networkx", reason="networkx is not installed")
    draw = random.Random(0)

    def graph():
        size = draw.randrange(2, 6)
        labels = tuple(draw.choice(("x", "tanh", "linear")) for _ in range(size))
        edges = {(i, j) for i in range(size) for j in range(i + 1, size) if draw.random() < 0.5}
        return LabelledGraph(labels, frozenset(edges))

    def as_networkx(one):
        made = networkx.DiGraph()
        made.add_nodes_from((place, {"op": label}) for place, label in enumerate(one.labels))
        made.add_edges_from(one.edges)
        return made

    for _ in range(40):
        first, second = graph(), graph()
        exact = networkx.graph_edit_distance(
            as_networkx(first), as_networkx(second), node_match=lambda one, two: one["op"] == two["op"]
        )
        assert lower_bound(first, second) <= exact <= upper_bound(first, second)
        assert upper_bound(first, first) == 0


def test_edit_costs_by_hand():
    first = LabelledGraph(("x", "linear", "tanh"), frozenset({(0, 1), (1, 2)}))
    second = LabelledGraph(("x", "linear"), frozenset({(0, 1)}))
    assert edit_cost(first, second, {0: 0, 1: 1}) == 2
    assert edit_cost(first, second, {}) == 3 + 2 + 2 + 1
    cell = nas_bench_nlp.parse(
        {
            "f": {"op": "linear", "input": ["x", "h_prev_0"]},
            "h_new_0": {"op": "activation_tanh", "input": ["f"]},
        }
    )
    assert labelled_graph(cell) == LabelledGraph(
        ("x", "state", "linear", "tanh"), frozenset({(0, 2), (1, 2), (2, 3)})
    )


def test_the_command_writes_the_page(table, found, tmp_path, monkeypatch, capsys):
    table.write(tmp_path / "table.npz")
    monkeypatch.setattr(analysed, "analyse", lambda _: found)
    given = ["table", "analyse", "--table", tmp_path / "table.npz"]
    assert invoke(monkeypatch, *given, "--out", tmp_path / "space") == 0
    page = (tmp_path / "space" / "analysis.html").read_text()
    assert page.count("<svg") == 4
    assert "748 of 4114 recipes" in page
    assert json.loads((tmp_path / "space" / "analysis.json").read_text())["transfer"]["count"] == 273
    assert invoke(monkeypatch, *given) == 2
    assert "--out is missing" in capsys.readouterr().err


def test_a_table_with_few_recipes_is_analysed_as_far_as_it_goes(tmp_path, monkeypatch):
    """No model is fitted on too few recipes, and JSON has null where there is no number."""
    monkeypatch.setattr(analysed, "SAMPLES", 20)
    features = {1_000_000 + place: (float(place), 1.0) for place in range(4)}
    on_ptb = LoggedRun("on-ptb", "ptb", 1_000_001, "", "", 10, False, (), (), (), (), 4.5)
    source = read_logs(
        write_logs(tmp_path / "logs.zip", [log(1_000_000 + n, RECIPES[n], 50) for n in range(2)])
    )
    few = assemble([source, Source(tmp_path, runs={"on-ptb": on_ptb})], features, [], [])
    found = analysed.analyse(few)
    assert found.models == ()
    page, data = write_analysis(tmp_path / "space", found)
    content = json.loads(data.read_text(), parse_constant=pytest.fail)
    assert content["transfer"] == {"tau": None, "low": None, "high": None, "count": 1}
    assert "undefined, n = 1" in page.read_text()
    assert ">nan" not in page.read_text()


def test_a_classifier_needs_recipes_of_both_classes():
    rows = [(np.array([float(n), 0.0]), 4.0 + n / 50, 1.0) for n in range(30)]
    table = SimpleNamespace(pool=tuple)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysed, "_REPEATS", 2)
        (model,) = analysed._models(table, rows, 0)
    assert model.what.startswith("test loss on Penn Treebank")
