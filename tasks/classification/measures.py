"""What predictions are worth, in percent: the measures of GLUE, by scikit-learn and scipy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tasks.data.catalog import Measure


def measure(name: Measure, gold: Sequence[float], predicted: Sequence[float]) -> float:
    """Compare predictions with what is right.

    Args:
        name: `f1` is that of class 1, as in GLUE.
        gold: Class numbers, or scores.
        predicted: The same.

    Returns:
        100 times the measure; NaN where it is undefined, such as a correlation with equal scores. Matthews
        correlation is 0 where all predictions are of one class, as GLUE has it, but undefined where all that is
        right is of one class.
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
