"""Engines under several threads, in several Python threads, in workers, and after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace

import pytest
import torch
from engine_cases import ENGINES, TOLERANCES, Case, draw, hold, results
from torch.utils.data import DataLoader, Dataset

import cellzoo

CELLS = ["lstm", "darts-v2", "mogrifier-lstm"]
# Large enough that all threads have something to do. Rows are shared out where there are enough of them, else
# units; both where there are many threads.
BY_ROWS = Case(40, 100, (28, 28, 26, 5), masked_x=True, masked_h=True)
BY_MANY_ROWS = Case(5, 16, (900, 900, 700, 2, 1), masked_h=True)
BY_UNITS = Case(16, 320, (*(2,) * 9, 1), masked_x=True, masked_h=True)
BY_BOTH = Case(16, 320, (8, 8, 8, 5, 1), masked_h=True)
CASES = [
    (BY_ROWS, 2),
    (BY_ROWS, 3),
    (BY_MANY_ROWS, 2),
    (BY_MANY_ROWS, 3),
    (BY_UNITS, 2),
    (BY_UNITS, 3),
    (BY_BOTH, 16),
]
NATIVE = [name for name in ENGINES if name.startswith("native")]
needs_native = pytest.mark.skipif(not NATIVE, reason="the native engine was not built")


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@needs_native
@pytest.mark.parametrize(("case", "threads"), CASES)
@pytest.mark.parametrize("name", CELLS)
def test_several_threads(name, threads, case):
    torch.set_num_threads(threads)
    narrow, wide = NATIVE[:1], NATIVE[-1:]
    hold(cellzoo.load(name), replace(case, reverse=threads == 3), narrow if threads == 3 else wide)
    hold(cellzoo.load(name), replace(case, dtype=torch.float32), wide, rounding=True)


@needs_native
@pytest.mark.slow
@pytest.mark.parametrize("case", [BY_ROWS, BY_MANY_ROWS, BY_UNITS], ids=["rows", "many rows", "units"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", cellzoo.list_cells()[::4])
def test_several_threads_on_the_zoo(name, reverse, case):
    for threads in (2, 3, 7):
        torch.set_num_threads(threads)
        for dtype in TOLERANCES:
            hold(cellzoo.load(name), replace(case, dtype=dtype, reverse=reverse), NATIVE, rounding=True)


@needs_native
@pytest.mark.parametrize(("case", "threads"), [(BY_ROWS, 1), *CASES])
def test_the_same_threads_give_the_same_digits(threads, case):
    """Whoever does which part: sums are added in the order of parts. A race would show, too."""
    torch.set_num_threads(threads)
    for name in ("lstm", "darts-v2"):
        cell = cellzoo.load(name)
        tensors = draw(cell, case)
        runtime = ENGINES[NATIVE[-1]](cell)
        first = results(runtime, case, tensors, torch.float32)
        for _ in range(3):
            again = results(runtime, case, tensors, torch.float32)
            assert all(torch.equal(again[key], value) for key, value in first.items())


@needs_native
@pytest.mark.parametrize(("case", "threads"), [(BY_ROWS, 2), (BY_UNITS, 3)])
def test_several_callers_at_once(case, threads):
    """One call has the helpers; the others do all parts alone, and find the same digits."""
    torch.set_num_threads(threads)
    cell = cellzoo.load("lstm")
    runtime, tensors = ENGINES[NATIVE[-1]](cell), draw(cell, case)
    expected = results(runtime, case, tensors, torch.float32)
    same: list[bool] = []

    def call():
        torch.set_num_threads(threads)
        for _ in range(5):
            found = results(runtime, case, tensors, torch.float32)
            same.append(all(torch.equal(found[key], value) for key, value in expected.items()))

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert same == [True] * 15


@pytest.mark.parametrize("engine", ENGINES)
def test_two_python_threads_at_once(engine):
    """Each with a cell of its own, and both with one engine in common."""
    torch.set_num_threads(1)
    common = ENGINES[engine](cellzoo.load("darts-v2"))
    case = Case(9, 33, (12, 12, 11, 4))
    expected, found = {}, {}
    work = {}
    for seed, name in enumerate(("lstm", "gru")):
        own = ENGINES[engine](cellzoo.load(name))
        work[name] = [
            (runtime, replace(case, seed=seed), draw(runtime.cell, replace(case, seed=seed)))
            for runtime in (own, common)
        ]
    for name, calls in work.items():
        expected[name] = [results(*each, torch.float64) for each in calls]

    def run(name):
        for _ in range(6):
            found.setdefault(name, []).append([results(*each, torch.float64) for each in work[name]])

    running = [threading.Thread(target=run, args=(name,)) for name in work]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(60)
    assert {name: len(rounds) for name, rounds in found.items()} == dict.fromkeys(work, 6)
    for name, rounds in found.items():
        for given in rounds:
            for one, other in zip(given, expected[name], strict=True):
                assert all(torch.equal(one[key], value) for key, value in other.items())


class Trained(Dataset):
    """Each item is a training step."""

    def __init__(self, rnn):
        self.rnn = rnn

    def __len__(self):
        return 6

    def __getitem__(self, index):
        x = torch.randn(5, 3, 4, generator=torch.Generator().manual_seed(index))
        output, _ = self.rnn(x)
        gradients = torch.autograd.grad(output.square().sum(), list(self.rnn.parameters()))
        return torch.cat([output.flatten().detach(), *(gradient.flatten() for gradient in gradients)])


@pytest.mark.parametrize("runtime", ["auto", "torch"])
def test_in_workers_of_a_data_loader(runtime):
    """Workers are forked from a process in which the engine has run."""
    rnn = cellzoo.rnn("darts-v2", 4, 8, runtime=runtime)
    data = Trained(rnn)
    expected = torch.stack([data[index] for index in range(len(data))])
    loader = DataLoader(data, batch_size=1, num_workers=2, multiprocessing_context="fork", timeout=60)
    torch.testing.assert_close(torch.cat(list(loader)), expected, rtol=1e-6, atol=1e-6)


FORK = """
    import os, signal, sys
    import torch, cellzoo
    torch.set_num_threads(2)
    rnn = cellzoo.rnn("lstm", 64, 96, runtime=sys.argv[1])
    # Tensors so small that torch itself does not start threads: its own do not survive a fork.
    x = torch.randn(8, 40, 64, generator=torch.Generator().manual_seed(1))

    def step():
        output, _ = rnn(x)
        gradients = torch.autograd.grad(output, list(rnn.parameters()), torch.ones_like(output))
        return torch.stack([gradient.abs().sum() for gradient in gradients])

    with torch.no_grad():
        rnn.step(x[:, 0])  # what it keeps is freed last
    before = step()
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        os._exit(0 if torch.equal(step(), before) and torch.equal(step(), before) else 3)
    assert torch.equal(step(), before)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0, status
"""


@needs_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("runtime", ["auto", "native"])
def test_after_a_fork(runtime):
    """The child of a process that used two threads uses two threads, and does not wait for ever."""
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORK), runtime],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "Exception ignored" not in process.stderr
