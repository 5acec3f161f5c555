"""A sampler that proposes the cell of a pool with the largest expected improvement under a model of scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from search.features.pool import Pool, PoolSettings
    from search.samplers.sampler import Proposal


class Predict(Protocol):
    """A fitted model."""

    def __call__(self, vectors: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Predict mean and standard deviation for each vector, (cells, dimensions) -> (cells,) twice."""
        ...


class Fit(Protocol):
    """A function that fits a model."""

    def __call__(self, vectors: NDArray[np.float64], values: NDArray[np.float64]) -> Predict:
        """Fit vectors, (cells, dimensions), and their values, (cells,)."""
        ...


class ImprovementSampler:
    """A `Sampler`.

    Args:
        settings: The settings.
        pool: The cells to choose from.
        fit: Fits the model.
        random_share: Share of the proposals that are random.
    """

    def __init__(self, settings: PoolSettings, pool: Pool, fit: Fit, random_share: float = 0.0) -> None:
        self.settings, self.pool, self.fit, self.random_share = settings, pool, fit, random_share
        self.model: Predict | None = None
        self.learned = 0

    def ask(self) -> Proposal | None:
        """See `Sampler`."""
        return self.pool.ask(self._promising)

    def tell(self, proposal: Proposal, score: float | None) -> None:
        """See `Sampler`."""
        self.pool.tell(proposal, score)

    def _promising(self, vectors: NDArray[np.float64], values: NDArray[np.float64]) -> int:
        """The free cell with the largest expected improvement, or a random one."""
        generator = self.pool.generator
        if self.random_share and generator.random() < self.random_share:
            return generator.choice(self.pool.free)
        if self.model is None or len(values) - self.learned >= self.settings.refit:
            self.model, self.learned = self.fit(vectors, values), len(values)
        free = self.pool.free
        mean, deviation = self.model(self.pool.vectors[free])
        return free[int(expected_improvement(mean, deviation, values.min()).argmax())]


def expected_improvement(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    """Expected improvement of normally distributed values below the best one (Jones et al. 1998)."""
    from scipy.stats import norm

    deviation = np.maximum(deviation, 1e-9)
    scaled = (best - mean) / deviation
    return np.asarray(deviation * (scaled * norm.cdf(scaled) + norm.pdf(scaled)), dtype=np.float64)
