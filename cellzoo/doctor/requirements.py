"""The packages that cellzoo and its extras name, and whether installed versions will do."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cellzoo.system.machine import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_REQUIREMENT = re.compile(
    r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;(.*))?", re.DOTALL
)
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")
_BOUND = re.compile(r"(==|>=|<=|!=|<|>)\s*([0-9][0-9A-Za-z.+!-]*)")
_COMPARE: dict[str, Callable[[tuple[int, ...], tuple[int, ...]], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


@dataclass(frozen=True)
class Requirement:
    """A package that is needed.

    Attributes:
        package: Its name.
        bounds: Its versions, such as `>=4.40,<5`; empty for any.
        extra: The extra that needs it; empty for cellzoo itself.
    """

    package: str
    bounds: str
    extra: str

    def problem(self) -> str:
        """Say what is wrong with what is installed, or nothing."""
        found = installed(self.package)
        if found is None:
            return f"{self.package} is not installed"
        if not satisfies(found, self.bounds):
            return f"{self.package} is {found}, not {self.bounds}"
        return ""


def read_requirements(lines: Iterable[str]) -> list[Requirement]:
    """Read what `importlib.metadata.requires` gives; a line of another form is passed over."""
    found = []
    for line in lines:
        match = _REQUIREMENT.fullmatch(line.strip())
        if match:
            package, bounds, marker = match.groups()
            extra = _EXTRA.search(marker or "")
            found.append(Requirement(package, bounds.replace(" ", ""), extra[1] if extra else ""))
    return found


def satisfies(version: str, bounds: str) -> bool:
    """Whether a version lies within bounds, by the numbers of its release; `2.13.0+cpu` counts as 2.13.0."""
    release = _release(version)
    for sign, bound in _BOUND.findall(bounds):
        other = _release(bound)
        length = max(len(release), len(other))
        padded = [part + (0,) * (length - len(part)) for part in (release, other)]
        if not _COMPARE[sign](padded[0], padded[1]):
            return False
    return True


def _release(version: str) -> tuple[int, ...]:
    match = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, match[0].split("."))) if match else ()
