"""The peak resident memory of this process.

On Linux this is `VmHWM` of /proc/self/status, which can be reset. Elsewhere it is `ru_maxrss`, which cannot: an
earlier, higher peak hides later ones.
"""

from __future__ import annotations

import sys
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def start_peak() -> int:
    """Reset the peak where possible; return the resident bytes, or the peak if it could not be reset."""
    try:
        _CLEAR.write_text(_RESET_PEAK, encoding="ascii")
        return _status("VmRSS")
    except OSError:
        return peak()


def peak() -> int:
    """The peak resident bytes since the last reset."""
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
