"""Optuna's tree-structured Parzen estimator (Bergstra et al. 2011) over graph vectors.

Optuna proposes a point; the nearest cell of the pool is evaluated, and its score is reported with its own
vector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.pool import Pool, PoolSettings
from search.samplers.kind import SamplerKind

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from search.samplers.sampler import Proposal
    from search.spaces.space import Space


class ParzenEstimator:
    """A `Sampler`; cells that failed count as the worst so far.

    Args:
        settings: The settings.
        space: Gives the pool.
        generator: The source of all random numbers.

    Raises:
        MissingDependencyError: Optuna is not installed.
    """

    def __init__(self, settings: PoolSettings, space: Space[Any], generator: random.Random) -> None:
        require("optuna", "search")
        import optuna

        self.settings = settings
        self.pool = Pool(settings, space, generator)
        low, high = self.pool.vectors.min(axis=0), self.pool.vectors.max(axis=0)
        self.ranges: dict[str, Any] = {
            f"v{axis}": optuna.distributions.FloatDistribution(float(low[axis]), float(high[axis]))
            for axis in range(len(low))
        }
        self.seed = generator.getrandbits(31)

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        return self.pool.ask(lambda vectors, values: self.pool.nearest(self._point(vectors, values)))

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        self.pool.tell(proposal, score)

    def _point(self, vectors: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Optuna's next proposal, given all vectors and their values."""
        import optuna

        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            estimator = optuna.samplers.TPESampler(
                n_startup_trials=0,
                multivariate=True,
                seed=(self.seed + len(self.pool.places)) % 2**31,
            )
            study = optuna.create_study(sampler=estimator)
            study.add_trials(
                [
                    optuna.trial.create_trial(
                        params={f"v{axis}": float(number) for axis, number in enumerate(vector)},
                        distributions=self.ranges,
                        value=float(value),
                    )
                    for vector, value in zip(vectors, values, strict=True)
                ]
            )
            asked = study.ask(self.ranges)
        finally:
            optuna.logging.set_verbosity(before)
        return np.array([asked.params[name] for name in self.ranges])


SAMPLER = SamplerKind(
    "tpe",
    "tree-structured Parzen estimator of Optuna over graph vectors (Bergstra et al. 2011)",
    settings=PoolSettings,
    build=ParzenEstimator,
)
