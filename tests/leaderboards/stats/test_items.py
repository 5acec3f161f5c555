from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics

from leaderboards.stats.items import evaluate, spearman

N = 120


def columns(kind, seed=0):
    generator = np.random.default_rng(seed)
    if kind == "spans":
        gold = generator.poisson(1.3, N)
        tp = generator.binomial(gold, 0.7)
        return {"tp": tp.tolist(), "fp": generator.poisson(0.4, N).tolist(), "fn": (gold - tp).tolist()}
    if kind == "tokens":
        tokens = 5 + generator.poisson(12, N)
        return {"nll": (tokens * generator.normal(4.5, 0.5, N)).tolist(), "tokens": tokens.tolist()}
    gold = generator.normal(0, 1, N).round(1)
    if kind == "scores":
        return {"gold": gold.tolist(), "score": (gold + generator.normal(0, 1, N)).tolist()}
    labels = generator.integers(0, 2 if kind == "binary" else 3, N)
    guesses = np.where(generator.random(N) < 0.7, labels, generator.integers(0, 2, N))
    return {"gold": labels.tolist(), "prediction": guesses.tolist()}


def by_hand(metric, kind, c):
    if kind == "spans":
        tp, fp, fn = (sum(c[name]) for name in ("tp", "fp", "fn"))
        precision, recall = tp / (tp + fp), tp / (tp + fn)
        f1 = 2 * precision * recall / (precision + recall)
        return {"f1": f1, "precision": precision, "recall": recall}[metric]
    if kind == "tokens":
        return sum(c["nll"]) / sum(c["tokens"])
    if kind == "scores":
        return getattr(stats, f"{metric}r")(c["gold"], c["score"]).statistic
    theirs = {"accuracy": metrics.accuracy_score, "mcc": metrics.matthews_corrcoef, "f1": metrics.f1_score}
    return theirs[metric](c["gold"], c["prediction"])


CASES = [
    ("f1", "spans"),
    ("precision", "spans"),
    ("recall", "spans"),
    ("perplexity", "tokens"),
    ("pearson", "scores"),
    ("spearman", "scores"),
    ("accuracy", "classes"),
    ("mcc", "classes"),
    ("mcc", "binary"),
    ("f1", "binary"),
]


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_value_and_contributions(metric, kind):
    found = evaluate(metric, columns(kind))
    assert found.value == pytest.approx(by_hand(metric, kind, columns(kind)))
    assert found.contributions.mean() == pytest.approx(found.value)


@pytest.mark.parametrize(("metric", "kind"), CASES)
def test_contributions_are_what_leaving_an_item_out_takes_away(metric, kind):
    whole = columns(kind)
    found = evaluate(metric, whole)
    without = [by_hand(metric, kind, {name: v[:i] + v[i + 1 :] for name, v in whole.items()}) for i in range(N)]
    jackknife = np.array([N * found.value - (N - 1) * value for value in without])
    assert np.corrcoef(jackknife, found.contributions)[0, 1] > 0.995
    assert found.contributions.std() == pytest.approx(jackknife.std(), rel=0.05)


def test_spearman_varies_as_much_as_it_says():
    generator = np.random.default_rng(5)

    def draw():
        x = generator.normal(0, 1, 300)
        return spearman(x, x + generator.normal(0, 1, 300))

    found = [draw() for _ in range(400)]
    true = np.std([f.value for f in found])
    assert np.mean([f.contributions.std() / math.sqrt(300) for f in found]) == pytest.approx(true, rel=0.12)


@pytest.mark.parametrize("metric", ["f1", "pearson", "spearman", "mcc", "perplexity", "accuracy", "nonsense"])
def test_what_items_cannot_give_is_none(metric):
    assert evaluate(metric, {}) is None
    assert evaluate(metric, {"something": [1, 2]}) is None


def test_degenerate_items_do_not_raise():
    assert evaluate("f1", {"tp": [0, 0], "fp": [0, 0], "fn": [0, 0]}).value == 0
    assert evaluate("pearson", {"gold": [1.0, 1.0], "score": [1.0, 2.0]}).value == 0
    assert evaluate("spearman", {"gold": [1.0, 1.0], "score": [1.0, 2.0]}).value == 0
    assert evaluate("spearman", {"gold": [1.0, 2.0], "score": [1.0, None]}) is None
    assert evaluate("mcc", {"gold": ["a", "a"], "prediction": ["a", "b"]}).value == 0
