"""The run record: the one schema of a result.

One JSON file for one (task, configuration, data, cell, seed), and beside it one JSON object a line for every
item that was evaluated. The record names the items file and its digest; the items file is written first, so a
record that exists is complete. `record_key` says what its key is made of, `record_file` reads and writes it.
"""

from __future__ import annotations

import math
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

SCHEMA_VERSION = 1
NAME_PATTERN = r"^[a-z0-9][a-z0-9._+-]{0,79}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class TaskReference(_Strict):
    """Which task, in which revision."""

    name: str = Field(pattern=NAME_PATTERN)
    revision: int = Field(ge=1)
    title: str


class CellReference(_Strict):
    """Which cell. `hash` identifies the graph, a baseline has none; `genotype` in `notation` can rebuild it.

    `init` is how its weights started, where the run took them as they were published.
    """

    name: str = Field(pattern=NAME_PATTERN)
    kind: Literal["cell", "baseline"]
    hash: str | None
    origin: str
    notation: str
    genotype: str
    init: dict[str, float | str] = {}


class DataReference(_Strict):
    """Which files a data set was read from, by role."""

    origin: str
    sha256: dict[str, str]


class MetricValue(_Strict):
    """One measured number with what a table needs to show it; null where the data does not define it."""

    value: float | None
    title: str
    higher_is_better: bool
    digits: int = Field(ge=0, le=12)


class ItemsReference(_Strict):
    """The per-item statistics beside the record."""

    file: str = Field(pattern=r"^[a-z0-9][A-Za-z0-9._+-]*$")
    sha256: str = Field(pattern=SHA256_PATTERN)
    count: int = Field(ge=0)


class Parameters(_Strict):
    """Parameter counts of the trained model."""

    cell: int = Field(ge=0)
    total_without_embeddings: int = Field(ge=0)
    total: int = Field(ge=0)


class LatencyReference(_Strict):
    """Milliseconds for a test item alone, by one thread: the median, and what 95 % of the items stay below."""

    median_ms: float = Field(ge=0)
    p95_ms: float = Field(ge=0)
    items: int = Field(ge=1)


class Timing(_Strict):
    """Wall seconds by phase, throughput over the training phase, and latency where it was measured."""

    seconds: dict[str, float]
    total_seconds: float = Field(ge=0)
    tokens_per_second: float = Field(ge=0)
    latency: LatencyReference | None = None


class CodeVersion(_Strict):
    """Which code made the number. `revision` is None outside a checkout."""

    version: str
    revision: str | None
    dirty: bool | None


class Environment(_Strict):
    """Where it ran."""

    python: str
    packages: dict[str, str]
    platform: str
    processor: str
    device: str
    threads: int = Field(ge=1)


class HeldEqual(_Strict):
    """What every cell got equally much of, the width that was solved for it, and how near that came."""

    quantity: Literal["parameters", "flops", "time"]
    target: float = Field(gt=0)
    reached: float = Field(gt=0)
    hidden_size: int = Field(ge=1)

    @property
    def deviation(self) -> float:
        """Distance from the target as a share of it: -0.01 is one per cent less."""
        return self.reached / self.target - 1


class TuningReference(_Strict):
    """From which space a configuration was drawn, as which trial; and out of how many it was chosen.

    `trials` is None in the record of a trial itself; `chosen_by` is the metric on dev.
    """

    chosen_by: str
    space: dict[str, JsonValue]
    trial: int = Field(ge=0)
    trials: int | None = Field(default=None, ge=1)


class RunHead(_Strict):
    """Which run it is. `key` is `record_key` of everything that decides the number.

    `after` is the key of the run whose artifact is measured. A run whose `purpose` is confirmation measures, on
    a fresh seed, a cell that was chosen because its other runs were the best, and one that is for tuning a
    configuration that may be chosen: neither takes part in a ranking.
    """

    schema_version: Literal[1]
    key: str = Field(pattern=SHA256_PATTERN)
    task: TaskReference
    cell: CellReference
    seed: int = Field(ge=0)
    purpose: Literal["evaluation", "confirmation", "tuning"] = "evaluation"
    tuning: TuningReference | None = None
    configuration: dict[str, JsonValue]
    data: dict[str, DataReference]
    after: str | None = Field(default=None, pattern=SHA256_PATTERN)


class RunRecord(RunHead):
    """One result.

    `facts` are sizes of the data; `held` is what was held equal for all cells; `notes` is what a reader must
    know of the numbers.
    """

    metrics: dict[str, MetricValue] = Field(min_length=1)
    primary: str
    items: ItemsReference
    parameters: Parameters
    flops_per_token: int = Field(ge=0)
    tokens: int = Field(ge=0)
    timing: Timing
    history: list[dict[str, JsonValue]]
    facts: dict[str, int] = {}
    held: HeldEqual | None = None
    notes: list[str] = []
    code: CodeVersion
    environment: Environment
    created: str

    def value(self, name: str) -> float:
        """The value of a metric; NaN where the record does not have it, or the data does not define it."""
        metric = self.metrics.get(name)
        return math.nan if metric is None or metric.value is None else metric.value

    @property
    def score(self) -> float | None:
        """The value of the primary metric; None where the data does not define it."""
        return self.metrics[self.primary].value

    def comparable(self) -> dict[str, Any]:
        """Everything but times: equal for two runs of one key on one machine."""
        content = self.model_dump(mode="json")
        for name in ("timing", "created"):
            del content[name]
        content["history"] = [
            {key: value for key, value in epoch.items() if not key.startswith("seconds")}
            for epoch in content["history"]
        ]
        return content
