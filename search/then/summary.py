"""A chain of searches and retrainings in words."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING

from search.run.summary import plan_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from search.then.chain import Chain, ChainResult


def chain_lines(chain: Chain) -> Iterator[str]:
    """Say what a chain would do."""
    seeds = chain.seeds
    plan = chain.plan(seeds[0])
    suites = chain.suites(plan)
    yield from plan_lines(plan)
    yield f"searches   {len(seeds)}, seeds {', '.join(map(str, seeds))}"
    for stage, suite in suites.items():
        task = suite.tasks[0]
        settings = ", ".join(f"{key} = {json.dumps(value)}" for key, value in task.settings.items())
        changed = chain.brief if stage == "brief" else chain.full
        changes = "".join(f", {key} = {getattr(value, 'text', value)}" for key, value in changed.items())
        yield f"{stage:<10} {task.name}: {settings}{changes}"


def result_lines(result: ChainResult) -> Iterator[str]:
    """Say what came of it: each search, their mean, and the best."""
    metric, test = result.retraining.metric, result.retraining.test_metric
    judged = [candidate for candidate in result.candidates if candidate.records]
    for candidate in result.candidates:
        words = (
            f"{metric} {candidate.mean(metric):.2f}, {test} {candidate.mean(test):.2f}"
            if candidate.records
            else "-"
        )
        yield f"search seed {candidate.configuration.seed}: {candidate.entry.name}: {words} (brief)"
    for failure in result.failures:
        yield f"failed: {failure}"
    values = [candidate.mean(test) for candidate in judged]
    spread = f" ± {statistics.stdev(values):.2f} (std)" if len(values) > 1 else ""
    yield f"mean over {len(values)} searches (brief): {test} {statistics.fmean(values):.2f}{spread}"
    if result.full:
        full = [record.metrics[test].value for record in result.full]
        spread = f" ± {statistics.stdev(full):.2f} (std)" if len(full) > 1 else ""
        yield (
            f"best of {result.searches} by {metric} (full, {len(full)} seeds): "
            f"{test} {statistics.fmean(full):.2f}{spread}"
        )
    yield f"cell file: {result.out / 'best.toml'}"
    yield f"leaderboard: cellzoo board {result.out} --out {result.out / 'board'}"
