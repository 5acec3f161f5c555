"""Settings of every test run."""

from __future__ import annotations

import gc
import os
import re
import tempfile

import pytest

# Tests run side by side and are small: more threads in each only wait for each other. Set before torch is
# imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test finds what was fetched on this machine, and none asks the net.
os.environ["CELLZOO_CACHE"] = os.path.join(tempfile.gettempdir(), f"cellzoo-tests-{os.getpid()}-absent")  # noqa: PTH118
os.environ["HF_HUB_OFFLINE"] = "1"

_SNAPSHOT = re.compile(r"\[.*?evalnas-.*\]")
_STRIDE = 10


@pytest.hookimpl(tryfirst=True)  # before pytest itself leaves out what is slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave nine of ten checks of the benchmark's snapshots, all cells of three spaces, to the slow run."""
    of_snapshots: dict[str, int] = {}
    for item in items:
        if _SNAPSHOT.search(item.name):
            test = f"{item.path}::{item.name.partition('[')[0]}"
            of_snapshots[test] = count = of_snapshots.get(test, 0) + 1
            if count % _STRIDE:
                item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session", autouse=True)
def _imported_modules_are_not_collected() -> None:
    """Torch, Flair and their like stay to the end: without them the collector's full passes are short."""
    gc.collect()
    gc.freeze()
