"""One thing that was looked at."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Status(Enum):
    """How a thing stands."""

    OK = "ok"
    ABSENT = "absent"
    """Not there, and not needed: something is slower, or not possible."""
    FAULT = "fault"
    """Needed, and missing or wrong."""


@dataclass(frozen=True)
class Finding:
    """What was found.

    Attributes:
        topic: What was looked at.
        state: How it stands.
        message: What was found.
        advice: How to mend it, where there is something to mend.
    """

    topic: str
    state: Status
    message: str
    advice: str = ""
