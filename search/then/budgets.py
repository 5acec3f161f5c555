"""How long found cells are retrained: part of each preset.

[then.language-modeling.brief]    # settings of the retraining task, for every found cell
[then.language-modeling.full]     # the same, for the best of them
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cellzoo.errors import CellzooError
from search.run.presets import read_preset
from tasks.suites.suite import Suite, SuiteTask

if TYPE_CHECKING:
    from search.objectives.kind import ObjectiveKind

STAGES = ("brief", "full")


def retraining_suite(preset: str, objective: ObjectiveKind, data: str, stage: str) -> Suite:
    """The suite of one task that retrains cells.

    Args:
        preset: Its name.
        objective: What the cells were searched on.
        data: The data set.
        stage: `brief` or `full`.

    Raises:
        UnknownNameError: No such preset.
        CellzooError: The preset says nothing on retraining after such a search.
    """
    content = read_preset(preset)
    table = content.get("then", {}).get(objective.name, {})
    if stage not in table:
        raise CellzooError(
            f"the preset {preset!r} does not say how long to retrain after a search on {objective.name} "
            f"(there is no table [then.{objective.name}.{stage}]); take another preset"
        )
    retraining = objective.retraining
    task = SuiteTask(retraining.task, {**table[stage], **retraining.settings(data)})
    return Suite(f"then-{stage}", f"Retraining, {stage}", (task,), f"preset {preset}")
