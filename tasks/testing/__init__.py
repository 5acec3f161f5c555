"""Conformance tests for problems and tasks, for those of cellzoo and of other packages.

    from tasks.testing import ProblemConformance

    class TestMine(ProblemConformance):
        kind = "my_package.problem:KIND"
        settings = {"hidden_size": 6}        # small, so that all tests take seconds

`pytest` runs one test per check; `check_problem("my_package.problem:KIND", {...})` runs all without pytest.
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
