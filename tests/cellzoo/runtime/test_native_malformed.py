"""Plans that are not plans: the library refuses them, and never crashes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cellzoo.runtime.native import binding

HERE = Path(__file__).parents[2] / "helpers"


@pytest.mark.skipif(not binding.is_available(), reason=binding.status()[1])
def test_changed_numbers_are_refused_or_run_within_their_memory():
    """In a process of its own, so that a crash is seen as one."""
    process = subprocess.run(
        [sys.executable, HERE / "malformed_plans.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])])},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.endswith("done\n")
