"""Settings of every test run."""

from __future__ import annotations

import os

# Tests run side by side and are small: more threads in each only wait for each other. Set before torch is
# imported, and inherited by the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")
