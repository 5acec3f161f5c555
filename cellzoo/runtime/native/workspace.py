"""Memory pool of the native engine: reuses large blocks instead of mapping new memory at every call."""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from cellzoo.runtime.forks import reset_after_fork
from cellzoo.runtime.native.binding import load

if TYPE_CHECKING:
    from collections.abc import Callable

_GRAIN = 2**21  # size of a huge page
# Idle memory above this limit, or above this multiple of the peak usage, is returned to the system.
MAX_IDLE = 2**31
_IDLE_PER_USED = 2
# A block serves requests that are smaller by at most a quarter.
_SLACK = 1.25


class Block:
    """A block of memory, which returns to its pool when it is garbage-collected.

    Attributes:
        address: Of the first byte, aligned to 64 bytes.
        size: In bytes.
    """

    def __init__(self, pool: Pool, address: int, size: int) -> None:
        self.address = address
        self.size = size
        self._pool = pool

    def __del__(self, is_ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not is_ending():  # otherwise modules may be gone already, and the process ends anyway
            self._pool.take_back(self.address, self.size)


class Pool:
    """Idle blocks, by size. Thread-safe, and usable in forked children.

    Sizes are rounded up to one of some hundred size classes, so that taking and returning a block takes
    constant time.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # reentrant: garbage collection under the lock may return a block
        self._used = self._most_used = 0
        self._forget()
        reset_after_fork(self)

    def take(self, size: int) -> Block:
        """Take a block of at least `size` bytes, with undefined contents.

        Raises:
            MemoryError: Out of memory.
        """
        wanted = _rounded(size)
        with self._lock:
            found = wanted
            while found <= wanted * _SLACK:
                if idle := self._by_size.get(found):
                    address, _ = idle.popitem()  # the most recently used, which may still be in the cache
                    del self._idle[address]
                    self._idle_bytes -= found
                    return self._hand_out(address, found)
                found = _rounded(found + 1)
        address = load().cellzoo_allocate(wanted)
        if not address:
            self.release()
            address = load().cellzoo_allocate(wanted)
        if not address:
            raise MemoryError(f"the native engine could not allocate {wanted:,} bytes")
        with self._lock:
            return self._hand_out(address, wanted)

    def take_back(self, address: int, size: int) -> None:
        """Keep a returned block for later; free the least recently used ones if too much memory is idle."""
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
        """Return all idle memory to the system."""
        with self._lock:
            idle = list(self._idle)
            self._forget()
            self._most_used = self._used
        for address in idle:
            load().cellzoo_free(address)

    @property
    def used_bytes(self) -> int:
        """Bytes of all blocks in use."""
        return self._used

    @property
    def idle_bytes(self) -> int:
        """Bytes of all idle blocks."""
        return self._idle_bytes

    def after_fork(self) -> None:
        """Replace the lock in a forked child if another thread held it, and abandon the idle blocks."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()
            self._forget()

    def _forget(self) -> None:
        self._idle: OrderedDict[int, int] = OrderedDict()  # address -> size, least recently used first
        self._by_size: dict[int, OrderedDict[int, None]] = {}
        self._idle_bytes = 0

    def _hand_out(self, address: int, size: int) -> Block:
        self._used += size
        self._most_used = max(self._most_used, self._used)
        return Block(self, address, size)


def _rounded(size: int) -> int:
    """Round up to a size class: eight per power of two; multiples of huge pages for large blocks."""
    step = max(64, 1 << max(0, size.bit_length() - 4))
    if size >= _GRAIN:
        step = -(-step // _GRAIN) * _GRAIN
    return max(64, -(-size // step) * step)
