"""Text for users: the plan of a search, and its results."""

from __future__ import annotations

import json
import statistics
from typing import TYPE_CHECKING, Any

from cellzoo.system.text import duration, printable
from search.run.chain import mean_of
from search.run.settings import SECONDS, build_problem, method_settings
from tasks.settings import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from search.run.chain import Chain
    from search.run.request import SearchPlan
    from search.run.run import SearchReport
    from tasks.settings import Json


def plan_lines(plan: SearchPlan, seeds: Sequence[int], device: str, chain: Chain) -> Iterator[str]:
    """The plan of a search as text; builds the model to check that the search can start.

    Raises:
        CellzooError: It cannot start, for example because there is not enough memory.
    """
    import torch

    from search.registry import find_method
    from tasks.training.memory import memory_errors

    config = plan.config
    with memory_errors("building the model"):
        problem = build_problem(config, plan.data, torch.device(device))
        if not plan.is_sampled:
            # Raises an error if the settings do not fit the problem.
            kind: Any = find_method(config.method)
            kind.build(method_settings(config), problem, torch.Generator())
    layer = problem.layer
    both = " in both directions" if layer.bidirectional else ""
    yield f"method     {config.method} (preset {plan.preset_name}): {_settings(config.method_settings)}"
    yield f"task       {config.task} ({config.problem}): {_settings(config.problem_settings)}"
    if config.training_settings:
        yield f"candidates {_settings(config.training_settings)}"
    yield "data       " + ", ".join(f"{count:,} {name}" for name, count in problem.facts.items())
    yield f"layer      {layer.input_size} -> {layer.hidden_size}{both}, on {device}"
    shown = ", ".join(map(str, seeds))
    if plan.is_sampled:
        yield f"search     {config.method_settings['trials']} trials, seeds {shown}"
    else:
        yield f"search     {config.epochs} epochs of about {problem.steps} steps, seeds {shown}"
    for stage, settings in chain.stages.items():
        yield f"{stage:<10} {_settings(plain(settings))}"


def report_lines(report: SearchReport) -> Iterator[str]:
    """The results as text: each search, their mean, and the best."""
    yield from map(printable, _report_lines(report))


def _report_lines(report: SearchReport) -> Iterator[str]:
    dev, test = f"dev_{report.metric.name}", report.metric.name
    for one in report.found:
        seconds = duration(mean_of(SECONDS, [one.record]) or 0.0)
        own = f", {dev} {_shown([mean_of(dev, [one.record])])}"
        brief = (
            f"; trained briefly: {dev} {_shown([one.mean(dev)])}, {test} {_shown([one.mean(test)])}"
            if one.brief
            else ""
        )
        yield f"seed {one.seed}: {one.subject.name} in {seconds}{own}{brief}"
        if one.cell.warning:
            yield f"seed {one.seed}: note: {one.cell.warning}"
    for failure in report.failures:
        yield f"failed: {failure.job.label}: {failure.message}"
    values = [one.mean(test) for one in report.found if one.brief]
    if values:
        yield f"mean over {len(values)} searches (brief): {test} {_shown(values)}"
    if report.full:
        full = [mean_of(test, [record]) for record in report.full]
        yield f"best of {report.searches} by {dev} (full, {len(full)} seeds): {test} {_shown(full)}"
    yield f"{report.best.cell.notation}: {' '.join(report.best.cell.genotype.split())}"
    yield f"cell file: {report.path}"
    if report.full:
        yield f"leaderboard: cellzoo board {report.out} --out {report.out / 'board'}"


def _shown(values: Sequence[float | None]) -> str:
    """Mean and standard deviation of the values that are not None."""
    known = [value for value in values if value is not None]
    if not known:
        return "undefined"
    spread = f" ± {statistics.stdev(known):.2f} (std)" if len(known) > 1 else ""
    return f"{statistics.fmean(known):.2f}{spread}"


def _settings(settings: Mapping[str, Json]) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
