"""Bayesian optimisation: a Gaussian process over graph vectors, and the cell that promises most.

As in Klyuchnikov et al. 2020 (NAS-Bench-NLP), section 5, whose vectors have 10 and 50 dimensions;
scikit-learn's Gaussian process with a Matern kernel and expected improvement.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.pool import Pool, PoolSettings, expected_improvement
from search.samplers.kind import SamplerKind

if TYPE_CHECKING:
    import random

    from search.samplers.sampler import Proposal
    from search.spaces.space import Space


class BayesianOptimisation:
    """A `Sampler`.

    Args:
        settings: See there.
        space: Where the pool comes from.
        generator: Decides all draws.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """

    def __init__(self, settings: PoolSettings, space: Space[Any], generator: random.Random) -> None:
        require("sklearn", "search")
        self.settings = settings
        self.pool = Pool(settings, space, generator)
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
        mean, deviation = self.model.predict(self.pool.vectors[self.pool.free], return_std=True)
        gains = expected_improvement(mean, deviation, values.min())
        return self.pool.propose(self.pool.free[int(gains.argmax())])

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        self.pool.tell(proposal, score)

    def _fit(self, vectors: Any, values: Any) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import Matern, WhiteKernel

        width = float(np.sqrt(self.pool.vectors.shape[1]))
        kernel = Matern(width, (0.1 * width, 10 * width), nu=2.5) + WhiteKernel(0.1, (1e-3, 10.0))
        with warnings.catch_warnings():
            # A length at its bound is no fault here: it says that the vectors tell little, or much.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(vectors, values)


SAMPLER = SamplerKind(
    "bayes",
    "Bayesian optimisation with a Gaussian process over graph vectors",
    settings=PoolSettings,
    build=BayesianOptimisation,
)
