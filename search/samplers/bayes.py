"""Bayesian optimisation: a Gaussian process over graph vectors, and expected improvement.

As in Klyuchnikov et al. 2020 (NAS-Bench-NLP), section 5, whose vectors have 10 and 50 dimensions. The process
is scikit-learn's with a Matern kernel.
"""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from cellzoo.system.extras import require
from search.features.improvement import ImprovementSampler
from search.features.pool import Pool, PoolSettings
from search.samplers.kind import SamplerKind

if TYPE_CHECKING:
    import random

    from numpy.typing import NDArray

    from search.features.improvement import Predict
    from search.spaces.space import Space


def build(settings: PoolSettings, space: Space[Any], generator: random.Random) -> ImprovementSampler:
    """Make the sampler, as `BuildSampler`.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    require("sklearn", "search")
    return ImprovementSampler(settings, Pool(settings, space, generator), _fit)


def _fit(vectors: NDArray[np.float64], values: NDArray[np.float64]) -> Predict:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import Matern, WhiteKernel

    width = float(np.sqrt(vectors.shape[1]))
    kernel = Matern(width, (0.1 * width, 10 * width), nu=2.5) + WhiteKernel(0.1, (1e-3, 10.0))
    with warnings.catch_warnings():
        # A length scale at its bound is acceptable: the vectors then predict the scores very badly, or well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        process = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(vectors, values)
    return partial(process.predict, return_std=True)


SAMPLER = SamplerKind(
    "bayes",
    "Bayesian optimisation with a Gaussian process over graph vectors",
    settings=PoolSettings,
    build=build,
)
