"""Characters that may stand in a page, a picture and a terminal."""

from __future__ import annotations

import re

# All but what XML 1.0 allows (section 2.2), and the C1 controls, which steer terminals.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def printable(text: str) -> str:
    """Put the replacement character in the place of control characters and the like."""
    return _UNPRINTABLE.sub("\ufffd", text)
