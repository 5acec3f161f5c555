"""Vectors of the tokens of sentences, kept on disk and mapped into memory.

A store is a folder of files that are never changed once they are there: each holds the sentences of one
block, so that writers cannot disturb one another or a reader. What is read is checked against a digest.
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
"""Bytes that a file takes beside its tensors, at most."""
_SOUND: dict[Path, tuple[int, int, int]] = {}
"""Files that this process found undamaged, and how it left them; reading them again needs no digest."""


@lru_cache(maxsize=2**17)  # 50 MB at most, for sentences of 20 tokens
def sentence_key(tokens: tuple[str, ...]) -> bytes:
    """Hash the tokens of a sentence."""
    digest = blake2b(digest_size=_KEY_SIZE)
    for token in tokens:
        text = token.encode("utf-8", "surrogatepass")
        digest.update(len(text).to_bytes(8, "little") + text)
    return digest.digest()


class VectorStore:
    """The vectors that some embeddings give.

    Args:
        root: A folder for the stores of any embeddings; it need not exist.
        identity: What the vectors depend on, 64 hexadecimal digits; names the folder within `root`.
        width: Size of a vector.
        limit: Most bytes of all stores in `root` together. The stores of other embeddings that were not used
            for longest make room first.
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
        """Take in what has been written since; a damaged file is reported and removed."""
        for path in sorted(self.folder.glob("vectors-*.safetensors")):
            if path.name in self._read or not _FILE.fullmatch(path.name):
                continue
            try:
                self._take(path)
            except DataError as error:
                if not path.exists():
                    continue  # another process has made room
                with suppress(OSError):
                    path.unlink()
                warnings.warn(f"{error}; the sentences in it will be embedded again", stacklevel=2)

    def write(self, vectors: Mapping[bytes, Tensor]) -> bool:
        """Add sentences in one file; False if the limit leaves no room.

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
        """Wait until no other process holds this store, and take in what it wrote.

        Without the lock nothing breaks, but two processes would compute the same vectors.

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
        """Remove what processes that were killed left half-written; only the holder of the lock writes."""
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
    with suppress(OSError):  # which reading the file reports
        return _SOUND.get(path) == _stamp(path)
    return False


def _stamp(path: Path) -> tuple[int, int, int]:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino
