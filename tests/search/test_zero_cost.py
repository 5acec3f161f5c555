"""Zero-cost scores against independent implementations; their time, sampler, warm start and command."""

from __future__ import annotations

import csv
import json
import math
import random
import re
import time
import zipfile

import numpy as np
import pytest
import torch
from one_command import invoke
from real_data import data_folder
from scipy.stats import kendalltau
from torch.func import jacrev

import cellzoo
from cellzoo.errors import CellzooError
from search.registry import find_method
from search.spaces.nas_bench_nlp import NasBenchNlpSpace
from search.zero_cost.ranking import best_by_score
from search.zero_cost.scores import GOOD_GAIN, SCORES, Minibatch, Untrained, gain, zero_cost

SMALL = Minibatch(sequences=5, length=4, words=11, size=6, layers=3, seed=2)


def eigenvalue_score(rows):
    values = np.linalg.eigvalsh(np.corrcoef(np.asarray(rows, dtype=np.float64)))
    values = np.maximum(values, 0)
    return -np.sum(np.log(values + 1e-5) + 1 / (values + 1e-5))


@pytest.mark.parametrize("name", ["lstm", "rnn", "darts-v2"])
def test_scores_equal_their_formulas(name):
    cell = cellzoo.load(name)
    found = zero_cost(cell, batch=SMALL)
    assert list(found) == list(SCORES)
    model = Untrained(cell, SMALL)
    words = model.embedding[model.words[:-1]]  # (T, B, E)
    outputs = model.outputs(words)
    for number, output in enumerate(outputs, start=1):
        rows = np.stack([output[:, b].detach().numpy().ravel() for b in range(5)])
        assert found[f"hidden-{number}"] == pytest.approx(eigenvalue_score(rows), rel=0.02)
    # The whole Jacobian, summed over what comes out.
    slopes = jacrev(lambda x: model.outputs(x)[-1].sum((0, 2)))(words)  # (B, T, B, E)
    rows = np.stack([slopes[b, :, b].detach().numpy().ravel() for b in range(5)])
    assert found["jacobian-covariance"] == pytest.approx(eigenvalue_score(rows), rel=0.02)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    pairs = [abs(unit[a] @ unit[b]) for a in range(5) for b in range(5) if a != b]
    assert found["jacobian-cosine"] == pytest.approx(
        np.mean([1 - p ** (1 / 20) for p in pairs]), rel=1e-3, abs=1e-6
    )
    layer = cell.num_parameters(input_size=6, hidden_size=6)
    assert found["parameters"] == layer == sum(w.numel() for w in model.layers[0].parameters())
    loss = torch.nn.functional.cross_entropy(
        (outputs[-1] @ model.embedding.T).permute(0, 2, 1), model.words[1:], reduction="mean"
    )
    loss.backward()
    saliency = sum(float((w.detach() * w.grad).abs().sum()) for w in model.weights if w.grad is not None)
    assert found["saliency"] == pytest.approx(saliency, rel=1e-4)


def test_the_gain_of_a_cell_that_scales_its_input_is_its_factor():
    for factor in (1.0, 0.29, 0.05):
        model = Untrained(cellzoo.parse("h' = linear(x; bias=no) + 0 * h", "equations"), Minibatch(layers=1))
        (weight,) = model.weights
        with torch.no_grad():
            weight.copy_(factor * torch.eye(48))
        assert gain(model) == pytest.approx(factor, rel=1e-5)
    own = gain(Untrained(cellzoo.load("gru"), Minibatch(layers=1)))
    assert zero_cost(cellzoo.load("gru"), ["gain"])["gain"] == pytest.approx(-abs(np.log(own / GOOD_GAIN)))


def test_the_gain_is_the_slope_by_central_differences():
    model = Untrained(cellzoo.load("gru"), Minibatch(sequences=3, length=4, size=8, layers=1))
    inputs = torch.nn.functional.embedding(model.words[:-1], model.embedding).double()  # (T, B, E)
    rnn = model.layers[0].double()
    directions = torch.randn(3, 8, generator=torch.Generator().manual_seed(0)).double()
    slopes = torch.zeros(3, 8, dtype=torch.float64)
    for row in range(3):
        for column in range(8):
            step = torch.zeros_like(inputs)
            step[-1, row, column] = 1e-5
            high, low = ((rnn(inputs + sign * step)[0][-1] * directions).sum() for sign in (1, -1))
            slopes[row, column] = (high - low).item() / 2e-5
    model.layers[0].float()
    assert gain(model) == pytest.approx((slopes.norm() / directions.norm()).item(), rel=1e-4)


def test_synflow_of_a_product_counts_its_weights():
    """For h' = W x + U h + b, one step from h = 0 with x = 1: the weights of W and b count once, U does not."""
    cell = cellzoo.parse("h' = linear(x, h)", "equations")
    batch = Minibatch(sequences=1, length=1, words=5, size=3, layers=1, seed=4)
    model = Untrained(cell, batch)
    weights = [weight.detach().abs() for weight in model.weights]
    plain = [weight for weight in weights if weight.dim() == 1]
    matrices = [weight for weight in weights if weight.dim() == 2]
    # W_h meets a state of zeros; each weight of W_x and b enters the sum of outputs once.
    candidates = [float(matrix.sum()) + sum(float(b.sum()) for b in plain) for matrix in matrices]
    assert any(
        zero_cost(cell, ["synflow"], batch)["synflow"] == pytest.approx(math.log(c), rel=1e-5)
        for c in candidates
    )


def test_a_score_that_is_not_finite_is_none():
    exploding = cellzoo.parse("a = linear(x, h)\nb = a + h\nc = b + b\nd = c + c\nh' = d + d", "equations")
    assert zero_cost(exploding, ["hidden-3"], Minibatch(length=200, size=8))["hidden-3"] is None


def test_the_command_sorts_and_refuses(monkeypatch, capsys):
    assert invoke(monkeypatch, "zero-cost", "rnn,lstm", "--by", "parameters") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["cell", "lstm", "rnn"]
    assert lines[0].split()[1:] == list(SCORES)
    # Per layer 4 (E + H + 1) H and (E + H + 1) H with E = H = 48.
    assert [int(float(line.split()[-1])) for line in lines[1:]] == [18624, 4656]
    assert invoke(monkeypatch, "zero-cost", "rnn", "--by", "size") == 2
    assert invoke(monkeypatch, "zero-cost", "rnn", "--seed", "-1") == 2


def test_a_cell_takes_less_than_a_fifth_of_a_second():
    space, generator = NasBenchNlpSpace(), random.Random(1)
    cells = [space.to_cell(space.sample(generator)) for _ in range(20)]
    zero_cost(cells[0])
    began = time.process_time()
    for cell in cells:
        zero_cost(cell)
    assert (time.process_time() - began) / len(cells) < 0.2


def test_the_sampler_and_the_warm_start_take_the_best_of_the_pool():
    kind = find_method("zero-cost")
    settings = kind.settings(nodes=3, pool=30, trials=40, score="parameters")
    sampler = kind.build(settings, settings.cells(), random.Random(3))
    ranked = best_by_score(settings.cells(), random.Random(3), 30, "parameters")
    assert [sampler.ask().genotype for _ in range(30)] == ranked
    with pytest.raises(CellzooError, match="all 30 cells of the pool were proposed"):
        sampler.ask()
    scores = [zero_cost(settings.cells().to_cell(one), ["parameters"])["parameters"] for one in ranked]
    assert scores == sorted(scores, reverse=True)
    evolution = find_method("evolution")
    warm = evolution.settings(nodes=3, population=5, sample=2, warm_start="parameters", warm_pool=30)
    started = evolution.build(warm, warm.cells(), random.Random(3))
    assert [started.ask().genotype for _ in range(5)] == ranked[:5]


