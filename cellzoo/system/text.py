"""Text for terminals and pages: foreign text made safe to show, and durations in words."""

from __future__ import annotations

import re

# What XML 1.0 forbids (section 2.2); the carriage return and the C1 controls, which terminals act on;
# and the controls of writing direction, which display a text in another order than it is stored in.
_UNPRINTABLE = re.compile(
    "[^\t\n\x20-\x7e\xa0-\u2029\u202f-\u2065\u206a-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)
# What Markdown reads as markup; an ampersand only where it may begin an entity.
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$]|&(?=[#\w]))")


def printable(text: str) -> str:
    """Replace escape sequences, other control characters and lone surrogates by the replacement character."""
    return _UNPRINTABLE.sub("\ufffd", text.replace("\r\n", "\n"))


def escape_markdown(text: str) -> str:
    """Escape text so that Markdown shows it literally, on one line, also in a table."""
    return _MARKDOWN.sub(r"\\\1", " ".join(text.split()))


def shortened(text: str, limit: int) -> str:
    """Cut text to `limit` characters, the last of which is then an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def duration(seconds: float) -> str:
    """Write a duration for people: `8 s`, `3 min 05 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
