"""Out-of-memory errors of different libraries become one error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from cellzoo.errors import RunError
from tasks.training.memory import memory_errors


def no_file() -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


@pytest.mark.parametrize(
    "ask",
    [
        lambda: torch.empty(2**50),
        lambda: torch.empty(2**31 - 1, 2**31 - 1, 2**31 - 1),
        lambda: torch.ones(1).expand(2**45).contiguous(),
        lambda: np.zeros((2**31, 2**31)),
        lambda: np.zeros(2**50),
        lambda: bytearray(2**60),
        no_file,
    ],
)
def test_memory_that_ran_out_is_said_in_one_way(ask):
    with (
        pytest.raises(RunError, match="toy: memory ran out; everything written before is kept"),
        memory_errors("toy"),
    ):
        ask()


@pytest.mark.parametrize(
    "fails", [lambda: torch.ones(2) @ torch.ones(3), lambda: int("x"), Path("/no/such/file").stat]
)
def test_other_errors_stay_what_they_are(fails):
    with pytest.raises((RuntimeError, ValueError, FileNotFoundError)), memory_errors("toy"):
        fails()
