"""Linear algebra in one thread, for models of a few hundred vectors.

More threads make such small products slower, tenfold if several searches run in parallel. The number of threads
also changes rounding, so a search would give different results on another machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cellzoo.system.extras import require

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[Any]:
    """Limit numpy's, scipy's and scikit-learn's linear algebra to one thread.

    Raises:
        MissingDependencyError: threadpoolctl is not installed.
    """
    require("threadpoolctl", "search")
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1)
