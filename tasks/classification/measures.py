"""The metrics of GLUE in percent, computed by scikit-learn and scipy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.catalog import Measure


def measure(name: Measure, gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Compute a metric.

    Args:
        name: Name of the metric; `f1` is that of class 1, as in GLUE.
        gold: Gold class numbers, or scores.
        predicted: Predicted class numbers, or scores.

    Returns:
        100 times the metric; NaN if it is undefined, such as a correlation with constant scores. Matthews
        correlation is 0 if all predictions are the same class, as in GLUE, but undefined if all gold labels
        are.
    """
    if name in ("pearson", "spearman"):
        return 100.0 * _correlation(name, gold, predicted)
    from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef

    if name == "accuracy":
        return 100.0 * float(accuracy_score(gold, predicted))
    if name == "mcc":
        return math.nan if len(set(gold)) < 2 else 100.0 * float(matthews_corrcoef(gold, predicted))
    if not any(gold) and not any(predicted):
        return math.nan
    return 100.0 * float(f1_score(gold, predicted, pos_label=1, zero_division=0))


def _correlation(name: str, gold: Sequence[float], predicted: Sequence[float]) -> float:
    from scipy.stats import pearsonr, spearmanr

    if len(gold) < 2 or min(gold) == max(gold) or min(predicted) == max(predicted):
        return math.nan
    return float((pearsonr if name == "pearson" else spearmanr)(gold, predicted).statistic)
