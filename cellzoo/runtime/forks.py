"""Locks in forked processes: a child has none of the threads that could release a lock held at the fork."""

from __future__ import annotations

import os
from typing import Protocol
from weakref import WeakSet


class HasLock(Protocol):
    """An object with a lock that must be reset in forked children."""

    def after_fork(self) -> None:
        """Reset the lock, and the state it guards if that may be inconsistent, in a forked child."""


_owners: WeakSet[HasLock] = WeakSet()


def reset_after_fork(owner: HasLock) -> None:
    """Call `owner.after_fork` in every child that is forked during the lifetime of the owner."""
    _owners.add(owner)


def _after_fork() -> None:
    for owner in list(_owners):
        owner.after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
