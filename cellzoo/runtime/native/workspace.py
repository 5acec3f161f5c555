"""Memory of the native engine: large blocks that are used again instead of being mapped anew every step."""

from __future__ import annotations

import os
import threading

from cellzoo.runtime.native.binding import load

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

    def __del__(self) -> None:
        self._pool.take_back(self.address, self.size)


class Pool:
    """Idle blocks, by size. Safe to use from several threads, and in a process that was forked."""

    def __init__(self) -> None:
        self._library = load()
        self._idle: list[tuple[int, int]] = []  # the longest idle first
        self._used = self._most_used = 0
        # Collecting garbage under the lock may give a block back.
        self._lock = threading.RLock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._renew_lock)

    def take(self, size: int) -> Block:
        """Give a block of at least `size` bytes; what it holds is undefined.

        Raises:
            MemoryError: There is none.
        """
        wanted = max(64, size) if size < _GRAIN else -(-size // _GRAIN) * _GRAIN
        with self._lock:
            fitting = [entry for entry in self._idle if wanted <= entry[0] <= wanted * _SLACK]
            if fitting:
                best = min(fitting)
                self._idle.remove(best)
                return self._hand_out(best[1], best[0])
        address = self._library.cellzoo_allocate(wanted)
        if not address:
            self.release()
            address = self._library.cellzoo_allocate(wanted)
        if not address:
            raise MemoryError(f"the native engine found no memory for {wanted:,} bytes")
        with self._lock:
            return self._hand_out(address, wanted)

    def take_back(self, address: int, size: int) -> None:
        """Keep a block for later, and free those that nobody has asked for longest where too much is idle."""
        with self._lock:
            self._used -= size
            self._idle.append((size, address))
            most = min(MAX_IDLE, _IDLE_PER_USED * self._most_used)
            freed = []
            while self.idle_bytes > most:
                freed.append(self._idle.pop(0)[1])
        for old in freed:
            self._library.cellzoo_free(old)

    def release(self) -> None:
        """Give all idle memory back to the system."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._most_used = self._used
        for _, address in idle:
            self._library.cellzoo_free(address)

    @property
    def used_bytes(self) -> int:
        """How much memory is handed out."""
        return self._used

    @property
    def idle_bytes(self) -> int:
        """How much memory waits to be used again."""
        return sum(size for size, _ in self._idle)

    def _hand_out(self, address: int, size: int) -> Block:
        self._used += size
        self._most_used = max(self._most_used, self._used)
        return Block(self, address, size)

    def _renew_lock(self) -> None:
        self._lock = threading.RLock()
