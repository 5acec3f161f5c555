"""Locks in processes that are forked: a child has none of the threads that could open them again."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class HasLock(Protocol):
    """What guards its state by a lock."""

    def after_fork(self) -> None:
        """Get a lock that is open, and a state that is whole, in a child of a process that had threads."""


_owners: WeakSet[HasLock] = WeakSet()


def opens_in_children(owner: HasLock) -> None:
    """Have `owner.after_fork` called in every child that is forked while the owner lives."""
    _owners.add(owner)


def _after_fork() -> None:
    for owner in list(_owners):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
