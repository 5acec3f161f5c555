"""Recomputes metrics from their items, with the contribution of each item.

F1, MCC, correlation and perplexity are not means over items. Their variance over items is estimated from the
contributions value + influence(item), whose mean is the value: the infinitesimal jackknife (Jaeckel 1972; Efron
1982, chapter 6). Three forms cover all metrics:

* a ratio of sums, R = Σ a / Σ b, with influence (a - R b) / mean(b) (Cochran 1977, 6.3): accuracy, precision,
  recall, F1 = 2 TP / (2 TP + FP + FN), and the logarithm of a perplexity, Σ nll / Σ tokens;
* a correlation of vectors, C(X, Y) / √(C(X, X) C(Y, Y)) with C(X, Y) = Σ_k cov(X_k, Y_k): Pearson's for
  numbers, and for indicators of classes Matthews', in Gorodkin's (2004) form for several classes;
* Spearman's correlation, which is Pearson's of mid-ranks, with the influence of Croux and Dehon (2010, eq. 9),
  scaled for ties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Evaluated:
    """A metric of one run, from its items.

    Attributes:
        value: The value on the scale of comparison; shares are from 0 to 1, not in per cent.
        contributions: (items,), with the mean `value`.
    """

    value: float
    contributions: np.ndarray


def ratio(above: np.ndarray, below: np.ndarray) -> Evaluated:
    """Σ above / Σ below, of two arrays (items,); 0 if the denominator is 0."""
    total = below.sum()
    if total == 0:
        return Evaluated(0.0, np.zeros(len(below)))
    value = float(above.sum() / total)
    return Evaluated(value, value + (above - value * below) * (len(below) / total))


def correlation(x: np.ndarray, y: np.ndarray) -> Evaluated:
    """Correlation of (items, d) vectors, 0 if one of the two is constant."""
    x, y = x - x.mean(0), y - y.mean(0)
    xx, yy, xy = (x * x).sum(1), (y * y).sum(1), (x * y).sum(1)  # (items,)
    spread = float(np.sqrt(xx.mean() * yy.mean()))
    if spread == 0:
        return Evaluated(0.0, np.zeros(len(x)))
    value = float(xy.mean() / spread)
    influence = xy / spread - value / 2 * (xx / xx.mean() + yy / yy.mean())
    return Evaluated(value, value + influence)


def spearman(x: np.ndarray, y: np.ndarray) -> Evaluated:
    """Rank correlation of (items,) numbers, 0 if one of the two is constant."""
    u, v = _mid_ranks(x) - 0.5, _mid_ranks(y) - 0.5  # (items,), mean 0
    spread = float(np.sqrt((u * u).mean() * (v * v).mean()))
    if spread == 0:
        return Evaluated(0.0, np.zeros(len(x)))
    value = float((u * v).mean() / spread)
    through = u * v + _mean_above(x, v) + _mean_above(y, u)
    return Evaluated(value, value + (through - through.mean()) / spread)


def indicators(labels: Sequence[Any], classes: Sequence[Any]) -> np.ndarray:
    """(items, classes) of 0 and 1."""
    places = {label: place for place, label in enumerate(classes)}
    table = np.zeros((len(labels), len(classes)))
    table[np.arange(len(labels)), [places[label] for label in labels]] = 1.0
    return table


def evaluate(metric: str, columns: Mapping[str, Sequence[Any]]) -> Evaluated | None:
    """Compute a metric of a record, given by its name, from its items.

    Args:
        metric: `f1`, `accuracy`, `mcc`, `perplexity`, `spearman`, ...
        columns: Field -> values of the items of one split or set.

    Returns:
        None if the metric cannot be computed from these items.
    """
    if metric == "perplexity" and columns.keys() >= {"nll", "tokens"}:
        return ratio(_numbers(columns["nll"]), _numbers(columns["tokens"]))
    if metric == "dynamic_perplexity" and columns.keys() >= {"dynamic_nll", "tokens"}:
        return ratio(_numbers(columns["dynamic_nll"]), _numbers(columns["tokens"]))
    if columns.keys() >= {"tp", "fp", "fn"}:
        tp, fp, fn = (_numbers(columns[name]) for name in ("tp", "fp", "fn"))
        parts = {"f1": (2 * tp, 2 * tp + fp + fn), "precision": (tp, tp + fp), "recall": (tp, tp + fn)}
        parts["accuracy"] = parts["recall"]  # where each token is a span
        return ratio(*parts[metric]) if metric in parts else None
    if columns.keys() >= {"gold", "score"}:
        return _of_scores(metric, columns["gold"], columns["score"])
    if columns.keys() >= {"gold", "prediction"}:
        return _of_predictions(metric, columns["gold"], columns["prediction"])
    return None


def _of_scores(metric: str, gold: Sequence[Any], score: Sequence[Any]) -> Evaluated | None:
    there = [(g, s) for g, s in zip(gold, score, strict=True) if s is not None]
    if metric not in ("pearson", "spearman") or len(there) < len(gold) or not there:
        return None
    x, y = _numbers(gold), _numbers(score)
    return spearman(x, y) if metric == "spearman" else correlation(x[:, None], y[:, None])


def _of_predictions(metric: str, gold: Sequence[Any], prediction: Sequence[Any]) -> Evaluated | None:
    if metric in ("pearson", "spearman"):
        return _of_scores(metric, gold, prediction)
    right = np.array([g == p for g, p in zip(gold, prediction, strict=True)], dtype=float)
    if metric == "accuracy":
        return ratio(right, np.ones(len(right)))
    classes = sorted({*gold, *prediction}, key=repr)
    if metric == "mcc":
        return correlation(indicators(gold, classes), indicators(prediction, classes))
    if metric == "f1" and set(classes) <= {0, 1}:
        tp, found, true = (
            _numbers(gold) * _numbers(prediction),
            _numbers(prediction),
            _numbers(gold),
        )
        return ratio(2 * tp, found + true)
    return None


def _numbers(values: Sequence[Any]) -> np.ndarray:
    return np.asarray(values, dtype=float)


def _mid_ranks(x: np.ndarray) -> np.ndarray:
    """Share of the items below plus half of those equal (with itself): its mean is 1/2."""
    ordered = np.sort(x)
    return (np.searchsorted(ordered, x, "left") + np.searchsorted(ordered, x, "right")) / (2 * len(x))


def _mean_above(x: np.ndarray, v: np.ndarray) -> np.ndarray:
    """For each item the mean over all items of v where x is larger, and of v / 2 where it is equal."""
    order = np.argsort(x, kind="stable")
    ordered = x[order]
    sums = np.concatenate([[0.0], np.cumsum(v[order])])
    below, upto = np.searchsorted(ordered, x, "left"), np.searchsorted(ordered, x, "right")
    return (sums[-1] - (sums[below] + sums[upto]) / 2) / len(x)
