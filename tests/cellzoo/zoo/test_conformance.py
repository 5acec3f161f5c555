"""The conformance kit over the whole zoo.

The genotypes of unpublished search runs differ from each other in operations and predecessors alone; of those,
the quick suite takes the first of each group in full and some checks of the others, `pytest -m slow` the rest.
"""

from __future__ import annotations

import pytest
import torch

import cellzoo
from cellzoo.testing import CHECKS, run_check

# Exported files of every cell have a test of their own, with more forms.
HERE = [check for check in CHECKS if check != "export"]
GROUPS = ("evalnas-pso-*", "evalnas-random-*", "nasabn-darts-*", "fortunechen-*", "renqianluo-*")
ALIKE = {name for pattern in GROUPS for name in cellzoo.list_cells(pattern)[1:]}
OF_ALL = ("counts", "hash", "packed", "runtimes")
CASES = [
    pytest.param(name, check, marks=[pytest.mark.slow] if name in ALIKE and check not in OF_ALL else [])
    for name in cellzoo.list_cells()
    for check in HERE
]


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """More threads only wait for each other on tensors this small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("name", "check"), CASES)
def test_zoo(name, check):
    run_check(check, name)


@pytest.mark.parametrize("check", HERE)
@pytest.mark.parametrize("seed", range(2))
def test_a_random_member_of_the_darts_space(seed, check):
    run_check(check, f"random-darts-{seed}")
