"""How many threads a run may use."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def thread_variables(count: int) -> dict[str, str]:
    """Environment variables that torch and the libraries below it read when they are loaded."""
    return {
        "OMP_NUM_THREADS": str(count),
        "MKL_NUM_THREADS": str(count),
        "OPENBLAS_NUM_THREADS": str(count),
        # Otherwise torch takes fewer threads than asked for where there are fewer cores.
        "MKL_DYNAMIC": "FALSE",
    }


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Change environment variables for a while."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
