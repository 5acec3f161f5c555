"""Text for terminals and pages: what came from outside made fit to be shown, and times in words."""

from __future__ import annotations

import re

# All but what XML 1.0 allows (section 2.2); the C1 controls and the carriage return, which steer terminals;
# and the controls of writing direction, which show a text in another order than it is read in.
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)


def printable(text: str) -> str:
    """Put the replacement character in the place of escape sequences, other controls and lone surrogates."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def shortened(text: str, limit: int) -> str:
    """Cut text to `limit` characters, the last of which then is an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def duration(seconds: float) -> str:
    """Say a time as people do: `8 s`, `3 min 05 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