def recipe_losses():
    """Recipes with a known graph -> mean last-epoch loss on Penn Treebank; seeds joined by number."""
    ptb = {}
    with (folder("nas-bench-nlp-ptb") / "RNN_parameters.csv").open(encoding="utf-8-sig", newline="") as stream:
        for row in csv.DictReader(stream):
            name = re.search(r"model_(\d+)_", row["log name"])
            # The header stands in the file again.
            loss = float(row["loss"]) if name and row["loss"] else math.nan
            if name and math.isfinite(loss):
                ptb.setdefault(joined(int(name.group(1))), []).append(loss)
    found = {}
    with zipfile.ZipFile(folder("nas-bench-nlp") / "train_logs_wikitext-2.zip") as logs:
        for name in logs.namelist():
            number = re.search(r"model_(\d+)_", name)
            if number and joined(int(number.group(1))) in ptb:
                cell = cellzoo.parse(json.loads(logs.read(name))["recepie"], "nas-bench-nlp")
                found[cell.hash] = (cell, float(np.mean(ptb[joined(int(number.group(1)))])))
    return list(found.values())


def joined(number):
    k = number - 1_000_000
    return k % 2000 if 0 <= k < 6000 else 6000 + (k - 6000) % 2000 if 6000 <= k < 12000 else k


def folder(name):
    return data_folder(name) / name


def test_the_published_score_goes_with_losses_as_published():
    """Serianni & Kalita 2023: Kendall's tau .38 of the first layer's covariance."""
    with (folder("nas-bench-nlp-ptb") / "RNN_results.csv").open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    scores = np.array([float(row["Layer 1 Hidden Covariance"] or "nan") for row in rows])
    losses = np.array([float(row["loss"]) for row in rows])
    known = np.isfinite(scores) & np.isfinite(losses)
    assert abs(kendalltau(scores[known], -losses[known])[0] - 0.38) < 0.02


@pytest.mark.slow
def test_our_score_goes_with_losses_on_recipes_that_did_not_choose_it():
    """One half of the recipes chooses the score and its sign, the other half tests it; ten splits."""
    recipes = recipe_losses()
    assert len(recipes) > 200
    losses = np.array([loss for _, loss in recipes])
    scored = [zero_cost(cell) for cell, _ in recipes]
    table = {name: np.array([-1e30 if s[name] is None else s[name] for s in scored]) for name in SCORES}
    held_out = []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(recipes))
        choose, test = order[: len(order) // 2], order[len(order) // 2 :]
        taus = {name: kendalltau(values[choose], -losses[choose])[0] for name, values in table.items()}
        best = max(taus, key=lambda name: abs(taus[name]))
        sign = np.sign(taus[best])
        held_out.append(sign * kendalltau(table[best][test], -losses[test])[0])
    print("held-out tau", np.mean(held_out), "+-", np.std(held_out))  # noqa: T201
    assert np.mean(held_out) > 0.25


@pytest.mark.slow
def test_the_gain_goes_with_losses_on_recipes_that_did_not_choose_the_good_one():
    recipes = recipe_losses()
    losses = np.array([loss for _, loss in recipes])
    gains = np.log([gain(Untrained(cell, Minibatch(layers=1))) + 1e-20 for cell, _ in recipes])
    held_out, good = [], []
    for seed in range(20):
        order = np.random.default_rng(seed).permutation(len(recipes))
        choose, test = order[: len(order) // 2], order[len(order) // 2 :]
        grid = np.percentile(gains[choose], np.arange(2, 99, 2))
        taus = [kendalltau(-np.abs(gains[choose] - centre), -losses[choose])[0] for centre in grid]
        good.append(grid[int(np.argmax(taus))])
        held_out.append(kendalltau(-np.abs(gains[test] - good[-1]), -losses[test])[0])
    print("held-out tau of gain", np.mean(held_out), "+-", np.std(held_out))  # noqa: T201
    assert np.mean(held_out) > 0.45
    assert min(good) < np.log(GOOD_GAIN) < max(good)
