"""A bagged boosting surrogate: boosted trees over graph vectors, whose disagreement estimates the uncertainty.

Ten LightGBM models are fitted, each on a resample of the known scores; the cell with the largest expected
improvement under their mean and standard deviation is proposed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.improvement import ImprovementSampler
from search.features.pool import Pool, PoolSettings
from search.samplers.kind import SamplerKind
from tasks.settings import Size

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from search.features.improvement import Predict
    from search.spaces.space import Space


class BoostingSettings(PoolSettings):
    """Settings of `boosting`; see `PoolSettings` for the others.

    Attributes:
        models: Boosted models, each fitted on its own resample.
        trees: Trees of each model.
    """

    models: Size = 10
    trees: Size = 30


def build(settings: BoostingSettings, space: Space[Any], generator: random.Random) -> ImprovementSampler:
    """Make the sampler, as `BuildSampler`.

    Raises:
        MissingDependencyError: LightGBM or scikit-learn is not installed.
    """
    require("sklearn", "search")
    require("lightgbm", "search")
    pool = Pool(settings, space, generator)
    seed = generator.getrandbits(31)

    def fit(vectors: NDArray[np.float64], values: NDArray[np.float64]) -> Predict:
        from lightgbm import LGBMRegressor
        from sklearn.ensemble import BaggingRegressor

        trees = LGBMRegressor(
            n_estimators=settings.trees,
            num_leaves=8,
            min_child_samples=2,
            n_jobs=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
        )
        models = BaggingRegressor(trees, settings.models, random_state=seed).fit(vectors, values).estimators_

        def predict(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            guesses = np.stack([one.predict(vectors) for one in models])  # (models, cells)
            return guesses.mean(axis=0), guesses.std(axis=0)

        return predict

    return ImprovementSampler(settings, pool, fit)


SAMPLER = SamplerKind(
    "boosting",
    "bagged boosted trees over graph vectors, with expected improvement",
    settings=BoostingSettings,
    build=build,
)
