"""Memory of the native engine: large blocks that are used again instead of being mapped anew every step."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from cellzoo.runtime.forks import reset_after_fork
from cellzoo.runtime.native.binding import load

if TYPE_CHECKING:
    from collections.abc import Callable

_GRAIN = 2**21
# Idle memory beyond this, or beyond so many times the most that was in use at once, goes back to the system.
MAX_IDLE = 2**31
_IDLE_PER_USED = 2
# A block serves a request it exceeds by at most a quarter.
_SLACK = 1.25


class Block:
    """Memory that goes back to its pool when nothing refers to the block any more.

    Attributes:
        address: Of the first byte, aligned to 64 bytes.
        size: In bytes.
    """

    def __init__(self, pool: Pool, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self._pool = pool

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_ending():  # modules are empty then, and all memory goes
            self._pool.take_back(self.address, self.size)


class Pool:
    """Idle blocks, by size. Safe to use from several threads, and in a process that was forked.

    Blocks have one of some hundred sizes, so that finding one and taking one back cost the same whatever the
    pool has held before.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # collecting garbage under the lock may give a block back
        self._used = self._most_used = 0
        self._forget()
        reset_after_fork(self)

    def take(self, size: int) -> Block:
        """Give a block of at least `size` bytes; what it holds is undefined.

        Raises:
            MemoryError: There is none.
        """
        wanted = _rounded(size)
        with self._lock:
            found = wanted
            while found <= wanted * _SLACK:
                if idle := self._by_size.get(found):
                    address, _ = idle.popitem()  # the last that was used may still be in a cache
                    del self._idle[address]
                    self._idle_bytes -= found
                    return self._hand_out(address, found)
                found = _rounded(found + 1)
        address = load().cellzoo_allocate(wanted)
        if not address:
            self.release()
            address = load().cellzoo_allocate(wanted)
        if not address:
            raise MemoryError(f"the native engine found no memory for {wanted:,} bytes")
        with self._lock:
            return self._hand_out(address, wanted)

    def take_back(self, address: int, size: int) -> None:
        """Keep a block for later, and free those that nobody has asked for longest where too much is idle."""
        freed = []
        with self._lock:
            self._used -= size
            self._idle[address] = size
            self._by_size.setdefault(size, OrderedDict())[address] = None
            self._idle_bytes += size
            most = min(MAX_IDLE, _IDLE_PER_USED * self._most_used)
            while self._idle_bytes > most:
                oldest, its_size = self._idle.popitem(last=False)
                del self._by_size[its_size][oldest]
                self._idle_bytes -= its_size
                freed.append(oldest)
        for old in freed:
            load().cellzoo_free(old)

    def release(self) -> None:
        """Give all idle memory back to the system."""
        with self._lock:
            idle = list(self._idle)
            self._forget()
            self._most_used = self._used
        for address in idle:
            load().cellzoo_free(address)

    @property
    def used_bytes(self) -> int:
        """How much memory is handed out."""
        return self._used

    @property
    def idle_bytes(self) -> int:
        """How much memory waits to be used again."""
        return self._idle_bytes

    def after_fork(self) -> None:
        """Open the lock in a child. What a thread was changing when it was forked is given up."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()
            self._forget()

    def _forget(self) -> None:
        self._idle: OrderedDict[int, int] = OrderedDict()  # address -> size, the longest idle first
        self._by_size: dict[int, OrderedDict[int, None]] = {}
        self._idle_bytes = 0

    def _hand_out(self, address: int, size: int) -> Block:
        self._used += size
        self._most_used = max(self._most_used, self._used)
        return Block(self, address, size)


def _rounded(size: int) -> int:
    """The next size that blocks have: eight between a power of two and the next, or whole large pages."""
    step = max(64, 1 << max(0, size.bit_length() - 4))
    if size >= _GRAIN:
        step = -(-step // _GRAIN) * _GRAIN
    return max(64, -(-size // step) * step)
