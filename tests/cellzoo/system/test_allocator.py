import subprocess
import sys

import pytest

_FAULTS = """
import resource
from cellzoo.system.allocator import keep_freed_memory
if {kept}:
    assert keep_freed_memory()
def step():
    pieces = [b'.' * (12 << 20) for _ in range(8)]
step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is that of Linux")
def test_freed_memory_is_used_again_without_page_faults():
    # Five times 96 MiB are 122,880 pages of 4 KiB, if each step has to get them anew.
    faults = {
        kept: int(
            subprocess.run(
                [sys.executable, "-c", _FAULTS.format(kept=kept)], capture_output=True, check=True, text=True
            ).stdout
        )
        for kept in (False, True)
    }
    assert faults[True] < 1000
    assert faults[False] > 10 * faults[True]
