"""The native engine in children that are forked while other threads use it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import cellzoo
from cellzoo.runtime.native import binding, workspace
from cellzoo.runtime.native.call import pool

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


@contextmanager
def held(lock):
    """Another thread holds the lock; a child has no such thread."""
    has_begun, is_done = threading.Event(), threading.Event()

    def hold():
        with lock:
            has_begun.set()
            is_done.wait(60)

    holder = threading.Thread(target=hold)
    holder.start()
    has_begun.wait(10)
    try:
        yield
    finally:
        is_done.set()
        holder.join()


def fork(check):
    """Fork a child that ends with 0 if the check is true; it has 30 seconds."""
    child = os.fork()
    if child == 0:
        signal.alarm(30)
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    return child


def exit_code(child):
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def test_a_fork_while_another_thread_holds_the_pool():
    rnn = cellzoo.rnn("lstm", 3, 4, runtime="native")
    x = torch.randn(5, 2, 3)

    def step():
        rnn(x)[0].sum().backward()
        return True

    step()
    with held(pool()._lock):
        child = fork(step)
    assert exit_code(child) == 0


def test_a_child_forked_within_a_change_of_the_pool_starts_with_none():
    """Whatever the other thread was in the middle of, the child allocates its own."""
    fresh = workspace.Pool()
    fresh.take(100)
    assert fresh.idle_bytes > 0

    def allocate():
        is_empty = fresh.idle_bytes == 0
        kept = fresh.take(100)
        return is_empty and kept.address and fresh.idle_bytes == 0

    with held(fresh._lock):
        child = fork(allocate)
    assert exit_code(child) == 0


FIRST_CALLS = """
    import os, signal, threading, time
    import torch, cellzoo
    torch.set_num_threads(1)
    x = torch.ones(5, 2, 3)
    # An operator of torch that a thread calls first while a child is forked may hold that child for ever, with
    # torch alone, too. So torch has run all operators before.
    cellzoo.rnn("gru", 3, 4)(x)[0].sum().backward()
    rnn = cellzoo.rnn("lstm", 3, 4)
    begun = threading.Event()

    def first_call():
        begun.set()
        rnn(x)[0].sum().backward()

    thread = threading.Thread(target=first_call)
    thread.start()
    begun.wait()
    children = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            rnn(x)
            os._exit(0)
        children.append(child)
        time.sleep(0.0005)
    thread.join()
    for child in children:
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 0, status
"""


def test_children_forked_during_the_first_call_of_a_layer_do_not_wait_for_it():
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FIRST_CALLS)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode == 0, process.stderr


def test_the_library_guards_no_static_that_a_forked_child_could_wait_at():
    assert b"__cxa_guard_acquire" not in Path(binding.load()._name).read_bytes()


def test_all_that_a_first_call_imports_is_there_before_it():
    """Of ours: a child that is forked within an import waits for the end of it."""
    code = """
        import sys, torch, cellzoo
        rnn = cellzoo.rnn("lstm", 3, 4)
        before = set(sys.modules)
        rnn(torch.ones(5, 2, 3))[0].sum().backward()
        print([name for name in set(sys.modules) - before if name.startswith("cellzoo")])
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"
