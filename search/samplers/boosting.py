"""A bagged boosting surrogate: boosted trees over graph vectors, whose disagreement says how sure they are.

Ten LightGBM models, each on a resample of what is known; the cell whose expected improvement under their mean
and deviation is the largest comes next.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.pool import Pool, PoolSettings, expected_improvement
from search.samplers.kind import SamplerKind
from tasks.settings import Size

if TYPE_CHECKING:
    import random

    from search.samplers.sampler import Proposal
    from search.spaces.space import Space


class BoostingSettings(PoolSettings):
    """Settings of `boosting`; see `PoolSettings` for the others.

    Attributes:
        models: Boosted models, each on its own resample.
        trees: Of each of them.
    """

    models: Size = 10
    trees: Size = 30


class BoostedTrees:
    """A `Sampler`.

    Args:
        settings: See there.
        space: Where the pool comes from.
        generator: Decides all draws.

    Raises:
        MissingDependencyError: LightGBM or scikit-learn is not installed.
    """

    def __init__(self, settings: BoostingSettings, space: Space[Any], generator: random.Random) -> None:
        require("sklearn", "search")
        require("lightgbm", "search")
        self.settings = settings
        self.pool = Pool(settings, space, generator)
        self.seed = generator.getrandbits(31)
        self.model: Any = None
        self.learned = 0

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        if len(self.pool.places) == self.settings.trials:
            return None
        if not self.pool.is_learning or not self.pool.free:
            return self.pool.propose()
        vectors, values = self.pool.known()
        if self.model is None or len(values) - self.learned >= self.settings.refit:
            self.model, self.learned = self._fit(vectors, values), len(values)
        free = self.pool.vectors[self.pool.free]
        guesses = np.stack([one.predict(free) for one in self.model.estimators_])  # (models, cells)
        gains = expected_improvement(guesses.mean(axis=0), guesses.std(axis=0), values.min())
        return self.pool.propose(self.pool.free[int(gains.argmax())])

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        self.pool.tell(proposal, score)

    def _fit(self, vectors: Any, values: Any) -> Any:
        from lightgbm import LGBMRegressor
        from sklearn.ensemble import BaggingRegressor

        trees = LGBMRegressor(
            n_estimators=self.settings.trees,
            num_leaves=8,
            min_child_samples=2,
            n_jobs=1,
            deterministic=True,
            force_row_wise=True,
            verbose=-1,
        )
        return BaggingRegressor(trees, self.settings.models, random_state=self.seed).fit(vectors, values)


SAMPLER = SamplerKind(
    "boosting",
    "bagged boosted trees over graph vectors, with expected improvement",
    settings=BoostingSettings,
    build=BoostedTrees,
)
