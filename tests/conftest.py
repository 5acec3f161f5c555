"""Settings of every test run."""

from __future__ import annotations

import os
import tempfile

# Tests run side by side and are small: more threads in each only wait for each other. Set before torch is
# imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# No test finds what was fetched on this machine, and none asks the net.
os.environ["CELLZOO_CACHE"] = os.path.join(tempfile.gettempdir(), f"cellzoo-tests-{os.getpid()}-absent")  # noqa: PTH118
os.environ["HF_HUB_OFFLINE"] = "1"
