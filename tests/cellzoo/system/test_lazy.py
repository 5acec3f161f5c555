"""Values that are computed once, also in children that are forked while another thread computes one."""

from __future__ import annotations

import ast
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest

import cellzoo
from cellzoo.system.lazy import lazy_property

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Square:
    """Counts how often its area is computed."""

    side: int
    computed: list[int]

    @lazy_property
    def area(self) -> int:
        """Of the square."""
        self.computed.append(self.side)
        return self.side**2


def test_a_value_is_computed_once_for_each_object():
    squares = [Square(side, []) for side in (2, 3)]
    assert [square.area for square in squares * 3] == [4, 9] * 3
    assert [square.computed for square in squares] == [[2], [3]]
    assert Square.area.__doc__ == "Of the square."


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_a_thread_computes_does_not_wait(monkeypatch):
    within, go_on = threading.Event(), threading.Event()
    first, second = (cellzoo.parse(f"nao: 0 {op}", "enas") for op in (1, 3))
    expected = cellzoo.parse("nao: 0 3", "enas").hash
    found = vars(type(first))["hash"]
    compute = found._compute

    def slowly(cell):
        if cell is first:
            within.set()
            go_on.wait()
        return compute(cell)

    monkeypatch.setattr(found, "_compute", slowly)
    thread = threading.Thread(target=lambda: first.hash)
    thread.start()
    within.wait()
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os._exit(0 if second.hash == expected else 1)
    go_on.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_of_ours_has_a_lock_that_no_child_can_open():
    """Locks are made in two modules, which open them in children; functools.cached_property has one, too."""
    found = set()
    for folder in ("cellzoo", "tasks", "search", "leaderboards"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                name = node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
                if name in ("Lock", "RLock", "Condition", "Semaphore", "cached_property"):
                    found.add(path.relative_to(ROOT).as_posix())
    assert found == {
        "cellzoo/runtime/native/workspace.py",
        "cellzoo/runtime/torch_engine/recordings.py",
    }
