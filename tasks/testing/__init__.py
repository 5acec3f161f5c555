"""Conformance kits for problems and tasks: what each must keep, for our own and for those of others.

    from tasks.testing import ProblemConformance

    class TestMine(ProblemConformance):
        kind = "my_package.problem:KIND"
        settings = {"hidden_size": 6}        # small: the whole kit then takes seconds

`pytest` runs one test for each check; `check_problem("my_package.problem:KIND", {...})` runs all without it.
`TaskConformance` and `check_task` do the same for a task, whether file or class.
"""

from tasks.testing.problems import (
    ProblemConformance,
    Trial,
    check_batches,
    check_counts,
    check_evaluation,
    check_gradients,
    check_items,
    check_loss,
    check_neutral_settings,
    check_other_process,
    check_problem,
    check_settings,
)
from tasks.testing.tasks import TaskConformance, check_declarations, check_repeats, check_task

__all__ = [
    "ProblemConformance",
    "TaskConformance",
    "Trial",
    "check_batches",
    "check_counts",
    "check_declarations",
    "check_evaluation",
    "check_gradients",
    "check_items",
    "check_loss",
    "check_neutral_settings",
    "check_other_process",
    "check_problem",
    "check_repeats",
    "check_settings",
    "check_task",
]
