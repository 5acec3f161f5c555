"""SMAC: a random forest over graph vectors, and expected improvement.

Hutter et al. 2011, "Sequential Model-Based Optimization for General Algorithm Configuration". The forest is
that of SMAC3 (Lindauer et al. 2022) with its default settings. Expected improvement chooses from the pool, and
one proposal in five is random, as in SMAC3. SMAC3's own maximisation of the improvement is not used: it
iterates over a set in the order of Python's hashes, which differs between processes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.improvement import ImprovementSampler
from search.features.pool import Pool, PoolSettings
from search.samplers.kind import SamplerKind
from tasks.settings import Probability

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from search.features.improvement import Predict
    from search.spaces.space import Space


class SmacSettings(PoolSettings):
    """Settings of `smac`; see `PoolSettings` for the others.

    Attributes:
        random_share: Share of the proposals that are random.
    """

    random_share: Probability = 0.2


def build(settings: SmacSettings, space: Space[Any], generator: random.Random) -> ImprovementSampler:
    """Make the sampler, as `BuildSampler`.

    Raises:
        MissingDependencyError: SMAC3 is not installed.
    """
    require("smac", "smac")
    pool = Pool(settings, space, generator)
    seed = generator.getrandbits(31)
    low, high = pool.vectors.min(axis=0), pool.vectors.max(axis=0)
    # A dimension in which all cells are alike has no range.
    spread = np.where(high > low, high - low, 1.0)

    def fit(vectors: NDArray[np.float64], values: NDArray[np.float64]) -> Predict:
        from ConfigSpace import ConfigurationSpace, Float
        from smac.model.random_forest.random_forest import RandomForest

        unit = ConfigurationSpace({}, seed=seed)
        unit.add([Float(f"v{axis}", (0.0, 1.0)) for axis in range(vectors.shape[1])])
        # A leaf for each score is no restriction, and needs less memory than SMAC3's default of 2^20 a tree.
        forest = RandomForest(unit, max_leaf_nodes=len(values) + 1, n_jobs=1, seed=seed)
        forest.train((vectors - low) / spread, values[:, None])

        def predict(vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
            mean, variance = forest.predict_marginalized((vectors - low) / spread)  # (cells, 1) twice
            return mean[:, 0], np.sqrt(variance[:, 0])

        return predict

    return ImprovementSampler(settings, pool, fit, settings.random_share)


SAMPLER = SamplerKind(
    "smac",
    "SMAC's random forest over graph vectors (Hutter et al. 2011)",
    settings=SmacSettings,
    build=build,
)
