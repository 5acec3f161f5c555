"""A budget for every run of a command: `600s`, `10min`, `2h` of training, or `20epochs`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from cellzoo.errors import CellzooError

if TYPE_CHECKING:
    from collections.abc import Mapping

_FORM = re.compile(r"(\d{1,9})\s*(s|min|h|epochs?)", re.ASCII)
_SECONDS = {"s": 1, "min": 60, "h": 3600}


def with_budget(settings: Mapping[str, Any], budget: str | None) -> dict[str, Any]:
    """Settings, with the budget among them for every task that trains.

    Seconds are those of training and evaluation on dev, and the machine then decides the result; a task's own
    number of epochs stays the most.

    Raises:
        CellzooError: The budget is of another form, or is set otherwise, too.
    """
    if budget is None:
        return dict(settings)
    found = _FORM.fullmatch(budget.strip())
    if found is None or int(found[1]) == 0:
        raise CellzooError(
            f"--budget {budget!r:.80}: expected seconds or epochs, such as 600s, 10min, 2h or 20epochs"
        )
    amount, unit = int(found[1]), found[2]
    name, value = ("max_seconds", float(amount * _SECONDS[unit])) if unit in _SECONDS else ("epochs", amount)
    for key in settings:
        if key.rpartition(".")[2] == name:
            raise CellzooError(f"--budget {budget}: {key} is given with --set, too; give one of them")
    return {**settings, name: value}
