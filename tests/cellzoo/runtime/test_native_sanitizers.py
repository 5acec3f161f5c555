"""The native engine under the address, undefined-behaviour and thread sanitizers."""

from __future__ import annotations

import pytest
from native_builds import build, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_addresses_and_defined_behaviour(tmp_path):
    library = build(tmp_path, "address,undefined")
    for script in ("native_workload.py", "malformed_plans.py"):
        assert run(script, library, "address,undefined", tmp_path / f"{script}.report") == ""


def test_threads(tmp_path):
    """Reports that name no function of ours are of torch's own threads, which nobody told the sanitizer of."""
    library = build(tmp_path, "thread")
    reports = run("native_workload.py", library, "thread", tmp_path / "report")
    ours = [report for report in reports.split("=" * 18) if library.name in report]
    assert ours == []
