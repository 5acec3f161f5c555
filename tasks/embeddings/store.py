"""A store on disk for the vectors of the tokens of sentences, memory-mapped when it is read.

A store is a folder of immutable files, each with the sentences of one block, so that concurrent readers and
writers do not interfere. Files are verified with a digest when they are read.
"""

from __future__ import annotations

import os
import re
import warnings
from contextlib import contextmanager, suppress
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING
from uuid import uuid4

import torch
from filelock import FileLock

from cellzoo.errors import DataError
from cellzoo.system.atomic import TEMPORARY, output_errors
from cellzoo.system.tensor_file import read_tensors, write_tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

FORMAT = 1
_FILE = re.compile(r"vectors-[0-9a-f]{32}\.safetensors")
_FOLDER = re.compile(r"[0-9a-f]{64}")
_KEY_SIZE = 16
_HEADER = 1024
"""Upper bound of the bytes of a file in addition to its tensors."""
_SOUND: dict[Path, tuple[int, int, int]] = {}
"""Files that this process has verified, with size, time and inode; unchanged files are not verified again."""


@lru_cache(maxsize=2**17)  # at most 50 MB for sentences of 20 tokens
def sentence_key(tokens: tuple[str, ...]) -> bytes:
    """Hash the tokens of a sentence."""
    digest = blake2b(digest_size=_KEY_SIZE)
    for token in tokens:
        text = token.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.digest()


class VectorStore:
    """The stored vectors of some embeddings.

    Args:
        root: Folder of the stores of all embeddings; it need not exist.
        identity: Hash of everything that the vectors depend on, 64 hexadecimal digits; the name of the store's
            folder within `root`.
        width: Size of a vector.
        limit: Maximum number of bytes of all stores in `root` together. To stay below it, the least recently
            used files of other embeddings are removed.
    """

    def __init__(self, root: Path, identity: str, width: int, limit: int) -> None:
        self.root = root
        self.folder = root / identity
        self.identity = identity
        self.width = width
        self.limit = limit
        self._vectors: dict[bytes, Tensor] = {}
        self._read: set[str] = set()
        self.refresh()

    def get(self, key: bytes) -> Tensor | None:
        """Return a sentence's vectors, (tokens, width), or None."""
        return self._vectors.get(key)

    def refresh(self) -> None:
        """Read the files that were added since the last call; damaged files are reported and removed."""
        for path in sorted(self.folder.glob("vectors-*.safetensors")):
            if path.name in self._read or not _FILE.fullmatch(path.name):
                continue
            try:
                self._take(path)
            except DataError as error:
                if not path.exists():
                    continue  # removed by another process to make room
                with suppress(OSError):
                    path.unlink()
                warnings.warn(f"{error}; the sentences in it will be embedded again", stacklevel=2)

    def write(self, vectors: Mapping[bytes, Tensor]) -> bool:
        """Write the vectors of sentences to a new file; returns False if this would exceed the limit.

        Args:
            vectors: Sentence key -> (tokens, width), float32.

        Raises:
            OutputError: The file cannot be written.
        """
        tensors = {
            "keys": torch.frombuffer(bytearray(b"".join(vectors)), dtype=torch.uint8).view(-1, _KEY_SIZE),
            "lengths": torch.tensor([len(rows) for rows in vectors.values()]),
            "vectors": torch.cat(list(vectors.values())),
        }
        if not self._make_room(_HEADER + sum(tensor.nbytes for tensor in tensors.values())):
            return False
        path = self.folder / f"vectors-{uuid4().hex}.safetensors"
        write_tensors(path, tensors, {"format": FORMAT, "identity": self.identity})
        self._take(path)
        return True

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock of this store, after reading what other processes wrote.

        The lock is not needed for correctness: it avoids that two processes compute the same vectors.

        Raises:
            OutputError: The folder cannot be made or written.
        """
        with output_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "lock", thread_local=False)
            lock.acquire()
        try:
            self._remove_remains()
            self.refresh()
            yield
        finally:
            lock.release()

    def _remove_remains(self) -> None:
        """Remove temporary files of killed processes; only the holder of the lock writes."""
        for path in self.folder.iterdir():
            if TEMPORARY.fullmatch(path.name):
                with suppress(OSError):
                    path.unlink()

    def _take(self, path: Path) -> None:
        tensors, content = read_tensors(path, check=not _is_sound(path))
        if content != {"format": FORMAT, "identity": self.identity}:
            raise DataError(f"{path}: belongs to other embeddings or another version of cellzoo")
        keys, lengths, vectors = (tensors[name] for name in ("keys", "lengths", "vectors"))
        if vectors.size(1) != self.width:
            raise DataError(f"{path}: holds vectors of size {vectors.size(1)}, not {self.width}")
        rows = vectors.split(lengths.tolist())
        self._vectors |= zip((key.tobytes() for key in keys.numpy()), rows, strict=True)
        self._read.add(path.name)
        with suppress(OSError):
            os.utime(path)
            _SOUND[path] = _stamp(path)

    def _make_room(self, size: int) -> bool:
        found = []
        for file in self.root.glob("*/vectors-*.safetensors"):
            if _FOLDER.fullmatch(file.parent.name) and _FILE.fullmatch(file.name):
                with suppress(OSError):  # another process may have made room
                    stat = file.stat()
                    found.append((stat.st_mtime, stat.st_size, file))
        total = sum(taken for _, taken, _ in found) + size
        for _, taken, file in sorted(found):
            if total <= self.limit:
                break
            if file.parent != self.folder:
                with suppress(OSError):
                    file.unlink(missing_ok=True)
                    total -= taken
        return total <= self.limit


def _is_sound(path: Path) -> bool:
    with suppress(OSError):  # reading the file will raise a better error
        return _SOUND.get(path) == _stamp(path)
    return False


def _stamp(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino
