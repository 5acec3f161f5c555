"""The resident memory of this process: how much there is, and how much there was at most.

On Linux the mark is `VmHWM` of /proc/self/status, which can be reset; elsewhere it is `ru_maxrss`, which
cannot, so a higher mark from before hides what is below it.
"""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def start_peak() -> int:
    """Reset the mark where that can be done; gives the resident bytes, or else the mark."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return peak()


def peak() -> int:
    """The most bytes that were resident since the mark was reset."""
    try:
        return _status("VmHWM")
    except OSError:
        import resource

        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return used if sys.platform == "darwin" else used * 1024


def _status(field: str) -> int:
    lines = _STATUS.read_text(encoding="ascii", errors="replace").splitlines()
    sizes = dict(line.split(":", 1) for line in lines if ":" in line)
    return int(sizes[field].split()[0]) * 1024
