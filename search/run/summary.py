"""A search in words: before it begins, and when it has ended."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from cellzoo.catalog import entry
from cellzoo.system.duration import duration
from search.run.events import read_events
from search.run.memory import memory_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from search.run.directory import RunDirectory
    from search.run.loop import Plan


def plan_lines(plan: Plan) -> Iterator[str]:
    """Say what a search would do.

    Raises:
        CellzooError: It could not begin, be it for want of memory.
    """
    own, prepared = plan.configuration, plan.prepared
    # Says what does not fit together; nothing else is done with it.
    with memory_errors("building the model"):
        plan.build(prepared.objective, torch.Generator())
    layer = prepared.objective.layer
    yield f"method     {own.method} (preset {own.preset}): {_settings(own.method_settings)}"
    yield f"objective  {own.objective} on {own.data}: {_settings(own.objective_settings)}"
    yield "data       " + ", ".join(f"{count:,} {name}" for name, count in prepared.facts.items())
    both = " in both directions" if layer.bidirectional else ""
    place = f"{plan.device}, {own.threads} thread(s)"
    yield f"layer      {layer.input_size} -> {layer.hidden_size}{both}, on {place}"
    yield f"search     {own.epochs} epochs of about {prepared.steps} steps, seed {own.seed}"


def found_lines(directory: RunDirectory) -> Iterator[str]:
    """Say what a finished search has found."""
    found = entry(directory.found)
    events = read_events(directory.events)
    epochs = [event for event in events if event["event"] == "epoch"]
    cells = [event["cell"]["hash"] for event in epochs]
    changes = sum(before != after for before, after in pairwise(cells))
    yield f"{found.name}: {' '.join(found.genotype.split())}"
    yield (
        f"{len(epochs)} epochs in {duration(events[-1]['seconds'])}; the derived cell changed {changes} "
        f"time(s); validation {last_validation(epochs)}"
    )
    yield f"cell file: {directory.found}"


def last_validation(epochs: list[dict[str, Any]]) -> str:
    """The measures of the last epoch in words."""
    return ", ".join(
        f"{name} {'too large' if value is None else format(value, '.4g')}"
        for name, value in epochs[-1]["validation"].items()
    )


def _settings(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
