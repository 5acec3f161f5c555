r"""Files as people have them: plain, gzipped, or a member of an archive; read whole, with one clear error.

One policy for all text: UTF-8 (or the encoding that is named), a byte order mark at the start is not part of
the text, and a line ends in `\n`, `\r\n`, or, in a file that has no `\n`, in `\r`.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from cellzoo.errors import DataError
from tasks.data.archives import FAULTS, find_member, open_member, packed_again

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_TEXT = 2**30
"""Bytes of a text that is read whole. The largest known one, WikiText-103, has half as many."""
_BLOCK = 2**20


@dataclass(frozen=True)
class Part:
    """A file, or a member of a zip or tar archive.

    Attributes:
        path: The file; it is unpacked while it is read if its name ends in `.gz`.
        member: Name within the archive; empty for the file itself.
    """

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path}!{self.member}" if self.member else str(self.path)

    @contextmanager
    def open(self) -> Iterator[IO[bytes]]:
        """Open the content as bytes.

        Raises:
            DataError: It cannot be opened or read, is not a regular file, or is damaged.
        """
        self.require_regular()
        try:
            if self.member:
                with open_member(self.path, self.member) as stream:
                    yield stream
            elif self.path.suffix == ".gz":
                with gzip.open(self.path, "rb") as unpacked:
                    yield cast("IO[bytes]", unpacked)
            else:
                with self.path.open("rb") as plain:
                    yield plain
        except FAULTS as error:
            raise DataError(f"{self}: cannot be read: {getattr(error, 'strerror', None) or error}") from error

    def require_regular(self) -> None:
        """See to it that the file is there and has an end.

        Raises:
            DataError: It does not exist, or is a folder, a pipe or a device.
        """
        try:
            mode = self.path.stat().st_mode
        except (OSError, ValueError) as error:
            raise DataError(
                f"{self.path}: cannot be read: {getattr(error, 'strerror', None) or error}"
            ) from error
        if not stat.S_ISREG(mode):
            raise DataError(f"{self.path}: is not a regular file")

    def read(self, limit: int = MAX_TEXT) -> bytes:
        """Read all of it.

        Raises:
            DataError: As in `open`; also more than `limit` bytes.
        """
        with self.open() as stream:
            content = stream.read(limit + 1)
        if len(content) > limit:
            raise DataError(f"{self}: holds more than {limit:,} bytes; take a smaller text")
        return content

    def digest(self) -> str:
        """The sha256 of the content, whatever it is packed in, as 64 hexadecimal digits; read in blocks."""
        digest = hashlib.sha256()
        with self.open() as stream:
            while block := stream.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()

    def lines(self, encoding: str = "utf-8") -> list[str]:
        """Read the lines of a text, without their ends; an end after the last line makes no further line.

        Lines are never cut at characters that occur inside words, such as U+0085 and U+2028.

        Raises:
            DataError: As in `read`; also no text in this encoding, or nothing but white space.
        """
        content = self.read()
        if not content.strip():
            size = "0 bytes" if not content else "only white space"
            raise DataError(f"{self}: is empty ({size})")
        text = self._decode(content, encoding).removeprefix("\ufeff")
        if "\n" not in text:
            text = text.replace("\r", "\n")
        lines = text.removesuffix("\n").split("\n")
        return [line.removesuffix("\r") for line in lines]

    def _decode(self, content: bytes, encoding: str) -> str:
        try:
            return content.decode(encoding)
        except LookupError as error:
            raise DataError(
                f"{self}: encoding {encoding!r:.40} is not known, such as utf-8 or latin-1"
            ) from error
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            found = " ".join(f"{byte:02X}" for byte in content[error.start : error.start + 4])
            raise DataError(
                f"{self}:{line}: is not {encoding.upper()} text (bytes {found} at offset {error.start}); "
                "name its encoding, such as --set encoding=latin-1, or convert the file to UTF-8"
            ) from error


def find_part(folder: Path, names: tuple[str, ...]) -> Part | None:
    """Find the first of some files in a folder; if none is there, in archives that hold one with its folders.

    Args:
        folder: Where.
        names: Paths below it, each tried also with `.gz`; `archive.zip!member` is a member of an archive.

    Raises:
        DataError: An archive that is named is damaged.
    """
    for name in names:
        path, _, member = name.partition("!")
        if member:
            if (folder / path).is_file() and (found := find_member(folder / path, member)):
                return Part(folder / path, found)
            continue
        for candidate in (folder / path, folder / f"{path}.gz"):
            if candidate.is_file():
                return Part(candidate)
    for name in names:
        for archive, member in packed_again(folder, name) if "!" not in name else ():
            with suppress(DataError):  # it was not named, so it need not be whole
                if found := find_member(archive, member):
                    return Part(archive, found)
    return None
