"""Learning from a few hundred vectors in one thread.

More threads make such small products slower, tenfold where several searches run side by side, and the number of
threads changes the last digits, so that a search would not be the same on another machine.
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
