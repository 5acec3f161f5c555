"""What is drawn for a configuration, and how.

    [tuning]                                        # in a task file; without it: `default.toml`
    learning_rate = { factor = 10.0 }               # around the task's own value, by the logarithm
    dropout = { low = 0.0, high = 0.7 }             # uniform; with log = true by the logarithm
    init = { choices = ["uniform", "published"] }

Each setting of each configuration is drawn from a generator of its own, seeded by task, number and name. So
the first eight of sixteen configurations are the eight of a smaller budget, and a setting that is added or held
fixed changes no other.
"""

from __future__ import annotations

import math
import random
import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Self

from pydantic import Field, JsonValue, TypeAdapter, model_validator

from cellzoo.errors import CellzooError, unknown
from tasks.settings import plain, setting_names
from tasks.toml_file import TomlModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tasks.settings import Json, Settings

_DIGITS = 3


class Range(TomlModel):
    """The values that a setting can have.

    Attributes:
        low: The smallest value.
        high: The largest value.
        log: Whether values between `low` and `high` are uniform in their logarithm.
        factor: How many times smaller or larger than the task's own value, uniform in the logarithm.
        choices: The values, equally likely.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    factor: float | None = Field(default=None, gt=1)
    choices: list[JsonValue] | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        has_ends = self.low is not None and self.high is not None
        if [has_ends, self.factor is not None, self.choices is not None].count(True) != 1:
            raise ValueError("expected `low` and `high`, or `factor`, or `choices`")
        if self.low is not None and self.high is not None:
            if self.low >= self.high:
                raise ValueError(f"`low` is {self.low:g}; it must be below `high`, {self.high:g}")
            if self.log and self.low <= 0:
                raise ValueError(f"`low` is {self.low:g}; with `log` it must be above 0")
        return self

    def draw(self, own: Json, generator: random.Random) -> Json:
        """Draw a value.

        Args:
            own: The task's value.
            generator: Gives one number.

        Raises:
            ValueError: The task's value has no multiples.
        """
        share = generator.random()
        if self.choices is not None:
            return self.choices[int(share * len(self.choices))]
        if self.factor is not None:
            if isinstance(own, bool) or not isinstance(own, int | float) or own <= 0:
                raise ValueError(f"the task's value is {own!r}; with `factor` it must be a number above 0")
            value = own * self.factor ** (2 * share - 1)
        else:
            low, high = self.low or 0.0, self.high or 0.0
            value = low * (high / low) ** share if self.log else low + share * (high - low)
        if isinstance(own, int) and not isinstance(own, bool):
            return math.floor(value + 0.5)
        return float(f"{value:.{_DIGITS}g}")


Space = dict[str, Range]


@cache
def default_space() -> Space:
    """The space of tasks that have none of their own."""
    text = files("tasks.tuning").joinpath("default.toml").read_text(encoding="utf-8")
    return TypeAdapter(Space).validate_python(tomllib.loads(text))


def task_space(task: str, settings: type[Settings], own: Mapping[str, Range], fixed: Iterable[str]) -> Space:
    """The settings of a task that are drawn.

    Args:
        task: Its name, for messages.
        settings: Its settings.
        own: The space that it states; empty for the default, of which it takes what it has.
        fixed: Settings that the user has set, which stay as they are.

    Raises:
        UnknownNameError: The stated space has a setting that the task does not have.
        CellzooError: There is nothing to draw.
    """
    known = list(setting_names(settings))
    for name in own:
        if name not in known:
            error = unknown("setting", name[:80], known)
            raise type(error)(f"task {task!r}: key 'tuning': {error}")
    held = set(fixed)
    space = {name: found for name, found in (own or default_space()).items() if name in known}
    space = {name: found for name, found in sorted(space.items()) if name not in held}
    if not space:
        raise CellzooError(
            f"task {task!r}: --tune has nothing to draw: it has none of the settings of the default space, or "
            "all are set; its file can state a table [tuning]"
        )
    return space


def draw(space: Space, config: Settings, task: str, number: int) -> dict[str, Json]:
    """Draw a configuration: what is different from `config`.

    Args:
        space: What is drawn.
        config: The task's own configuration.
        task: Its name; another task has other draws.
        number: Of the configuration, from 0.

    Raises:
        CellzooError: A value cannot be drawn.
    """
    own = plain(config)
    drawn: dict[str, Json] = {}
    for name, found in space.items():
        try:
            drawn[name] = found.draw(own[name], random.Random(f"{task} {number} {name}"))  # noqa: S311
        except ValueError as error:
            raise CellzooError(f"task {task!r}: key 'tuning.{name}': {error}") from error
    return drawn


def describe(space: Space) -> dict[str, JsonValue]:
    """The space as plain data, as records have it."""
    return {name: found.model_dump(mode="json", exclude_defaults=True) for name, found in space.items()}
